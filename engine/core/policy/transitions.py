"""What a finding does to an order: each function takes the rows as they are and returns the rows as they shall be.

Pure. A finding may arrive after somebody else changed the order (a push, a cancel, a late answer): every
function looks the attempt up again by number and returns None when there is nothing left to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from crossdock_sdk import Absent, Booked, CarrierError, ErrorClass, Refused, Routing
from engine.core.policy.records import (
    IN_DOUBT,
    MAY_HAVE_BOOKED,
    AttemptRecord,
    AttemptState,
    BookingRecord,
    EventKind,
    Failure,
    LoadedOrder,
    NewEvent,
    OrderRecord,
    OrderState,
)

REASONS: Mapping[str, tuple[str, str]] = {
    ErrorClass.INVALID_REQUEST: (
        "CARRIER_INVALID_REQUEST",
        "correct the field and create the order again with a new request_id",
    ),
    ErrorClass.AUTH: ("CARRIER_AUTH_FAILED", "check the account's settings with `crossdock config check`"),
    ErrorClass.NOT_FOUND: ("CARRIER_NOT_FOUND", "check the number with the carrier"),
    ErrorClass.DUPLICATE: ("CARRIER_DUPLICATE", "look the reference up in the carrier's console"),
    ErrorClass.NO_SERVICE: (
        "CARRIER_NO_SERVICE",
        "add a carrier that serves this lane, then create the order again with a new request_id",
    ),
    ErrorClass.CAPACITY: ("CARRIER_CAPACITY", "create the order again later with a new request_id"),
    ErrorClass.RATE_LIMITED: ("CARRIER_RATE_LIMITED", "create the order again later with a new request_id"),
    ErrorClass.BALANCE: ("CARRIER_BALANCE_EMPTY", "buy waybill numbers or top the account up at the carrier"),
    ErrorClass.TEMPORARY: ("CARRIER_UNAVAILABLE", "create the order again later with a new request_id"),
    ErrorClass.PERMANENT: ("CARRIER_REJECTED", "read the carrier's text; another carrier may take it"),
}
"""Reason of error_reason.proto and remedy per error class."""


class Step(msgspec.Struct, frozen=True):
    """The rows as they shall be; the same shape the store commits."""

    order: OrderRecord
    attempts: tuple[AttemptRecord, ...] = ()
    events: tuple[NewEvent, ...] = ()


def event(order: OrderRecord, kind: EventKind, now: datetime, *, reason: str = "", carrier: str = "") -> NewEvent:
    """An event about `order` as it shall be."""
    booking = order.booking
    return NewEvent(
        tenant=order.tenant,
        order_id=order.order_id,
        kind=kind,
        time=now,
        reference=order.draft.reference,
        state=order.state,
        carrier=carrier or (booking.carrier if booking else ""),
        waybill_number=booking.waybill_number if booking else "",
        reason=reason,
    )


def in_doubt(loaded: LoadedOrder, number: int) -> AttemptRecord | None:
    """The attempt, if its outcome is still open."""
    return next((a for a in loaded.attempts if a.number == number and a.state in IN_DOUBT), None)


def started(loaded: LoadedOrder, attempt: AttemptRecord, now: datetime, safety_time: datetime) -> Step:
    """A further attempt is about to be sent."""
    previous = loaded.attempts[-1].carrier if loaded.attempts else attempt.carrier
    order = replace(loaded.order, state=OrderState.BOOKING, failure=None, due_time=safety_time, update_time=now)
    events: tuple[NewEvent, ...] = ()
    if previous != attempt.carrier:
        last = loaded.attempts[-1]
        reason = f"{previous}: {last.error_class or last.state}"
        if attempt.cause:
            reason = f"{reason}; {attempt.cause}"
        events = (event(order, EventKind.CARRIER_CHANGED, now, reason=reason, carrier=attempt.carrier),)
    return Step(order, (attempt,), events)


def confirmed(loaded: LoadedOrder, number: int, booked: Booked, service_name: str, now: datetime) -> Step | None:
    """The carrier has booked it. Late is better than never: an absence that was believed is taken back."""
    attempt = in_doubt(loaded, number)
    if attempt is None:
        return _completed(loaded, number, booked, service_name) or _surfaced(loaded, number, booked, service_name, now)
    # What was in doubt keeps its story: why, and how many look-ups and pushes it took.
    asked = attempt.state is AttemptState.UNKNOWN
    done = replace(attempt, state=AttemptState.CONFIRMED, end_time=now, error_class="", lookups=attempt.lookups + asked)
    cancelling = loaded.order.cancel_requested
    order = replace(
        loaded.order,
        state=OrderState.CANCELLING if cancelling else OrderState.BOOKED,
        booking=BookingRecord(
            carrier=attempt.carrier,
            account_id=attempt.account_id,
            service=attempt.service,
            service_name=service_name,
            waybill_number=booked.waybill_number,
            booked_time=now,
            sub_waybill_numbers=booked.sub_waybill_numbers,
            carrier_order_id=booked.carrier_order_id,
            routing=booked.routing,
            freight=booked.freight,
        ),
        failure=None,
        due_time=now if cancelling else None,
        update_time=now,
    )
    kind = EventKind.ORDER_CANCELLING if cancelling else EventKind.ORDER_BOOKED
    return Step(order, (done,), (event(order, kind, now),))


def _completed(loaded: LoadedOrder, number: int, booked: Booked, service_name: str) -> Step | None:
    """The carrier's own answer after a push that overtook it: a push names the waybill, and hardly anything else."""
    booking = loaded.order.booking
    is_settled = any(a.number == number and a.state is AttemptState.CONFIRMED for a in loaded.attempts)
    if booking is None or not is_settled or booking.waybill_number != booked.waybill_number:
        return None
    whole = replace(
        booking,
        service_name=booking.service_name or service_name,
        sub_waybill_numbers=booking.sub_waybill_numbers or booked.sub_waybill_numbers,
        carrier_order_id=booking.carrier_order_id or booked.carrier_order_id,
        routing=booked.routing if booking.routing == Routing() else booking.routing,
        freight=booking.freight or booked.freight,
    )
    return None if whole == booking else Step(replace(loaded.order, booking=whole))


def _surfaced(loaded: LoadedOrder, number: int, booked: Booked, service_name: str, now: datetime) -> Step | None:
    """A booking under an attempt that was settled as absent: kept if it is the only one, else told to a person, once.

    Carriers repeat their pushes for days, so the attempt's cause remembers what was told.
    """
    late = next((a for a in loaded.attempts if a.number == number and a.state is AttemptState.ABSENT), None)
    if late is None or _is_its_own(loaded.order.booking, late, booked):
        return None
    if not any(a.state in MAY_HAVE_BOOKED for a in loaded.attempts):
        doubted_again = replace(late, state=AttemptState.UNKNOWN)
        attempts = tuple(doubted_again if a.number == number else a for a in loaded.attempts)
        return confirmed(LoadedOrder(loaded.order, attempts), number, booked, service_name, now)
    reason = f"{late.carrier} booked {booked.waybill_number} after all, beside another booking; void it in its console"
    if late.cause == reason:
        return None
    order = replace(loaded.order, update_time=now)
    told = event(order, EventKind.ORDER_NEEDS_REVIEW, now, reason=reason, carrier=late.carrier)
    return Step(order, (replace(late, cause=reason),), (told,))


def _is_its_own(booking: BookingRecord | None, attempt: AttemptRecord, booked: Booked) -> bool:
    """Whether what the carrier tells of is the booking that the order has, under whatever attempt."""
    if booking is None or booking.account_id != attempt.account_id:
        return False
    return booked.waybill_number in (booking.waybill_number, *booking.sub_waybill_numbers)


def rejected(loaded: LoadedOrder, number: int, error: CarrierError, now: datetime) -> Step | None:
    """The carrier refused it, with proof that nothing was booked."""
    attempt = in_doubt(loaded, number)
    if attempt is None:
        return None
    done = replace(
        attempt,
        state=AttemptState.REJECTED,
        end_time=now,
        error_class=str(error.error_class),
        carrier_code=error.code,
        carrier_message=error.message,
        field=error.field,
        cause=f"{attempt.carrier} refused the booking",
    )
    return Step(replace(loaded.order, update_time=now, due_time=now), (done,))


def not_sent(loaded: LoadedOrder, number: int, cause: str, now: datetime) -> Step | None:
    """Proved: nothing reached the carrier."""
    attempt = in_doubt(loaded, number)
    if attempt is None:
        return None
    done = replace(
        attempt,
        state=AttemptState.NOT_SENT,
        end_time=now,
        error_class=str(ErrorClass.TEMPORARY),
        cause=cause,
    )
    return Step(replace(loaded.order, update_time=now, due_time=now), (done,))


def doubted(
    loaded: LoadedOrder, number: int, cause: str, now: datetime, error: CarrierError | None = None
) -> Step | None:
    """It is not known whether the carrier booked it."""
    attempt = in_doubt(loaded, number)
    if attempt is None or attempt.state is AttemptState.UNKNOWN:
        return None
    doubt = replace(
        attempt,
        state=AttemptState.UNKNOWN,
        unknown_since=now,
        end_time=now,
        cause=cause,
        error_class=str(error.error_class) if error else "",
        carrier_code=error.code if error else "",
        carrier_message=error.message if error else "",
    )
    order = replace(loaded.order, state=OrderState.BOOKING, due_time=now, update_time=now)
    return Step(order, (doubt,), (event(order, EventKind.OUTCOME_UNKNOWN, now, reason=cause, carrier=attempt.carrier),))


def looked_up(loaded: LoadedOrder, number: int, next_time: datetime, now: datetime) -> Step | None:
    """A look-up settled nothing; the next one is due at `next_time`."""
    attempt = in_doubt(loaded, number)
    if attempt is None:
        return None
    counted = replace(attempt, lookups=attempt.lookups + 1, end_time=now)
    return Step(replace(loaded.order, due_time=next_time, update_time=now), (counted,))


def resolved(
    loaded: LoadedOrder, number: int, found: object, service_name: str, absence_is_proved: bool, now: datetime
) -> Step | None:
    """What a look-up or a push said about an attempt in doubt; anything but a clear answer settles nothing."""
    if isinstance(found, Booked):
        return confirmed(loaded, number, found, service_name, now)
    attempt = in_doubt(loaded, number)
    if attempt is None:
        return _ended(loaded, number, found, now) if isinstance(found, Refused) else None
    # While the call is under way only its own answer, or a booking, says anything: a push may be about an older one.
    if attempt.state is AttemptState.INTENT:
        return None
    if isinstance(found, Refused):
        cause = f"{attempt.carrier} holds no live booking: {found.reason or found.code}"
        return absent(loaded, number, cause, now, burnt=True)
    gone = isinstance(found, Absent) or (isinstance(found, CarrierError) and found.error_class is ErrorClass.NOT_FOUND)
    if gone and absence_is_proved:
        return absent(loaded, number, f"{attempt.carrier} has no booking under {attempt.reference}", now)
    return looked_up(loaded, number, now, now)


def absent(loaded: LoadedOrder, number: int, cause: str, now: datetime, *, burnt: bool = False) -> Step | None:
    """Resolved: the carrier has no live booking under this reference, nor ever will have when it is `burnt`."""
    attempt = in_doubt(loaded, number)
    if attempt is None:
        return None
    lookups = attempt.lookups + 1
    gone = replace(attempt, state=AttemptState.ABSENT, end_time=now, cause=cause, lookups=lookups, burnt=burnt)
    order = replace(loaded.order, state=OrderState.BOOKING, failure=None, due_time=now, update_time=now)
    return Step(order, (gone,))


def _ended(loaded: LoadedOrder, number: int, found: Refused, now: datetime) -> Step | None:
    """The carrier holds a booking under a settled attempt that is not live any more."""
    settled = next((a for a in loaded.attempts if a.number == number), None)
    if settled is not None and settled.state is AttemptState.ABSENT and not settled.burnt:
        # Its absence was believed, so the order goes on; but the reference never serves again.
        return Step(loaded.order, (replace(settled, burnt=True),))
    if settled is None or settled.state is not AttemptState.CONFIRMED:
        return None
    wanted = loaded.order.cancel_requested
    text = found.reason or found.code or "no text"
    failure = Failure(
        reason="CARRIER_CANCELLED",
        message=f"{settled.carrier} cancelled the booking by itself: {text}",
        remedy="ask the carrier why, then create the order again with a new request_id; its reference is free",
        carrier=settled.carrier,
        carrier_code=found.code,
        carrier_message=found.reason,
    )
    order = replace(
        loaded.order,
        state=OrderState.CANCELLED,
        failure=None if wanted else failure,
        due_time=None,
        update_time=now,
    )
    told = event(order, EventKind.ORDER_CANCELLED, now, reason="" if wanted else failure.message)
    return Step(order, (replace(settled, state=AttemptState.VOIDED),), (told,))


_AFTER_REVIEW = {
    True: "the engine goes on looking and books it once absence is proved; cancel it before you ship it otherwise",
    False: "void what is there, then ship under a new reference",
}


def review(loaded: LoadedOrder, number: int, until: datetime | None, now: datetime) -> Step | None:
    """A person must decide. The order says how."""
    attempt = in_doubt(loaded, number)
    if attempt is None:
        return None
    failure = Failure(
        reason="OUTCOME_UNKNOWN",
        message=f"it is not known whether {attempt.carrier} booked reference {attempt.reference}: {attempt.cause}",
        remedy=f"search for reference {attempt.reference} in the console of {attempt.carrier} "
        f"(account {attempt.account_id}); {_AFTER_REVIEW[until is not None]}",
        carrier=attempt.carrier,
        carrier_code=attempt.carrier_code,
        carrier_message=attempt.carrier_message,
    )
    order = replace(loaded.order, state=OrderState.NEEDS_REVIEW, failure=failure, due_time=until, update_time=now)
    return Step(
        order,
        (attempt,) if attempt.state is AttemptState.UNKNOWN else (),
        (event(order, EventKind.ORDER_NEEDS_REVIEW, now, reason=failure.message, carrier=attempt.carrier),),
    )


def finished(loaded: LoadedOrder, state: OrderState, last: AttemptRecord | None, now: datetime) -> Step:
    """Nothing more will be tried."""
    failure = failure_of(last) if state is OrderState.FAILED else None
    order = replace(loaded.order, state=state, failure=failure, due_time=None, update_time=now)
    kind = EventKind.ORDER_CANCELLED if state is OrderState.CANCELLED else EventKind.ORDER_FAILED
    return Step(order, (), (event(order, kind, now, reason=failure.message if failure else ""),))


def failure_of(attempt: AttemptRecord | None) -> Failure:
    """The order's failure in the words of its last attempt."""
    if attempt is None:
        return Failure(
            reason="NO_ELIGIBLE_CARRIER",
            message="no configured carrier can take this order any more",
            remedy="ask QuoteOrder why, change the configuration, then create the order with a new request_id",
        )
    reason, remedy = REASONS.get(attempt.error_class, ("CARRIER_UNAVAILABLE", "create the order again later"))
    text = attempt.carrier_message or attempt.cause or "no text"
    code = f" (code {attempt.carrier_code})" if attempt.carrier_code else ""
    did = "refused the booking" if attempt.state is AttemptState.REJECTED else "did not book it"
    return Failure(
        reason=reason,
        message=f"{attempt.carrier} {did}: {text}{code}",
        remedy=remedy,
        field=attempt.field,
        carrier=attempt.carrier,
        carrier_code=attempt.carrier_code,
        carrier_message=attempt.carrier_message,
    )
