"""What each finding does to the rows: state, booking, failure, due time, events; and nothing when it comes late."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from crossdock_sdk import Absent, Booked, CarrierError, ErrorClass, Money, Pending, Refused, Routing
from engine.core.policy import transitions
from engine.core.policy.records import AttemptState, EventKind, Failure, LoadedOrder, OrderState
from engine.core.policy.transitions import Step
from tests.fakes.rows import NOW, at, attempt, booking, loaded

S = AttemptState
LATER = at(7)
BOOKED = Booked("r1", "SF1", ("SF2",), "c9", Routing("755A"), Money("CNY", 1500))
NO = CarrierError(ErrorClass.CAPACITY, code="77", message="爆仓", field="recipient.address")

FINDINGS: dict[str, Callable[[LoadedOrder], Step | None]] = {
    "confirmed": lambda rows: transitions.confirmed(rows, 1, BOOKED, "Standard", LATER),
    "rejected": lambda rows: transitions.rejected(rows, 1, NO, LATER),
    "not sent": lambda rows: transitions.not_sent(rows, 1, "refused", LATER),
    "doubted": lambda rows: transitions.doubted(rows, 1, "no answer", LATER),
    "looked up": lambda rows: transitions.looked_up(rows, 1, LATER, LATER),
    "absent": lambda rows: transitions.absent(rows, 1, "none", LATER),
    "resolved": lambda rows: transitions.resolved(rows, 1, BOOKED, "Standard", True, LATER),
    "review": lambda rows: transitions.review(rows, 1, None, LATER),
}
SETTLED = [S.NOT_SENT, S.REJECTED, S.CONFIRMED, S.ABSENT, S.VOIDED]


def kinds(step: Step | None) -> list[EventKind]:
    """The events of a step that must exist."""
    assert step is not None
    return [e.kind for e in step.events]


@pytest.mark.parametrize("finding", FINDINGS)
@pytest.mark.parametrize("state", SETTLED)
def test_a_settled_attempt_never_changes_again(finding: str, state: AttemptState) -> None:
    """A finding that comes late, or twice, changes nothing; only a booking can take an absence back."""
    step = FINDINGS[finding](loaded(attempt(1, "alpha", state)))

    assert (step is None) is not (state is S.ABSENT and finding in ("confirmed", "resolved"))


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_about_no_attempt_of_the_order_changes_nothing(finding: str) -> None:
    """The number must be one of the order's."""
    assert FINDINGS[finding](loaded(attempt(2, "alpha", S.INTENT))) is None


@pytest.mark.parametrize("state", [S.INTENT, S.UNKNOWN])
def test_a_confirmation_books_the_order(state: AttemptState) -> None:
    """Everything the carrier told is kept; a doubt keeps its story and the look-up that settled it."""
    rows = loaded(
        attempt(1, "alpha", state, cause="no answer", error_class="TEMPORARY", lookups=2),
        failure=Failure("OUTCOME_UNKNOWN", "?", "!"),
        due_time=NOW,
    )

    step = transitions.confirmed(rows, 1, BOOKED, "Standard", LATER)

    assert step is not None
    order, done = step.order, step.attempts[0]
    assert (order.state, order.failure, order.due_time, order.update_time) == (OrderState.BOOKED, None, None, LATER)
    assert (done.state, done.end_time, done.cause, done.error_class) == (S.CONFIRMED, LATER, "no answer", "")
    assert done.lookups == (3 if state is S.UNKNOWN else 2)
    assert order.booking == replace(
        booking(),
        service_name="Standard",
        waybill_number="SF1",
        booked_time=LATER,
        sub_waybill_numbers=("SF2",),
        carrier_order_id="c9",
        routing=Routing("755A"),
        freight=Money("CNY", 1500),
    )
    assert [(e.kind, e.carrier, e.waybill_number) for e in step.events] == [(EventKind.ORDER_BOOKED, "alpha", "SF1")]


def test_a_carriers_own_answer_completes_what_a_push_had_confirmed() -> None:
    """Pieces, routing and freight: a push that overtakes the answer knows but the number. Nothing is changed."""
    known = replace(booking(), waybill_number="SF1", carrier_order_id="c1")
    rows = loaded(attempt(1, "alpha", S.CONFIRMED), state=OrderState.BOOKED, booking=known)

    step = transitions.confirmed(rows, 1, BOOKED, "Standard", LATER)

    assert step is not None
    assert step.order == replace(
        rows.order,
        booking=replace(
            known,
            service_name=known.service_name or "Standard",
            sub_waybill_numbers=("SF2",),
            routing=Routing("755A"),
            freight=Money("CNY", 1500),
        ),
    )
    assert (step.attempts, step.events) == ((), ())
    assert transitions.confirmed(LoadedOrder(step.order, rows.attempts), 1, BOOKED, "Standard", LATER) is None
    other = replace(BOOKED, waybill_number="SF9")
    assert transitions.confirmed(rows, 1, other, "Standard", LATER) is None


def test_a_booking_ended_by_its_carrier_is_told_with_its_words() -> None:
    """Once; and with no failure when the end is what was asked for."""
    rows = loaded(attempt(1, "alpha", S.CONFIRMED), state=OrderState.BOOKED, booking=booking())
    found = Refused("r1", "6", "网点取消")

    step = transitions.resolved(rows, 1, found, "Standard", True, LATER)
    wanted = transitions.resolved(
        loaded(attempt(1, "alpha", S.CONFIRMED), state=OrderState.CANCELLING, booking=booking(), cancel_requested=True),
        1, found, "Standard", True, LATER,
    )  # fmt: skip

    assert step is not None
    assert step.order.failure is not None
    assert wanted is not None
    assert (step.order.state, step.order.failure.reason) == (OrderState.CANCELLED, "CARRIER_CANCELLED")
    assert step.order.failure.message == "alpha cancelled the booking by itself: 网点取消"
    assert [a.state for a in step.attempts] == [S.VOIDED]
    assert [e.reason for e in step.events] == [step.order.failure.message]
    assert (wanted.order.state, wanted.order.failure) == (OrderState.CANCELLED, None)
    assert transitions.resolved(LoadedOrder(step.order, step.attempts), 1, found, "Standard", True, LATER) is None


def test_a_confirmation_of_a_cancelled_order_leads_to_its_cancelling() -> None:
    """The caller gave up on it while the carrier booked: it is due at once."""
    step = transitions.confirmed(loaded(attempt(1, "alpha", S.INTENT), cancel_requested=True), 1, BOOKED, "", LATER)

    assert step is not None
    assert (step.order.state, step.order.due_time) == (OrderState.CANCELLING, LATER)
    assert kinds(step) == [EventKind.ORDER_CANCELLING]


def test_a_refusal_is_kept_with_class_code_text_and_field() -> None:
    """The order is due at once for the next candidate."""
    step = transitions.rejected(loaded(attempt(1, "alpha", S.INTENT)), 1, NO, LATER)

    assert step is not None
    done = step.attempts[0]
    assert (done.state, done.error_class, done.carrier_code, done.carrier_message, done.field) == (
        S.REJECTED,
        "CAPACITY",
        "77",
        "爆仓",
        "recipient.address",
    )
    assert (step.order.state, step.order.due_time, step.events) == (OrderState.BOOKING, LATER, ())


def test_what_was_not_sent_may_be_retried() -> None:
    """It counts as a passing failure of the carrier."""
    step = transitions.not_sent(loaded(attempt(1, "alpha", S.INTENT)), 1, "refused", LATER)

    assert step is not None
    assert (step.attempts[0].state, step.attempts[0].error_class, step.attempts[0].cause) == (
        S.NOT_SENT,
        "TEMPORARY",
        "refused",
    )


@pytest.mark.parametrize("error", [None, NO])
def test_a_doubt_starts_the_clock_of_its_resolution(error: CarrierError | None) -> None:
    """With the carrier's words when it said anything."""
    step = transitions.doubted(loaded(attempt(1, "alpha", S.INTENT)), 1, "no answer", LATER, error)

    assert step is not None
    doubt = step.attempts[0]
    assert (doubt.state, doubt.unknown_since, doubt.cause) == (S.UNKNOWN, LATER, "no answer")
    assert (doubt.error_class, doubt.carrier_code) == (("CAPACITY", "77") if error else ("", ""))
    assert kinds(step) == [EventKind.OUTCOME_UNKNOWN]


def test_a_doubt_is_not_begun_anew() -> None:
    """Doubting twice would set the clock of its resolution back."""
    assert transitions.doubted(loaded(attempt(1, "alpha", S.UNKNOWN)), 1, "again", LATER) is None


def test_a_look_up_without_result_is_counted() -> None:
    """And says when to ask again; the attempt stays in doubt."""
    step = transitions.looked_up(loaded(attempt(1, "alpha", S.UNKNOWN, lookups=2)), 1, at(9), LATER)

    assert step is not None
    assert (step.attempts[0].state, step.attempts[0].lookups, step.attempts[0].end_time) == (S.UNKNOWN, 3, LATER)
    assert step.order.due_time == at(9)


@pytest.mark.parametrize(
    ("found", "proved", "state"),
    [
        (BOOKED, False, S.CONFIRMED),
        (Refused("r1", "C", "cancelled"), False, S.ABSENT),
        (Absent("r1"), True, S.ABSENT),
        (Absent("r1"), False, S.UNKNOWN),
        (CarrierError(ErrorClass.NOT_FOUND), True, S.ABSENT),
        (CarrierError(ErrorClass.NOT_FOUND), False, S.UNKNOWN),
        (CarrierError(ErrorClass.TEMPORARY), True, S.UNKNOWN),
        (Pending("r1"), True, S.UNKNOWN),
        (TimeoutError(), True, S.UNKNOWN),
        (None, True, S.UNKNOWN),
    ],
)
def test_only_a_clear_answer_settles_a_doubt(found: object, proved: bool, state: AttemptState) -> None:
    """Everything else is one more look-up; an absence needs its proof."""
    step = transitions.resolved(loaded(attempt(1, "alpha", S.UNKNOWN)), 1, found, "Standard", proved, LATER)

    assert step is not None
    assert step.attempts[0].state is state


@pytest.mark.parametrize(("found", "burnt"), [(Refused("r1", "C", "cancelled"), True), (Absent("r1"), False)])
def test_only_a_voided_booking_burns_its_reference(found: object, burnt: bool) -> None:
    """What the carrier has never heard of can still be booked."""
    step = transitions.resolved(loaded(attempt(1, "alpha", S.UNKNOWN)), 1, found, "Standard", True, LATER)

    assert step is not None
    assert step.attempts[0].burnt is burnt


def test_a_voided_booking_that_surfaces_burns_a_reference_found_absent_once() -> None:
    """Nothing else changes, and a repeat of the news changes nothing at all."""
    rows = loaded(attempt(1, "alpha", S.ABSENT), state=OrderState.BOOKING)
    found = Refused("r1", "C", "cancelled")

    step = transitions.resolved(rows, 1, found, "Standard", True, LATER)

    assert step == Step(rows.order, (attempt(1, "alpha", S.ABSENT, burnt=True),))
    assert transitions.resolved(LoadedOrder(rows.order, step.attempts), 1, found, "Standard", True, LATER) is None
    assert transitions.resolved(loaded(attempt(1, "alpha", S.REJECTED)), 1, found, "Standard", True, LATER) is None


def test_an_absence_takes_the_order_out_of_review() -> None:
    """Booking goes on with the next candidate."""
    rows = loaded(attempt(1, "alpha", S.UNKNOWN), state=OrderState.NEEDS_REVIEW, failure=Failure("X", "?", "!"))

    step = transitions.absent(rows, 1, "none", LATER)

    assert step is not None
    assert (step.order.state, step.order.failure, step.order.due_time) == (OrderState.BOOKING, None, LATER)
    assert (step.attempts[0].cause, step.attempts[0].lookups) == ("none", 1)


def test_a_review_says_what_to_search_for_and_where() -> None:
    """The remedy names reference, carrier and account."""
    doubt = attempt(1, "alpha", S.UNKNOWN, cause="no answer")

    step = transitions.review(loaded(doubt), 1, at(60), LATER)

    assert step is not None
    assert (step.order.state, step.order.due_time) == (OrderState.NEEDS_REVIEW, at(60))
    assert step.order.failure is not None
    remedy = step.order.failure.remedy
    assert f"reference {doubt.reference} in the console of alpha (account alpha-1)" in remedy
    assert kinds(step) == [EventKind.ORDER_NEEDS_REVIEW]


@pytest.mark.parametrize(
    ("former", "event"),
    [
        ((), []),
        ((attempt(1, "alpha", S.NOT_SENT, error_class="TEMPORARY"),), []),
        ((attempt(1, "beta", S.REJECTED, error_class="CAPACITY"),), [(EventKind.CARRIER_CHANGED, "beta: CAPACITY")]),
        ((attempt(1, "beta", S.ABSENT),), [(EventKind.CARRIER_CHANGED, "beta: ABSENT")]),
    ],
)
def test_a_new_attempt_tells_when_the_carrier_changes(former: tuple, event: list) -> None:  # type: ignore[type-arg]
    """And why; the safety time brings the order back should its worker vanish."""
    rows = loaded(*former, state=OrderState.ACCEPTED, failure=Failure("X", "?", "!"))

    step = transitions.started(rows, attempt(len(former) + 1, "alpha", S.INTENT), LATER, at(120))

    assert (step.order.state, step.order.failure, step.order.due_time) == (OrderState.BOOKING, None, at(120))
    assert [(e.kind, e.reason) for e in step.events] == event


@pytest.mark.parametrize("state", [OrderState.CANCELLED, OrderState.FAILED])
def test_the_end_is_written_once_with_its_event(state: OrderState) -> None:
    """A failed order carries its failure, a cancelled one none; neither is looked at again."""
    refusal = attempt(1, "alpha", S.REJECTED, error_class="NO_SERVICE", carrier_message="不派送", carrier_code="9")

    step = transitions.finished(loaded(refusal, due_time=NOW), state, refusal, LATER)

    failed = state is OrderState.FAILED
    assert (step.order.state, step.order.due_time) == (state, None)
    assert kinds(step) == [EventKind.ORDER_FAILED if failed else EventKind.ORDER_CANCELLED]
    assert (step.order.failure is not None) is failed
    if step.order.failure is not None:
        assert (step.order.failure.reason, step.order.failure.message) == (
            "CARRIER_NO_SERVICE",
            "alpha refused the booking: 不派送 (code 9)",
        )


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_every_refusal_has_a_reason_and_a_remedy(error_class: ErrorClass) -> None:
    """In the words of the last attempt."""
    failure = transitions.failure_of(attempt(1, "alpha", S.REJECTED, error_class=str(error_class)))

    assert failure.reason == transitions.REASONS[error_class][0]
    assert failure.remedy


@pytest.mark.parametrize(("state", "said"), [(S.NOT_SENT, "did not book it"), (S.ABSENT, "did not book it")])
def test_a_carrier_that_never_refused_is_not_said_to_have(state: AttemptState, said: str) -> None:
    """Out of reach is another matter than refused."""
    failure = transitions.failure_of(attempt(1, "alpha", state, cause="connection refused"))

    assert failure.message == f"alpha {said}: connection refused"


def test_an_order_without_any_attempt_fails_for_want_of_a_carrier() -> None:
    """The remedy leads to the quote, which explains each candidate."""
    failure = transitions.failure_of(None)

    assert failure.reason == "NO_ELIGIBLE_CARRIER"
    assert "QuoteOrder" in failure.remedy


def test_a_booking_that_surfaces_late_is_kept_when_it_is_the_only_one() -> None:
    """The carrier denied it and then told of it: the parcel exists, so the order has its waybill."""
    step = transitions.confirmed(loaded(attempt(1, "alpha", S.ABSENT)), 1, BOOKED, "Standard", LATER)

    assert step is not None
    assert (step.attempts[0].state, step.order.state) == (S.CONFIRMED, OrderState.BOOKED)
    assert step.order.booking is not None
    assert step.order.booking.waybill_number == "SF1"


@pytest.mark.parametrize("other", [S.INTENT, S.UNKNOWN, S.CONFIRMED])
def test_a_booking_that_surfaces_beside_another_is_told_to_a_person(other: AttemptState) -> None:
    """The order keeps its own booking; whoever watches hears which waybill has to be voided."""
    rows = loaded(attempt(1, "alpha", S.ABSENT), attempt(2, "beta", other))

    step = transitions.confirmed(rows, 1, BOOKED, "Standard", LATER)

    assert step is not None
    assert kinds(step) == [EventKind.ORDER_NEEDS_REVIEW]
    assert "SF1" in step.events[0].reason
    assert step.order.state == rows.order.state
    assert [(a.number, a.state) for a in step.attempts] == [(1, S.ABSENT)]


def test_a_booking_beside_another_is_told_once() -> None:
    """Its carrier may push about it for days; another one would be told too."""
    rows = loaded(attempt(1, "alpha", S.ABSENT), attempt(2, "beta", S.CONFIRMED))
    told = transitions.confirmed(rows, 1, BOOKED, "Standard", LATER)
    assert told is not None
    after = replace(rows, attempts=(told.attempts[0], rows.attempts[1]))

    again = transitions.confirmed(after, 1, BOOKED, "Standard", LATER)
    third = transitions.confirmed(after, 1, replace(BOOKED, waybill_number="SF9"), "Standard", LATER)

    assert again is None
    assert kinds(third) == [EventKind.ORDER_NEEDS_REVIEW]


@pytest.mark.parametrize("number", ["W1", "W1-2"])
def test_the_orders_own_booking_does_not_surface(number: str) -> None:
    """Nobody is told to void the only parcel there is."""
    rows = loaded(
        attempt(1, "alpha", S.ABSENT),
        attempt(2, "alpha", S.CONFIRMED),
        state=OrderState.BOOKED,
        booking=replace(booking(), waybill_number="W1", sub_waybill_numbers=("W1-2",)),
    )

    assert transitions.confirmed(rows, 1, Booked("r1", number), "Standard", LATER) is None


def test_only_a_booking_says_anything_about_a_call_under_way() -> None:
    """A cancellation that is pushed meanwhile may be about an older booking under the same reference."""
    rows = loaded(attempt(1, "alpha", S.INTENT))

    assert transitions.resolved(rows, 1, Refused("r1", "x", "voided"), "Standard", True, LATER) is None
    assert transitions.resolved(rows, 1, BOOKED, "Standard", True, LATER) is not None
