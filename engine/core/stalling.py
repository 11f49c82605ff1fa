"""Finds parcels that stand still: what carriers report passes here on its way to the store, and a loop looks after
those to which nothing happens.

Alerts, their news and the time of the next check are committed with the track, fenced by its version. So an alert is
told once, whatever crashes: a check that died is due again, and one that raced with an event changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from engine.clock import Clock
from engine.core.policy import stalls as policy
from engine.core.policy.track_records import KeptEvent, LoadedTrack, TrackRecord
from engine.store.port import Stale, Store, StoreError
from engine.store.track_port import TrackChange

RULES_KEY = "stalls.rules"
PERIOD_S = 1.0
AT_ONCE = 64
LEASE_S = 30.0
"""A check takes milliseconds: one whose engine died is soon made by the next."""
BUSY_PAUSE_S = 0.1
"""Between two full turns: what became due in one moment is worked off in small portions beside everything else."""


class StallObserver(Protocol):
    """What metrics hear of alerts. Called after the commit."""

    def alert_changed(self, rule: str, carrier: str, change: str) -> None:
        """An alert was RAISED or RESOLVED."""


class Stalls:
    """The rules at work. One per engine."""

    def __init__(
        self,
        *,
        store: Store,
        rules: Sequence[policy.StallRule],
        judge: policy.Judge,
        clock: Clock,
        observer: StallObserver,
    ) -> None:
        self._store = store
        self.rules = tuple(rules)
        # Only conditions look at a parcel's events; clocks and statuses stand in the record.
        self.needs_events = any(rule.when for rule in rules)
        self.rule_names = tuple(rule.name for rule in rules)
        self._judge = judge
        self._clock = clock
        self._observer = observer

    async def commit(self, change: TrackChange, before: Sequence[KeptEvent]) -> TrackRecord:
        """Write a step of a track with what it does to the track's alerts. Raises Stale.

        before: the events that the track had.
        """
        whole = LoadedTrack(change.track, (*before, *change.events))
        settled = policy.settle(whole, self.rules, self._judge, now=self._clock.now())
        written = await self._store.commit_track(
            replace(change, track=settled.track, news=(*change.news, *settled.news))
        )
        for news in settled.news:
            if news.alert is not None:
                raised = news.alert.resolved_time is None
                self._observer.alert_changed(news.alert.rule, news.carrier, "RAISED" if raised else "RESOLVED")
        return written

    async def run(self, on_error: Callable[[Exception], None]) -> None:
        """Check what is due until cancelled."""
        while not await self._begun(on_error):
            await self._clock.sleep(PERIOD_S)
        while True:
            found = await self._turn(on_error)
            await self._clock.sleep(BUSY_PAUSE_S if found == AT_ONCE else PERIOD_S)

    async def _begun(self, on_error: Callable[[Exception], None]) -> bool:
        """Have every track judged anew when the rules are not those of the last start."""
        digest = policy.digest_of(self.rules)
        try:
            if await self._store.get_state(RULES_KEY) != digest:
                await self._store.recheck_tracks(self._clock.now())
                await self._store.put_state(RULES_KEY, digest)
        except StoreError as error:
            on_error(error)
            return False
        return True

    async def _turn(self, on_error: Callable[[Exception], None]) -> int:
        """Check what is due, a bounded number; how many that was."""
        try:
            due = await self._store.claim_due_checks(self._clock.now(), limit=AT_ONCE, lease_s=LEASE_S)
        except StoreError as error:
            on_error(error)
            return 0
        for outcome in await asyncio.gather(*[self._check(track) for track in due], return_exceptions=True):
            if isinstance(outcome, Exception):  # one parcel's defect must not end the checks of all
                on_error(outcome)
        return len(due)

    async def _check(self, claimed: TrackRecord) -> None:
        loaded = await self._store.get_track(claimed.tenant, claimed.track_id)
        if loaded is None or (loaded.track.retired and not loaded.track.alerts):
            return
        # Stale: whoever wrote meanwhile has judged it.
        with suppress(Stale):
            await self.commit(TrackChange(loaded.track), loaded.events)
