"""Rows "Overload", "Store", "Pushes and watchers" and "Tracking": what is given up, the disk, who tells us, parcels."""

from __future__ import annotations

from engine.ops.panel import Panel, Query, Row, Unit

OVERLOAD = Panel(
    title="Work given up for overload",
    unit=Unit.COUNT,
    width=12,
    warn=1,
    alarm=4,
    advice="0 none; 1 listings, merged labels, live quotes; 2 quotes, asking carriers about parcels; 3 tracks, labels; "
    "4 new orders. Changes by cause: door_wait and loop_lag are the processor, store_share the disk, open_share the "
    "carriers. Pressure on greedy: one tenant floods the engine.",
    queries=(
        Query("max(crossdock_brownout_level)", "level"),
        Query("max by (on) (crossdock_brownout_pressure)", "pressure on {{on}}"),
        Query("sum by (cause) (increase(crossdock_brownout_changes_total[10m]))", "changes by {{cause}}"),
    ),
)

DOOR = Panel(
    title="Wait at the door, and time of a refusal",
    unit=Unit.SECONDS,
    width=12,
    warn=0.15,
    alarm=1.0,
    advice="How long calls wait until the engine sees them, and how long it takes to refuse one. A standing wait above "
    "overload.door_wait_s: the processor is full, and work is given up until it is not. Give it more, or call less.",
    queries=(
        Query("max by (queue) (crossdock_door_wait_seconds)", "wait of {{queue}}"),
        Query(
            "histogram_quantile(0.99, sum by (le) "
            "(rate(crossdock_grpc_refusal_duration_seconds_bucket[$__rate_interval])))",
            "refusal p99",
        ),
    ),
)

BUSY = Row("Overload", (OVERLOAD, DOOR))

STORE = Row(
    "Store",
    (
        Panel(
            title="Time of a commit",
            unit=Unit.SECONDS,
            width=8,
            warn=0.1,
            alarm=0.25,
            advice="One group commit with its fsync; every acknowledgement waits for one. High: another process "
            "uses the disk, or it is a network or throttled one; move store.path to a local disk.",
            queries=(
                Query("crossdock:store_commit_duration_seconds:p50_5m", "p50"),
                Query("crossdock:store_commit_duration_seconds:p99_5m", "p99"),
            ),
        ),
        Panel(
            title="Writes per commit, and commits",
            unit=Unit.COUNT,
            width=8,
            advice="Commits a second times writes in each is what the disk carries. Writes per commit rise at a "
            "peak, which is as it should be; at 256 the writer cannot group any further.",
            queries=(
                Query("crossdock:store_commit_items:mean_5m", "writes per commit"),
                Query("sum(rate(crossdock_store_commit_items_count[$__rate_interval]))", "commits per second"),
            ),
        ),
        Panel(
            title="Writes waiting",
            unit=Unit.COUNT,
            width=8,
            warn=500,
            alarm=2_000,
            advice="Writes that wait for the writer. Growing: the disk is the limit. Check Time of a commit and "
            "free space; ask callers to slow down.",
            queries=(Query("sum(crossdock_store_queue_depth)", "writes"),),
        ),
    ),
)

PUSHES = Row(
    "Pushes and watchers",
    (
        Panel(
            title="Pushes from carriers",
            unit=Unit.PER_SECOND,
            width=12,
            advice="What carriers tell us by themselves. REFUSED: the signature is wrong; compare the account's "
            "secret with the carrier's console, else somebody forges. A fall to zero: the carrier cannot "
            "reach our address.",
            queries=(
                Query(
                    'sum by (carrier, outcome) (rate(crossdock_pushes_total{carrier=~"$carrier"}[$__rate_interval]))',
                    "{{carrier}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Watchers and coroutines",
            unit=Unit.COUNT,
            width=12,
            advice="Open watch streams, and coroutines under way. Streams fall to zero: subscribers lost us or were "
            "too slow (WATCHER_TOO_SLOW in their log); they resume from their cursor, nothing is lost for 30 days. "
            "Coroutines rise and rise under a steady load: something is started and never ends; report it.",
            queries=(Query("sum(crossdock_watchers)", "streams"), Query("sum(crossdock_tasks)", "coroutines")),
        ),
    ),
)

TRACKING = Row(
    "Tracking",
    (
        Panel(
            title="New tracking events",
            unit=Unit.PER_SECOND,
            width=6,
            advice="By carrier, and whether it pushed or we asked. PUSH falls to zero while POLL goes on: the "
            "carrier has stopped pushing; check the push address in its console.",
            queries=(
                Query(
                    "sum by (carrier, source) (rate(crossdock_track_events_total"
                    '{carrier=~"$carrier"}[$__rate_interval]))',
                    "{{carrier}} {{source}}",
                ),
            ),
        ),
        Panel(
            title="Questions about parcels",
            unit=Unit.PER_SECOND,
            width=6,
            advice="How polls end. EMPTY is everyday for young parcels. REFUSED: phone tails or permissions of the "
            "account. FAILED: the carrier or the network, see Carriers.",
            queries=(
                Query(
                    "sum by (carrier, outcome) (rate(crossdock_track_polls_total"
                    '{carrier=~"$carrier"}[$__rate_interval]))',
                    "{{carrier}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Codes no table knows, in ten minutes",
            unit=Unit.COUNT,
            width=6,
            warn=1,
            advice="The parcel keeps its last status, the event is kept as it came. The carrier has a new code: "
            "tell the plug-in's author, its table needs a row.",
            queries=(Query('crossdock:track_unmapped_codes:increase10m{carrier=~"$carrier"}', "{{carrier}}"),),
        ),
        Panel(
            title="Pushes set aside",
            unit=Unit.COUNT,
            width=6,
            warn=1,
            alarm=100,
            advice="Pushes that could not be applied, kept with their cause. Read the cause, mend it (EndedProcesses "
            "above all: unmended it ends the engine again), then apply them with `crossdock pushes replay --all`.",
            queries=(Query("sum(crossdock_dead_letters)", "set aside"),),
        ),
        Panel(
            title="Parcels that stand still",
            unit=Unit.COUNT,
            width=12,
            advice="Parcels with an open alert, by the rule that raised it. Growing: more stand still than move on "
            "again; see at which carrier beside it. `crossdock watch --cursor 0 --alerts-only` names them.",
            queries=(Query("sum by (rule) (crossdock_stalled_parcels)", "{{rule}}"),),
        ),
        Panel(
            title="Alerts of standing parcels, in an hour",
            unit=Unit.COUNT,
            width=12,
            advice="How many were raised by each rule at each carrier. One carrier far above its usual number: a "
            "depot, a weather or its feed; ask it. All carriers at once: a rule is too strict, or we hear nothing.",
            queries=(Query('crossdock:stall_alerts_raised:increase1h{carrier=~"$carrier"}', "{{carrier}} {{rule}}"),),
        ),
    ),
)
