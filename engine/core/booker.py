"""The workers that carry orders from their rows to their ends: decide, act, commit, again.

Rules of this file
- One worker an order. Whoever cannot wait any longer leaves; the worker goes on.
- After a crash the same rows bring `reconcile` to the same place.
- Which moves there are stands in `core.policy.booking`, what each does in `core.steps`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from crossdock_sdk import Carrier
from engine.clock import Clock
from engine.core.booked_tracks import BookedTracks
from engine.core.calls import BACKGROUND_DEADLINE_S
from engine.core.carrier_calls import CarrierCalls
from engine.core.commits import BookingObserver, Commits
from engine.core.policy import booking as policy
from engine.core.policy.records import AttemptRecord, LoadedOrder
from engine.core.policy.stalls import StallRule
from engine.core.router import Router
from engine.core.standing import Standings
from engine.core.steps import Steps
from engine.outbound.outbound import Outbound
from engine.store.port import Store


class Booker:
    """Runs one worker per open order inside `group`."""

    def __init__(
        self,
        *,
        store: Store,
        outbound: Outbound,
        router: Router,
        carriers: Mapping[str, Carrier],
        clock: Clock,
        rules: policy.Rules,
        stall_rules: Sequence[StallRule],
        observer: BookingObserver,
        standings: Standings,
        group: asyncio.TaskGroup,
        epoch: int,
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._group = group
        self.epoch = epoch
        self.standings = standings
        self.commits = Commits(
            store=store,
            tracks=BookedTracks(store, carriers, clock, stall_rules),
            capacity=standings.capacity,
            clock=clock,
            observer=observer,
            epoch=epoch,
        )
        self._steps = Steps(
            store=store,
            commits=self.commits,
            calls=CarrierCalls(outbound, carriers, clock),
            router=router,
            clock=clock,
            rules=rules,
            observer=observer,
            standings=standings,
        )
        self._active: dict[str, float] = {}  # order id -> monotonic deadline of whoever waits
        self.open_by_tenant: Counter[str] = Counter()
        self._waiters: dict[str, list[asyncio.Future[LoadedOrder | None]]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def background_count(self) -> int:
        """Workers that `reconcile` started and that still run."""
        return len(self._background)

    @property
    def open_count(self) -> int:
        """Orders with a running worker."""
        return len(self._active)

    def active_ids(self) -> frozenset[str]:
        """The orders that have a worker: to claim them again would take the places of others."""
        return frozenset(self._active)

    def start(
        self,
        loaded: LoadedOrder,
        *,
        fresh: AttemptRecord | None = None,
        others: int = 0,
        deadline_s: float = BACKGROUND_DEADLINE_S,
        background: bool = False,
    ) -> None:
        """Start a worker unless one runs.

        fresh: an attempt just committed and not yet sent. others: further candidates that could take it.
        """
        order_id = loaded.order.order_id
        if order_id in self._active or self._closed:
            return
        self._active[order_id] = self._clock.monotonic() + deadline_s
        self.open_by_tenant[loaded.order.tenant] += 1
        task = self._group.create_task(self._run(loaded, fresh, others, background))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if background:
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def settled(self, order_id: str, timeout_s: float) -> LoadedOrder | None:
        """Wait until the order's worker rests, at most `timeout_s`; None when time ran out first."""
        if order_id not in self._active:
            return None
        future: asyncio.Future[LoadedOrder | None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(order_id, []).append(future)
        timer = self._clock.call_later(timeout_s, partial(_answer, future, None))
        try:
            return await future
        finally:
            timer.cancel()
            waiting = self._waiters.get(order_id, [])
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._waiters[order_id]

    async def rest(self) -> None:
        """Wait until no worker runs."""
        while self._running:
            await asyncio.wait(self._running)

    def cut(self) -> None:
        """End every worker where it stands and start no other; the rows bring the next engine there."""
        self._closed = True
        for task in self._running:
            task.cancel()

    async def resolve(self, loaded: LoadedOrder, attempt: AttemptRecord, found: object) -> LoadedOrder:
        """Apply what a push found out about an attempt in doubt."""
        return await self._steps.resolve(loaded, attempt, found, self._clock.now())

    async def _run(self, loaded: LoadedOrder, fresh: AttemptRecord | None, others: int, in_background: bool) -> None:
        order_id = loaded.order.order_id
        try:
            if fresh is not None:
                loaded = await self._steps.send(loaded, fresh, others, self._active[order_id])
            goes_on = not policy.rests(loaded.order)
            while goes_on:
                ends, is_awaited = self._active[order_id], order_id in self._waiters
                loaded, goes_on = await self._steps.next(
                    loaded, ends, is_awaited=is_awaited, in_background=in_background and not is_awaited
                )
        except Exception as error:  # the last line of one order's worker: the others must go on
            self._observer.worker_failed(order_id, error)
            await self.commits.postpone(loaded)
        finally:
            del self._active[order_id]
            self.open_by_tenant[loaded.order.tenant] -= 1
            for future in self._waiters.pop(order_id, ()):
                _answer(future, loaded)


def _answer(future: asyncio.Future[LoadedOrder | None], loaded: LoadedOrder | None) -> None:
    if not future.done():
        future.set_result(loaded)
