"""Rows "Carriers" and "Lanes": what carriers answer, what holds calls back."""

from __future__ import annotations

from engine.ops.panel import Look, Panel, Query, Row, Unit

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
            title="Share of its orders an account gets",
            unit=Unit.SHARE,
            width=12,
            warn=0.99,
            low_is_bad=True,
            advice="All but after its breaker was open: then 10, 25, 50 % for a healthy minute each; a fault starts it "
            "again. Long under 100 %: see its failures by class.",
            queries=(Query('min by (account) (crossdock_failback_ratio{account=~"$account"})', "{{account}}"),),
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
