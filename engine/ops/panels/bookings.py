"""Row "Bookings": what becomes of orders."""

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
            "ENGINE_OVERLOADED: too many are open, see Orders in work.",
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
            "RETRY_BUDGET: it refuses nearly all. BACKLOG: what an outage left is being worked off there.",
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
