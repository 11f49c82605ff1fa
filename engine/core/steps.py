"""Carries out one move of an order: asks the carrier, commits what came of it, tells the observer.

Rules of this file
- An attempt's row is durable before its first byte goes out.
- "No such booking" counts from the moment the carrier was asked, never from the moment it answered, by time that has
  passed: a wall clock set forward proves nothing. Steps while no engine ran, and being set back, are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta

from crossdock_sdk import Booked, Cancelled, CarrierError, SideEffect
from engine.clock import Clock
from engine.core.calls import BACKGROUND_DEADLINE_S
from engine.core.carrier_calls import CarrierCalls, is_final, is_refusal
from engine.core.commits import SAFETY_S, BookingObserver, Commits, Outcome
from engine.core.policy import booking as policy
from engine.core.policy import cancelling, transitions
from engine.core.policy.diversion import Standing
from engine.core.policy.records import AT_REST, MAY_HAVE_BOOKED, AttemptRecord, LoadedOrder, OrderState
from engine.core.policy.transitions import Step
from engine.core.router import Router
from engine.core.standing import Standings
from engine.crash import crash_point
from engine.outbound import LaneRefused, OutboundError
from engine.store.port import Store

INLINE_WAIT_S = 1.0
"""Shorter waits are slept by the worker; longer ones are left to `reconcile`."""
LOOK_UP_AGAIN_S = (0.5, 5.0)
"""Least and longest pause before a look-up that its lane refused is tried again; so late may a person be called."""
LEAVE_S = 2.0
"""The least such pause while nobody waits for the order: long enough that it gives its place in `reconcile` back."""


class Steps:
    """The acts of the booking state machine. Holds no order: everything is in the rows it is given."""

    def __init__(
        self,
        *,
        store: Store,
        commits: Commits,
        calls: CarrierCalls,
        router: Router,
        clock: Clock,
        rules: policy.Rules,
        observer: BookingObserver,
        standings: Standings,
    ) -> None:
        self._store = store
        self._commits = commits
        self._calls = calls
        self._router = router
        self._clock = clock
        self._rules = rules
        self._observer = observer
        self._standings = standings

    async def next(self, loaded: LoadedOrder, ends: float, *, is_awaited: bool, in_background: bool = False) -> Outcome:
        """One move carried out. `ends`: monotonic deadline of whoever waits, or waited, for the order.

        in_background: `reconcile` took it up, and bounds how many of these an account holds.
        """
        now = self._clock.now()
        candidates = self._candidates(loaded)
        standing = self._standing(loaded, candidates, ends, in_background)
        move = policy.next_move(loaded, candidates, self._router.facts, standing, self._rules, now)
        match move:
            case policy.Try():
                if move.attempt.number == 1:
                    self._router.assigned(candidates, move.attempt.account_id)
                holding = self._standings.background_place(move.attempt.account_id) if in_background else nullcontext()
                with holding:
                    return await self._try(loaded, move, ends, now), True
            case policy.Doubt(attempt):
                cause = "the engine stopped before the carrier's answer was durable"
                return await self._doubt(loaded, attempt, cause), True
            case policy.LookUp(attempt):
                return await self._look_up(loaded, attempt, now, is_awaited)
            case policy.Void(attempt):
                return await self._void(loaded, attempt, now)
            case policy.Wait(until):
                return await self._wait(loaded, until, now)
            case policy.Review(attempt, until):
                after = await self._commits.apply(
                    loaded, lambda rows: transitions.review(rows, attempt.number, until, now)
                )
                return after, after.order.state is not OrderState.NEEDS_REVIEW
            case policy.Finish(state, last):
                done = await self._commits.apply(loaded, lambda rows: _finished(loaded, rows, state, last, now))
                return done, done.order.state is not state
        if loaded.order.due_time is None or loaded.order.state not in AT_REST:
            return loaded, False
        return await self._commits.rest_until(loaded, None)

    async def send(self, loaded: LoadedOrder, attempt: AttemptRecord, others: int, ends: float) -> LoadedOrder:
        """Hand a committed attempt to its carrier and commit the outcome.

        others: further candidates that could take the order; its wait here leaves time for them.
        """
        self._standings.arrived(attempt)
        outcome = await self._calls.book(loaded, attempt, others, ends)
        crash_point("answer_received")
        now = self._clock.now()
        number = attempt.number
        if isinstance(outcome, Booked):
            name = self._router.service_name(attempt.carrier, attempt.service)
            after = await self._commits.apply(
                loaded, lambda rows: transitions.confirmed(rows, number, outcome, name, now), answered=True
            )
        elif isinstance(outcome, CarrierError) and is_refusal(outcome):
            after = await self._commits.apply(
                loaded, lambda rows: transitions.rejected(rows, number, outcome, now), answered=True
            )
        elif isinstance(outcome, OutboundError) and outcome.side_effect is SideEffect.NONE:
            after = await self._commits.apply(
                loaded, lambda rows: transitions.not_sent(rows, number, str(outcome), now), answered=True
            )
        else:
            return await self._doubt(loaded, attempt, str(outcome), error=outcome)
        crash_point("outcome_committed")
        return after

    async def resolve(
        self, loaded: LoadedOrder, attempt: AttemptRecord, found: object, asked: datetime, *, answered: bool = False
    ) -> LoadedOrder:
        """Apply what a look-up or a push found out about an attempt in doubt. `asked`: when it was asked.

        answered: see `Commits.apply`. Not for a push: unacknowledged, the carrier sends it again.
        """
        # A wall clock that was set forward meanwhile has not given the carrier's search that much longer to settle.
        asked -= timedelta(seconds=self._clock.stepped_s(policy.unknown_since(attempt)))
        proved = policy.absence_is_proof(attempt, self._router.facts(attempt.carrier), asked)
        name = self._router.service_name(attempt.carrier, attempt.service)
        now = self._clock.now()
        return await self._commits.apply(
            loaded,
            lambda rows: transitions.resolved(rows, attempt.number, found, name, proved, now),
            answered=answered,
        )

    async def _try(self, loaded: LoadedOrder, move: policy.Try, ends: float, now: datetime) -> LoadedOrder:
        crash_point("fallback_decided")
        attempt = move.attempt
        previous = loaded.attempts[-1] if loaded.attempts else None
        safety = now + timedelta(seconds=SAFETY_S)

        def make(rows: LoadedOrder) -> Step | None:
            # Somebody asked for a cancel, or more is known of an attempt than when this was decided: decide again.
            if rows.order.cancel_requested or rows.attempts != loaded.attempts:
                return None
            return transitions.started(rows, attempt, now, safety)

        with self._standings.reserved(attempt):
            after = await self._commits.apply(loaded, make)
        if len(after.attempts) < attempt.number or after.attempts[-1] != attempt:
            self._standings.release(attempt)
            return after
        if move.passed_over is not None:
            self._observer.diverted(move.passed_over.carrier, attempt.carrier, move.why)
        if previous is not None and previous.carrier != attempt.carrier:
            reason = previous.error_class or str(previous.state)
            self._observer.fell_back(previous.carrier, attempt.carrier, reason)
        crash_point("attempt_committed")
        return await self.send(after, attempt, move.others, ends)

    async def _doubt(
        self, loaded: LoadedOrder, attempt: AttemptRecord, cause: str, error: object = None
    ) -> LoadedOrder:
        now = self._clock.now()
        carrier_error = error if isinstance(error, CarrierError) else None
        after = await self._commits.apply(
            loaded,
            lambda rows: transitions.doubted(rows, attempt.number, cause, now, carrier_error),
            answered=error is not None,
        )
        crash_point("outcome_unknown_committed")
        return after

    async def _look_up(self, loaded: LoadedOrder, attempt: AttemptRecord, now: datetime, is_awaited: bool) -> Outcome:
        found = await self._calls.find(loaded, attempt, is_awaited=is_awaited)
        if isinstance(found, LaneRefused):
            # Nobody was asked, so nothing was learned, and the pauses between look-ups do not grow by it.
            now, (least_s, longest_s) = self._clock.now(), LOOK_UP_AGAIN_S
            pause_s = min(max(found.wait_s, least_s if is_awaited else LEAVE_S), longest_s)
            return await self._wait(loaded, now + timedelta(seconds=pause_s), now)
        crash_point("lookup_answered")
        return await self.resolve(loaded, attempt, found, now, answered=True), True

    async def _void(self, loaded: LoadedOrder, attempt: AttemptRecord, now: datetime) -> Outcome:
        order = loaded.order
        if order.booking is None or (order.due_time and order.due_time > now):
            return loaded, False
        crash_point("cancel_committed")
        outcome = await self._calls.cancel(loaded, attempt)
        crash_point("cancel_answered")
        now = self._clock.now()
        if isinstance(outcome, Cancelled):
            local = outcome.local_only
            return await self._commits.apply(
                loaded, lambda rows: cancelling.cancelled(rows, attempt.number, local, now), answered=True
            ), True
        if isinstance(outcome, CarrierError) and is_final(outcome):
            return await self._commits.apply(
                loaded, lambda rows: cancelling.refused(rows, outcome, now), answered=True
            ), True
        due, needs_person = policy.next_cancel(order, self._rules, now)
        why = outcome if needs_person else None
        waiting = await self._commits.apply(loaded, lambda rows: cancelling.retried(rows, due, now, why))
        return await self._wait(waiting, due, now)

    async def _wait(self, loaded: LoadedOrder, until: datetime, now: datetime) -> Outcome:
        order = loaded.order
        pause_s = (until - now).total_seconds()
        if pause_s <= INLINE_WAIT_S:
            await self._clock.sleep(pause_s)
            newest = await self._store.get_order(order.tenant, order.order_id)
            return newest or loaded, newest is not None
        return await self._commits.rest_until(loaded, until)

    def _candidates(self, loaded: LoadedOrder) -> list[policy.Candidate]:
        # Only a worker about to choose needs them; resolving an open attempt does not.
        if any(a.state in MAY_HAVE_BOOKED for a in loaded.attempts):
            return []
        return self._router.lasting(loaded.order.draft)

    def _standing(
        self, loaded: LoadedOrder, candidates: Sequence[policy.Candidate], ends: float, in_background: bool
    ) -> Standing:
        order = loaded.order
        left_s = ends - self._clock.monotonic()
        untried = len(candidates) - len({a.account_id for a in loaded.attempts})
        return self._standings.of(
            order.order_id,
            order.tenant,
            untried,
            left_s if left_s > 0 else BACKGROUND_DEADLINE_S,
            policy.asked(loaded.attempts),
            in_background=in_background,
        )


def _finished(
    seen: LoadedOrder, rows: LoadedOrder, state: OrderState, last: AttemptRecord | None, now: datetime
) -> Step | None:
    """The end that was decided for the rows as seen; None when they changed meanwhile."""
    return transitions.finished(rows, state, last, now) if rows.order.version == seen.order.version else None
