"""What the simulator says of its parcels' scans: in the words of the query, and in those of the push.

One scan is 到件 or 3 in the query and ARRIVAL in the push (carrier sheet section 6). Names and phones are made up.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from zlib import crc32

import msgspec

from crossdock_sdk.simulator import Entry
from crossdock_zto.simulator_route import Scan, Spot, Trip, draw, trip

_CHINA = timezone(timedelta(hours=8))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COURIERS = ("周师傅", "吴师傅", "郑师傅", "冯师傅", "褚师傅")
_BY_COURIER = frozenset({"collected", "dispatched", "signed"})
_SAYS_NUMBERS_ONE_IN = 4


class Words(msgspec.Struct, frozen=True):
    """A kind of scan in both vocabularies. Empty scan_type: the query does not show it; number: its other name."""

    scan_type: str
    number: str
    action: str
    desc: str


KINDS = {
    "collected": Words("收件", "1", "GOT", "【{city}】【{here}】{courier}已揽收"),
    "departed": Words("发件", "2", "DEPARTURE", "【{city}】快件离开【{here}】，已发往【{there}】"),
    "arrived": Words("到件", "3", "ARRIVAL", "【{city}】快件已经到达【{here}】"),
    "dispatched": Words("派件", "4", "DISPATCH", "【{city}】【{here}】{courier}正在派件"),
    "signed": Words("签收", "5", "SIGNED", "【{city}】快件已签收，签收人：{signer}"),
    "handed_over": Words("", "", "HANDOVERSCAN_SIGNED", "【{city}】快件已交给【{here}】代收"),
    "stored": Words("ARRIVAL", "44", "INBOUND", "【{city}】快件已存放至【{here}】，请凭取件码及时领取"),
    "fetched": Words("SIGNED", "", "DEPARTURE_SIGNED", "【{city}】快件已凭取件码从【{here}】取出"),
    "problem": Words("问题件", "", "PROBLEM", "【{city}】【{here}】问题件：{words}"),
    "returning": Words("退件", "8", "RETURN_SCAN", "【{city}】快件已从【{here}】退回"),
    "returned": Words("退件签收", "", "RETURN_SIGNED", "【{city}】退件已签收，签收人：{signer}"),
}

_SPOTS: dict[Spot, Callable[[Trip], tuple[str, str, str]]] = {
    Spot.NOWHERE: lambda t: ("", "", ""),
    Spot.ORIGIN: lambda t: (t.origin_province, t.origin_city, _short(t.origin_city) + _short(t.origin_district)),
    Spot.ORIGIN_HUB: lambda t: (t.origin_province, t.origin_city, f"{_short(t.origin_city)}中转部"),
    Spot.TARGET_HUB: lambda t: (t.target_province, t.target_city, f"{_short(t.target_city)}中转部"),
    Spot.TARGET: lambda t: (t.target_province, t.target_city, _short(t.target_city) + _short(t.target_district)),
    Spot.SHOP: lambda t: (t.target_province, t.target_city, f"{_short(t.target_district)}样例驿站"),
    Spot.LOCKER: lambda t: (t.target_province, t.target_city, f"{_short(t.target_district)}样例快递柜"),
}
"""Spot -> province, city, name of the facility."""


def query_item(entry: Entry, scan: Scan) -> dict[str, object]:
    """One item of the track query's list. Some parcels are told in numbers where the scan has one."""
    words, way = KINDS[scan.leg.kind], trip(entry)
    by_number = words.number and draw(entry, "dialect", _SAYS_NUMBERS_ONE_IN) == 0
    courier, phone = _courier(entry, scan)
    item: dict[str, object] = {
        "billCode": entry.waybill_number,
        "scanType": words.number if by_number else words.scan_type,
        # Milliseconds, but scanners know whole seconds: the same that the push tells.
        "scanDate": (scan.time - _EPOCH) // timedelta(seconds=1) * 1000,
        "desc": desc(entry, scan),
        "scanSite": _site(way, scan.leg.spot),
    }
    if scan.leg.to:
        item["preOrNextSite"] = _site(way, scan.leg.to)
    if courier:
        item |= {"operateUser": courier, "operateUserPhone": phone}
    if _is_end(scan):
        item["signMan"] = "本人"
    return item


def push_data(entry: Entry, scan: Scan, action_time: datetime) -> dict[str, object]:
    """`data` of a trace push; keys vary per event, as ZTO's do."""
    way = trip(entry)
    _, city, facility = _SPOTS[scan.leg.spot](way)
    courier, phone = _courier(entry, scan)
    data: dict[str, object] = {
        "billCode": entry.waybill_number,
        "actionTime": f"{action_time.astimezone(_CHINA):%Y-%m-%d %H:%M:%S}",
        "city": city,
        "facilityCode": _site_code(facility),
        "facilityName": facility,
        "action": KINDS[scan.leg.kind].action,
    }
    if scan.leg.to:
        _, next_city, next_name = _SPOTS[scan.leg.to](way)
        data |= {"nextNodeName": next_name, "nextNodeCode": _site_code(next_name), "nextCity": next_city}
    if courier:
        data |= {"courier": courier, "courierPhone": phone}
    if _is_end(scan):
        data["expressSigner"] = "本人"
    return data | {"desc": desc(entry, scan)}


def desc(entry: Entry, scan: Scan) -> str:
    """The scan for people, the same text in query and push."""
    way = trip(entry)
    _, city, here = _SPOTS[scan.leg.spot](way)
    there = _SPOTS[scan.leg.to](way)[2]
    courier, _ = _courier(entry, scan)
    return KINDS[scan.leg.kind].desc.format(
        city=city, here=here, there=there, courier=courier, signer="本人", words=scan.leg.words
    )


def _courier(entry: Entry, scan: Scan) -> tuple[str, str]:
    """Name and phone, empty for scans inside a facility. Each end of the way has its own courier."""
    if scan.leg.kind not in _BY_COURIER:
        return "", ""
    die = draw(entry, scan.leg.spot, 9_000)
    return _COURIERS[die % len(_COURIERS)], f"1390000{die + 1_000}"


def _site(way: Trip, spot: Spot) -> dict[str, object]:
    province, city, name = _SPOTS[spot](way)
    is_hub = spot in (Spot.ORIGIN_HUB, Spot.TARGET_HUB)
    return {
        "name": name,
        "code": _site_code(name),
        "prov": _short(province),
        "city": city,
        "isCenter": "T" if is_hub else "F",
    }


def _site_code(name: str) -> str:
    return f"{crc32(name.encode()) % 90_000 + 10_000}"


def _is_end(scan: Scan) -> bool:
    return scan.leg.kind in ("signed", "fetched", "returned")


def _short(name: str) -> str:
    """杭州市 -> 杭州, 西湖区 -> 西湖; 浦东新区 stays."""
    if len(name) < 3 or name.endswith(("自治区", "自治县", "新区")):
        return name
    return name[:-1] if name[-1] in "省市区县" else name
