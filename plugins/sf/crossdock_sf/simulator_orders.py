"""What the simulator demands of an order and what it makes of one. Pure, over decoded JSON.

Refusals use the codes of section 5 of the carrier sheet. Where the sheet gives several codes for
several meanings (6127 to 6139) the choice among them is the simulator's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from crossdock_sf import simulator_geo as geo
from crossdock_sf.codes import PRODUCTS
from crossdock_sf.simulator_story import story_of

MONTHLY_CARD = "7551234567"
CONTRACT = frozenset({"1", "2", "154", "155", "201"})
"""Products of the test account's contract."""

MAX_PARCELS = 307
MAX_TIMED_KG = 300
SERVICE_NAMES = frozenset({"COD", "INSURE", "IN26", "TDELIVERY", "URGENT", "IN159", "IN160"})

HELD_MARK = "人工筛单"
"""In a recipient's address: the order waits for a manual check (filterResult 1)."""

Json = Mapping[str, Any]


class Refusal(Exception):
    """A business refusal: SF's code and text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code = code
        self.text = text


def check_order(order: Json) -> None:
    """Everything a creation is refused for before anything is remembered. Raises Refusal."""
    for key in ("orderId", "language", "contactInfoList", "cargoDetails"):
        if not order.get(key):
            raise Refusal("S0002", f"{key}不能为空")
    if not isinstance(order["orderId"], str) or len(order["orderId"]) > 64:
        raise Refusal("S0004", "orderId过长")
    _check_contact(contact_of(order, 1), ("1010", "1011", "1012"), "寄件")
    _check_contact(contact_of(order, 2), ("1014", "1015", "1016"), "收件")
    if any(not _get(goods, "name") for goods in _list(order["cargoDetails"])):
        raise Refusal("S0002", "cargoDetails.name不能为空")
    check_monthly_card(order.get("monthlyCard"), pays_sender=order.get("payMethod", 1) == 1)
    _check_product(order)
    _check_parcels(order)
    for service in _list(order.get("serviceList")):
        _check_service(service)


def check_monthly_card(card: object, *, pays_sender: bool) -> None:
    """The account that pays. Raises Refusal 6126, 8114 or 20028."""
    if card is None:
        if pays_sender:
            raise Refusal("8114", "月结卡号不可用")
        return
    if not isinstance(card, str) or not re.fullmatch(r"[0-9]{10}", card):
        raise Refusal("6126", "月结卡号格式不正确")
    if card != MONTHLY_CARD:
        raise Refusal("20028", "月结卡号不匹配")


def contact_of(order: Json, kind: int) -> Json:
    """The sender (1) or receiver (2) of an order, empty when there is none."""
    contacts = [c for c in _list(order.get("contactInfoList")) if _get(c, "contactType") == kind]
    return contacts[0] if contacts else {}


def screening(order: Json) -> tuple[int, str]:
    """filterResult and remark of an order."""
    sender, receiver = contact_of(order, 1), contact_of(order, 2)
    if not geo.known_province(_province(receiver)):
        return 3, "1"
    if not geo.known_province(_province(sender)):
        return 3, "2"
    if HELD_MARK in str(receiver.get("address", "")):
        return 1, ""
    return 2, ""


def facts_of(order: Json, numbers: Sequence[str]) -> dict[str, Any]:
    """What the carrier remembers of a booking: no names, phones or streets.

    `numbers`: parent, children, receipt.
    """
    sender, receiver = contact_of(order, 1), contact_of(order, 2)
    quantity = int(order.get("parcelQty", 1))
    product = str(order.get("expressTypeId", 1))
    origin = geo.area_code(_province(sender), str(sender.get("city", "")))
    destination = geo.area_code(_province(receiver), str(receiver.get("city", "")))
    return {
        "children": list(numbers[1:quantity]),
        "receipts": list(numbers[quantity:]),
        "origin": origin,
        "destination": destination,
        "route_label": geo.route_label(destination, str(receiver.get("county", "")), str(receiver.get("address", ""))),
        "product": product,
        "total_weight_kg": order.get("totalWeight"),
        "services": {s["name"]: s["value"] for s in _list(order.get("serviceList"))},
        "temperature_range": order.get("temperatureRange"),
        "origin_city": str(sender.get("city", "")),
        "destination_city": str(receiver.get("city", "")),
        "days": geo.transit_days(product, _province(sender), _province(receiver)),
        "story": story_of(order.get("remark")),
    }


def numbers_needed(order: Json) -> int:
    """Parent, children and the number of the returned receipt."""
    return int(order.get("parcelQty", 1)) + (1 if order.get("isSignBack") == 1 else 0)


def number_list(waybill_number: str, facts: Json) -> list[dict[str, Any]]:
    """`waybillNoInfoList` of a remembered booking."""
    listed = [(1, waybill_number)]
    listed += [(2, number) for number in facts["children"]]
    listed += [(3, number) for number in facts["receipts"]]
    return [{"waybillType": kind, "waybillNo": number} for kind, number in listed]


def creation_answer(reference: str, waybill_number: str, facts: Json) -> dict[str, Any]:
    """`msgData` of a creation: filterResult as an int, codes in camel case."""
    return {
        "orderId": reference,
        "originCode": facts["origin"],
        "destCode": facts["destination"],
        "filterResult": 2,
        "remark": "",
        "waybillNoInfoList": number_list(waybill_number, facts),
        "routeLabelInfo": [_route(waybill_number, facts)],
    }


def search_answer(reference: str, waybill_number: str, facts: Json, partner: str) -> dict[str, Any]:
    """`msgData` of a look-up: filterResult a string, codes in lower case, no routing (trap 5)."""
    return {
        "orderId": reference,
        "waybillNoInfoList": number_list(waybill_number, facts),
        "origincode": facts["origin"],
        "destcode": facts["destination"],
        "filterResult": "2",
        "remark": "",
        "clientCode": partner,
    }


def undecided_answer(reference: str, result: int | str, remark: str) -> dict[str, Any]:
    """`msgData` of an order that was refused by screening or waits for it."""
    return {
        "orderId": reference,
        "filterResult": result,
        "remark": remark,
        "waybillNoInfoList": None,
    }


def _route(waybill_number: str, facts: Json) -> dict[str, Any]:
    label, product = facts["route_label"], facts["product"]
    limit = geo.LIMIT_TYPES.get(product, "T6")
    area, _, rest = label.partition("-")
    code = f"MMM={{'k1':'{area}','k2':'{facts['destination']}','k3':'','k4':'{limit}',"
    return {
        "code": "1000",
        "routeLabelData": {
            "waybillNo": waybill_number,
            "sourceTransferCode": facts["origin"],
            "destRouteLabel": label,
            "destTeamCode": rest,
            "proName": PRODUCTS[product],
            "limitTypeCode": limit,
            "proCode": limit,
            "expressTypeCode": "B1",
            "twoDimensionCode": f"{code}'k5':'{waybill_number}','k6':'','k7':''}}",
        },
        "message": f"{waybill_number}:",
    }


def _check_contact(contact: Json, codes: tuple[str, str, str], who: str) -> None:
    address, name, phone = codes
    if not contact.get("address"):
        raise Refusal(address, f"{who}人地址不能为空")
    if not contact.get("contact"):
        raise Refusal(name, f"{who}联系人不能为空")
    if not (contact.get("mobile") or contact.get("tel")):
        raise Refusal(phone, f"{who}电话不能为空")


def _check_product(order: Json) -> None:
    product = str(order.get("expressTypeId", 1))
    if product not in CONTRACT:
        raise Refusal("8057", "产品不存在或未配置")
    if order.get("temperatureRange") not in (None, 1, 3):
        raise Refusal("S0007", "temperatureRange类型错误")


def _check_parcels(order: Json) -> None:
    quantity, weight = order.get("parcelQty", 1), order.get("totalWeight")
    if not isinstance(quantity, int) or quantity < 1:
        raise Refusal("S0006", "parcelQty过小")
    if quantity > MAX_PARCELS:
        raise Refusal("8117", "子单号数量不能大于307")
    if weight is None:
        if quantity > 1:
            raise Refusal("S0002", "totalWeight不能为空")
        return
    if not isinstance(weight, int | float):
        raise Refusal("S0007", "totalWeight类型错误")
    if weight <= 0:
        raise Refusal("S0006", "totalWeight过小")
    if weight > MAX_TIMED_KG and str(order.get("expressTypeId", 1)) != "155":
        raise Refusal("20012", "重量超过300KG")


def _check_service(service: object) -> None:
    name, value = _get(service, "name"), _get(service, "value")
    if name not in SERVICE_NAMES:
        raise Refusal("6127", "增值服务名称不正确")
    if name in ("COD", "INSURE") and not re.fullmatch(r"[0-9]{1,8}(\.[0-9]{1,2})?", str(value)):
        raise Refusal("6138", "金额不正确")


def _province(contact: Json) -> str:
    # An address may hold province and city when their own fields are empty.
    return str(contact.get("province") or contact.get("address") or "")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _get(value: object, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
