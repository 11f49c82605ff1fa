"""Rows "Bookings", "Carriers" and "Lanes": what becomes of orders, what carriers answer, what holds calls back."""

from __future__ import annotations

from engine.ops.panel import Look, Panel, Query, Row, Unit

BOOKINGS = Row(
    "Bookings",
    (
        Panel(
            title="Orders accepted, replayed, refused",
            unit=Unit.PER_SECOND,
            advice="Replayed rises: callers time out and repeat, see Calls p99. Refused ORDER_INVALID: a caller's "
            "data; NO_ELIGIBLE_CARRIER: a rule or an account is missing, see `crossdock order quote`; "
            "ENGINE_OVERLOADED: we shed load, see Orders in work.",
            queries=(
                Query("sum(rate(crossdock_orders_accepted_total[$__rate_interval]))", "accepted"),
                Query("sum(rate(crossdock_orders_replayed_total[$__rate_interval]))", "replayed"),
                Query("sum by (reason) (rate(crossdock_orders_refused_total[$__rate_interval]))", "refused {{reason}}"),
            ),
        ),
        Panel(
            title="Orders settled",
            unit=Unit.PER_SECOND,
            advice="Orders that came to rest, by state and carrier; BOOKED should follow accepted closely. FAILED: "
            "no candidate took it, see attempts by class. Nothing while orders are accepted: every carrier "
            "is out.",
            queries=(
                Query(
                    'sum by (state, carrier) (rate(crossdock_orders_settled_total{carrier=~"$carrier"}'
                    "[$__rate_interval]))",
                    "{{state}} {{carrier}}",
                ),
            ),
        ),
        Panel(
            title="Orders by state",
            unit=Unit.COUNT,
            advice="Orders in the store that still need something. NEEDS_REVIEW needs a person. BOOKING that only "
            "grows: carriers take less than comes in, see Lanes.",
            queries=(
                Query(
                    'sum by (state) (crossdock_orders{state=~"ACCEPTED|BOOKING|CANCELLING|NEEDS_REVIEW"})', "{{state}}"
                ),
            ),
        ),
        Panel(
            title="Booking attempts by outcome",
            unit=Unit.PER_SECOND,
            look=Look.STACK,
            advice="One try at one carrier. CONFIRMED is a waybill, REJECTED and NOT_SENT go on to the next "
            "candidate, UNKNOWN is being looked up and never goes elsewhere before that.",
            queries=(
                Query(
                    'sum by (carrier, outcome) (rate(crossdock_attempts_total{carrier=~"$carrier"}[$__rate_interval]))',
                    "{{carrier}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Booking attempts that failed, by class",
            unit=Unit.PER_SECOND,
            advice="AUTH: our credentials at the carrier. BALANCE: the account has no money or waybill numbers "
            "left. CAPACITY, RATE_LIMITED, TEMPORARY: the carrier. INVALID_REQUEST, NO_SERVICE: the orders. "
            "REFUSED, TIMEOUT, CUT: the network.",
            queries=(
                Query(
                    'sum by (carrier, error_class) (rate(crossdock_attempts_total{carrier=~"$carrier",'
                    'outcome!="CONFIRMED",error_class!=""}[$__rate_interval]))',
                    "{{carrier}} {{error_class}}",
                ),
            ),
        ),
        Panel(
            title="Taken over by another carrier, in ten minutes",
            unit=Unit.COUNT,
            advice="From whom to whom and why. A few are everyday. A rise names the carrier in trouble: call it, "
            "and check that the backup has the capacity and the price you expect.",
            queries=(
                Query(
                    'crossdock:fallbacks:increase10m{from_carrier=~"$carrier"}',
                    "{{from_carrier}} to {{to_carrier}}: {{reason}}",
                ),
            ),
        ),
        Panel(
            title="Sent past their first candidate, in ten minutes",
            unit=Unit.COUNT,
            width=6,
            advice="Before anything was sent. QUEUE_WAIT and DEADLINE: the first one's rate is too low for the load. "
            "BREAKER_OPEN: it fails. FAILBACK: it is coming back in steps. DAILY_CAP: it has its orders of the day. "
            "RETRY_BUDGET: it refuses nearly all.",
            queries=(
                Query(
                    'crossdock:diversions:increase10m{from_carrier=~"$carrier"}',
                    "{{from_carrier}} to {{to_carrier}}: {{reason}}",
                ),
            ),
        ),
        Panel(
            title="Outcomes unknown, in ten minutes",
            unit=Unit.COUNT,
            width=6,
            warn=5,
            alarm=50,
            advice="The carrier's answer got lost, so nobody knows whether it booked. Each is looked up by itself; "
            "what cannot be proved ends in NEEDS_REVIEW. Growing: the network to this carrier, or its "
            "gateway.",
            queries=(
                Query('crossdock:attempts_unknown:increase10m{carrier=~"$carrier"}', "{{carrier}} {{error_class}}"),
            ),
        ),
        Panel(
            title="Orders that need a person",
            unit=Unit.COUNT,
            width=6,
            alarm=1,
            advice="See the number at the top. It falls when a look-up or a push of the carrier tells, or by a cancel.",
            queries=(Query('sum(crossdock_orders{state="NEEDS_REVIEW"})', "NEEDS_REVIEW"),),
        ),
        Panel(
            title="Orders booked, share",
            unit=Unit.SHARE,
            width=6,
            warn=0.99,
            alarm=0.95,
            low_is_bad=True,
            advice="Of the orders that came to rest in ten minutes, the share with a waybill. A step down at one "
            "moment: a carrier or a deployment; look what changed then.",
            queries=(Query("crossdock:booking_success:ratio10m", "booked"),),
        ),
    ),
)

CARRIERS = Row(
    "Carriers",
    (
        Panel(
            title="Calls to carriers by outcome",
            unit=Unit.PER_SECOND,
            look=Look.STACK,
            advice="ANSWERED is well. REFUSED: the carrier said no, see the class beside. NOT_SENT: it cannot be "
            "reached. AMBIGUOUS: it may have acted, the answer was lost. PLUGIN_FAULT: report it to the "
            "plug-in's author, with the log line.",
            queries=(
                Query(
                    "sum by (carrier, outcome) (rate(crossdock_carrier_calls_total"
                    '{carrier=~"$carrier",account=~"$account"}[$__rate_interval]))',
                    "{{carrier}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Calls that failed in ten minutes, by class",
            unit=Unit.COUNT,
            advice="RATE_LIMITED: we ask too much; the lane slows down by itself, ask the carrier for a higher "
            "quota. AUTH: check the account's keys, the carrier's allow-list of addresses and our clock. "
            "TIMEOUT, CUT, REFUSED: the network or the carrier's gateway.",
            queries=(
                Query(
                    "sum by (account, operation, error_class) (crossdock:carrier_faults:increase10m"
                    '{carrier=~"$carrier",account=~"$account"})',
                    "{{account}} {{operation}} {{error_class}}",
                ),
            ),
        ),
        Panel(
            title="Time of calls to carriers, p99",
            unit=Unit.SECONDS,
            warn=3,
            alarm=10,
            advice="One call on the wire, without waiting in our queue. A rise at one carrier alone is theirs: call "
            "them. At all of them: our network, proxy or DNS.",
            queries=(
                Query(
                    'crossdock:carrier_call_duration_seconds:p99_5m{carrier=~"$carrier",account=~"$account"}',
                    "{{account}} {{operation}}",
                ),
            ),
        ),
        Panel(
            title="Time of calls to carriers, p50",
            unit=Unit.SECONDS,
            warn=1,
            alarm=3,
            advice="The usual call. When it doubles and p99 with it, the carrier is overloaded: the concurrency "
            "limit shrinks by itself.",
            queries=(
                Query(
                    'crossdock:carrier_call_duration_seconds:p50_5m{carrier=~"$carrier",account=~"$account"}',
                    "{{account}} {{operation}}",
                ),
            ),
        ),
        Panel(
            title="Calls to carriers under way",
            unit=Unit.COUNT,
            advice="Calls that wait for an answer. At the lane's concurrency limit for long: the limit is what "
            "holds orders up. Many under way and few ending: the carrier is silent.",
            queries=(
                Query(
                    'sum by (account, operation_class) (crossdock_carrier_calls_in_flight{carrier=~"$carrier",'
                    'account=~"$account"})',
                    "{{account}} {{operation_class}}",
                ),
            ),
        ),
        Panel(
            title="Items per call",
            unit=Unit.COUNT,
            advice="How many orders, labels or look-ups share a call. Always 1 where the carrier takes one at a "
            "time; 1 at a peak where it takes many: batching does not work, report it.",
            queries=(
                Query(
                    'crossdock:carrier_batch_items:mean_5m{carrier=~"$carrier",account=~"$account"}',
                    "{{account}} {{operation}}",
                ),
            ),
        ),
        Panel(
            title="Since each account proved that it works",
            unit=Unit.SECONDS,
            width=12,
            warn=86_400,
            alarm=93_600,
            advice="Time since a booking was confirmed there or a price answered; who had none for 20 hours is asked. "
            "Above a day: the backup may fail when it is needed, see its failures by class. Not here at all: it "
            "never proved itself, as after a start with a wrong secret.",
            queries=(
                Query(
                    "time() - max by (account) (crossdock_account_proved_timestamp_seconds"
                    '{carrier=~"$carrier",account=~"$account"} > 0)',
                    "{{account}}",
                ),
            ),
        ),
        Panel(
            title="Accounts that never proved that they work",
            unit=Unit.COUNT,
            width=12,
            alarm=1,
            advice="Since the store was begun, neither a booking nor a price. In the first minutes after that all of "
            "them; later: keys, contract or network of the account. `crossdock_account_proving_calls_total` "
            "counts the questions, the log says what came instead.",
            queries=(
                Query(
                    "count by (account) (crossdock_account_proved_timestamp_seconds"
                    '{carrier=~"$carrier",account=~"$account"} == 0)',
                    "{{account}}",
                ),
            ),
        ),
    ),
)

LANES = Row(
    "Lanes",
    (
        Panel(
            title="Breakers",
            unit=Unit.COUNT,
            words={0: "closed", 1: "half-open", 2: "open"},
            warn=1,
            alarm=2,
            advice="Open: nothing goes to this lane but a probe now and then; orders go to the backup or wait. It "
            "closes by itself after three good answers. For long: call the carrier; do not restart the "
            "engine.",
            queries=(
                Query(
                    "max by (account, operation_class) (crossdock_breaker_state"
                    '{carrier=~"$carrier",account=~"$account"})',
                    "{{account}} {{operation_class}}",
                ),
            ),
        ),
        Panel(
            title="Breakers opened, in half an hour",
            unit=Unit.COUNT,
            warn=1,
            alarm=30,
            advice="Openings also between two scrapes, after failed probes too: an outage adds three a minute. Many "
            "without one: the carrier comes and goes. If that hurts, take it out: `enabled = false` at the account, "
            "until it is steady.",
            queries=(
                Query(
                    'crossdock:breaker_openings:increase30m{carrier=~"$carrier",account=~"$account"}',
                    "{{account}} {{operation_class}}",
                ),
            ),
        ),
        Panel(
            title="Items waiting",
            unit=Unit.COUNT,
            warn=1_000,
            alarm=10_000,
            advice="Orders and look-ups in the lanes' queues. Growing: more comes in than the carrier takes. See "
            "which limit holds it: rate, concurrency or breaker. At outbound.queue_size items are sent away.",
            queries=(
                Query(
                    'sum by (account, operation_class) (crossdock_lane_queue_depth{carrier=~"$carrier",'
                    'account=~"$account"})',
                    "{{account}} {{operation_class}}",
                ),
            ),
        ),
        Panel(
            title="Wait in the queue, p99",
            unit=Unit.SECONDS,
            warn=1,
            alarm=5,
            advice="From the lane's door to the call. It rises before calls themselves get slow. Above callers' "
            "deadlines orders are answered BOOKING and finish later.",
            queries=(
                Query(
                    'crossdock:lane_wait_seconds:p99_5m{carrier=~"$carrier",account=~"$account"}',
                    "{{account}} {{operation}}",
                ),
            ),
        ),
        Panel(
            title="Held back by the rate, p99",
            unit=Unit.SECONDS,
            warn=1,
            alarm=5,
            advice="How long the rate alone holds calls back; empty while it holds none. A rise: ask the carrier "
            "for a higher quota, or let a rule send part of the load elsewhere.",
            queries=(
                Query(
                    'crossdock:lane_rate_wait_seconds:p99_5m{carrier=~"$carrier",account=~"$account"}',
                    "{{account}} {{operation}}",
                ),
            ),
        ),
        Panel(
            title="Calls allowed a second",
            unit=Unit.PER_SECOND,
            advice="The rate in force; empty while unlimited. It falls at once when the carrier says it is too much "
            "and comes back slowly. Lower than the contract for long: show the carrier this picture.",
            queries=(
                Query(
                    'min by (account, operation) (crossdock_lane_rate_per_second{carrier=~"$carrier",'
                    'account=~"$account"})',
                    "{{account}} {{operation}}",
                ),
            ),
        ),
        Panel(
            title="Quota used, last minute",
            unit=Unit.SHARE,
            width=12,
            warn=0.95,
            advice="Calls of the last minute by what the rate in force allows in one. Near 1 with items waiting: the "
            "quota is the limit, ask the carrier for more. Low with items waiting: calls are slow or fail.",
            queries=(
                Query(
                    'max by (account, operation) (crossdock_lane_quota_used_ratio{carrier=~"$carrier",'
                    'account=~"$account"})',
                    "{{account}} {{operation}}",
                ),
            ),
        ),
        Panel(
            title="Share of its orders an account gets, per cent",
            unit=Unit.COUNT,
            width=12,
            warn=99,
            low_is_bad=True,
            advice="100 but after its breaker was open: then 10, 25, 50 for a healthy minute each; a fault starts it "
            "again. Long under 100: see its failures by class.",
            queries=(Query('min by (account) (crossdock_failback_share{account=~"$account"})', "{{account}}"),),
        ),
        Panel(
            title="Calls allowed at once",
            unit=Unit.COUNT,
            width=12,
            advice="The learned concurrency limit. It shrinks when answers slow down or fail. At its floor of 2 for "
            "long: the carrier is overloaded or nearly down.",
            queries=(
                Query(
                    'min by (account, operation_class) (crossdock_lane_concurrency_limit{carrier=~"$carrier",'
                    'account=~"$account"})',
                    "{{account}} {{operation_class}}",
                ),
            ),
        ),
        Panel(
            title="Sent away unsent, in ten minutes",
            unit=Unit.COUNT,
            width=12,
            advice="RATE, BREAKER_OPEN and DEADLINE go to the next candidate or wait and come again. RETRY_BUDGET: "
            "so much fails that repeating would make it worse. QUEUE_FULL: the lane cannot keep up, send "
            "load elsewhere.",
            queries=(
                Query(
                    'sum by (account, operation, reason) (crossdock:lane_refusals:increase10m{carrier=~"$carrier",'
                    'account=~"$account"})',
                    "{{account}} {{operation}} {{reason}}",
                ),
            ),
        ),
    ),
)
