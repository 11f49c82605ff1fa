"""How a simulated parcel travels: a pure function of its booking, the piece's number and the speed.

A parcel is collected two hours after its booking, passes the hubs of both ends in the days of its lane, and ends as
its story says. The story is told by a word in the order's remark, else drawn from the waybill number. `speed` divides
every span of time; events stay a whole second apart, since acceptTime has no finer unit, so that even the fastest
parcel arrives in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import md5
from typing import Any

import msgspec

from crossdock_sdk.codec import local_text
from crossdock_sdk.simulator import Entry
from crossdock_sf.wire import ZONE

DELIVERED, REFUSED, LOCKER, LOST, REDELIVERED = "delivered", "refused", "locker", "lost", "redelivered"
BACK = "back"
"""The story of the parcel that returns, under a number of its own."""

REMARK_WORDS: Mapping[str, str] = {
    "拒收": REFUSED, "丰巢": LOCKER, "丢失": LOST, "改派": REDELIVERED, "签收": DELIVERED, "退货": DELIVERED,
}  # fmt: skip
"""Word in an order's remark -> how its parcel ends; the first found counts. What goes back is taken in."""

# Of a hundred parcels: up to which draw each unhappy end goes.
_DRAWS = ((3, REFUSED), (11, LOCKER), (16, REDELIVERED), (17, LOST))

COLLECTED_AFTER_H = 2.0
STATUS_NAMES: Mapping[str, str] = {
    "101": "已揽收", "201": "运送中", "301": "派送中", "401": "已签收", "1101": "待取件", "1301": "待再派",
}  # fmt: skip
_RETURN_SERIES = 500_000_000
_FROM, _TO = "origin_city", "destination_city"


class Step(msgspec.Struct, frozen=True):
    """One thing that happens, `after_h` hours into the parcel's life.

    `place` is a key of the ledger's facts. `status` is what the query tells ("4/401"), empty for none; `told_as`: the
    opCode the query gives instead of `operation`, empty for the same. Remarks may name {city} and {new}.
    """

    after_h: float
    operation: str
    place: str
    remark: str
    status: str = ""
    told_as: str = ""
    reason: str = ""
    reason_name: str = ""


class Scan(msgspec.Struct, frozen=True):
    """One event of one piece, whether it has happened yet or not. `time` is a whole second."""

    event_id: str
    number: str
    reference: str
    time: datetime
    city: str
    remark: str
    step: Step


# Hours since the booking.
_OUTWARD = (
    Step(COLLECTED_AFTER_H, "54", _FROM, "顺丰速运 已收取快件", "1/101"),
    Step(3.0, "30", _FROM, "快件在【{city}样例营业点】完成分拣，准备发往【{city}样例中转场】", "2/201"),
    Step(3.5, "36", _FROM, "快件离开【{city}样例营业点】", "2/201"),
    Step(5.0, "31", _FROM, "快件到达【{city}样例中转场】", "2/201"),
    Step(6.0, "30", _FROM, "快件在【{city}样例中转场】完成分拣", "2/201"),
    Step(7.0, "36", _FROM, "快件离开【{city}样例中转场】", "2/201"),
)
# Hours since the arrival in the destination's hub.
_INWARD = (
    Step(0.0, "31", _TO, "快件到达【{city}样例中转场】", "2/201"),
    Step(1.0, "36", _TO, "快件离开【{city}样例中转场】", "2/201"),
    Step(2.5, "31", _TO, "快件到达【{city}样例营业点】", "2/201"),
    # Told before the courier sets out, as in real traffic: not yet out for delivery.
    Step(3.0, "44", _TO, "快件在【{city}样例营业点】已分配给收派员", "2/201"),
    Step(4.0, "204", _TO, "快件正在派送途中，请您准备签收", "3/301"),
)
_SIGNED = "您的快件已签收，感谢使用顺丰"
_PICTURE = "在官网可查看签收人信息"
_ENDS: Mapping[str, tuple[Step, ...]] = {
    DELIVERED: (
        Step(7.0, "80", _TO, _SIGNED, "4/401"),
        Step(7.05, "8000", _TO, _PICTURE, "4/401"),
    ),
    REFUSED: (
        Step(7.0, "70", _TO, "收件人拒收，派送不成功", "13/1301"),
        # Returns carry no status code; their opCode and words tell (sheet 6.1).
        Step(9.0, "99", _TO, "应客户要求，快件正在退回", reason="2", reason_name="退回"),
        Step(11.0, "648", _TO, "快件已退回，新单号为：{new}"),
    ),
    LOCKER: (
        # The push tells 125, the query a signature whose words deny it (trap 14).
        Step(7.0, "125", _TO, "快件已放入丰巢顺丰自助柜，请凭取件码取件", "4/401", told_as="80"),
        Step(13.0, "128", _TO, "快件已凭取件码取出", "4/401"),
        Step(13.05, "80", _TO, _SIGNED, "4/401"),
    ),
    REDELIVERED: (
        Step(7.0, "70", _TO, "因收件人不在，派送不成功，已改派", "13/1301"),
        Step(25.0, "204", _TO, "快件正在派送途中，请您准备签收", "3/301"),
        Step(28.0, "80", _TO, _SIGNED, "4/401"),
        Step(28.05, "8000", _TO, _PICTURE, "4/401"),
    ),
}
_LOSS = Step(72.0, "8000", _FROM, "快件运输异常，客服将与您联系", reason="6", reason_name="遗失")
# Hours since 648.
_HOMEWARD = (
    Step(1.0, "36", _TO, "快件离开【{city}样例中转场】", "2/201"),
    Step(25.0, "31", _FROM, "快件到达【{city}样例营业点】", "2/201"),
    Step(26.0, "204", _FROM, "快件正在派送途中，请您准备签收", "3/301"),
    Step(28.0, "80", _FROM, _SIGNED, "4/401"),
)


def story_of(remark: object) -> str:
    """The story a remark asks for, "" when it asks for none."""
    return next((story for word, story in REMARK_WORDS.items() if word in str(remark or "")), "")


def story(entry: Entry) -> str:
    """How the parcel of a booking ends."""
    asked = str(entry.facts.get("story", ""))
    if asked:
        return asked
    draw = _digest(entry.waybill_number) % 100
    return next((end for limit, end in _DRAWS if draw < limit), DELIVERED)


def return_number(number: str) -> str:
    """The number a refused piece goes home under: from the far end of the sandbox's series."""
    return f"SF7444{(int(number[-9:]) + _RETURN_SERIES) % 1_000_000_000:09d}"


def pieces(entry: Entry) -> tuple[str, ...]:
    """The numbers that travel because of a booking: parent, children and, when refused, what returns of each."""
    outward = (entry.waybill_number, *entry.facts.get("children", ()))
    back = tuple(map(return_number, outward)) if story(entry) == REFUSED else ()
    return (*outward, *back)


def scans(entry: Entry, number: str, speed: float) -> tuple[Scan, ...]:
    """The whole life of one piece, what has not happened yet included."""
    outward = (entry.waybill_number, *entry.facts.get("children", ()))
    steps = _steps(story(entry), float(entry.facts.get("days", 2)))
    new = return_number(number)
    start = entry.time
    if number not in outward:
        start, steps = _times(entry.time, steps, speed)[-1], _HOMEWARD
        new = ""
    times = _times(start, steps, speed)
    return tuple(
        _scan(entry, number, new, index, time, step)
        for index, (time, step) in enumerate(zip(times, steps, strict=True))
    )


def happened(entry: Entry, number: str, now: datetime, speed: float) -> tuple[Scan, ...]:
    """What has happened to a piece by `now`, oldest first."""
    return tuple(scan for scan in scans(entry, number, speed) if scan.time <= now)


def collected_time(entry: Entry, speed: float) -> datetime:
    """When the courier collects the parcels of a booking: their first event."""
    return _times(entry.time, _OUTWARD[:1], speed)[0]


def is_collected(entry: Entry, now: datetime, speed: float) -> bool:
    """Whether the courier has been: from then on an order cannot be cancelled any more."""
    return collected_time(entry, speed) <= now


def query_row(scan: Scan) -> dict[str, Any]:
    """An element of `routes` as a newer account gets it."""
    step = scan.step
    first, _, second = step.status.partition("/")
    row = {
        "acceptTime": _local(scan),
        "acceptAddress": scan.city,
        "remark": scan.remark,
        "opCode": step.told_as or step.operation,
    }
    if first:
        name = STATUS_NAMES[second]
        row |= {"firstStatusCode": first, "firstStatusName": name}
        row |= {"secondaryStatusCode": second, "secondaryStatusName": name}
    if step.reason:
        row |= {"reasonCode": step.reason, "reasonName": step.reason_name}
    return row


def push_row(scan: Scan) -> dict[str, str]:
    """An element of `WaybillRoute`: no status codes, which SF adds on agreement only."""
    return {
        "id": scan.event_id,
        "mailno": scan.number,
        "orderid": scan.reference,
        "acceptTime": _local(scan),
        "acceptAddress": scan.city,
        "remark": scan.remark,
        "opCode": scan.step.operation,
        "reasonCode": scan.step.reason,
        "reasonName": scan.step.reason_name,
    }


def _steps(end: str, days: float) -> tuple[Step, ...]:
    if end == LOST:
        return (*_OUTWARD, _LOSS)
    arrival_h = 24 * max(days, 1.0) - 4
    return (*_OUTWARD, *(msgspec.structs.replace(s, after_h=s.after_h + arrival_h) for s in (*_INWARD, *_ENDS[end])))


def _times(start: datetime, steps: tuple[Step, ...], speed: float) -> list[datetime]:
    times: list[datetime] = []
    for step in steps:
        time = start + timedelta(hours=step.after_h / speed)
        if time.microsecond:
            time = time.replace(microsecond=0) + timedelta(seconds=1)
        if times and time <= times[-1]:
            time = times[-1] + timedelta(seconds=1)
        times.append(time)
    return times


def _scan(entry: Entry, number: str, new: str, index: int, time: datetime, step: Step) -> Scan:
    city = str(entry.facts.get(step.place, ""))
    event_id = f"177{_digest(f'{number}/{index}') % 10**12:012d}"
    return Scan(event_id, number, entry.reference, time, city, step.remark.format(city=city, new=new), step)


def _local(scan: Scan) -> str:
    return local_text(scan.time, ZONE)


def _digest(text: str) -> int:
    return int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[:8], "big")
