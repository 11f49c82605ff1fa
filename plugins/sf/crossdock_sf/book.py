"""Booking and its look-up: `EXP_RECE_CREATE_ORDER`, `EXP_RECE_SEARCH_ORDER_RESP` (sheet 4.4, 4.5).

Rules of this file: an order counts as booked only when the answer names our reference, says that it
is accepted and carries one parent number of SF's own pattern. Whatever falls short of that, and is
no documented refusal, is TEMPORARY with unknown effect: the look-up decides, never a second order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from crossdock_sdk import (
    Absent,
    Booked,
    Booking,
    BookOutcome,
    CallContext,
    CarrierError,
    ErrorClass,
    FindOutcome,
    Flow,
    Pending,
    Refused,
    Routing,
)
from crossdock_sf import codes, wire
from crossdock_sf.order_body import order_body

CREATE = "EXP_RECE_CREATE_ORDER"
SEARCH = "EXP_RECE_SEARCH_ORDER_RESP"

# filterResult: an int in a creation, a string in a search (trap 5). Compared as text.
MANUAL_CHECK, ACCEPTED, REFUSED = "1", "2", "3"
# waybillType; 3 is the number of the returned receipt.
PARENT, CHILD = "1", "2"
ROUTING_OK = "1000"

OwnsNumber = Callable[[str], bool]
"""Tells whether a text is a waybill number of ours (`Manifest.owns_number`)."""


class _Number(msgspec.Struct, frozen=True, rename="camel"):
    waybill_type: int | str | None = None
    waybill_no: str | None = None


class _Order(msgspec.Struct, frozen=True, rename="camel"):
    order_id: str | None = None
    filter_result: int | str | None = None
    remark: str | None = None
    waybill_no_info_list: list[_Number] | None = None
    # Read apart: odd routing data must not cast doubt on a booking.
    route_label_info: msgspec.Raw = msgspec.Raw(b"null")


class _RouteData(msgspec.Struct, frozen=True, rename="camel"):
    dest_route_label: str | None = None
    two_dimension_code: str | None = None
    pro_name: str | None = None
    limit_type_code: str | None = None
    pro_code: str | None = None


class _Route(msgspec.Struct, frozen=True, rename="camel"):
    code: Any = None
    route_label_data: _RouteData | None = None


def book(ctx: CallContext, bookings: Sequence[Booking], owns_number: OwnsNumber) -> Flow[list[BookOutcome]]:
    """Book parcels, one call each: the creation takes no list.

    A used reference (8016) is DUPLICATE with side effect UNKNOWN: the look-up tells what it names.
    Should SF replay the first order instead, the answer is that order, which is ours as well.
    """

    def step(index: int, booking: Booking) -> Flow[Booked]:
        body = order_body(ctx.account, booking)
        data = yield from wire.call(ctx, CREATE, body, index=index)
        return created(booking, wire.read(data, _Order), owns_number)

    return (yield from wire.one_by_one(bookings, step))


def find(ctx: CallContext, references: Sequence[str], owns_number: OwnsNumber) -> Flow[list[FindOutcome]]:
    """Look bookings up by our reference. The answer carries no routing codes.

    The document does not say what a search tells of a cancelled order; 8037, whose meaning is
    documented, is taken as Refused. A second cancel is the proof to ask for.
    """

    def step(index: int, reference: str) -> Flow[Booked | Absent | Pending | Refused]:
        try:
            data = yield from wire.call(ctx, SEARCH, search_body(reference), index=index)
        except CarrierError as error:
            return _not_there(reference, error)
        return settled(reference, wire.read(data, _Order), owns_number)

    return (yield from wire.one_by_one(references, step))


def search_body(reference: str) -> dict[str, object]:
    """The business object of a look-up; searchType 1 is the forward order."""
    return {"orderId": reference, "searchType": "1", "language": "zh-cn"}


def created(booking: Booking, order: _Order, owns_number: OwnsNumber) -> Booked:
    """What the answer to a creation proves. Raises CarrierError for everything but a booking."""
    outcome = settled(booking.reference, order, owns_number)
    if isinstance(outcome, Pending):
        raise wire.contradiction(outcome.reason, f"filterResult {MANUAL_CHECK}")
    if isinstance(outcome, Refused):
        field, _ = codes.SCREENING_REASONS.get((order.remark or "").strip(), ("", ""))
        raise CarrierError(ErrorClass.NO_SERVICE, code=outcome.code, message=outcome.reason, field=field)
    if 1 + len(outcome.sub_waybill_numbers) != len(booking.parcels):
        raise wire.contradiction(
            f"SF answered {1 + len(outcome.sub_waybill_numbers)} waybill numbers for {len(booking.parcels)} parcels"
        )
    return outcome


def settled(reference: str, order: _Order, owns_number: OwnsNumber) -> Booked | Pending | Refused:
    """What SF believes of an order. Raises CarrierError when the answer does not add up."""
    if order.order_id != reference:
        raise wire.contradiction("SF answered with another order than the one asked for")
    screening = str(order.filter_result)
    if screening == MANUAL_CHECK:
        return Pending(reference, "manual check pending at SF")
    if screening == REFUSED:
        return Refused(reference, f"filterResult {REFUSED}", _reason(order.remark or ""))
    if screening != ACCEPTED:
        raise wire.contradiction("SF did not say whether it takes the order", f"filterResult {screening}")
    return _booked(reference, order, owns_number)


def _booked(reference: str, order: _Order, owns_number: OwnsNumber) -> Booked:
    numbers = order.waybill_no_info_list or []
    parents = [n.waybill_no or "" for n in numbers if str(n.waybill_type) == PARENT]
    children = [n.waybill_no or "" for n in numbers if str(n.waybill_type) == CHILD]
    ours = parents + children
    if len(parents) != 1 or not all(map(owns_number, ours)) or len(set(ours)) != len(ours):
        raise wire.contradiction("SF accepted the order without one usable waybill number a parcel")
    return Booked(reference, parents[0], tuple(children), routing=_routing(bytes(order.route_label_info)))


def _not_there(reference: str, error: CarrierError) -> Absent | Refused:
    if error.error_class is ErrorClass.NOT_FOUND:
        return Absent(reference)
    if error.code == codes.ALREADY_CANCELLED and error.error_class is ErrorClass.PERMANENT:
        return Refused(reference, error.code, error.message)
    raise error


def _reason(remark: str) -> str:
    # `remark` is 1, 2 or 3, or a text of SF's such as the peak season's "4:...".
    _, meaning = codes.SCREENING_REASONS.get(remark.strip(), ("", ""))
    return meaning or codes.shown(remark) or "SF's screening refused the order without a reason"


def _routing(raw: bytes) -> Routing:
    try:
        routes = msgspec.json.decode(raw, type=list[_Route] | None) or []
    except (msgspec.DecodeError, RecursionError):
        return Routing()
    for route in routes:
        if str(route.code) == ROUTING_OK and route.route_label_data:
            data = route.route_label_data
            return Routing(
                sort_code=data.dest_route_label or "",
                qr_text=data.two_dimension_code or "",
                # The performed product, which SF may have downgraded: not what was ordered.
                product_name=data.pro_name or data.limit_type_code or data.pro_code or "",
            )
    return Routing()
