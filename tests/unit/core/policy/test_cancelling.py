"""What a wish to cancel and a carrier's answer to it do to the rows."""

from __future__ import annotations

import pytest

from crossdock_sdk import CarrierError, ErrorClass
from engine.core.policy import cancelling
from engine.core.policy.records import AttemptState, EventKind, Failure, LoadedOrder, OrderState
from engine.core.policy.transitions import Step
from tests.fakes.rows import at, attempt, booking, loaded

S = AttemptState
LATER = at(7)
NO = CarrierError(ErrorClass.CAPACITY, code="77", message="爆仓", field="recipient.address")


@pytest.mark.parametrize(
    ("state", "after", "events"),
    [
        (OrderState.ACCEPTED, OrderState.ACCEPTED, []),
        (OrderState.BOOKING, OrderState.BOOKING, []),
        (OrderState.BOOKED, OrderState.CANCELLING, [EventKind.ORDER_CANCELLING]),
    ],
)
def test_a_wish_to_cancel_is_durable_and_due_at_once(
    state: OrderState, after: OrderState, events: list[EventKind]
) -> None:
    """A booked order is being cancelled from now on; what is still open remembers the wish."""
    booked = state is OrderState.BOOKED
    rows = loaded(
        attempt(1, "alpha", S.CONFIRMED if booked else S.UNKNOWN), state=state, booking=booking() if booked else None
    )

    step = cancelling.requested(rows, LATER)

    assert step is not None
    assert (step.order.state, step.order.cancel_requested, step.order.due_time) == (after, True, LATER)
    assert kinds(step) == events


@pytest.mark.parametrize(
    "rows",
    [
        loaded(state=OrderState.CANCELLED),
        loaded(state=OrderState.FAILED),
        loaded(state=OrderState.BOOKED, cancel_requested=True),
    ],
)
def test_a_wish_to_cancel_counts_once(rows: LoadedOrder) -> None:
    """Ended orders and repeated wishes change nothing."""
    assert cancelling.requested(rows, LATER) is None


def test_a_new_wish_to_cancel_wipes_off_the_old_refusal() -> None:
    """Else a cancelled order would still say that it cannot be cancelled."""
    refused = Failure("ORDER_NOT_CANCELLABLE", "?", "!")
    rows = loaded(attempt(1, "alpha", S.CONFIRMED), state=OrderState.BOOKED, booking=booking(), failure=refused)

    step = cancelling.requested(rows, LATER)

    assert step is not None
    assert step.order.failure is None


@pytest.mark.parametrize("local_only", [True, False])
def test_a_cancelled_booking_is_void(local_only: bool) -> None:
    """The order keeps it for the record, marked when only our side knows."""
    rows = loaded(
        attempt(1, "alpha", S.CONFIRMED), state=OrderState.CANCELLING, booking=booking(), cancel_requested=True
    )

    step = cancelling.cancelled(rows, 1, local_only, LATER)

    assert step is not None
    assert (step.order.state, step.order.due_time, step.attempts[0].state) == (OrderState.CANCELLED, None, S.VOIDED)
    assert step.order.booking is not None
    assert step.order.booking.voided_locally is local_only
    assert [(e.kind, e.waybill_number) for e in step.events] == [(EventKind.ORDER_CANCELLED, "W1")]


@pytest.mark.parametrize(
    "rows",
    [
        loaded(attempt(1, "alpha", S.VOIDED), state=OrderState.CANCELLED, booking=booking()),
        loaded(attempt(1, "alpha", S.CONFIRMED), state=OrderState.CANCELLING),
        loaded(attempt(2, "alpha", S.CONFIRMED), state=OrderState.CANCELLING, booking=booking()),
    ],
    ids=["voided already", "no booking", "another attempt"],
)
def test_only_a_confirmed_booking_becomes_void(rows: LoadedOrder) -> None:
    """And only once."""
    assert cancelling.cancelled(rows, 1, False, LATER) is None


def test_an_open_cancel_is_counted_and_asked_again() -> None:
    """Cancels may repeat."""
    rows = loaded(attempt(1, "alpha", S.CONFIRMED), state=OrderState.CANCELLING, booking=booking(), cancel_tries=2)

    step = cancelling.retried(rows, at(30), LATER)

    assert step is not None
    assert (step.order.state, step.order.cancel_tries, step.order.due_time) == (OrderState.CANCELLING, 3, at(30))


@pytest.mark.parametrize(
    ("why", "reason", "code"),
    [
        (CarrierError(ErrorClass.AUTH, code="A1006", message="no right"), "CARRIER_AUTH_FAILED", "A1006"),
        (TimeoutError("no right"), "CARRIER_UNAVAILABLE", ""),
    ],
)
def test_a_cancel_open_for_long_calls_a_person_once(why: Exception, reason: str, code: str) -> None:
    """The order says why and what to do, and the cancel is asked for again all the same."""
    rows = loaded(
        attempt(1, "alpha", S.CONFIRMED), state=OrderState.CANCELLING, booking=booking(), cancel_requested=True
    )

    step = cancelling.retried(rows, at(120), LATER, why)
    assert step is not None
    again = cancelling.retried(LoadedOrder(step.order, rows.attempts), at(240), at(120), why)

    failure = step.order.failure
    assert failure is not None
    assert (step.order.state, step.order.due_time, kinds(step)) == (
        OrderState.NEEDS_REVIEW, at(120), [EventKind.ORDER_NEEDS_REVIEW],
    )  # fmt: skip
    assert (failure.reason, failure.carrier_code) == (reason, code)
    assert "no right" in failure.message
    assert "void W1 in the console of alpha (account alpha-1)" in failure.remedy
    assert again is not None
    assert (again.order.state, again.order.due_time, again.events) == (OrderState.NEEDS_REVIEW, at(240), ())


def test_a_cancel_that_succeeds_ends_its_review() -> None:
    """Nothing is left to do for anybody."""
    rows = loaded(
        attempt(1, "alpha", S.CONFIRMED),
        state=OrderState.NEEDS_REVIEW,
        booking=booking(),
        cancel_requested=True,
        failure=Failure("CARRIER_AUTH_FAILED", "?", "!"),
    )

    done = cancelling.cancelled(rows, 1, False, LATER)
    refused = cancelling.refused(rows, CarrierError(ErrorClass.PERMANENT), LATER)

    assert done is not None
    assert refused is not None
    assert (done.order.state, done.order.failure, done.order.due_time) == (OrderState.CANCELLED, None, None)
    assert (refused.order.state, refused.order.cancel_requested) == (OrderState.BOOKED, False)


def test_the_review_of_a_booking_is_none_of_a_cancel() -> None:
    """Nothing is known to be booked: there is nothing whose cancel could be open."""
    rows = loaded(attempt(1, "alpha", S.UNKNOWN), state=OrderState.NEEDS_REVIEW, cancel_requested=True)

    assert cancelling.retried(rows, at(1), LATER) is None
    assert cancelling.refused(rows, NO, LATER) is None


def test_a_refused_cancel_leaves_the_booking_standing() -> None:
    """BOOKED again, with the carrier's words and what to do."""
    rows = loaded(
        attempt(1, "alpha", S.CONFIRMED), state=OrderState.CANCELLING, booking=booking(), cancel_requested=True
    )

    step = cancelling.refused(rows, CarrierError(ErrorClass.PERMANENT, code="9", message="已揽收"), LATER)

    assert step is not None
    order = step.order
    assert (order.state, order.cancel_requested, order.due_time) == (OrderState.BOOKED, False, None)
    assert order.failure is not None
    assert (order.failure.reason, order.failure.carrier_code) == ("ORDER_NOT_CANCELLABLE", "9")
    assert "已揽收" in order.failure.message
    assert kinds(step) == [EventKind.ORDER_BOOKED]


@pytest.mark.parametrize("state", [OrderState.BOOKED, OrderState.CANCELLED])
def test_the_outcome_of_a_cancel_that_is_over_changes_nothing(state: OrderState) -> None:
    """Somebody else has ended it meanwhile."""
    rows = loaded(attempt(1, "alpha", S.CONFIRMED), state=state, booking=booking())

    assert cancelling.retried(rows, at(1), LATER) is None
    assert cancelling.refused(rows, NO, LATER) is None


def kinds(step: Step) -> list[EventKind]:
    """The kinds of its events."""
    return [e.kind for e in step.events]
