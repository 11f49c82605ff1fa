"""Rows "At a glance" and "Calls": whether it is well, and what callers see of us."""

from __future__ import annotations

from engine.ops.panel import Look, Panel, Query, Row, Unit

NONE = '0 * sum(up{job="crossdock"} == 1)'
"""Zero while an engine runs. A dead one has no value: a green zero would be a lie."""

AT_A_GLANCE = Row(
    "At a glance",
    (
        Panel(
            title="Engine",
            unit=Unit.COUNT,
            look=Look.NUMBER,
            width=3,
            words={0: "DOWN", 1: "up"},
            alarm=1,
            low_is_bad=True,
            advice="Whether the engine answers Prometheus. DOWN: look at the process and its last log lines; exit "
            "code 75 means the store failed, 2 a wrong setting. Open orders resume by themselves after the "
            "start.",
            queries=(Query('min(up{job="crossdock"})', "engine"),),
        ),
        Panel(
            title="Alerts firing",
            unit=Unit.COUNT,
            look=Look.NUMBER,
            width=3,
            warn=1,
            alarm=3,
            advice="Alerts of rules/alerts.yml that fire now. Each says its remedy; begin with the critical ones.",
            queries=(Query('count(ALERTS{alertname=~"Crossdock.*",alertstate="firing"}) or vector(0)', "alerts"),),
        ),
        Panel(
            title="Orders that need a person",
            unit=Unit.COUNT,
            look=Look.NUMBER,
            width=3,
            alarm=1,
            advice="Nobody could prove whether the carrier booked these, or cancelled them. List them (`crossdock "
            "order list --state NEEDS_REVIEW`), ask the carrier by our reference, then do what `crossdock order get` "
            "says. "
            "Never create one anew before the carrier has answered.",
            queries=(Query('sum(crossdock_orders{state="NEEDS_REVIEW"})', "orders"),),
        ),
        Panel(
            title="Breakers open",
            unit=Unit.COUNT,
            look=Look.NUMBER,
            width=3,
            warn=1,
            alarm=3,
            advice="Lanes whose carrier fails; nothing is sent there but probes. See Lanes for which; call the "
            "carrier. Orders go to the backup carrier or wait; nothing needs restarting.",
            queries=(Query(f"sum(crossdock_breaker_state == bool 2) or {NONE}", "lanes"),),
        ),
        Panel(
            title="Orders booked, share",
            unit=Unit.SHARE,
            look=Look.NUMBER,
            width=3,
            warn=0.99,
            alarm=0.95,
            low_is_bad=True,
            advice="Of the orders that came to rest in ten minutes, the share with a waybill. Low: see Bookings, "
            "attempts by class, for the reason; empty when no order came to rest.",
            queries=(Query("crossdock:booking_success:ratio10m", "booked"),),
        ),
        Panel(
            title="Orders accepted",
            unit=Unit.PER_SECOND,
            look=Look.NUMBER,
            width=3,
            advice="The load. Zero in working hours: callers do not reach us; look at the proxy, DNS, certificates.",
            queries=(Query("sum(rate(crossdock_orders_accepted_total[$__rate_interval]))", "orders"),),
        ),
        Panel(
            title="Orders in work",
            unit=Unit.COUNT,
            look=Look.NUMBER,
            width=3,
            warn=10_000,
            alarm=18_000,
            advice="Orders with a running worker. At server.max_open_bookings (20,000 unless set) new orders are "
            "refused with a RetryInfo: find the carrier that holds them up in Lanes.",
            queries=(Query("sum(crossdock_orders_in_work)", "orders"),),
        ),
        Panel(
            title="CreateOrder p99",
            unit=Unit.SECONDS,
            look=Look.NUMBER,
            width=3,
            warn=3,
            alarm=8,
            advice="How long the slowest hundredth of callers waits. High: almost always a carrier, see Carriers "
            "p99; else the queue of a lane or the disk.",
            queries=(Query('crossdock:grpc_call_duration_seconds:p99_5m{method="CreateOrder"}', "p99"),),
        ),
    ),
)

CALLS = Row(
    "Calls",
    (
        Panel(
            title="Calls by method",
            unit=Unit.PER_SECOND,
            advice="gRPC calls that ended. A sudden fall: callers or the way to us; a sudden rise of one method: a "
            "caller polls in a loop, ask it to watch instead.",
            queries=(Query("sum by (method) (rate(crossdock_grpc_calls_total[$__rate_interval]))", "{{method}}"),),
        ),
        Panel(
            title="Calls that failed, by code",
            unit=Unit.PER_SECOND,
            warn=1,
            alarm=10,
            advice="INTERNAL is a defect of ours: search the log for its incident. RESOURCE_EXHAUSTED: we shed "
            "load. INVALID_ARGUMENT, UNAUTHENTICATED: a caller's mistake, its message names the field. "
            "DEADLINE_EXCEEDED, CANCELLED: callers wait less long than we need; see p99.",
            queries=(
                Query(
                    'sum by (method, code) (rate(crossdock_grpc_calls_total{code!="OK"}[$__rate_interval]))',
                    "{{method}} {{code}}",
                ),
            ),
        ),
        Panel(
            title="Defects in ten minutes",
            unit=Unit.COUNT,
            alarm=1,
            advice="Calls that ended INTERNAL, UNKNOWN or DATA_LOSS, and booking workers that died. Must be none. "
            "Orders survive it, but search the log for the incident and report it.",
            queries=(
                Query("crossdock:grpc_defects:increase10m", "{{method}} {{code}}"),
                Query("crossdock:worker_failures:increase10m", "worker {{error}}"),
                Query(NONE, "none"),
            ),
        ),
        Panel(
            title="Time of calls, p50",
            unit=Unit.SECONDS,
            warn=1,
            alarm=3,
            advice="What callers usually wait; streams and watches are left out, they last as long as they like. A "
            "rise of CreateOrder alone: the carriers. Of everything: the processor or the disk.",
            queries=(Query("crossdock:grpc_call_duration_seconds:p50_5m", "{{method}}"),),
        ),
        Panel(
            title="Time of calls, p99",
            unit=Unit.SECONDS,
            warn=3,
            alarm=8,
            advice="What the slowest hundredth waits. GetOrder and ListOrders only read the store: above 0.25 s the "
            "disk or the processor is the limit. CreateOrder waits for carriers.",
            queries=(Query("crossdock:grpc_call_duration_seconds:p99_5m", "{{method}}"),),
        ),
        Panel(
            title="Calls under way",
            unit=Unit.COUNT,
            warn=3_000,
            alarm=4_000,
            advice="Near server.max_concurrent_calls (4,096 unless set) more calls are refused. Growing: something "
            "they wait for has stopped; look at p99, then at Lanes and Store.",
            queries=(Query("sum by (method) (crossdock_grpc_calls_in_flight)", "{{method}}"),),
        ),
    ),
)
