"""ZTO's tracking codes as data (carrier sheet section 6): two vocabularies that share words and no meaning.

The query says `scanType`, one field with three name spaces (Chinese words, numbers, English words); codes are
`scan:收件`, `scan:1`. The push says `action`; codes are `action:GOT`. ARRIVAL is a locker in the query and a hub in the
push, hence two tables. Codes are compared as whole texts. Where the sheet lets the text choose between locker and shop,
the row ending in `/柜` is the one for a text that names a locker.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

from crossdock_sdk import CodeStatus, Milestone, TrackEvent, TrackStatus, TrackTable

VERSION = 1
"""Rises when a row of either table changes: stored events name it."""

_AT_SHOP = CodeStatus(TrackStatus.AVAILABLE_FOR_COLLECTION, Milestone.AT_STATION)
_AT_LOCKER = CodeStatus(TrackStatus.AVAILABLE_FOR_COLLECTION, Milestone.AT_LOCKER)
_COLLECTED = CodeStatus(TrackStatus.PICKED_UP, Milestone.COLLECTED)
_DEPARTED = CodeStatus(TrackStatus.IN_TRANSIT, Milestone.DEPARTED_FACILITY)
_ARRIVED = CodeStatus(TrackStatus.IN_TRANSIT, Milestone.ARRIVED_AT_FACILITY)
_FORWARDED = CodeStatus(TrackStatus.IN_TRANSIT, Milestone.FORWARDED)
_DELIVERING = CodeStatus(TrackStatus.OUT_FOR_DELIVERY, Milestone.OUT_FOR_DELIVERY)
_SIGNED = CodeStatus(TrackStatus.DELIVERED, Milestone.SIGNED_BY_RECIPIENT)
_SIGNED_BY_AGENT = CodeStatus(TrackStatus.DELIVERED, Milestone.SIGNED_BY_AGENT)
_TROUBLE = CodeStatus(TrackStatus.EXCEPTION)
_RETURNING = CodeStatus(TrackStatus.RETURNING, Milestone.RETURN_STARTED)
_RETURNED = CodeStatus(TrackStatus.RETURNED, Milestone.RETURN_COMPLETED)

SCANS = TrackTable(
    VERSION,
    {
        "scan:收件": _COLLECTED,
        "scan:1": _COLLECTED,
        "scan:发件": _DEPARTED,
        "scan:2": _DEPARTED,
        "scan:到件": _ARRIVED,
        "scan:3": _ARRIVED,
        "scan:派件": _DELIVERING,
        "scan:4": _DELIVERING,
        "scan:签收": _SIGNED,
        "scan:5": _SIGNED,
        "scan:第三方签收": _SIGNED_BY_AGENT,
        "scan:7": _SIGNED_BY_AGENT,
        "scan:退件": _RETURNING,
        "scan:8": _RETURNING,
        "scan:退件签收": _RETURNED,
        "scan:问题件": _TROUBLE,  # what the problem is stands in the text only
        "scan:事件": _TROUBLE,
        "scan:转单": _FORWARDED,
        "scan:9": _FORWARDED,
        "scan:安检": CodeStatus(TrackStatus.IN_TRANSIT),
        "scan:ARRIVAL": _AT_SHOP,  # into somebody else's shop or locker: no facility of ZTO's
        "scan:ARRIVAL/柜": _AT_LOCKER,
        "scan:44": _AT_SHOP,
        "scan:44/柜": _AT_LOCKER,
        "scan:SIGNED": _SIGNED,  # taken out by the recipient
        "scan:DELIVERY": _DELIVERING,  # the shop brings it to the door
        "scan:DEPARTURE": _TROUBLE,  # taken out of the locker by somebody else than the recipient
        "scan:45": CodeStatus(TrackStatus.OUT_FOR_DELIVERY),  # left the third party again; the sheet says no more
    },
)
"""scanType of the track query."""

ACTIONS = TrackTable(
    VERSION,
    {
        "action:GOT": _COLLECTED,
        "action:DEPARTURE": _DEPARTED,
        "action:ARRIVAL": _ARRIVED,
        "action:DISPATCH": _DELIVERING,
        "action:INBOUND": _AT_SHOP,
        "action:INBOUND/柜": _AT_LOCKER,
        "action:HANDOVERSCAN_SIGNED": _AT_SHOP,  # the shop signed for it, the recipient has nothing yet
        "action:DEPARTURE_SIGNED": _SIGNED,  # fetched with the pick-up code
        "action:SIGNED": _SIGNED,
        "action:PROBLEM": _TROUBLE,
        "action:RETURN_SCAN": _RETURNING,
        "action:RETURN_SIGNED": _RETURNED,
    },
)
"""action of the trace push."""

LOCKER_WORDS = ("快递柜", "自提柜", "智能柜", "自助柜", "寄存柜", "柜机", "丰巢")
"""What a text calls a locker. 柜 alone is also a counter (柜台) or a wardrobe."""

COURIER_STATUSES = frozenset({TrackStatus.PICKED_UP, TrackStatus.OUT_FOR_DELIVERY, TrackStatus.DELIVERED})
"""Whoever made a scan of these is the courier; at other scans it is somebody inside a facility."""

_MAX_CODE = 60


def look_up(table: TrackTable, space: str, word: str, *texts: str) -> tuple[str, CodeStatus | None]:
    """The code as an event carries it, and its row: None when the table does not know it.

    texts: what may name a locker; they choose between two rows of one code and never decide a status.
    """
    code = f"{space}:{word[:_MAX_CODE]}"
    of_locker = f"{code}/柜"
    if of_locker in table.rows and any(name in text for text in texts for name in LOCKER_WORDS):
        code = of_locker
    return code, table.find(code)


def set_aside(waybill_number: str, space: str, raw: bytes, now: datetime) -> TrackEvent:
    """The event for one that cannot be read: kept with its bytes, never in the way of the others.

    Its time is when it came; its id is derived from its bytes, so that a repeat is known by it.
    """
    mark = f"unreadable:{blake2b(raw, digest_size=12).hexdigest()}"
    return TrackEvent(waybill_number, now, f"{space}:unreadable", "", None, known=False, carrier_event_id=mark, raw=raw)
