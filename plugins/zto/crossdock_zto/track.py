"""Track query and subscription (carrier sheet sections 4.8 and 4.9), one waybill a call.

A waybill of an account that is bound to the application needs nothing but its number; any other needs the last four
digits of the sender's or the recipient's phone (E413 without, E409 with wrong ones). A scan that cannot be read is set
aside and hides none of the others; one of another waybill is not ours, and an answer of nothing else proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from crossdock_sdk import (
    Account,
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    Milestone,
    Place,
    Subscribed,
    SubscribeOutcome,
    Tracked,
    TrackEvent,
    TrackOutcome,
    TrackRequest,
)
from crossdock_zto.codes import TRACK_CODES
from crossdock_zto.track_codes import COURIER_STATUSES, SCANS, look_up, set_aside
from crossdock_zto.wire import call, is_waybill, open_envelope, refusal, result, text_of, unclear

QUERY_API = "zto.merchant.waybill.track.query"
SUBSCRIBE_API = "zto.merchant.waybill.track.subsrcibe"
"""The spelling is ZTO's."""

_TAIL = re.compile(r"[0-9]{4}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# 2000 to 2100 in milliseconds: seconds by mistake would land in January 1970.
_MIN_MS = 946_684_800_000
_MAX_MS = 4_102_444_800_000


class Waybill(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The body of both calls. `mobilePhone` is a phone's last four digits."""

    bill_code: str
    mobile_phone: str = ""

    def __repr__(self) -> str:
        return f"Waybill({self.bill_code})"


class Scan(msgspec.Struct, frozen=True, rename="camel"):
    """One scan of the answer, untyped: an odd side field must not hide where the parcel is."""

    bill_code: object = None
    scan_type: object = None
    scan_date: object = None
    desc: object = None
    scan_site: object = None
    sign_man: object = None
    operate_user: object = None
    operate_user_phone: object = None

    def __repr__(self) -> str:
        return f"Scan({text_of(self.bill_code)} {text_of(self.scan_type)})"


def track(ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[TrackOutcome]]:
    """One call a number."""
    outcomes: list[TrackOutcome] = []
    for wanted in requests:
        try:
            request = build(ctx.account, QUERY_API, wanted)
        except CarrierError as refused:
            outcomes.append(refused)
            continue
        outcomes.append(read(wanted.waybill_number, (yield request), ctx.now))
    return outcomes


def subscribe(ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[SubscribeOutcome]]:
    """One call a number. What ZTO says to a second subscription is not documented, so its answer is handed on."""
    outcomes: list[SubscribeOutcome] = []
    for wanted in requests:
        try:
            request = build(ctx.account, SUBSCRIBE_API, wanted)
        except CarrierError as refused:
            outcomes.append(refused)
            continue
        outcomes.append(read_subscription(wanted.waybill_number, (yield request)))
    return outcomes


def build(account: Account, api: str, wanted: TrackRequest) -> HttpRequest:
    """The signed call. Raises CarrierError for what ZTO would refuse anyway: its quota is small."""
    if not is_waybill(wanted.waybill_number):
        raise CarrierError(
            ErrorClass.INVALID_REQUEST,
            field="waybill_number",
            message="not a waybill number of ZTO's; give its 12 to 15 digits",
        )
    if wanted.phone_tail and not _TAIL.fullmatch(wanted.phone_tail):
        raise CarrierError(
            ErrorClass.INVALID_REQUEST,
            field="phone_tail",
            message="give exactly the last four digits of the sender's or recipient's phone, or nothing",
        )
    return call(account, api, Waybill(wanted.waybill_number, wanted.phone_tail))


def read(waybill_number: str, response: HttpResponse, now: datetime) -> TrackOutcome:
    """The outcome of a track query, never an exception. No list, or an empty one, means that nothing is known yet."""
    try:
        rows: list[msgspec.Raw] = result(response, list[msgspec.Raw] | None, TRACK_CODES) or []  # type: ignore[arg-type]  # a union is no type[T] to mypy
    except CarrierError as refused:
        return refused
    events = tuple(event for row in rows if (event := _event(waybill_number, bytes(row), now)) is not None)
    if rows and not events:
        return unclear("", "the track query answered scans of other waybills than the one asked for")
    return Tracked(waybill_number, events)


def read_subscription(waybill_number: str, response: HttpResponse) -> SubscribeOutcome:
    """The outcome of a subscription, never an exception."""
    try:
        refused = refusal(open_envelope(response), TRACK_CODES)
    except CarrierError as error:
        return error
    return refused or Subscribed(waybill_number)


def _event(waybill_number: str, row: bytes, now: datetime) -> TrackEvent | None:
    """The event of one row, None for a row of another waybill."""
    try:
        scan = msgspec.json.decode(row, type=Scan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set_aside(waybill_number, "scan", row, now)
    if text_of(scan.bill_code) not in ("", waybill_number):
        return None
    time = _time(scan.scan_date)
    if time is None:
        return set_aside(waybill_number, "scan", row, now)
    text = text_of(scan.desc)
    place = _place(scan.scan_site)
    code, meaning = look_up(SCANS, "scan", text_of(scan.scan_type), text, place.facility)
    status = meaning.status if meaning else None
    by_courier = status in COURIER_STATUSES
    return TrackEvent(
        waybill_number,
        time,
        code,
        text,
        status,
        meaning.milestone if meaning else Milestone.NONE,
        known=meaning is not None,
        place=place,
        courier_name=text_of(scan.operate_user) if by_courier else "",
        courier_phone=text_of(scan.operate_user_phone) if by_courier else "",
        signer=text_of(scan.sign_man),
        raw=row,
    )


def _time(scan_date: object) -> datetime | None:
    """Milliseconds since 1970, as a number or as its text."""
    text = text_of(scan_date)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_MS))):
        return None
    epoch_ms = int(text)
    return _EPOCH + timedelta(milliseconds=epoch_ms) if _MIN_MS <= epoch_ms <= _MAX_MS else None


def _place(site: object) -> Place:
    return Place(text_of(site.get("city")), text_of(site.get("name"))) if isinstance(site, dict) else Place()
