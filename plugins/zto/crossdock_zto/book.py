"""createOrder (创建订单, carrier sheet section 4.3).

ZTO does not say what it does with a repeated partnerOrderCode and cannot look one up, so an answer
is believed only when it is whole: our reference and a waybill number in it. Everything less is
UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crossdock_sdk import (
    Account,
    Booked,
    Booking,
    BookOutcome,
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    Parcel,
    Routing,
)
from crossdock_zto import terms, vas
from crossdock_zto.codes import BOOK_CODES
from crossdock_zto.party import ReceiveInfo, SenderInfo, receiver, sender
from crossdock_zto.wire import call, is_waybill, result, unclear

API = "zto.open.createOrder"


class AccountInfo(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Who pays: a waybill account with password, or a group customer code."""

    account_id: str = ""
    account_password: str = ""
    customer_id: str = ""
    type: int = 0

    def __repr__(self) -> str:
        return "AccountInfo(***)"


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """`summaryInfo`. size is "length,width,height" in whole centimetres."""

    quantity: int
    size: str = ""


class OrderItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of goods; `weight` in grams."""

    name: str
    weight: int = 0
    quantity: int = 0


class CreateOrder(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The request, fields in the order of ZTO's sample."""

    partner_type: str
    order_type: str
    partner_order_code: str
    account_info: AccountInfo
    sender_info: SenderInfo
    receive_info: ReceiveInfo
    order_vas_list: tuple[vas.Vas, ...] = ()
    summary_info: Summary = Summary(0)
    order_items: tuple[OrderItem, ...] = ()
    remark: str = ""

    def __repr__(self) -> str:
        return f"CreateOrder({self.partner_order_code})"


class BigMark(msgspec.Struct, frozen=True, rename="camel"):
    """Routing text (大头笔) and bag address (集包地)."""

    mark: str | None = None
    bag_addr: str | None = None

    def routing(self) -> Routing:
        """As printed on the label. qr_text stays empty, which means the waybill number: the QR code
        of ZTO's own sheet (section 4.6) leads to its marketing page and tells a scanner nothing.
        """
        return Routing(sort_code=self.mark or "", bag_address=self.bag_addr or "")


class Created(msgspec.Struct, frozen=True, rename="camel"):
    """The result. billCode is empty for orderType 3, which is not offered."""

    bill_code: str | None = None
    order_code: str | None = None
    partner_order_code: str | None = None
    big_mark_info: BigMark | None = None


def book(ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
    """One call a booking, one outcome each."""
    outcomes: list[BookOutcome] = []
    for booking in bookings:
        try:
            request = build(ctx.account, booking)
        except CarrierError as refused:
            outcomes.append(refused)
            continue
        response = yield request
        outcomes.append(read(booking.reference, response))
    return outcomes


def build(account: Account, booking: Booking) -> HttpRequest:
    """The signed createOrder. Raises CarrierError for what ZTO cannot be asked."""
    vas.check(booking.options, len(booking.parcels))
    parcel = booking.parcels[0]
    return call(
        account,
        API,
        CreateOrder(
            partner_type=terms.partner_type(account),
            order_type=terms.order_type(account),
            partner_order_code=booking.reference,
            account_info=_payer(account),
            sender_info=sender(booking.shipper),
            receive_info=receiver(booking.recipient),
            order_vas_list=vas.services(booking.options),
            summary_info=Summary(quantity=1, size=_size_cm(parcel)),
            order_items=_items(parcel),
            remark=booking.remark,
        ),
    )


def read(reference: str, response: HttpResponse) -> BookOutcome:
    """The outcome of createOrder, never an exception."""
    try:
        created = result(response, Created, BOOK_CODES)
    except CarrierError as refused:
        return refused
    if created.partner_order_code != reference:
        return unclear("", "ZTO answered success for another partnerOrderCode than the one sent")
    if not is_waybill(created.bill_code or ""):
        return unclear("", "ZTO answered success without a waybill number (billCode)")
    return Booked(
        reference,
        created.bill_code or "",
        carrier_order_id=created.order_code or "",
        routing=created.big_mark_info.routing() if created.big_mark_info else Routing(),
    )


def _payer(account: Account) -> AccountInfo:
    payer = account.setting("account_id")
    if terms.partner_type(account) == terms.GROUP_CUSTOMER:
        return AccountInfo(customer_id=payer, type=1)
    password = account.secret("account_password")
    if not password:
        raise CarrierError(
            ErrorClass.AUTH,
            message="the account has no account_password, which partner_type 2 needs; configure it",
        )
    return AccountInfo(account_id=payer, account_password=password, type=1)


def _items(parcel: Parcel) -> tuple[OrderItem, ...]:
    """Lines of goods. A single piece without its own weight weighs what the parcel weighs:
    createOrder has no other field for it.
    """
    lone = len(parcel.items) == 1 and parcel.items[0].quantity == 1
    return tuple(
        OrderItem(item.title, item.weight_g or (parcel.weight_g if lone else 0), item.quantity) for item in parcel.items
    )


def _size_cm(parcel: Parcel) -> str:
    """Centimetres rounded up, "" unless all three lengths are known."""
    sides = (parcel.length_mm, parcel.width_mm, parcel.height_mm)
    return ",".join(str(-(-side // 10)) for side in sides) if all(sides) else ""
