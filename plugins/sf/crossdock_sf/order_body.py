"""The business object of `EXP_RECE_CREATE_ORDER`: one booking in SF's words (sheet 4.4). Pure.

Units on the wire: kilograms with 3 decimals, cm3, yuan, Beijing time without offset.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from crossdock_sdk import Account, Booking, Item, Money, Options, Party, Temperature
from crossdock_sdk.codec import kilograms, local_text
from crossdock_sf import wire
from crossdock_sf.quote import volume_of

SENDER, RECEIVER = 1, 2
DEFAULT_PAY_METHOD = "1"

# The sheet documents temperatureRange for product 12 (医药专递). 冷运特惠 (201) carries both layers
# too and has no other field to tell them apart, so it gets the same one: inferred [I].
_TEMPERATURE_RANGES = {Temperature.CHILLED: 1, Temperature.FROZEN: 3}

_MOBILE = re.compile(r"1[3-9][0-9]{9}")


def order_body(account: Account, booking: Booking) -> dict[str, object]:
    """The whole order. Raises CarrierError(INVALID_REQUEST) for what SF cannot be told."""
    options = booking.options
    body: dict[str, object] = {
        "language": "zh-CN",
        "orderId": booking.reference,
        "expressTypeId": _product(booking.service),
        "payMethod": int(account.setting("pay_method") or DEFAULT_PAY_METHOD),
        "parcelQty": len(booking.parcels),
        "isGenWaybillNo": 1,
        "isReturnRoutelabel": 1,
        "isSignBack": int(options.signed_receipt),
        "isDocall": int(options.pickup),
        "cargoDetails": _cargo(booking),
        "contactInfoList": [
            _contact(SENDER, booking.shipper),
            _contact(RECEIVER, booking.recipient),
        ],
    }
    optional = {
        "monthlyCard": account.setting("monthly_card"),
        "totalWeight": kilograms(booking.weight_g),
        "volume": round(volume_of(booking.parcels) / 1000, 2),
        "temperatureRange": _TEMPERATURE_RANGES.get(options.temperature),
        "serviceList": _services(options),
        "remark": booking.remark,
        "custReferenceNo": booking.order_reference,
        **_pickup(options),
    }
    return body | {key: value for key, value in optional.items() if value}


@lru_cache(maxsize=64)
def _product(service: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", service):
        raise wire.refused_locally("service", "SF's products are numbers such as 2 (顺丰标快)")
    return int(service)


def _cargo(booking: Booking) -> list[dict[str, object]]:
    cargo = [_goods(item) for parcel in booking.parcels for item in parcel.items]
    if not cargo:
        raise wire.refused_locally("parcels.items", "SF wants the goods' names; give each parcel an item")
    return cargo


def _goods(item: Item) -> dict[str, object]:
    # Weight is that of one piece, as in the document's sample (2 x 0.7 kg in a parcel of 1.5 kg).
    # amount and currency are for customs, and whether of a piece or a line is not told: left out.
    goods: dict[str, object] = {"name": item.title, "count": item.quantity}
    return goods | {"weight": kilograms(item.weight_g)} if item.weight_g else goods


def _contact(kind: int, party: Party) -> dict[str, object]:
    contact, address = party.contact, party.address
    fields = {
        "contact": contact.name,
        "mobile" if _MOBILE.fullmatch(contact.phone) else "tel": contact.phone,
        "company": contact.company,
        "email": contact.email,
        "country": address.country_code,
        "province": address.province,
        "city": address.city,
        "county": address.district,  # `county` is the district; one SDK mixes it up with `country`
        "address": f"{address.town}{address.street}",
        "postCode": address.postal_code,
    }
    return {"contactType": kind} | {key: value for key, value in fields.items() if value}


def _services(options: Options) -> list[dict[str, str]]:
    services = []
    if options.cash_on_delivery:
        amount = _yuan("cash_on_delivery", options.cash_on_delivery)
        services.append({"name": "COD", "value": amount})
    if options.insured_value:
        amount = _yuan("insured_value", options.insured_value)
        services.append({"name": "INSURE", "value": amount})
    return services


def _yuan(option: str, money: Money) -> str:
    if money.currency_code != "CNY":
        raise wire.refused_locally(f"options.{option}.currency_code", "SF takes this amount in CNY on mainland orders")
    return money.decimal()


def _pickup(options: Options) -> dict[str, object]:
    if not options.pickup:
        return {}
    window: dict[str, object] = {}
    if options.pickup_start_time:
        window["sendStartTm"] = _beijing(options.pickup_start_time)
    if options.pickup_end_time:
        # The end of the window has no field of its own in a creation [S].
        end = _beijing(options.pickup_end_time)
        window["extraInfoList"] = [{"attrName": "pickupAppointEndTime", "attrVal": end}]
    return window


def _beijing(time: datetime) -> str:
    return local_text(time, wire.ZONE)
