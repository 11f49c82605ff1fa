"""How the simulator's parcels travel: a pure function of the booking, the time and the simulator's speed.

A parcel is collected some hours after its booking, passes a hub at either end and is brought to the door two days
later. A word in the order's remark makes it an unhappy one. Times of day, hubs and couriers are made up; the same
parcel always travels the same way, also after a restart.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from zlib import crc32

import msgspec

from crossdock_sdk.simulator import Entry


class Spot(StrEnum):
    """Where along a parcel's way."""

    NOWHERE = ""
    ORIGIN = "ORIGIN"
    ORIGIN_HUB = "ORIGIN_HUB"
    TARGET_HUB = "TARGET_HUB"
    TARGET = "TARGET"
    SHOP = "SHOP"
    LOCKER = "LOCKER"


class Leg(msgspec.Struct, frozen=True):
    """One scan of a plot. hours: after the booking. between_hubs: left out when both ends share a hub."""

    hours: float
    kind: str
    spot: Spot
    to: Spot = Spot.NOWHERE
    between_hubs: bool = False
    words: str = ""


class Scan(msgspec.Struct, frozen=True):
    """One scan that happened, or will: `index` counts a parcel's scans from 0."""

    index: int
    time: datetime
    leg: Leg


class Trip(msgspec.Struct, frozen=True, array_like=True):
    """Where a parcel comes from and goes to, and which plot it lives; the defaults are for ledgers that do not tell."""

    origin_province: str = "浙江省"
    origin_city: str = "杭州市"
    origin_district: str = "西湖区"
    target_province: str = "四川省"
    target_city: str = "成都市"
    target_district: str = "武侯区"
    plot: str = "delivered"


PLOT_WORDS = {"拒收": "refused", "快递柜": "locker", "驿站": "station", "问题": "problem"}
"""Word in the order's remark -> plot; the first found counts, without any the parcel is delivered."""

_FORTH = (
    Leg(5.0, "collected", Spot.ORIGIN),
    Leg(7.0, "departed", Spot.ORIGIN, Spot.ORIGIN_HUB),
    Leg(9.5, "arrived", Spot.ORIGIN_HUB),
    Leg(12.0, "departed", Spot.ORIGIN_HUB, Spot.TARGET_HUB, between_hubs=True),
    Leg(30.0, "arrived", Spot.TARGET_HUB, between_hubs=True),
    Leg(33.0, "departed", Spot.TARGET_HUB, Spot.TARGET),
    Leg(36.0, "arrived", Spot.TARGET),
    Leg(38.0, "dispatched", Spot.TARGET),
)

PLOTS: dict[str, tuple[Leg, ...]] = {
    "delivered": (*_FORTH, Leg(42.0, "signed", Spot.TARGET)),
    "station": (
        *_FORTH,
        Leg(40.0, "handed_over", Spot.SHOP),
        Leg(40.5, "stored", Spot.SHOP),
        Leg(62.0, "fetched", Spot.SHOP),
    ),
    "locker": (*_FORTH, Leg(40.0, "stored", Spot.LOCKER), Leg(57.0, "fetched", Spot.LOCKER)),
    "problem": (
        *_FORTH,
        Leg(41.0, "problem", Spot.TARGET, words="收件人电话无法接通，约定次日再派"),
        Leg(62.0, "dispatched", Spot.TARGET),
        Leg(65.0, "signed", Spot.TARGET),
    ),
    "refused": (
        *_FORTH,
        Leg(41.0, "problem", Spot.TARGET, words="收件人拒收"),
        Leg(44.0, "returning", Spot.TARGET, Spot.ORIGIN),
        Leg(48.0, "departed", Spot.TARGET, Spot.TARGET_HUB),
        Leg(51.0, "arrived", Spot.TARGET_HUB),
        Leg(54.0, "departed", Spot.TARGET_HUB, Spot.ORIGIN_HUB, between_hubs=True),
        Leg(72.0, "arrived", Spot.ORIGIN_HUB, between_hubs=True),
        Leg(75.0, "departed", Spot.ORIGIN_HUB, Spot.ORIGIN),
        Leg(78.0, "arrived", Spot.ORIGIN),
        Leg(84.0, "returned", Spot.ORIGIN),
    ),
}


def facts(body: dict[str, Any]) -> dict[str, Any]:
    """What a booking's ledger entry has to remember for the journey: no names, no streets, no whole phone."""
    sender, receiver = body["senderInfo"], body["receiveInfo"]
    way = Trip(
        str(sender["senderProvince"]),
        str(sender["senderCity"]),
        str(sender["senderDistrict"]),
        str(receiver["receiverProvince"]),
        str(receiver["receiverCity"]),
        str(receiver["receiverDistrict"]),
        plot_of(str(body.get("remark") or "")),
    )
    phones = (
        sender.get("senderMobile") or sender.get("senderPhone"),
        receiver.get("receiverMobile") or receiver.get("receiverPhone"),
    )
    return {"trip": msgspec.to_builtins(way), "phone_tails": [str(phone)[-4:] for phone in phones]}


def plot_of(remark: str) -> str:
    """Which plot a remark asks for."""
    return next((plot for word, plot in PLOT_WORDS.items() if word in remark), "delivered")


def trip(entry: Entry) -> Trip:
    """The trip of a booking."""
    return msgspec.convert(entry.facts.get("trip", ()), Trip)


def draw(entry: Entry, salt: object, sides: int) -> int:
    """A die of a parcel's own, 0 to sides - 1, that always falls the same way."""
    return crc32(f"{entry.waybill_number}/{salt}".encode()) % sides


def journey(entry: Entry, speed: float) -> tuple[Scan, ...]:
    """All scans of a parcel's life, oldest first. speed: how many times faster than the clock it lives."""
    way = trip(entry)
    one_hub = way.origin_city == way.target_city
    pace_s = _pace_s(entry, speed)
    legs = (leg for leg in PLOTS[way.plot] if not (one_hub and leg.between_hubs))
    return tuple(Scan(n, entry.time + timedelta(seconds=leg.hours * pace_s), leg) for n, leg in enumerate(legs))


def first_time(entry: Entry, speed: float) -> datetime:
    """When the parcel is collected."""
    return entry.time + timedelta(seconds=_FORTH[0].hours * _pace_s(entry, speed))


def so_far(entry: Entry, now: datetime, speed: float, void_time: datetime | None) -> list[Scan]:
    """The scans until now, oldest first; none after `void_time`, when the booking was cancelled."""
    until = now if void_time is None else min(now, void_time)
    return [scan for scan in journey(entry, speed) if scan.time <= until]


def _pace_s(entry: Entry, speed: float) -> float:
    """Seconds of the clock an hour of the plot takes: each parcel is up to 15 % slower or faster than the plot."""
    return 3600 * (0.85 + draw(entry, "pace", 301) / 1000) / speed
