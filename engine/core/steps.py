"""Carries out one decision about an order: asks the carrier, commits what came of it, tells the observer.

Rules of this file
- An attempt's row is durable before its first byte goes out; an outcome is durable before anybody hears of it.
- Every change is a function of the rows as they are now, applied again when somebody else wrote in between.
- "No such booking" counts from the moment the carrier was asked, never from the moment it answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from msgspec.structs import replace

from crossdock_sdk import (
    Booked,
    Booking,
    Cancellation,
    Cancelled,
    Carrier,
    CarrierError,
    ErrorClass,
    SideEffect,
)
from engine.clock import Clock
from engine.core.booked_tracks import BookedTracks
from engine.core.calls import BACKGROUND_DEADLINE_S, ask
from engine.core.policy import booking as policy
from engine.core.policy import transitions
from engine.core.policy.diversion import Standing, share_of_deadline_s
from engine.core.policy.records import (
    FINAL_STATES,
    AttemptRecord,
    AttemptState,
    LoadedOrder,
    OrderState,
)
from engine.core.policy.stalls import StallRule
from engine.core.policy.transitions import Step
from engine.core.router import Router
from engine.core.standing import Standings
from engine.crash import crash_point
from engine.outbound import LaneRefused, OutboundError, Priority
from engine.outbound.outbound import Outbound
from engine.store.port import Change, Stale, Store, StoreError

INLINE_WAIT_S = 1.0
"""Shorter waits are slept by the worker; longer ones are left to `reconcile`."""
SAFETY_S = 120.0
"""How far ahead an order in work is due again, should its worker vanish."""
WORKER_RETRY_S = 10.0
"""Pause before an order whose worker died is taken up again: a defect must not become a busy loop."""
LOOK_UP_AGAIN_S = (0.5, 5.0)
"""Least and longest pause before a look-up that its lane refused is tried again; so late may a person be called."""
CANCEL_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SETTLED = FINAL_STATES | {OrderState.NEEDS_REVIEW}

Outcome: TypeAlias = tuple[LoadedOrder, bool]
"""The rows after a step, and whether the worker goes on."""


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
        """A worker died of a defect or of the store; reconcile takes the order up again."""


class Steps:
    """The acts of the booking state machine. Holds no order: everything is in the rows it is given."""

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
        epoch: int,
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._router = router
        self._carriers = carriers
        self._clock = clock
        self._tracks = BookedTracks(store, carriers, clock, stall_rules)
        self._rules = rules
        self._observer = observer
        self._standings = standings
        self._epoch = epoch

    async def apply(self, loaded: LoadedOrder, make: Callable[[LoadedOrder], Step | None]) -> LoadedOrder:
        """Commit what `make` says about the rows as they are; returns them as they are afterwards."""
        again = False
        while True:
            step = make(loaded)
            if step is None:
                return loaded
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
            attempts = {a.number: a for a in loaded.attempts} | {a.number: a for a in step.attempts}
            after = LoadedOrder(order, tuple([attempts[n] for n in sorted(attempts)]))
            self._observe(loaded, after, step.attempts)
            return after

    def _observe(self, before: LoadedOrder, after: LoadedOrder, written: Sequence[AttemptRecord]) -> None:
        self._standings.capacity.committed(before, after)
        known = {a.number: a.state for a in before.attempts}
        for attempt in written:
            ended = attempt.state not in (AttemptState.INTENT, AttemptState.VOIDED)
            if ended and attempt.state is not known.get(attempt.number):
                self._observer.attempt_ended(attempt)
        if after.order.state in SETTLED and after.order.state is not before.order.state:
            self._observer.order_settled(after)

    async def next(self, loaded: LoadedOrder, ends: float) -> Outcome:
        """One decision carried out. `ends`: monotonic deadline of whoever waits for the order."""
        now = self._clock.now()
        candidates = self._candidates(loaded)
        standing = self._standing(loaded, candidates, ends)
        step = policy.decide(loaded, candidates, self._facts, standing, self._rules, now)
        match step:
            case policy.Try():
                if step.attempt.number == 1:
                    self._router.assigned(candidates, step.attempt.account_id)
                return await self._try(loaded, step, ends, now), True
            case policy.Doubt(attempt):
                cause = "the engine stopped before the carrier's answer was durable"
                return await self._doubt(loaded, attempt, cause), True
            case policy.LookUp(attempt):
                return await self._look_up(loaded, attempt, now)
            case policy.Void(attempt):
                return await self._void(loaded, attempt, now)
            case policy.Wait(until):
                return await self._wait(loaded, until, now)
            case policy.Review(attempt, until):
                after = await self.apply(loaded, lambda rows: transitions.review(rows, attempt.number, until, now))
                return after, after.order.state is not OrderState.NEEDS_REVIEW
            case policy.Finish(state, last):
                done = await self.apply(loaded, lambda rows: _finished(loaded, rows, state, last, now))
                return done, done.order.state is not state
        if loaded.order.due_time is None or loaded.order.state not in SETTLED:
            return loaded, False
        return await self._due(loaded, None)

    async def send(self, loaded: LoadedOrder, attempt: AttemptRecord, others: int, ends: float) -> LoadedOrder:
        """Hand a committed attempt to its carrier and commit the outcome.

        others: further candidates that could take the order; its wait here leaves time for them.
        """
        # The caller's deadline decides how long to wait for a turn, never when to stop listening: a booking cut
        # short is a booking in doubt.
        left_s = ends - self._clock.monotonic()
        self._standings.arrived(attempt)
        outcome = await ask(
            self._outbound,
            attempt.account_id,
            "book",
            _booking(loaded, attempt),
            priority=Priority.BOOK,
            tenant=loaded.order.tenant,
            start_within_s=share_of_deadline_s(left_s, others) if others and left_s > 0 else None,
            is_retry=attempt.account_id in policy.asked(loaded.attempts),
        )
        crash_point("answer_received")
        now = self._clock.now()
        number = attempt.number
        if isinstance(outcome, Booked):
            name = self._router.service_name(attempt.carrier, attempt.service)
            after = await self.apply(loaded, lambda rows: transitions.confirmed(rows, number, outcome, name, now))
        elif isinstance(outcome, CarrierError) and _is_refusal(outcome):
            after = await self.apply(loaded, lambda rows: transitions.rejected(rows, number, outcome, now))
        elif isinstance(outcome, OutboundError) and outcome.side_effect is SideEffect.NONE:
            after = await self.apply(loaded, lambda rows: transitions.not_sent(rows, number, str(outcome), now))
        else:
            return await self._doubt(loaded, attempt, str(outcome), error=outcome)
        crash_point("outcome_committed")
        return after

    async def resolve(self, loaded: LoadedOrder, attempt: AttemptRecord, found: object, asked: datetime) -> LoadedOrder:
        """Apply what a look-up or a push found out about an unsettled attempt. `asked`: when it was asked."""
        proved = policy.absence_is_proof(attempt, self._facts(attempt.carrier), asked)
        name = self._router.service_name(attempt.carrier, attempt.service)
        now = self._clock.now()
        return await self.apply(
            loaded, lambda rows: transitions.resolved(rows, attempt.number, found, name, proved, now)
        )

    async def postpone(self, loaded: LoadedOrder) -> None:
        """The worker died: look again in a while, not at once. A store that fails keeps the old time."""
        due = self._clock.now() + timedelta(seconds=WORKER_RETRY_S)

        def make(rows: LoadedOrder) -> Step | None:
            rests = rows.order.state in SETTLED and rows.order.due_time is None
            return None if rests else Step(replace(rows.order, due_time=due))

        with suppress(StoreError):
            await self.apply(loaded, make)

    async def _try(self, loaded: LoadedOrder, step: policy.Try, ends: float, now: datetime) -> LoadedOrder:
        crash_point("fallback_decided")
        attempt = step.attempt
        previous = loaded.attempts[-1] if loaded.attempts else None
        safety = now + timedelta(seconds=SAFETY_S)

        def make(rows: LoadedOrder) -> Step | None:
            # Somebody asked for a cancel, or another attempt came in between: decide again.
            if rows.order.cancel_requested or len(rows.attempts) != attempt.number - 1:
                return None
            return transitions.started(rows, attempt, now, safety)

        self._standings.reserve(attempt)
        try:
            after = await self.apply(loaded, make)
        except StoreError:
            self._standings.release(attempt)
            raise
        except BaseException:
            self._standings.arrived(attempt)  # it may be in the store all the same, and nobody will send it from here
            raise
        if len(after.attempts) < attempt.number or after.attempts[-1] != attempt:
            self._standings.release(attempt)
            return after
        if step.passed_over is not None:
            self._observer.diverted(step.passed_over.carrier, attempt.carrier, step.why)
        if previous is not None and previous.carrier != attempt.carrier:
            reason = previous.error_class or str(previous.state)
            self._observer.fell_back(previous.carrier, attempt.carrier, reason)
        crash_point("attempt_committed")
        return await self.send(after, attempt, step.others, ends)

    async def _doubt(
        self, loaded: LoadedOrder, attempt: AttemptRecord, cause: str, error: object = None
    ) -> LoadedOrder:
        now = self._clock.now()
        carrier_error = error if isinstance(error, CarrierError) else None
        after = await self.apply(
            loaded, lambda rows: transitions.doubted(rows, attempt.number, cause, now, carrier_error)
        )
        crash_point("outcome_unknown_committed")
        return after

    async def _look_up(self, loaded: LoadedOrder, attempt: AttemptRecord, now: datetime) -> Outcome:
        found = await ask(
            self._outbound,
            attempt.account_id,
            "find",
            attempt.reference,
            priority=Priority.BOOK,
            tenant=loaded.order.tenant,
        )
        if isinstance(found, LaneRefused):
            # Nobody was asked, so nothing was learned, and the pauses between look-ups do not grow by it.
            now, (least_s, longest_s) = self._clock.now(), LOOK_UP_AGAIN_S
            pause_s = min(max(found.wait_s, least_s), longest_s)
            return await self._wait(loaded, now + timedelta(seconds=pause_s), now)
        crash_point("lookup_answered")
        return await self.resolve(loaded, attempt, found, now), True

    async def _void(self, loaded: LoadedOrder, attempt: AttemptRecord, now: datetime) -> Outcome:
        order = loaded.order
        if order.booking is None or (order.due_time and order.due_time > now):
            return loaded, False
        crash_point("cancel_committed")
        outcome = await self._ask_to_cancel(loaded, attempt)
        crash_point("cancel_answered")
        now = self._clock.now()
        if isinstance(outcome, Cancelled):
            local = outcome.local_only
            return await self.apply(loaded, lambda rows: transitions.cancelled(rows, attempt.number, local, now)), True
        if isinstance(outcome, CarrierError) and _is_final(outcome):
            return await self.apply(loaded, lambda rows: transitions.cancel_refused(rows, outcome, now)), True
        tries = min(order.cancel_tries, len(CANCEL_DELAYS_S) - 1)
        due = now + timedelta(seconds=CANCEL_DELAYS_S[tries])
        waiting = await self.apply(loaded, lambda rows: transitions.cancel_retried(rows, due, now))
        return await self._wait(waiting, due, now)

    async def _ask_to_cancel(self, loaded: LoadedOrder, attempt: AttemptRecord) -> object:
        booking = loaded.order.booking
        assert booking is not None, "only a confirmed attempt is voided"
        if "cancel" not in self._carriers[attempt.carrier].manifest.operations:
            return CarrierError(ErrorClass.PERMANENT, message="it offers no cancel call")
        item = Cancellation(
            reference=attempt.reference,
            waybill_number=booking.waybill_number,
            carrier_order_id=booking.carrier_order_id,
            sub_waybill_numbers=booking.sub_waybill_numbers,
        )
        return await ask(
            self._outbound,
            attempt.account_id,
            "cancel",
            item,
            priority=Priority.CANCEL,
            tenant=loaded.order.tenant,
        )

    async def _wait(self, loaded: LoadedOrder, until: datetime, now: datetime) -> Outcome:
        order = loaded.order
        pause_s = (until - now).total_seconds()
        if pause_s <= INLINE_WAIT_S:
            await self._clock.sleep(pause_s)
            newest = await self._store.get_order(order.tenant, order.order_id)
            return newest or loaded, newest is not None
        return await self._due(loaded, until)

    async def _due(self, loaded: LoadedOrder, until: datetime | None) -> Outcome:
        """Rest until then, unless somebody else wrote in between: a cancel must not be put off."""
        if loaded.order.due_time == until:
            return loaded, False
        version = loaded.order.version
        after = await self.apply(
            loaded,
            lambda rows: Step(replace(rows.order, due_time=until)) if rows.order.version == version else None,
        )
        return after, after.order.due_time != until

    def _candidates(self, loaded: LoadedOrder) -> list[policy.Candidate]:
        # Only a worker about to choose needs them; resolving an open attempt does not.
        if any(a.state in transitions.UNSETTLED or a.state is AttemptState.CONFIRMED for a in loaded.attempts):
            return []
        return self._router.lasting(loaded.order.draft)

    def _facts(self, carrier: str) -> policy.CarrierFacts:
        manifest = self._router.manifests[carrier]
        return policy.CarrierFacts(manifest.booking, "find" in manifest.operations)

    def _standing(self, loaded: LoadedOrder, candidates: Sequence[policy.Candidate], ends: float) -> Standing:
        order = loaded.order
        left_s = ends - self._clock.monotonic()
        untried = len(candidates) - len({a.account_id for a in loaded.attempts})
        return self._standings.of(
            order.order_id,
            order.tenant,
            untried,
            left_s if left_s > 0 else BACKGROUND_DEADLINE_S,
            policy.asked(loaded.attempts),
        )


def _finished(
    seen: LoadedOrder, rows: LoadedOrder, state: OrderState, last: AttemptRecord | None, now: datetime
) -> Step | None:
    """The end that was decided for the rows as seen; None when they changed meanwhile."""
    return transitions.finished(rows, state, last, now) if rows.order.version == seen.order.version else None


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
