"""Carries approved returns on: books the way back, follows its parcel, voids what was given up.

The way back is an order of its own, made through `Orders`. Every step is committed before the next is begun, and
`advance` asks the policy anew after each: whoever comes after a crash, a wake-up or another step ends in the same
place. A return is advanced by one task at a time.

Commits wake the returns they are about. What a crash lets slip is found again at the start (`recall`) and by the
rows' own due times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import timedelta
from weakref import WeakValueDictionary

from msgspec.structs import replace

from crossdock_sdk.tracking import TrackStatus
from engine.clock import Clock
from engine.core.calls import BACKGROUND_DEADLINE_S
from engine.core.errors import KeyReused, NoEligibleCarrier, OrderInvalid, OrderNotCancellable, Overloaded
from engine.core.orders import Orders
from engine.core.paging import LARGEST_PAGE
from engine.core.policy import returns as policy
from engine.core.policy.records import Event, Failure, LoadedOrder, OrderState
from engine.core.policy.return_items import return_draft, return_references, returned_by
from engine.core.policy.return_records import ReturnRecord, ReturnStep
from engine.core.policy.track_records import NumberedNews
from engine.store.port import Stale, Store, StoreError
from engine.store.return_port import ReturnFilter

DAY_S = 86_400.0
OVERLOAD_PAUSE_S = 2.0
PERIOD_S = 0.5
AT_ONCE = 64
RECALL_PAUSE_S = 60.0
"""Before what could not be read at the start is tried again."""


class Returning:
    """See the module. One per engine."""

    def __init__(self, *, store: Store, orders: Orders, clock: Clock, hand_over_days: float) -> None:
        self._store = store
        self._orders = orders
        self._clock = clock
        self._hand_over_s = hand_over_days * DAY_S
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._carriers: dict[str, tuple[str, str]] = {}  # order of an open way back -> tenant, return id
        self._woken: set[tuple[str, str]] = set()
        self._running: set[asyncio.Task[ReturnRecord | None]] = set()
        store.on_commit(self._orders_changed)
        store.on_news(self._parcels_moved)

    async def advance(
        self, tenant: str, return_id: str, *, deadline_s: float = BACKGROUND_DEADLINE_S
    ) -> ReturnRecord | None:
        """Do whatever its state asks for, until it rests; the return as it stands then, None when there is none."""
        ends = self._clock.monotonic() + deadline_s
        async with self._locks.setdefault(return_id, asyncio.Lock()):
            while (record := await self._store.get_return(tenant, return_id)) is not None:
                self._remember(record)
                with suppress(Stale):
                    if await self._rests(record, max(0.0, ends - self._clock.monotonic())):
                        break
            return await self._store.get_return(tenant, return_id)

    def begin(
        self, tenant: str, return_id: str, *, deadline_s: float = BACKGROUND_DEADLINE_S
    ) -> asyncio.Task[ReturnRecord | None]:
        """Advance it in a task of ours: whoever waits may go away, what was begun is not cut between its steps."""
        task = asyncio.create_task(self.advance(tenant, return_id, deadline_s=deadline_s))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def run(self, tenants: Iterable[str], on_error: Callable[[Exception], None]) -> None:
        """Advance what was woken and what is due, until cancelled."""

        def ended(task: asyncio.Task[ReturnRecord | None]) -> None:
            # One return's defect must not end the others; its row is due again after the lease.
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                on_error(error)

        unseen = list(tenants)
        again_s = self._clock.monotonic()
        while True:
            if unseen and self._clock.monotonic() >= again_s:
                await self._recall(unseen, on_error)
                again_s = self._clock.monotonic() + RECALL_PAUSE_S
            for tenant, return_id in await self._waiting(AT_ONCE - len(self._running), on_error):
                self.begin(tenant, return_id).add_done_callback(ended)
            await self._clock.sleep(PERIOD_S)

    async def aclose(self) -> None:
        """Cut what runs where it stands; the rows bring the next engine there."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _waiting(self, room: int, on_error: Callable[[Exception], None]) -> Collection[tuple[str, str]]:
        found = {self._woken.pop() for _ in range(min(max(room, 0), len(self._woken)))}
        try:
            due = await self._store.claim_due_returns(self._clock.now(), limit=room - len(found))
        except StoreError as error:
            on_error(error)
            due = []
        return found | {(record.tenant, record.return_id) for record in due}

    async def _recall(self, unseen: list[str], on_error: Callable[[Exception], None]) -> None:
        """Look once at every return that is on its way: nobody woke us while we were not there.

        unseen: tenants whose returns were not looked at yet; those that were are taken out.
        """
        wanted = ReturnFilter(states=tuple(sorted(policy.OPEN_STATES)))
        for tenant in tuple(unseen):
            after = ""
            try:
                while page := await self._store.list_returns(tenant, wanted, after=after, limit=LARGEST_PAGE):
                    after = page[-1].return_id
                    for record in page:
                        self._remember(record)
                        self._woken.add((tenant, record.return_id))
            except StoreError as error:
                on_error(error)
                return
            unseen.remove(tenant)

    def _remember(self, record: ReturnRecord) -> None:
        if not record.return_order_id:
            return
        if record.state in policy.OPEN_STATES:
            self._carriers[record.return_order_id] = (record.tenant, record.return_id)
        else:
            self._carriers.pop(record.return_order_id, None)

    def _orders_changed(self, events: Collection[Event]) -> None:
        for event in events:
            happened = event.event
            return_id = returned_by(happened.reference)
            if return_id and happened.kind not in policy.RETURN_KINDS:
                self._woken.add((happened.tenant, return_id))

    def _parcels_moved(self, news: Collection[NumberedNews]) -> None:
        for each in news:
            carried = self._carriers.get(each.news.order_id)
            if carried is not None and each.news.status_changed:
                self._woken.add(carried)

    async def _rests(self, record: ReturnRecord, left_s: float) -> bool:
        """Make one move; True when there was none to make. Raises Stale."""
        order = await self._way_back(record)
        status = await self._status(record)
        now = self._clock.now()
        move = policy.next_move(record, order, status, now, hand_over_s=self._hand_over_s)
        match move:
            case policy.Book():
                return await self._book(record, left_s)
            case policy.Void(order_id):
                return await self._void(record, order_id, left_s)
            case ReturnStep():
                await self._store.commit_return(move)
                return False
            case policy.Rest(until):
                if until != record.due_time:
                    await self._store.commit_return(ReturnStep(replace(record, due_time=until)))
        return True

    async def _way_back(self, record: ReturnRecord) -> LoadedOrder | None:
        """The newest order that was made to carry it back."""
        for reference in return_references(record):
            if (order := await self._store.get_order_by_reference(record.tenant, reference)) is not None:
                return order
        return None

    async def _book(self, record: ReturnRecord, left_s: float) -> bool:
        """Create the order of the way back. True when that has to wait."""
        forward = await self._orders.get(record.tenant, order_id=record.wish.order_id)
        carrier = forward.order.booking.carrier if forward.order.booking else ""
        failure = Failure("NO_ELIGIBLE_CARRIER", "no carrier was asked", "approve the return again")
        # With a courier where one is wanted and a carrier offers it; else the buyer hands it over.
        for pickup in (True, False) if record.wish.pickup else (False,):
            draft = return_draft(record, forward.order.draft, carrier, self._clock.now(), pickup=pickup)
            try:
                # Keyed by its reference, new with each try: keys of earlier versions may be bound to a spent order.
                made = await self._orders.create(record.tenant, draft, request_id=draft.reference, deadline_s=left_s)
                if made.order.order.order_id != record.spent_order_id:
                    return False
                failure = policy.key_taken(record.spent_order_id)
                break
            except KeyReused as error:
                failure = policy.key_taken(error.held_id)
                break
            except Overloaded:
                later = self._clock.now() + timedelta(seconds=OVERLOAD_PAUSE_S)
                await self._store.commit_return(ReturnStep(replace(record, due_time=later)))
                return True
            except NoEligibleCarrier as error:
                failure = Failure("NO_ELIGIBLE_CARRIER", error.problem, error.remedy, error.field)
            except OrderInvalid as error:
                first = error.violations[0]
                failure = Failure("ORDER_INVALID", f"{first.field}: {first.description}", first.remedy, first.field)
        step = policy.failed(record, failure, self._clock.now())
        if step is not None:
            await self._store.commit_return(step)
        return False

    async def _void(self, record: ReturnRecord, order_id: str, left_s: float) -> bool:
        """Cancel the order of the way back. True when its carrier refuses."""
        try:
            voided = await self._orders.cancel(record.tenant, order_id, deadline_s=left_s)
        except OrderNotCancellable as error:
            told = f"the waybill of the way back is {error.order.state}"
            why = error.order.failure or Failure("ORDER_NOT_CANCELLABLE", told, "look at its order")
            await self._store.commit_return(policy.not_voided(record, why, self._clock.now()))
            return True
        if voided.order.state is not OrderState.CANCELLED:  # the carrier has not said so yet
            later = self._clock.now() + timedelta(seconds=policy.WAIT_S)
            await self._store.commit_return(ReturnStep(replace(record, due_time=later)))
            return True
        return False

    async def _status(self, record: ReturnRecord) -> TrackStatus | None:
        if not record.return_order_id:
            return None
        track = await self._store.track_of_order(record.tenant, record.return_order_id)
        return track.track.status if track is not None else None
