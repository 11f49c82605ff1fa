"""Jobs beside the calls: each runs as long as the engine does, and the engine cannot do without any of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from datetime import timedelta
from typing import Any

from engine.clock import Clock
from engine.config import Settings
from engine.core.following import follow
from engine.core.overload import Overload
from engine.core.policy.brownout import Signals, share_of
from engine.core.reconcile import housekeeping, keep_rates, reconcile
from engine.log import failure_log
from engine.metrics import Metrics
from engine.parts import Parts, Rooms
from engine.store.port import Store, StoreError
from engine.wiring import OverloadReport

GAUGE_PERIOD_S = 5.0
MOST_SHARE = 0.01
"""Counting takes longer the more orders are kept: it may take so much of the time."""


def jobs_of(parts: Parts, rooms: Rooms) -> tuple[Coroutine[Any, Any, None], ...]:
    """All of them but the doors, not begun yet."""
    store, clock, booker = parts.store, parts.clock, rooms.booker
    most_open = parts.settings.server.max_open_bookings

    def busy() -> Signals:
        return Signals(
            store_share=store.write_load(),
            open_share=share_of(booker.open_count, most_open),
            calls_share=rooms.gate.load,
        )

    async def purge() -> None:
        await purge_expired(store, parts.settings, clock)

    return (
        reconcile(store, booker, clock, failure_log("reconcile")),
        housekeeping(purge, clock, failure_log("housekeeping")),
        keep_rates(store, parts.outbound, clock, failure_log("keep_rates")),
        count_rows(store, parts.metrics, parts.stalls.rule_names, clock, failure_log("count_rows")),
        follow(store, rooms.tracks, clock, failure_log("following")),
        rooms.returning.run(parts.tenants, failure_log("returning")),
        parts.stalls.run(failure_log("stall checks")),
        parts.proving.run(failure_log("proving")),
        Overload(parts.admission, busy, rooms.gate.waits, clock, OverloadReport(parts.metrics)).run(),
        rooms.gate.measure(),
    )


async def purge_expired(store: Store, settings: Settings, clock: Clock) -> None:
    """Drop keys and events that have been kept for as long as was asked."""
    now, kept = clock.now(), settings.store
    events_before = now - timedelta(days=kept.keep_events_days)
    await store.purge_news(before=events_before)
    await store.purge(keys_before=now - timedelta(days=kept.keep_keys_days), events_before=events_before)


async def count_rows(
    store: Store, metrics: Metrics, stall_rules: Collection[str], clock: Clock, on_error: Callable[[Exception], None]
) -> None:
    """Keep the gauges of what the store holds near the truth, for ever; what cannot be counted stays as it was."""
    while True:
        begun = clock.monotonic()
        try:
            metrics.order_counts(await store.count_by_state())
            metrics.return_counts(await store.count_returns())
            metrics.stalled_counts(await store.count_stalled(), stall_rules)
            metrics.dead_letters().set(await store.count_dead_letters())
        except StoreError as error:
            on_error(error)
        await clock.sleep(max(GAUGE_PERIOD_S, (clock.monotonic() - begun) / MOST_SHARE))
