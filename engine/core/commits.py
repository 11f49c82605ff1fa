"""Commits what shall become of an order: rows, tracks and events at once, the observer afterwards.

Rules of this file
- An outcome is durable before anybody hears of it.
- Every change is a function of the rows as they are now, applied again when somebody else wrote in between.
- What a carrier has answered is not thrown away because the store cannot write now: it may never be told again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from msgspec.structs import replace

from engine.clock import Clock
from engine.core.booked_tracks import BookedTracks
from engine.core.capacity import Capacity
from engine.core.policy.records import AT_REST, AttemptRecord, AttemptState, LoadedOrder
from engine.core.policy.transitions import Step
from engine.store.port import Change, Stale, Store, StoreError

SAFETY_S = 120.0
"""How far ahead an order in work is due again, should its worker vanish."""
WORKER_RETRY_S = 10.0
"""Pause before an order whose worker died is taken up again: a defect must not become a busy loop."""
KEEP_AGAIN_S = (0.1, 5.0)
"""First and longest pause before a carrier's answer is offered to a failing store again; each is twice the last."""

Outcome: TypeAlias = tuple[LoadedOrder, bool]
"""The rows after a move, and whether the worker goes on."""


class BookingObserver(Protocol):
    """What metrics hear of bookings. Called after the commit."""

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """An attempt got an outcome (also UNKNOWN)."""

    def fell_back(self, from_carrier: str, to_carrier: str, reason: str) -> None:
        """Another carrier took over."""

    def diverted(self, from_carrier: str, to_carrier: str, reason: str) -> None:
        """Something stood in the first candidate's way, so another one was asked before it."""

    def order_settled(self, order: LoadedOrder) -> None:
        """An order reached a state in which nothing more happens by itself."""

    def worker_failed(self, order_id: str, error: BaseException) -> None:
        """A worker died of a defect or of the store, and reconcile takes the order up again; or the store would not
        take a carrier's answer, and it is offered again.
        """


class Commits:
    """Writes what is found out about orders. Holds no order: everything is in the rows it is given."""

    def __init__(
        self,
        *,
        store: Store,
        tracks: BookedTracks,
        capacity: Capacity,
        clock: Clock,
        observer: BookingObserver,
        epoch: int,
    ) -> None:
        self._store = store
        self._tracks = tracks
        self._capacity = capacity
        self._clock = clock
        self._observer = observer
        self._epoch = epoch

    async def apply(
        self, loaded: LoadedOrder, make: Callable[[LoadedOrder], Step | None], *, answered: bool = False
    ) -> LoadedOrder:
        """Commit what `make` says about the rows as they are; returns them as they are afterwards.

        answered: it says what a carrier answered, which is offered to a store that fails until it takes it, or until
        this task is cancelled, as all are before the store is closed.
        """
        again, (pause_s, longest_s) = False, KEEP_AGAIN_S
        while True:
            step = make(loaded)
            if step is None:
                return loaded
            try:
                beside = await self._tracks.beside(loaded, step, again=again)
                try:
                    # The rows belong to this engine from here on, whoever left them.
                    held = replace(step.order, lease_epoch=self._epoch)
                    change = Change(held, step.attempts, step.events, beside.opened, beside.tracks)
                    order = await self._store.commit(change)
                except Stale:
                    again = True
                    fresh = await self._store.get_order(loaded.order.tenant, loaded.order.order_id)
                    if fresh is None or fresh.order.lease_epoch > self._epoch:
                        raise  # another engine holds the order now; it is theirs to finish
                    loaded = fresh
                    continue
            except StoreError as error:
                if not answered or isinstance(error, Stale):
                    raise
                if pause_s == KEEP_AGAIN_S[0]:
                    self._observer.worker_failed(loaded.order.order_id, error)
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, longest_s)
                continue
            attempts = {a.number: a for a in loaded.attempts} | {a.number: a for a in step.attempts}
            after = LoadedOrder(order, tuple([attempts[n] for n in sorted(attempts)]))
            self._observe(loaded, after, step.attempts)
            return after

    async def postpone(self, loaded: LoadedOrder) -> None:
        """The worker died: look again in a while, not at once. A store that fails keeps the old time."""
        due = self._clock.now() + timedelta(seconds=WORKER_RETRY_S)

        def make(rows: LoadedOrder) -> Step | None:
            rests = rows.order.state in AT_REST and rows.order.due_time is None
            return None if rests else Step(replace(rows.order, due_time=due))

        with suppress(StoreError):
            await self.apply(loaded, make)

    async def rest_until(self, loaded: LoadedOrder, until: datetime | None) -> Outcome:
        """Look again then, None for never, unless somebody else wrote in between: a cancel must not be put off."""
        if loaded.order.due_time == until:
            return loaded, False
        version = loaded.order.version
        after = await self.apply(
            loaded,
            lambda rows: Step(replace(rows.order, due_time=until)) if rows.order.version == version else None,
        )
        return after, after.order.due_time != until

    def _observe(self, before: LoadedOrder, after: LoadedOrder, written: Sequence[AttemptRecord]) -> None:
        self._capacity.committed(before, after)
        known = {a.number: a.state for a in before.attempts}
        for attempt in written:
            ended = attempt.state not in (AttemptState.INTENT, AttemptState.VOIDED)
            if ended and attempt.state is not known.get(attempt.number):
                self._observer.attempt_ended(attempt)
        if after.order.state in AT_REST and after.order.state is not before.order.state:
            self._observer.order_settled(after)
