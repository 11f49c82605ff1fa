"""getOrderInfo (查询订单, carrier sheet section 4.4): by ZTO's ids, never by our reference.

A full-network order is found only by its waybill number (type 1), a pick-up order also by orderCode
(type 0). Therefore `carrier_order_ids` may hold either: 18 digits are an orderCode, 12 to 15 a
waybill number.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crossdock_sdk import (
    Absent,
    Account,
    Booked,
    CallContext,
    CarrierError,
    ErrorClass,
    FindOutcome,
    Flow,
    HttpRequest,
    HttpResponse,
    Pending,
    Refused,
)
from crossdock_zto import terms
from crossdock_zto.codes import CODES
from crossdock_zto.wire import call, is_order_code, is_waybill, result, unclear

API = "zto.open.getOrderInfo"

CANCELLED = "-2"
LIVE = frozenset({"0", "1", "2", "3", "99"})
"""orderStatus: placed, branch assigned, courier assigned, courier on the way, done."""


class GetOrderInfo(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The request: `type` 0 pick-up order, 1 full-network, and one of the two ids."""

    type: str
    order_code: str = ""
    bill_code: str = ""


class Order(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of an order. `tradeId` as our partnerOrderCode is inferred: the sheet only lists
    the field.

    Should it mean something else, its value matches no reference of ours and the booking stays
    unresolved.
    """

    order_code: str | None = None
    bill_code: str | None = None
    order_status: int | str | None = None
    trade_id: str | None = None
    cancel_reason: str | None = None

    def __repr__(self) -> str:
        return f"Order({self.order_code} {self.order_status})"


def find_by_carrier_order(ctx: CallContext, carrier_order_ids: Sequence[str]) -> Flow[list[FindOutcome]]:
    """One call an id. Absent carries no reference, since nothing told us whose id it was."""
    outcomes: list[FindOutcome] = []
    for asked in carrier_order_ids:
        if not (is_order_code(asked) or is_waybill(asked)):
            outcomes.append(_not_an_id())
            continue
        response = yield build(ctx.account, asked)
        outcomes.append(read(ctx.account, asked, response))
    return outcomes


def build(account: Account, asked: str) -> HttpRequest:
    """The signed getOrderInfo for an orderCode or a waybill number."""
    if is_order_code(asked):
        return call(account, API, GetOrderInfo(type="0", order_code=asked))
    kind = "1" if terms.full_network(account) else "0"
    return call(account, API, GetOrderInfo(type=kind, bill_code=asked))


def read(account: Account, asked: str, response: HttpResponse) -> FindOutcome:
    """The outcome of getOrderInfo, never an exception."""
    try:
        orders = result(response, list[Order] | None, CODES) or []  # type: ignore[arg-type]  # a union is no type[T] to mypy
    except CarrierError as refused:
        if refused.error_class is not ErrorClass.NOT_FOUND:
            return refused
        orders = []
    order = next((o for o in orders if asked in (o.order_code, o.bill_code)), None)
    if order is not None:
        return _outcome(order)
    if orders:
        return unclear("", "getOrderInfo answered with other orders than the one asked for")
    if is_order_code(asked) and terms.full_network(account):
        # Not Absent: ZTO does not see full-network orders by orderCode even when they exist.
        return unclear("", "full-network orders are looked up by waybill number; ask with that")
    return Absent("")


def _outcome(order: Order) -> FindOutcome:
    status = str(order.order_status)
    reference = order.trade_id or ""
    if status == CANCELLED:
        return Refused(reference, code=status, reason=order.cancel_reason or "cancelled at ZTO")
    if status not in LIVE:
        return unclear("", f"orderStatus {status[:20]!r} is not one ZTO documents")
    if not is_waybill(order.bill_code or ""):
        return Pending(reference, "ZTO has the order but has not given a waybill number yet")
    return Booked(reference, order.bill_code or "", carrier_order_id=order.order_code or "")


def _not_an_id() -> CarrierError:
    return CarrierError(
        ErrorClass.INVALID_REQUEST,
        message="not an id of ZTO's: give an orderCode (18 digits) or a waybill number (12 to 15)",
    )
