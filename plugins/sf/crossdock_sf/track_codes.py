"""What SF's tracking codes mean (carrier sheet, section 6): one literal table, and the rule of evidence.

Rules of this file: a row is copied from the sheet, evidence marked weak there included. Codes have name spaces:
`status:2/201` is firstStatusCode/secondaryStatusCode, `op:54` an opCode, `op:70/46` an opCode with its reasonCode.
Words decide only where the sheet says that they do, and those are rows as well (`WORDS`). Nothing else is guessed.
A change of any row raises the table's version.
"""

from __future__ import annotations

import re

import msgspec

from crossdock_sdk import CodeStatus, Milestone, TrackStatus, TrackTable

VERSION = 1

_COLLECTED = CodeStatus(TrackStatus.PICKED_UP, Milestone.COLLECTED)
_ACCEPTED = CodeStatus(TrackStatus.PRE_TRANSIT, Milestone.ORDER_ACCEPTED)
_MOVING = CodeStatus(TrackStatus.IN_TRANSIT)
_DEPARTED = CodeStatus(TrackStatus.IN_TRANSIT, Milestone.DEPARTED_FACILITY)
_ARRIVED = CodeStatus(TrackStatus.IN_TRANSIT, Milestone.ARRIVED_AT_FACILITY)
_OUT = CodeStatus(TrackStatus.OUT_FOR_DELIVERY, Milestone.OUT_FOR_DELIVERY)
_ATTEMPTED = CodeStatus(TrackStatus.DELIVERY_ATTEMPTED)
_REFUSED = CodeStatus(TrackStatus.DELIVERY_ATTEMPTED, Milestone.REFUSED)
_WAITING = CodeStatus(TrackStatus.AVAILABLE_FOR_COLLECTION)
_LOCKER = CodeStatus(TrackStatus.AVAILABLE_FOR_COLLECTION, Milestone.AT_LOCKER)
_STATION = CodeStatus(TrackStatus.AVAILABLE_FOR_COLLECTION, Milestone.AT_STATION)
_SIGNED = CodeStatus(TrackStatus.DELIVERED, Milestone.SIGNED_BY_RECIPIENT)
_BY_AGENT = CodeStatus(TrackStatus.DELIVERED, Milestone.SIGNED_BY_AGENT)
_TROUBLE = CodeStatus(TrackStatus.EXCEPTION)
_FORWARDED = CodeStatus(TrackStatus.EXCEPTION, Milestone.FORWARDED)
_RETURNING = CodeStatus(TrackStatus.RETURNING, Milestone.RETURN_STARTED)

TRACK = TrackTable(
    VERSION,
    {
        # 6.1, the query of newer accounts. A row without milestone takes it from the opCode beside it.
        "status:7/701": CodeStatus(TrackStatus.PRE_TRANSIT, Milestone.COURIER_ASSIGNED),  # 待揽收
        "status:1/101": _COLLECTED,  # 已揽收
        "status:2/201": _MOVING,  # 运送中
        "status:2/204": CodeStatus(TrackStatus.IN_CUSTOMS, Milestone.CUSTOMS_DECLARED),  # 清关中
        "status:2/205": CodeStatus(TrackStatus.IN_CUSTOMS, Milestone.CUSTOMS_CLEARED),  # 已清关
        "status:3/301": _OUT,  # 派送中
        "status:3": _OUT,  # operation 44 is a delivery "if the first code is 3", whatever the second
        "status:4/401": _SIGNED,  # 已签收
        "status:5/501": CodeStatus(TrackStatus.CANCELLED, Milestone.VOIDED),  # 已作废
        "status:9": _FORWARDED,  # 已转寄; the sheet knows no second code of it
        "status:11/1101": _WAITING,  # 待取件, in a locker or at a station
        "status:13/1301": CodeStatus(TrackStatus.DELIVERY_ATTEMPTED, Milestone.RESCHEDULED),  # 待再派
        # 6.2, before and at the collection
        "op:46": CodeStatus(TrackStatus.PRE_TRANSIT),
        "op:51": CodeStatus(TrackStatus.PRE_TRANSIT),
        "op:127": _ACCEPTED,
        "op:138": _ACCEPTED,
        "op:655": _ACCEPTED,  # 合作点已代收
        "op:607": _COLLECTED,  # 代理收件; another source says customs
        "op:50": _COLLECTED,
        "op:54": _COLLECTED,
        # on the way
        "op:30": _MOVING,  # sorted and ready; nothing has moved
        "op:36": _DEPARTED,
        "op:31": _ARRIVED,
        "op:105": _DEPARTED,
        "op:106": _ARRIVED,
        "op:310": _ARRIVED,
        "op:43": _MOVING,
        "op:95": _MOVING,
        "op:197": _MOVING,
        "op:302": _MOVING,
        "op:303": _MOVING,
        "op:305": _MOVING,
        "op:407": _MOVING,
        "op:408": _MOVING,
        "op:501": _MOVING,
        "op:5000": _MOVING,
        "op:603": _MOVING,  # cross-border handling
        "op:628": _MOVING,
        "op:608": CodeStatus(TrackStatus.IN_CUSTOMS, Milestone.CUSTOMS_CLEARED),
        "op:123": _MOVING,  # on the way to an SF shop
        "op:3036": _MOVING,  # one source treats it as abnormal
        # delivery
        "op:44": CodeStatus(TrackStatus.IN_TRANSIT, Milestone.ARRIVED_DELIVERY_STATION),  # before 204, see WORDS
        "op:204": _OUT,
        "op:634": _OUT,
        "op:34": CodeStatus(TrackStatus.OUT_FOR_DELIVERY, Milestone.DELAYED),
        "op:33": _ATTEMPTED,
        "op:33/83": _WAITING,
        "op:33/85": _WAITING,
        "op:70": CodeStatus(TrackStatus.DELIVERY_ATTEMPTED, Milestone.RECIPIENT_ABSENT),
        "op:70/46": CodeStatus(TrackStatus.CANCELLED),
        "op:70/83": _ATTEMPTED,  # switched to self-collection: not there yet, and nobody was absent
        "op:70/85": _ATTEMPTED,
        "op:870": _TROUBLE,
        "op:77": _TROUBLE,
        # lockers, shops and stations
        "op:125": _LOCKER,
        "op:126": _TROUBLE,  # pickup code expired, or taken back by the courier
        "op:128": _SIGNED,  # taken out of the locker
        "op:130": _STATION,
        "op:218": _STATION,
        "op:642": _STATION,
        "op:657": _STATION,
        "op:678": _STATION,
        "op:658": _SIGNED,
        "op:679": _SIGNED,
        # delivered
        "op:97": _BY_AGENT,
        "op:677": _BY_AGENT,
        "op:935": _BY_AGENT,
        "op:80": _SIGNED,
        "op:8000": _SIGNED,  # "signature information available", follows 80
        "op:8000/6": CodeStatus(TrackStatus.EXCEPTION, Milestone.LOST),
        "op:8000/2": _TROUBLE,  # scrapped
        # returned and forwarded; 648 is decided by words alone
        "op:99": _FORWARDED,
        "op:99/2": _RETURNING,
        "op:517": _FORWARDED,
        "op:631": _RETURNING,
    },
)

# "Test the negative words before 签收": what looks delivered is not, when the text says so.
_NOT_SIGNED = (
    ("拒收", CodeStatus(TrackStatus.EXCEPTION, Milestone.REFUSED)),
    ("退回", _RETURNING),
    ("转寄", _FORWARDED),
    ("顺丰自助柜", _LOCKER),  # the query tells a delivery into a locker as signed (trap 14)
)

WORDS: dict[str, tuple[tuple[str, CodeStatus], ...]] = {
    "status:4/401": _NOT_SIGNED,
    "status:11/1101": (("自助柜", _LOCKER), ("丰巢", _LOCKER)),
    "status:13/1301": (("拒收", _REFUSED),),
    "op:33": (("拒收", _REFUSED),),
    "op:44": (("派送途中", _OUT),),
    "op:70": (("拒收", _REFUSED),),
    "op:80": _NOT_SIGNED,
    "op:8000": _NOT_SIGNED,
    "op:99": (("退回", _RETURNING), ("作废", _RETURNING)),
    "op:648": (("退回", _RETURNING), ("转寄", _FORWARDED)),
}
"""Code -> words in `remark` that decide before the code's own row does, in this order."""

KNOWN_WITHOUT_STATUS = frozenset({"op:922"})
"""Codes that are documented to change nothing: 922 says that a receipt number was given."""

_CODE = re.compile(r"[0-9A-Za-z_-]{1,12}")
_NO_REASON = frozenset({"", "0"})


class Decision(msgspec.Struct, frozen=True):
    """`code` is the evidence that decided, or the best that came when none did. `known`: see TrackEvent."""

    code: str
    row: CodeStatus | None
    known: bool


def decide(first: str, second: str, operation: str, reason: str, remark: str) -> Decision:
    """Where a parcel stands after one event: status codes, then the opCode, each with its words.

    Empty text stands for a code that did not come.
    """
    candidates = [*_status_codes(first, second), *_operation_codes(operation, reason)]
    for code in candidates:
        row = _row(code, remark)
        if row is not None:
            return Decision(code, _refined(row, code, operation, reason, remark), True)
        if code in KNOWN_WITHOUT_STATUS:
            return Decision(code, None, True)
    # The pair, or the opCode without a reason: what somebody would look up in SF's list.
    best = next(iter(_status_codes(first, second)), f"op:{_tame(operation)}")
    return Decision(best, None, False)


def _row(code: str, remark: str) -> CodeStatus | None:
    for word, row in WORDS.get(code, ()):
        if word in remark:
            return row
    return TRACK.find(code)


def _refined(row: CodeStatus, code: str, operation: str, reason: str, remark: str) -> CodeStatus:
    """A status code that names no milestone takes it from the opCode, if that one says the same status."""
    if row.milestone or not code.startswith("status:"):
        return row
    for other in _operation_codes(operation, reason):
        finer = _row(other, remark)
        if finer is not None:
            return finer if finer.status is row.status else row
    return row


def _status_codes(first: str, second: str) -> list[str]:
    if not first:
        return []
    alone = f"status:{_tame(first)}"
    return [f"{alone}/{_tame(second)}", alone] if second else [alone]


def _operation_codes(operation: str, reason: str) -> list[str]:
    plain = f"op:{_tame(operation)}"
    return [plain] if reason in _NO_REASON else [f"{plain}/{_tame(reason)}", plain]


def _tame(code: str) -> str:
    # Codes become names of metrics: free text in their place must not.
    return code if _CODE.fullmatch(code) else "?"
