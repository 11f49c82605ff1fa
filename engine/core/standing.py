"""What stands in an account's way at this moment: its lane, its ramp after a failure, its daily cap.

The shell around `policy.diversion`, which decides what follows from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType

from engine.clock import Clock
from engine.core.capacity import Capacity
from engine.core.policy.batching import NEVER
from engine.core.policy.diversion import HARD, Hindrance, Standing, hindrance_of, share_of_deadline_s
from engine.core.policy.failback import FULL, draw
from engine.core.policy.records import AttemptRecord
from engine.outbound import Priority
from engine.outbound.outbound import Outbound
from engine.store.port import StoreError

MOST_IN_BACKGROUND = 192
"""Bookings that nobody waits for, on their way at one account. Of `reconcile`'s places so many that an account alone
uses them well, and so few that orders of others are taken up beside its backlog of an hour.
"""


class Standings:
    """Answers for one order at a time what stands in the way of each account."""

    def __init__(self, outbound: Outbound, capacity: Capacity, clock: Clock, *, divert_wait_s: float = NEVER) -> None:
        self._outbound = outbound
        self._clock = clock
        self._divert_wait_s = divert_wait_s
        self._in_background: Counter[str] = Counter()  # bookings nobody waits for, by account
        self.capacity = capacity

    def of(
        self,
        order_id: str,
        tenant: str,
        count: int,
        left_s: float,
        asked: Collection[str] = frozenset(),
        *,
        in_background: bool = False,
    ) -> Standing:
        """For an order that has `left_s` to be sent to one of `count` candidates.

        asked: accounts that have had it, where another booking is a retry. in_background: `reconcile` took it up.
        """
        share_s = share_of_deadline_s(left_s, max(count - 1, 0))
        return partial(self._at, order_id, tenant, left_s, share_s, asked, in_background)

    @contextmanager
    def background_place(self, account_id: str) -> Iterator[None]:
        """Held by a booking that nobody waits for, from its decision to its outcome."""
        self._in_background[account_id] += 1
        try:
            yield
        finally:
            self._in_background[account_id] -= 1

    def reserved(self, attempt: AttemptRecord) -> Reserved:
        """`with` this the attempt is written, to be sent afterwards: it holds a place in the lane, and of the day.

        The place is kept when the store returns, whatever it did: `release` it when the attempt was not written.
        """
        return Reserved(self, attempt)

    def reserve(self, attempt: AttemptRecord) -> None:
        """It is about to be written."""
        self.capacity.reserve(attempt)
        self._outbound.promise(attempt.account_id, "book")

    def release(self, attempt: AttemptRecord) -> None:
        """It was not written after all."""
        self.capacity.release(attempt)
        self._outbound.promise(attempt.account_id, "book", -1)

    def arrived(self, attempt: AttemptRecord) -> None:
        """It enters the lane."""
        self._outbound.promise(attempt.account_id, "book", -1)

    def _at(
        self,
        order_id: str,
        tenant: str,
        left_s: float,
        share_s: float,
        asked: Collection[str],
        in_background: bool,
        account_id: str,
    ) -> Hindrance:
        if self.capacity.is_full(account_id):
            return Hindrance.DAILY_CAP
        if in_background and self._in_background[account_id] >= MOST_IN_BACKGROUND:
            return Hindrance.BACKLOG
        wait_s = self._outbound.wait_s(account_id, "book", priority=Priority.BOOK, tenant=tenant)
        percent = self._outbound.ramp_percent(account_id, "book")
        found = hindrance_of(
            wait_s,
            left_s=left_s,
            share_s=share_s,
            divert_wait_s=self._divert_wait_s,
            is_shut=wait_s == NEVER,
            is_held_back=percent < FULL and draw(order_id) >= percent,
        )
        if found not in HARD and account_id in asked and not self._outbound.may_retry(account_id, "book"):
            return Hindrance.RETRY_BUDGET
        return found


class Reserved:
    """A place that an attempt holds while it is written. A failed write gives back what it proves free."""

    __slots__ = ("_attempt", "_standings")

    def __init__(self, standings: Standings, attempt: AttemptRecord) -> None:
        self._standings = standings
        self._attempt = attempt

    def __enter__(self) -> None:
        self._standings.reserve(self._attempt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, StoreError):
            self._standings.release(self._attempt)
        else:
            # It may be in the store all the same, and nobody will send it from here.
            self._standings.arrived(self._attempt)
