"""Jobs beside the calls that belong to no room: they carry figures from the store to the metrics."""

from __future__ import annotations

from collections.abc import Collection

from engine.clock import Clock
from engine.metrics import Metrics
from engine.store.port import Store

GAUGE_PERIOD_S = 5.0
MOST_SHARE = 0.01
"""Counting takes longer the more orders are kept: it may take so much of the time."""


async def count_rows(store: Store, metrics: Metrics, stall_rules: Collection[str], clock: Clock) -> None:
    """Keep the gauges of what the store holds near the truth, for ever."""
    while True:
        begun = clock.monotonic()
        metrics.order_counts(await store.count_by_state())
        metrics.return_counts(await store.count_returns())
        metrics.stalled_counts(await store.count_stalled(), stall_rules)
        metrics.dead_letters().set(await store.count_dead_letters())
        await clock.sleep(max(GAUGE_PERIOD_S, (clock.monotonic() - begun) / MOST_SHARE))
