"""One event of a parcel's route, as the query and the push both write it (carrier sheet 4.9, 4.11). Pure.

Rules of this file: an event that cannot be read is set aside, never dropped and never in the way of the others: it
keeps its bytes, has no status, and its id is derived from those bytes, so that a repeat is known by it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import blake2b

import msgspec

from crossdock_sdk import Milestone, Place, TrackEvent
from crossdock_sdk.codec import from_local_text
from crossdock_sf.track_codes import decide
from crossdock_sf.wire import ZONE

SET_ASIDE = "unreadable"
"""`code` of an event that was set aside; its `time` is when it came."""

_TOLD_BY = "648"  # the one operation whose remark tells the number a parcel goes on under
_NUMBER = re.compile(r"(?<![0-9A-Za-z])(?:SF[0-9]{13}|[0-9]{12})(?![0-9A-Za-z])")
_ANY_NUMBER = re.compile(r"[0-9A-Za-z]{8,32}")


class _Element(msgspec.Struct, frozen=True, rename="camel"):
    mailno: str | None = None
    id: str | int | None = None
    accept_time: str | None = None
    accept_address: str | None = None
    remark: str | None = None
    op_code: str | int | None = None
    reason_code: str | int | None = None
    first_status_code: str | int | None = None
    secondary_status_code: str | int | None = None
    new_mailno: str | None = None


class _Named(msgspec.Struct, frozen=True):
    mailno: str | None = None


def read_event(raw: bytes, now: datetime, waybill_number: str = "") -> TrackEvent:
    """The event of one element, its JSON in `raw`. `waybill_number`: whose it is; empty: the element says so.

    Never raises for anything in `raw`.
    """
    try:
        element = msgspec.json.decode(raw, type=_Element)
        time = _time(element.accept_time or "")
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError, OverflowError):
        return _set_aside(raw, now, waybill_number or _mailno(raw))
    number = waybill_number or (element.mailno or "").strip()
    if not _ANY_NUMBER.fullmatch(number):
        return _set_aside(raw, now, "")
    return _event(element, number, time, raw)


def _event(element: _Element, number: str, time: datetime, raw: bytes) -> TrackEvent:
    remark, operation = element.remark or "", _text(element.op_code)
    decision = decide(
        _text(element.first_status_code),
        _text(element.secondary_status_code),
        operation,
        _text(element.reason_code),
        remark,
    )
    row = decision.row
    return TrackEvent(
        number,
        time,
        decision.code,
        remark,
        row.status if row else None,
        row.milestone if row else Milestone.NONE,
        Place(city=(element.accept_address or "").strip()),
        carrier_event_id=_text(element.id),
        new_waybill_number=_new_number(element, number) if operation == _TOLD_BY or element.new_mailno else "",
        raw=raw,
        known=decision.known,
    )


def _set_aside(raw: bytes, now: datetime, number: str) -> TrackEvent:
    mark = f"{SET_ASIDE}:{blake2b(raw, digest_size=12).hexdigest()}"
    return TrackEvent(number, now, SET_ASIDE, "", None, carrier_event_id=mark, raw=raw, known=False)


def _mailno(raw: bytes) -> str:
    """The number of an element that cannot be read otherwise."""
    try:
        number = (msgspec.json.decode(raw, type=_Named).mailno or "").strip()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    return number if _ANY_NUMBER.fullmatch(number) else ""


def _time(text: str) -> datetime:
    return from_local_text(text.strip(), ZONE).astimezone(UTC)


def _new_number(element: _Element, number: str) -> str:
    """The one other number the event tells; empty when it tells none or several."""
    told = {element.new_mailno} if element.new_mailno else set(_NUMBER.findall(element.remark or ""))
    told.discard(number)
    return told.pop() if len(told) == 1 else ""


def _text(value: str | int | None) -> str:
    return "" if value is None else str(value).strip()
