"""What accounts may still take today. The shell around `policy.tallies`: a clock, and the rows at the start.

The rows are what is counted. At a start each capped account's attempts of its day are read once, afterwards commits
are followed: a cap costs the hot path a dictionary look-up and the store not a byte, it is exact after any crash
because the attempts themselves are durable before they are sent, and a cap new in the settings knows the day so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from engine.clock import Clock
from engine.core.policy.records import AttemptRecord, AttemptState, LoadedOrder
from engine.core.policy.tallies import COUNTED, Tallies
from engine.store.port import Store

NOTHING: Mapping[str, str] = MappingProxyType({})


class Capacity:
    """The tallies of all accounts with a daily cap."""

    def __init__(self, tallies: Tallies, clock: Clock) -> None:
        self._tallies = tallies
        self._clock = clock

    async def restore(self, store: Store, *, longest_life_s: float) -> None:
        """Count what the rows hold of today. longest_life_s: how old an order with a new attempt may be."""
        now = self._clock.now()
        for account_id in self._tallies.caps:
            since = self._tallies.day_start(account_id, now)
            count = await store.count_attempts(
                account_id, COUNTED, since=since, created_after=since - timedelta(seconds=longest_life_s)
            )
            self._tallies.restore([(account_id, count)], now)

    def is_full(self, account_id: str) -> bool:
        """Whether the account may take nothing more today."""
        return bool(self._tallies) and self._tallies.is_full(account_id, self._clock.now())

    def exclusions(self) -> Mapping[str, str]:
        """Why accounts may take nothing more today, for people, by account."""
        return self._tallies.exclusions(self._clock.now()) if self._tallies else NOTHING

    def reserve(self, attempt: AttemptRecord) -> None:
        """The attempt is about to be written."""
        if self._tallies:
            self._tallies.reserve(attempt)

    def release(self, attempt: AttemptRecord) -> None:
        """It was not."""
        if self._tallies:
            self._tallies.release(attempt)

    def committed(self, before: LoadedOrder, after: LoadedOrder) -> None:
        """An order's rows changed. Attempts that are new in `after` were reserved before they were written."""
        if not self._tallies:
            return
        known: dict[int, AttemptState] = {a.number: a.state for a in before.attempts}
        for attempt in after.attempts:
            self._tallies.changed(attempt, known.get(attempt.number, attempt.state))
