"""What the wish to cancel, and what became of it, does to an order; see `transitions` for the rules."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from crossdock_sdk import CarrierError, ErrorClass
from engine.core.policy.records import AttemptState, EventKind, Failure, LoadedOrder, OrderRecord, OrderState
from engine.core.policy.transitions import REASONS, Step, event


def requested(loaded: LoadedOrder, now: datetime) -> Step | None:
    """The caller wants it cancelled."""
    order = loaded.order
    if order.cancel_requested or order.state in (OrderState.CANCELLED, OrderState.FAILED):
        return None
    booked = order.state is OrderState.BOOKED
    state = OrderState.CANCELLING if booked else order.state
    wanted = replace(
        order,
        state=state,
        cancel_requested=True,
        cancel_tries=0,
        failure=None if booked else order.failure,  # what an earlier cancel was refused with
        due_time=now,
        update_time=now,
    )
    return Step(wanted, (), (event(wanted, EventKind.ORDER_CANCELLING, now),) if booked else ())


def cancelled(loaded: LoadedOrder, number: int, local_only: bool, now: datetime) -> Step | None:
    """The carrier's booking is void."""
    attempt = next((a for a in loaded.attempts if a.number == number), None)
    if attempt is None or attempt.state is not AttemptState.CONFIRMED or loaded.order.booking is None:
        return None
    void = replace(attempt, state=AttemptState.VOIDED)
    order = replace(
        loaded.order,
        state=OrderState.CANCELLED,
        booking=replace(loaded.order.booking, voided_locally=local_only),
        failure=None,
        due_time=None,
        update_time=now,
    )
    return Step(order, (void,), (event(order, EventKind.ORDER_CANCELLED, now),))


def retried(loaded: LoadedOrder, next_time: datetime, now: datetime, for_person: object = None) -> Step | None:
    """The cancel's outcome is open; it is asked again at `next_time` (cancels may repeat).

    for_person: what came of it, once it has been open for so long that a person is called. A cancel that succeeds
    later ends the review.
    """
    booking = loaded.order.booking
    if booking is None or not _is_cancelling(loaded.order):
        return None
    order = replace(loaded.order, cancel_tries=loaded.order.cancel_tries + 1, due_time=next_time, update_time=now)
    if for_person is None or order.state is OrderState.NEEDS_REVIEW:
        return Step(order)
    error = for_person if isinstance(for_person, CarrierError) else CarrierError(ErrorClass.TEMPORARY)
    failure = Failure(
        reason=REASONS[error.error_class][0],
        message=f"{booking.carrier} has not cancelled {booking.waybill_number}: {for_person}",
        remedy=f"void {booking.waybill_number} in the console of {booking.carrier} (account {booking.account_id}), or "
        "mend what the message says: the engine goes on asking for the cancel and ends the review when it succeeds",
        carrier=booking.carrier,
        carrier_code=error.code,
        carrier_message=error.message,
    )
    order = replace(order, state=OrderState.NEEDS_REVIEW, failure=failure)
    return Step(order, (), (event(order, EventKind.ORDER_NEEDS_REVIEW, now, reason=failure.message),))


def _is_cancelling(order: OrderRecord) -> bool:
    """Whether a booking of its is being cancelled; with a person called, that shows in no state of its own."""
    if order.state is OrderState.NEEDS_REVIEW:
        return order.cancel_requested and order.booking is not None
    return order.state is OrderState.CANCELLING


def refused(loaded: LoadedOrder, error: CarrierError, now: datetime) -> Step | None:
    """The carrier does not cancel it any more: the booking stands."""
    if not _is_cancelling(loaded.order):
        return None
    carrier = loaded.order.booking.carrier if loaded.order.booking else ""
    failure = Failure(
        reason="ORDER_NOT_CANCELLABLE",
        message=f"{carrier} does not cancel it: {error.message or 'no text'}",
        remedy="the parcel is on its way; intercept it in the carrier's console or wait for it and return it",
        carrier=carrier,
        carrier_code=error.code,
        carrier_message=error.message,
    )
    order = replace(
        loaded.order,
        state=OrderState.BOOKED,
        cancel_requested=False,
        failure=failure,
        due_time=None,
        update_time=now,
    )
    return Step(order, (), (event(order, EventKind.ORDER_BOOKED, now, reason=failure.message),))
