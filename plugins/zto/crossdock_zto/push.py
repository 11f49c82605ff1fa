"""What ZTO sends us (carrier sheet section 4.9), verified before anything of it is read.

A push is a form with `data`, `data_digest`, `company_id` and `msg_type`. The digest covers `data`
and the secret alone. `msg_type` is outside it, so what a push is about is told by the keys inside
`data`, never by its label: `pre_order_status` is the status of an order, `action` one event of a parcel.
Repeats and disorder are normal; reading is the same every time.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from crossdock_sdk import (
    Account,
    BookingNews,
    BookingState,
    HttpResponse,
    Milestone,
    Place,
    PushReceipt,
    PushRefused,
    PushRequest,
    TrackEvent,
)
from crossdock_sdk.codec import from_local_text, read_form
from crossdock_sdk.signing import same
from crossdock_zto import terms
from crossdock_zto.track_codes import ACTIONS, look_up, set_aside
from crossdock_zto.wire import digest, is_waybill, text_of

STATES = {
    "1": BookingState.LIVE,  # accepted
    "2": BookingState.LIVE,  # branch assigned
    "3": BookingState.LIVE,  # courier assigned
    "4": BookingState.LIVE,  # picked up
    "5": BookingState.LIVE,  # finished
    "6": BookingState.CANCELLED,
    "15": BookingState.LIVE,  # waybill number given
}
"""pre_order_status; the meanings are inferred from a public integration. Any other is OTHER."""

ACKNOWLEDGEMENT = HttpResponse(
    200,
    {"content-type": "application/json; charset=utf-8"},
    '{"message":"调用成功","status":true,"result":"成功","statusCode":"200"}'.encode(),
)
"""What a live integration answers; whether ZTO reads more than `status` is not known."""

ZONE = "Asia/Shanghai"
"""actionTime is local text (section 8)."""

_MAX_FIELDS = 20
_YEARS = range(2000, 2100)


class OrderStatus(msgspec.Struct, frozen=True):
    """`data` of an order status push. Ids come as text or as numbers: one source is no proof."""

    order_code: str | int | None = None
    bill_code: str | int | None = None
    pre_order_status: int | str | None = None
    error_msg: str | None = None


class Trace(msgspec.Struct, frozen=True, rename="camel"):
    """`data` of a trace push, untyped: keys vary per event, and an odd one must not hide where the parcel is."""

    bill_code: object = None
    action: object = None
    action_time: object = None
    city: object = None
    facility_name: object = None
    courier: object = None
    courier_phone: object = None
    express_signer: object = None
    desc: object = None

    def __repr__(self) -> str:
        return f"Trace({text_of(self.bill_code)} {text_of(self.action)})"


def parse_push(account: Account, now: datetime, request: PushRequest) -> PushReceipt:
    """Verify, then read. Raises PushRefused before anything is believed.

    What is neither an order status nor a trace is acknowledged and tells nothing.
    """
    data = _verified_data(account, request.body)
    try:
        status = msgspec.json.decode(data, type=OrderStatus)
        trace = msgspec.json.decode(data, type=Trace)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PushRefused("the digest is right but `data` is not the JSON object ZTO documents") from error
    if status.pre_order_status is not None:
        return PushReceipt(ACKNOWLEDGEMENT, bookings=(_news(account, status),))
    if trace.action is not None or trace.action_time is not None:
        return PushReceipt(ACKNOWLEDGEMENT, tracks=(_event(trace, data, now),))
    return PushReceipt(ACKNOWLEDGEMENT)


def _verified_data(account: Account, body: bytes) -> str:
    fields = _fields(body)
    app_key, secret = account.setting("app_key"), account.secret("app_secret")
    if not app_key or not secret:
        raise PushRefused("the account has no app_key or app_secret to verify pushes with; configure both")
    # Both comparisons always run, so that time tells nothing about which one failed.
    ours = same(fields.get("company_id", ""), app_key)
    signed = same(fields.get("data_digest", ""), digest(fields.get("data", "").encode(), secret))
    if not ours:
        raise PushRefused("company_id is not the account's app_key")
    if not signed:
        raise PushRefused("data_digest does not match")
    return fields["data"]


def _fields(body: bytes) -> dict[str, str]:
    """The form's fields. A key given twice could be read differently by two readers, so it is
    refused.
    """
    try:
        pairs = read_form(body, max_fields=_MAX_FIELDS)
    except ValueError as error:
        raise PushRefused("the body is not a form (application/x-www-form-urlencoded)") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise PushRefused("the form names a field twice")
    if "data" not in fields:
        raise PushRefused("the form has no field `data`")
    return fields


def _news(account: Account, status: OrderStatus) -> BookingNews:
    code = str(status.pre_order_status)
    waybill = str(status.bill_code or "")
    waybill = waybill if is_waybill(waybill) else ""
    # The id a look-up would accept: full-network orders are found by their waybill number only.
    by_waybill = terms.full_network(account) and waybill
    return BookingNews(
        STATES.get(code, BookingState.OTHER),
        carrier_order_id=waybill if by_waybill else str(status.order_code or ""),
        waybill_number=waybill,
        carrier_code=code,
        carrier_message=status.error_msg or "",
    )


def _event(trace: Trace, data: str, now: datetime) -> TrackEvent:
    """The one event of a trace push; ZTO gives events no id. Raises PushRefused when it is of no parcel."""
    waybill = text_of(trace.bill_code)
    if not is_waybill(waybill):
        raise PushRefused("the digest is right but `billCode` of the trace is no waybill number")
    raw, time = data.encode(), _time(trace.action_time)
    if time is None:
        return set_aside(waybill, "action", raw, now)
    text, facility = text_of(trace.desc), text_of(trace.facility_name)
    code, meaning = look_up(ACTIONS, "action", text_of(trace.action), text, facility)
    return TrackEvent(
        waybill,
        time,
        code,
        text,
        meaning.status if meaning else None,
        meaning.milestone if meaning else Milestone.NONE,
        known=meaning is not None,
        place=Place(text_of(trace.city), facility),
        courier_name=text_of(trace.courier),
        courier_phone=text_of(trace.courier_phone),
        signer=text_of(trace.express_signer),
        raw=raw,
    )


def _time(action_time: object) -> datetime | None:
    """yyyy-MM-dd HH:mm:ss in Shanghai as an aware UTC time, None for anything else."""
    try:
        time = from_local_text(text_of(action_time), ZONE)
    except ValueError:
        return None
    return time.astimezone(UTC) if time.year in _YEARS else None
