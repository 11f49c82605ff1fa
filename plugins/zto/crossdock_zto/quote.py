"""areaUnobstructed, then obtainPicePrescription (carrier sheet sections 4.1 and 4.2).

The spelling is ZTO's. A destination that is stopped (停发) is NO_SERVICE with ZTO's reason, and its
price is not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from crossdock_sdk import (
    Account,
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    Lane,
    Money,
    Quote,
    QuoteOutcome,
)
from crossdock_zto import vas
from crossdock_zto.codes import CODES, OPEN
from crossdock_zto.party import Place, place
from crossdock_zto.wire import call, result, unclear

AREA_API = "zto.open.areaUnobstructed"
PRICE_API = "zto.open.obtainPicePrescription"
STANDARD = "1"

_MAX_YUAN = Decimal(1_000_000)
_MAX_HOURS = Decimal(24 * 365)


class Prescription(msgspec.Struct, frozen=True, rename="camel"):
    """The price query. `weight` is in kilograms with two decimals, a JSON number."""

    transport_type: int
    sender: Place
    addresser: Place
    weight: msgspec.Raw


class Area(msgspec.Struct, frozen=True, rename="camel"):
    """areaUnobstructed's result."""

    forbid_type: str | None = None
    forbid_reason: str | None = None


class Price(msgspec.Struct, frozen=True):
    """The price query's result. firstWeightPrice is left out: it prices a weight step, not this
    parcel.
    """

    price: Decimal | None = None
    hour: Decimal | None = None


def quote(ctx: CallContext, lanes: Sequence[Lane]) -> Flow[list[QuoteOutcome]]:
    """Two calls an open lane, one a stopped lane, none for what is not offered."""
    outcomes: list[QuoteOutcome] = []
    for lane in lanes:
        try:
            vas.check(lane.options, len(lane.parcels))
            read_area((yield area(ctx.account, lane)))
            outcomes.append((read_price((yield price(ctx.account, lane))),))
        except CarrierError as refused:
            outcomes.append(refused)
    return outcomes


def area(account: Account, lane: Lane) -> HttpRequest:
    """The signed serviceability question; ZTO looks at the recipient only."""
    return call(account, AREA_API, place(lane.recipient.address))


def read_area(response: HttpResponse) -> None:
    """Return for an open destination, raise CarrierError(NO_SERVICE) for a stopped one."""
    answer = result(response, Area, CODES)
    if answer.forbid_type is None:
        raise unclear("", "areaUnobstructed answered without forbidType")
    if answer.forbid_type != OPEN:
        raise CarrierError(
            ErrorClass.NO_SERVICE,
            code=answer.forbid_type,
            message=answer.forbid_reason or "ZTO does not deliver to this address at present",
            field="recipient.address",
        )


def price(account: Account, lane: Lane) -> HttpRequest:
    """The signed price question. Weight is rounded up to 10 g: two decimals of a kilogram is all
    ZTO reads.
    """
    hundredths = -(-lane.weight_g // 10)
    body = Prescription(
        transport_type=1,
        sender=place(lane.shipper.address),
        addresser=place(lane.recipient.address),
        weight=msgspec.Raw(f"{hundredths // 100}.{hundredths % 100:02d}".encode()),
    )
    return call(account, PRICE_API, body)


def read_price(response: HttpResponse) -> Quote:
    """Price and time in transit; None for what ZTO leaves out. Raises CarrierError."""
    answer = result(response, Price, CODES)
    fen = _bounded(answer.price, _MAX_YUAN, "price", scale=100)
    seconds = _bounded(answer.hour, _MAX_HOURS, "hour", scale=3600)
    return Quote(
        STANDARD,
        freight=None if fen is None else Money("CNY", fen),
        transit_s=seconds,
    )


def _bounded(value: Decimal | None, ceiling: Decimal, key: str, *, scale: int) -> int | None:
    """`value` in smaller units, rounded half up; what cannot be true is an error, not a number."""
    if value is None:
        return None
    if not value.is_finite() or not 0 <= value <= ceiling:
        raise unclear("", f"the price answer's {key} is out of all bounds")
    return int((value * scale).quantize(Decimal(1), rounding=ROUND_HALF_UP))
