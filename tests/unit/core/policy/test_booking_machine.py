"""The booking state machine searched by Hypothesis: decisions and transitions against carriers' own ledgers.

The engine's half is the pure core alone: `next_move` says what to do, transitions write the rows. The carriers' half
books, refuses, loses answers before or after booking, executes requests late, hides bookings from look-ups for a
while, and cancels. Between any two acts the engine may crash: what was in memory is gone, the rows stay. An engine may
also sleep with an answer in its hand and wake up much later. Callers repeat their creation under old keys and new ones.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crossdock_sdk import Absent, Booked, CarrierError, ErrorClass, Refused, Repeat
from crossdock_sdk.manifest import BookingFacts
from engine.core.policy import cancelling, transitions
from engine.core.policy.booking import (
    Candidate,
    CarrierFacts,
    Done,
    Doubt,
    Finish,
    LookUp,
    Move,
    Review,
    Rules,
    Try,
    Void,
    Wait,
    absence_is_proof,
    next_cancel,
    next_move,
)
from engine.core.policy.diversion import Hindrance
from engine.core.policy.records import IN_DOUBT, AttemptRecord, AttemptState, LoadedOrder, OrderState
from engine.store.port import AcceptKind, Idempotency
from engine.store.rules import KeyHolder, decide_accept
from tests.fakes.ledger import Duplicate, Ledger
from tests.fakes.rows import NOW, loaded

RULES = Rules(review_after_s=120.0, give_up_after_s=900.0, retry_base_s=1.0, retry_cap_s=30.0, unavailable_retry_s=2.0)
SETTLES_S = 20.0
OPEN = (AttemptState.INTENT, AttemptState.UNKNOWN, AttemptState.CONFIRMED)
ENDED = (OrderState.BOOKED, OrderState.FAILED, OrderState.CANCELLED, OrderState.NEEDS_REVIEW)
REFUSALS = [c for c in ErrorClass if c not in (ErrorClass.DUPLICATE, ErrorClass.TEMPORARY)]

lags_s = st.sampled_from([0.0, 0.3, 4.0, SETTLES_S / 2])
sheets = st.tuples(st.sampled_from(Repeat), lags_s, st.sampled_from([True, True, False]), st.booleans())
rarely = st.sampled_from([False, False, False, True])
answers = st.sampled_from(["books", "refuses", "lost after", "lost before", "late", "unreachable", "temporary"])


class Booking(RuleBasedStateMachine):
    """One order, up to three carriers, one engine that may die at any moment."""

    @initialize(kinds=st.lists(sheets, min_size=1, max_size=3))
    def begin(self, kinds: list[tuple[Repeat, float, bool, bool]]) -> None:
        """Carriers with any sheet: what repeats do, how long the search lags, look-up, pushes."""
        self.now = NOW
        self.rows = loaded(state=OrderState.ACCEPTED)
        self.facts: dict[str, CarrierFacts] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.candidates: list[Candidate] = []
        for index, (repeat, lag_s, finds, pushes) in enumerate(kinds):
            code = f"c{index}"
            self.ledgers[code] = Ledger(code, repeat, search_lag_s=lag_s)
            facts = BookingFacts(repeat=repeat, lookup_settles_s=SETTLES_S, confirmed_by_push=pushes)
            self.facts[code] = CarrierFacts(facts, can_find=finds)
            self.candidates.append(Candidate(code, f"{code}-1", "std"))
        self.away: set[str] = set()
        self.in_transit: list[tuple[float, str, str]] = []  # seconds left, carrier, reference
        self.sent: AttemptRecord | None = None  # in memory only: an attempt about to be sent
        self.in_hand: list[tuple[int, Booked]] = []  # answers that a sleeping engine has read
        self.obeys = True

    # What the engine does

    @precondition(lambda self: self.sent is None)
    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """One decision carried out."""
        self.act(self.decision(), data.draw)

    @precondition(lambda self: self.sent is not None)
    @rule(answer=answers, error_class=st.sampled_from(REFUSALS), crashes=rarely)
    def send(self, answer: str, error_class: ErrorClass, crashes: bool) -> None:
        """The request goes out; perhaps the engine dies before it can write down what came back."""
        self.deliver(answer, error_class, crashes)

    @precondition(lambda self: self.sent is None)
    @rule(data=st.data())
    def step_on(self, data: st.DataObject) -> None:
        """Twice in the book of rules, so that the engine does more than others do to it."""
        self.act(self.decision(), data.draw)

    @precondition(lambda self: self.sent is not None)
    @rule()
    def crash(self) -> None:
        """Everything in memory is gone: the request had not gone out yet."""
        self.sent = None

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 3.0, 10.0, 25.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        """Requests still on their way arrive meanwhile."""
        self.pass_time(seconds)

    # What others do

    @rule(wants=rarely)
    def caller_cancels(self, wants: bool) -> None:
        """At any moment."""
        if wants and self.rows.order.state is not OrderState.NEEDS_REVIEW:
            self.apply(cancelling.requested(self.rows, self.now))

    @rule(index=st.integers(0, 2), away=st.booleans())
    def breaker(self, index: int, away: bool) -> None:
        """A carrier becomes unavailable, or available again."""
        if index < len(self.candidates):
            (self.away.add if away else self.away.discard)(f"c{index}-1")

    @rule(key=st.sampled_from(["", "first", "second"]), other_body=st.booleans())
    def caller_repeats(self, key: str, other_body: bool) -> None:
        """A second order under the reference begins only when nothing of the first can be live."""
        holder = KeyHolder(self.rows.order.order_id, b"body", self.rows.order.state)
        keys = Idempotency(key, b"other" if other_body else b"body")
        kind, held = decide_accept(keys, holder if key == "first" else None, holder)
        if kind is AcceptKind.CREATED:
            assert (key, held) == ("second", None)
            assert self.rows.order.state in (OrderState.CANCELLED, OrderState.FAILED)
            assert self.live() == []
            assert not self.in_transit
        else:
            assert held is holder
            assert (kind is AcceptKind.REPLAYED) is not other_body

    @precondition(lambda self: self.in_hand)
    @rule()
    def sleeper_wakes(self) -> None:
        """Its answer is about rows that others have moved on meanwhile."""
        number, booked = self.in_hand.pop(0)
        self.apply(transitions.confirmed(self.rows, number, booked, "", self.now))

    @rule()
    def carriers_push(self) -> None:
        """Carriers that push tell the truth of their books."""
        for attempt in self.rows.attempts:
            if attempt.state in IN_DOUBT and self.facts[attempt.carrier].booking.confirmed_by_push:
                found = self.truth(attempt)
                if isinstance(found, Booked):
                    self.apply(transitions.resolved(self.rows, attempt.number, found, "", False, self.now))

    @precondition(lambda self: not self.in_hand)
    @rule()
    def somebody_voids_it_in_the_console(self) -> None:
        """A booking whose answer was lost, before the engine has heard of it."""
        for attempt in self.rows.attempts:
            if attempt.state is AttemptState.UNKNOWN:
                for shipment in self.ledgers[attempt.carrier].live:
                    shipment.live = False

    @rule(obeys=st.booleans())
    def carriers_change_their_mind_about_cancels(self, obeys: bool) -> None:
        """A parcel on its way is not cancelled any more."""
        self.obeys = obeys

    # What must hold

    @invariant()
    def at_most_one_attempt_is_open(self) -> None:
        """INTENT, UNKNOWN and CONFIRMED exclude each other, and only the newest attempt may be one of them."""
        if hasattr(self, "rows"):
            assert not [a for a in self.rows.attempts[:-1] if a.state in OPEN]

    @invariant()
    def at_most_one_booking_is_live(self) -> None:
        """Over all carriers' own books."""
        if hasattr(self, "rows"):
            assert len(self.live()) <= 1

    @invariant()
    def an_ended_order_agrees_with_the_books(self) -> None:
        """BOOKED means that very waybill; CANCELLED and FAILED mean nothing at all."""
        if not hasattr(self, "rows"):
            return
        order = self.rows.order
        if order.state in (OrderState.CANCELLED, OrderState.FAILED):
            assert self.live() == []
            assert not self.in_transit
        if order.state is OrderState.BOOKED:
            assert order.booking is not None
            assert self.live() == [order.booking.waybill_number]

    def teardown(self) -> None:
        """Once carriers answer again, every order ends."""
        if not hasattr(self, "rows"):
            return
        self.away.clear()
        self.obeys = True
        for _ in range(300):
            if self.sent is not None:
                self.deliver("books", ErrorClass.CAPACITY, False)
            move = self.decision()
            if isinstance(move, Done):
                break
            if isinstance(move, Wait):
                self.pass_time(max(0.01, (move.until - self.now).total_seconds()))
            else:
                self.act(move, None)
            self.at_most_one_attempt_is_open()
            self.at_most_one_booking_is_live()
        assert self.rows.order.state in ENDED
        if self.rows.order.state is OrderState.NEEDS_REVIEW:
            assert not self.facts[self.rows.attempts[-1].carrier].can_find
        self.an_ended_order_agrees_with_the_books()

    # The shell

    def decision(self) -> Move:
        return next_move(
            self.rows,
            self.candidates,
            self.facts.__getitem__,
            lambda a: Hindrance.BREAKER_OPEN if a in self.away else Hindrance.NONE,
            RULES,
            self.now,
        )

    def act(self, move: Move, draw: Any) -> None:
        match move:
            case Try(attempt):
                assert all(a.state not in OPEN for a in self.rows.attempts)
                self.apply(transitions.started(self.rows, attempt, self.now, self.now))
                self.sent = attempt
            case Doubt(attempt):
                self.apply(transitions.doubted(self.rows, attempt.number, "the engine stopped", self.now))
            case LookUp(attempt):
                self.look_up(attempt, draw)
            case Review(attempt, until):
                self.apply(transitions.review(self.rows, attempt.number, until, self.now))
            case Void(attempt):
                self.cancel_at_carrier(attempt, draw)
            case Finish(state, last):
                self.apply(transitions.finished(self.rows, state, last, self.now))
            case Wait() | Done():
                pass

    def deliver(self, answer: str, error_class: ErrorClass, crashes: bool) -> None:
        attempt, self.sent = self.sent, None
        assert attempt is not None
        number, ledger = attempt.number, self.ledgers[attempt.carrier]
        step: transitions.Step | None
        if answer in ("books", "lost after"):
            try:
                shipment = ledger.book(attempt.reference, self.now)
            except Duplicate:
                error = CarrierError(ErrorClass.DUPLICATE)
                step = transitions.doubted(self.rows, number, "known already", self.now, error)
            else:
                booked = Booked(attempt.reference, shipment.waybill_number)
                if crashes and answer == "books":
                    self.in_hand.append((number, booked))
                step = transitions.confirmed(self.rows, number, booked, "", self.now)
        elif answer == "refuses":
            step = transitions.rejected(self.rows, number, CarrierError(error_class), self.now)
        elif answer == "unreachable":
            step = transitions.not_sent(self.rows, number, "refused", self.now)
        else:
            step = transitions.doubted(self.rows, number, answer, self.now)
        if answer == "lost after":
            step = transitions.doubted(self.rows, number, answer, self.now)
        if answer == "late":
            self.in_transit.append((SETTLES_S / 2 - 0.1, attempt.carrier, attempt.reference))
        if not crashes:
            self.apply(step)

    def look_up(self, attempt: AttemptRecord, draw: Any) -> None:
        asked = self.now
        found = self.truth(attempt)
        if draw is not None:
            self.pass_time(draw(st.sampled_from([0.0, 0.3, 15.0])))
            if draw(st.booleans()):
                found = TimeoutError()
        proved = absence_is_proof(attempt, self.facts[attempt.carrier], asked)
        self.apply(transitions.resolved(self.rows, attempt.number, found, "", proved, self.now))

    def cancel_at_carrier(self, attempt: AttemptRecord, draw: Any) -> None:
        order = self.rows.order
        assert order.booking is not None
        outcome = "cancels" if draw is None else draw(st.sampled_from(["cancels", "lost after", "lost before"]))
        # "Already cancelled" is success by the sdk's contract, whatever the carrier thinks of further cancels.
        if not self.obeys and order.booking.waybill_number in self.live():
            error = CarrierError(ErrorClass.PERMANENT)
            self.apply(cancelling.refused(self.rows, error, self.now))
            return
        if outcome != "lost before":
            self.ledgers[attempt.carrier].cancel(order.booking.waybill_number)
        if outcome == "cancels":
            self.apply(cancelling.cancelled(self.rows, attempt.number, False, self.now))
        else:
            due, needs_person = next_cancel(order, RULES, self.now)
            why = TimeoutError("no answer") if needs_person else None
            self.apply(cancelling.retried(self.rows, due, self.now, why))

    def truth(self, attempt: AttemptRecord) -> object:
        shipment = self.ledgers[attempt.carrier].find(attempt.reference, self.now)
        if shipment is None:
            return Absent(attempt.reference)
        if not shipment.live:
            return Refused(attempt.reference, "cancelled")
        return Booked(attempt.reference, shipment.waybill_number)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        arrived = [(c, r, left) for left, c, r in self.in_transit if left <= seconds]
        self.in_transit = [(left - seconds, c, r) for left, c, r in self.in_transit if left > seconds]
        for carrier, reference, left in arrived:
            with suppress(Duplicate):
                self.ledgers[carrier].book(reference, self.now - timedelta(seconds=seconds - left))

    def apply(self, step: transitions.Step | None) -> None:
        if step is not None:
            known = {a.number: a for a in self.rows.attempts} | {a.number: a for a in step.attempts}
            self.rows = LoadedOrder(step.order, tuple(known[n] for n in sorted(known)))

    def live(self) -> list[str]:
        return [s.waybill_number for ledger in self.ledgers.values() for s in ledger.live]


BookingMachine = Booking.TestCase
BookingMachine.settings = settings(
    max_examples=400, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
