"""The worker that carries an order from its rows to its end: decide, act, commit, again.

Rules of this file
- An attempt's row is durable before its first byte goes out; an outcome is durable before anybody hears of it.
- Every change is a function of the rows as they are now, applied again when somebody else wrote in between.
- One worker an order. Whoever cannot wait any longer leaves; the worker goes on. After a crash the same rows
  bring `reconcile` to the same place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from crossdock_sdk import (
    Absent,
    Booked,
    Booking,
    Cancellation,
    Cancelled,
    Carrier,
    CarrierError,
    ErrorClass,
    Refused,
    SideEffect,
)
from msgspec.structs import replace

from engine.clock import Clock
from engine.core.calls import BACKGROUND_DEADLINE_S, ask
from engine.core.policy import booking as policy
from engine.core.policy import transitions
from engine.core.policy.records import (
    FINAL_STATES,
    AttemptRecord,
    AttemptState,
    LoadedOrder,
    OrderRecord,
    OrderState,
)
from engine.core.policy.transitions import Step
from engine.core.router import Router, eligible
from engine.crash import crash_point
from engine.outbound import OutboundError, Priority
from engine.outbound.outbound import Outbound
from engine.store.port import Change, Stale, Store

INLINE_WAIT_S = 1.0
"""Shorter waits are slept by the worker; longer ones are left to `reconcile`."""
SAFETY_S = 120.0
"""How far ahead an order in work is due again, should its worker vanish."""
CANCEL_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SETTLED = FINAL_STATES | {OrderState.NEEDS_REVIEW}


class BookingObserver(Protocol):
    """What metrics hear of bookings. Called after the commit."""

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """An attempt got an outcome (also UNKNOWN)."""

    def fell_back(self, from_carrier: str, to_carrier: str, reason: str) -> None:
        """Another carrier took over."""

    def order_settled(self, order: LoadedOrder) -> None:
        """An order reached a state in which nothing more happens by itself."""

    def worker_failed(self, order_id: str, error: BaseException) -> None:
        """A worker died of a defect or of the store; reconcile takes the order up again."""


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
        observer: BookingObserver,
        group: asyncio.TaskGroup,
        epoch: int,
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._router = router
        self._carriers = carriers
        self._clock = clock
        self._rules = rules
        self._observer = observer
        self._group = group
        self.epoch = epoch
        self._active: dict[str, float] = {}  # order id -> monotonic deadline of whoever waits
        self._waiters: dict[str, list[asyncio.Future[LoadedOrder]]] = {}
        self._background: set[asyncio.Task[None]] = set()

    @property
    def background_count(self) -> int:
        """Workers that `reconcile` started and that still run."""
        return len(self._background)

    @property
    def open_count(self) -> int:
        """Orders with a running worker."""
        return len(self._active)

    def start(
        self,
        loaded: LoadedOrder,
        *,
        fresh: AttemptRecord | None = None,
        deadline_s: float = BACKGROUND_DEADLINE_S,
        background: bool = False,
    ) -> None:
        """Start a worker unless one runs. `fresh` is an attempt just committed and not yet sent."""
        order_id = loaded.order.order_id
        if order_id in self._active:
            return
        self._active[order_id] = self._clock.monotonic() + deadline_s
        task = self._group.create_task(self._run(loaded, fresh))
        if background:
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def settled(self, order_id: str, timeout_s: float) -> LoadedOrder | None:
        """Wait until the order's worker rests, at most `timeout_s`; None when time ran out first."""
        if order_id not in self._active:
            return None
        future: asyncio.Future[LoadedOrder] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(order_id, []).append(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            waiters = self._waiters.get(order_id, [])
            if future in waiters:
                waiters.remove(future)
            if not waiters:
                self._waiters.pop(order_id, None)

    async def apply(self, loaded: LoadedOrder, make: Callable[[LoadedOrder], Step | None]) -> LoadedOrder:
        """Commit what `make` says about the rows as they are; returns them as they are afterwards."""
        while True:
            step = make(loaded)
            if step is None:
                return loaded
            try:
                order = await self._store.commit(Change(step.order, step.attempts, step.events))
            except Stale:
                fresh = await self._store.get_order(loaded.order.tenant, loaded.order.order_id)
                if fresh is None or fresh.order.lease_epoch > self.epoch:
                    raise  # another engine holds the order now; it is theirs to finish
                loaded = fresh
                continue
            attempts = {a.number: a for a in loaded.attempts} | {a.number: a for a in step.attempts}
            return LoadedOrder(order, tuple(attempts[n] for n in sorted(attempts)))

    async def _run(self, loaded: LoadedOrder, fresh: AttemptRecord | None) -> None:
        order_id = loaded.order.order_id
        try:
            if fresh is not None:
                loaded = await self._send(loaded, fresh)
            while (nextly := await self._step(loaded)) is not None:
                loaded = nextly
            if loaded.order.state in SETTLED:
                self._observer.order_settled(loaded)
        except Exception as error:  # the last line of one order's worker: the others must go on
            self._observer.worker_failed(order_id, error)
        finally:
            del self._active[order_id]
            for future in self._waiters.pop(order_id, ()):
                if not future.done():
                    future.set_result(loaded)

    async def _step(self, loaded: LoadedOrder) -> LoadedOrder | None:
        """One decision carried out; None when the worker may rest."""
        order = loaded.order
        now = self._clock.now()
        step = policy.decide(
            loaded, self._candidates(loaded), self._facts, self._available(order), self._rules, now
        )
        match step:
            case policy.Try(attempt):
                return await self._try(loaded, attempt, now)
            case policy.Doubt(attempt):
                cause = "the engine stopped before the carrier's answer was durable"
                return await self._doubt(loaded, attempt, cause)
            case policy.LookUp(attempt):
                return await self._look_up(loaded, attempt)
            case policy.Void(attempt):
                return await self._void(loaded, attempt, now)
            case policy.Wait(until):
                return await self._wait(loaded, until, now)
            case policy.Review(attempt, until):
                reviewed = await self.apply(
                    loaded, lambda rows: transitions.review(rows, attempt.number, until, now)
                )
                return None if reviewed.order.state is OrderState.NEEDS_REVIEW else reviewed
            case policy.Finish(state, last):
                await self._finish(loaded, state, last, now)
                return None
        if order.due_time is not None and order.state in SETTLED:
            await self.apply(loaded, lambda rows: Step(replace(rows.order, due_time=None)))
        return None

    async def _finish(
        self, loaded: LoadedOrder, state: OrderState, last: AttemptRecord | None, now: datetime
    ) -> None:
        done = await self.apply(loaded, lambda rows: transitions.finished(rows, state, last, now))
        for future in self._waiters.pop(loaded.order.order_id, ()):
            if not future.done():
                future.set_result(done)
        self._observer.order_settled(done)

    async def _wait(self, loaded: LoadedOrder, until: datetime, now: datetime) -> LoadedOrder | None:
        order = loaded.order
        pause_s = (until - now).total_seconds()
        if pause_s <= INLINE_WAIT_S:
            await self._clock.sleep(pause_s)
            return await self._store.get_order(order.tenant, order.order_id)
        if order.due_time != until:
            await self.apply(loaded, lambda rows: Step(replace(rows.order, due_time=until)))
        return None

    async def _try(self, loaded: LoadedOrder, attempt: AttemptRecord, now: datetime) -> LoadedOrder:
        crash_point("fallback_decided")
        previous = loaded.attempts[-1] if loaded.attempts else None
        safety = now + timedelta(seconds=SAFETY_S)

        def make(rows: LoadedOrder) -> Step | None:
            # Somebody asked for a cancel, or another attempt came in between: decide again.
            if rows.order.cancel_requested or len(rows.attempts) != attempt.number - 1:
                return None
            return transitions.started(rows, attempt, now, safety)

        after = await self.apply(loaded, make)
        if len(after.attempts) < attempt.number or after.attempts[-1] != attempt:
            return after
        if previous is not None and previous.carrier != attempt.carrier:
            self._observer.fell_back(
                previous.carrier, attempt.carrier, previous.error_class or str(previous.state)
            )
        crash_point("attempt_committed")
        return await self._send(after, attempt)

    async def _send(self, loaded: LoadedOrder, attempt: AttemptRecord) -> LoadedOrder:
        order = loaded.order
        # The caller's deadline decides whether to send (see `_available`), never when to stop listening:
        # a booking cut short is a booking in doubt.
        outcome = await ask(
            self._outbound,
            attempt.account_id,
            "book",
            _booking(loaded, attempt),
            priority=Priority.BOOK,
            tenant=order.tenant,
        )
        crash_point("answer_received")
        now = self._clock.now()
        number = attempt.number
        if isinstance(outcome, Booked):
            name = self._router.service_name(attempt.carrier, attempt.service)
            after = await self.apply(
                loaded, lambda rows: transitions.confirmed(rows, number, outcome, name, now)
            )
        elif isinstance(outcome, CarrierError) and _is_refusal(outcome):
            after = await self.apply(loaded, lambda rows: transitions.rejected(rows, number, outcome, now))
        elif isinstance(outcome, OutboundError) and outcome.side_effect is SideEffect.NONE:
            after = await self.apply(
                loaded, lambda rows: transitions.not_sent(rows, number, str(outcome), now)
            )
        else:
            return await self._doubt(loaded, attempt, str(outcome), error=outcome)
        crash_point("outcome_committed")
        self._observer.attempt_ended(after.attempts[number - 1])
        return after

    async def _doubt(
        self, loaded: LoadedOrder, attempt: AttemptRecord, cause: str, error: object = None
    ) -> LoadedOrder:
        now = self._clock.now()
        carrier_error = error if isinstance(error, CarrierError) else None
        after = await self.apply(
            loaded,
            lambda rows: transitions.doubted(rows, attempt.number, cause, now, carrier_error),
        )
        crash_point("outcome_unknown_committed")
        self._observer.attempt_ended(after.attempts[attempt.number - 1])
        return after

    async def _look_up(self, loaded: LoadedOrder, attempt: AttemptRecord) -> LoadedOrder:
        found = await ask(
            self._outbound,
            attempt.account_id,
            "find",
            attempt.reference,
            priority=Priority.BOOK,
            tenant=loaded.order.tenant,
        )
        crash_point("lookup_answered")
        return await self.resolve(loaded, attempt, found)

    async def resolve(self, loaded: LoadedOrder, attempt: AttemptRecord, found: object) -> LoadedOrder:
        """Apply what a look-up (or a push) found out about an unsettled attempt."""
        now = self._clock.now()
        number = attempt.number
        gone = isinstance(found, Absent) or (
            isinstance(found, CarrierError) and found.error_class is ErrorClass.NOT_FOUND
        )
        if isinstance(found, Booked):
            name = self._router.service_name(attempt.carrier, attempt.service)
            after = await self.apply(loaded, lambda rows: transitions.confirmed(rows, number, found, name, now))
        elif isinstance(found, Refused):
            cause = f"{attempt.carrier} holds no live booking: {found.reason or found.code}"
            after = await self.apply(loaded, lambda rows: transitions.absent(rows, number, cause, now))
        elif gone and policy.absence_is_proof(attempt, self._facts(attempt.carrier), now):
            cause = f"{attempt.carrier} has no booking under {attempt.reference}"
            after = await self.apply(loaded, lambda rows: transitions.absent(rows, number, cause, now))
        else:
            return await self.apply(loaded, lambda rows: transitions.looked_up(rows, number, now, now))
        self._observer.attempt_ended(after.attempts[number - 1])
        return after

    async def _void(self, loaded: LoadedOrder, attempt: AttemptRecord, now: datetime) -> LoadedOrder | None:
        booking = loaded.order.booking
        if booking is None or (loaded.order.due_time and loaded.order.due_time > now):
            return None
        crash_point("cancel_committed")
        item = Cancellation(
            reference=attempt.reference,
            waybill_number=booking.waybill_number,
            carrier_order_id=booking.carrier_order_id,
            sub_waybill_numbers=booking.sub_waybill_numbers,
        )
        outcome = await ask(
            self._outbound,
            attempt.account_id,
            "cancel",
            item,
            priority=Priority.CANCEL,
            tenant=loaded.order.tenant,
        )
        crash_point("cancel_answered")
        now = self._clock.now()
        if isinstance(outcome, Cancelled):
            return await self.apply(
                loaded, lambda rows: transitions.cancelled(rows, attempt.number, outcome.local_only, now)
            )
        if isinstance(outcome, CarrierError) and _is_final(outcome):
            return await self.apply(loaded, lambda rows: transitions.cancel_refused(rows, outcome, now))
        tries = min(loaded.order.cancel_tries, len(CANCEL_DELAYS_S) - 1)
        due = now + timedelta(seconds=CANCEL_DELAYS_S[tries])
        waiting = await self.apply(loaded, lambda rows: transitions.cancel_retried(rows, due, now))
        return await self._wait(waiting, due, now)

    def _candidates(self, loaded: LoadedOrder) -> list[policy.Candidate]:
        # Only a worker about to choose needs them; resolving an open attempt does not.
        if any(a.state in transitions.UNSETTLED or a.state is AttemptState.CONFIRMED for a in loaded.attempts):
            return []
        return eligible(self._router.consider(loaded.order.draft))

    def _facts(self, carrier: str) -> policy.CarrierFacts:
        manifest = self._router.manifests[carrier]
        return policy.CarrierFacts(manifest.booking, "find" in manifest.operations)

    def _available(self, order: OrderRecord) -> Callable[[str], bool]:
        left_s = self._active[order.order_id] - self._clock.monotonic()
        within_s = left_s if left_s > 0 else BACKGROUND_DEADLINE_S
        return lambda account_id: self._outbound.is_available(account_id, "book", within_s=within_s)


def _is_refusal(error: CarrierError) -> bool:
    """Whether it proves that nothing was booked. DUPLICATE says that our own reference already is."""
    return error.side_effect is SideEffect.NONE and error.error_class is not ErrorClass.DUPLICATE


def _is_final(error: CarrierError) -> bool:
    """Whether a refused cancel stays refused."""
    return error.side_effect is SideEffect.NONE and error.error_class not in policy.COMES_BACK


def _booking(loaded: LoadedOrder, attempt: AttemptRecord) -> Booking:
    draft = loaded.order.draft
    return Booking(
        reference=attempt.reference,
        shipper=draft.shipper,
        recipient=draft.recipient,
        parcels=draft.parcels,
        service=attempt.service,
        options=draft.options,
        order_reference=draft.reference,
        remark=draft.remark,
    )
