"""How many orders an account has had on a calendar day of its own, against its cap.

Pure: times are passed in. An attempt counts from the moment it is decided (so that orders under way at the same time
cannot exceed the cap together) until it is proved that nothing was booked; a booking that is cancelled later has been
one. The day is that on which the attempt began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, tzinfo

import msgspec

from engine.core.policy.records import MAY_HAVE_BOOKED, AttemptRecord, AttemptState

COUNTED = MAY_HAVE_BOOKED | {AttemptState.VOIDED}
"""States in which an attempt is, or may be, a booking. Of the others it is proved that they are none."""

KEPT_DAYS = 2
"""Days counted at a time: today, and yesterday's attempts that are not settled yet."""


class DailyCap(msgspec.Struct, frozen=True):
    """At most `cap` orders a calendar day in `zone`."""

    account_id: str
    cap: int
    zone: tzinfo


class Tallies:
    """Counts per account and day; accounts without a cap cost nothing."""

    __slots__ = ("_caps", "_counts")

    def __init__(self, caps: Sequence[DailyCap] = ()) -> None:
        self._caps = {cap.account_id: cap for cap in caps if cap.cap > 0}
        self._counts: dict[tuple[str, date], int] = {}

    def __bool__(self) -> bool:
        return bool(self._caps)

    @property
    def caps(self) -> Mapping[str, DailyCap]:
        """The accounts that are counted."""
        return self._caps

    def day_of(self, account_id: str, at: datetime) -> date:
        """The calendar day in the account's zone."""
        return at.astimezone(self._caps[account_id].zone).date()

    def day_start(self, account_id: str, at: datetime) -> datetime:
        """When the account's day of `at` began."""
        zone = self._caps[account_id].zone
        return datetime.combine(self.day_of(account_id, at), time.min, zone)

    def booked(self, account_id: str, now: datetime) -> int:
        """Orders counted today; 0 for accounts without a cap."""
        if account_id not in self._caps:
            return 0
        return self._counts.get((account_id, self.day_of(account_id, now)), 0)

    def is_full(self, account_id: str, now: datetime) -> bool:
        """Whether the account has its orders of the day."""
        cap = self._caps.get(account_id)
        return cap is not None and self.booked(account_id, now) >= cap.cap

    def exclusions(self, now: datetime) -> dict[str, str]:
        """Why accounts may take nothing more today, by account."""
        return {
            account_id: f"daily cap of {cap.cap} reached, {self.booked(account_id, now)} booked today"
            for account_id, cap in self._caps.items()
            if self.is_full(account_id, now)
        }

    def reserve(self, attempt: AttemptRecord) -> None:
        """An attempt was decided, and is about to be written."""
        self._add(attempt.account_id, attempt.start_time, 1)

    def release(self, attempt: AttemptRecord) -> None:
        """It was not written after all."""
        self._add(attempt.account_id, attempt.start_time, -1)

    def changed(self, attempt: AttemptRecord, before: AttemptState) -> None:
        """An attempt that was counted (or not) in state `before` has another one."""
        self._add(attempt.account_id, attempt.start_time, (attempt.state in COUNTED) - (before in COUNTED))

    def restore(self, counts: Iterable[tuple[str, int]], now: datetime) -> None:
        """What the rows say about today: account and attempts that count."""
        for account_id, count in counts:
            self._counts[account_id, self.day_of(account_id, now)] = count

    def _add(self, account_id: str, began: datetime, change: int) -> None:
        if not change or account_id not in self._caps:
            return
        key = (account_id, self.day_of(account_id, began))
        if key not in self._counts:
            self._forget(account_id)
        self._counts[key] = max(0, self._counts.get(key, 0) + change)

    def _forget(self, account_id: str) -> None:
        """A new day begins: the oldest goes."""
        days = sorted(day for account, day in self._counts if account == account_id)
        for day in days[: -(KEPT_DAYS - 1)]:
            del self._counts[account_id, day]
