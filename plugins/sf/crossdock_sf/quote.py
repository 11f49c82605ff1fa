"""Price and arrival before booking: `EXP_RECE_QUERY_DELIVERTM` (sheet 4.2). Books nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from crossdock_sdk import (
    Address,
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    Lane,
    Money,
    Parcel,
    Quote,
    QuoteOutcome,
)
from crossdock_sdk.codec import from_local_text, kilograms, local_text
from crossdock_sf import wire

SERVICE_CODE = "EXP_RECE_QUERY_DELIVERTM"
WITH_PRICE = "1"

# The document wants the province of a municipality without 市: `北京`, `上海`.
_MUNICIPALITIES = {"北京市": "北京", "上海市": "上海", "天津市": "天津", "重庆市": "重庆"}
_MAX_FEE = Decimal(10_000_000)  # yuan; beyond that the answer is rubbish, not a price


class _Offer(msgspec.Struct, frozen=True, rename="camel"):
    business_type: str | int | None = None
    deliver_time: str | None = None
    fee: Decimal | None = None  # JSON number read from its text, never as a float


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    deliver_tm_dto: list[_Offer] | None = None


def quote(ctx: CallContext, lanes: Sequence[Lane]) -> Flow[list[QuoteOutcome]]:
    """Price lanes; a lane without a service of its own is answered with all default products."""
    return (yield from wire.one_by_one(lanes, lambda index, lane: _quote_one(ctx, index, lane)))


def quote_body(ctx: CallContext, lane: Lane) -> dict[str, object]:
    """The business object of a quote: kilograms and cm3 with 2 decimals, Beijing time."""
    body: dict[str, object] = {
        "businessType": lane.service,
        "consignedTime": local_text(ctx.now, wire.ZONE),
        "searchPrice": WITH_PRICE,
        "srcAddress": _place(lane.shipper.address),
        "destAddress": _place(lane.recipient.address),
    }
    # "> 0, 2 decimals": an envelope of 4 g still weighs 0.01 kg.
    if lane.weight_g > 0:
        body["weight"] = max(kilograms(lane.weight_g, 2), 0.01)
    if volume_mm3 := volume_of(lane.parcels):
        body["volume"] = round(volume_mm3 / 1000, 2)
    if card := ctx.account.setting("monthly_card"):
        body["monthlyCard"] = card
    return body


def volume_of(parcels: Sequence[Parcel]) -> int:
    """Volume of all parcels in mm3, 0 when one of them is not measured."""
    volumes = [p.length_mm * p.width_mm * p.height_mm for p in parcels]
    return sum(volumes) if all(volumes) else 0


def _place(address: Address) -> dict[str, str]:
    return {
        "province": _MUNICIPALITIES.get(address.province, address.province),
        "city": address.city,
        "district": address.district,
        "address": f"{address.town}{address.street}",
    }


def _quote_one(ctx: CallContext, index: int, lane: Lane) -> Flow[tuple[Quote, ...]]:
    data = yield from wire.call(ctx, SERVICE_CODE, quote_body(ctx, lane), index=index)
    offers = wire.read(data, _Answer).deliver_tm_dto or []
    quotes = tuple(_quote(ctx.now, offer) for offer in offers if offer.business_type)
    if not quotes:
        raise CarrierError(ErrorClass.NO_SERVICE, message="SF offers no product on this lane", field="service")
    return quotes


def _quote(now: datetime, offer: _Offer) -> Quote:
    arrival = _arrival(offer.deliver_time or "")
    return Quote(
        service=str(offer.business_type),
        freight=_freight(offer.fee),
        transit_s=max(0, int((arrival - now).total_seconds())) if arrival else None,
        deliver_by_time=arrival,
    )


def _freight(fee: Decimal | None) -> Money | None:
    # No currency field: CNY on the mainland, the only country of the manifest.
    if fee is None:
        return None
    if not 0 <= fee < _MAX_FEE:
        raise wire.contradiction("SF answered a price that cannot be one")
    return Money("CNY", int((fee * 100).quantize(Decimal(1), ROUND_HALF_UP)))


def _arrival(text: str) -> datetime | None:
    """One time, or `start,end`: the promise is the end. A text of another form promises nothing."""
    try:
        return from_local_text(text.rsplit(",", 1)[-1].strip(), wire.ZONE)
    except ValueError:
        return None
