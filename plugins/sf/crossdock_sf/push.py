"""What SF sends us: route pushes, as JSON or form XML, and order state pushes (carrier sheet 4.11).

SF documents no signature, so what proves a push is its URL: /push/<account>/<push_token>. The token is compared in
constant time before a byte of the body is read; an account without one takes no pushes. A genuine push that cannot
be read gets the document's failure answer, upon which SF sends it again; one odd element in it is set aside.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from xml.etree import ElementTree

import msgspec

from crossdock_sdk import (
    Account,
    BookingNews,
    BookingState,
    HttpResponse,
    PushReceipt,
    PushRefused,
    PushRequest,
    TrackEvent,
)
from crossdock_sdk.codec import to_json
from crossdock_sdk.signing import same
from crossdock_sf.codes import shown
from crossdock_sf.route import read_event

LEAST_TOKEN_LENGTH = 16

_JSON = {"content-type": "application/json;charset=UTF-8"}
_XML = {"content-type": "text/xml;charset=UTF-8"}
ROUTES_TAKEN = HttpResponse(200, _JSON, '{"return_code":"0000","return_msg":"成功"}'.encode())
ROUTES_FAILED = HttpResponse(200, _JSON, '{"return_code":"1000","return_msg":"无法解析"}'.encode())
XML_TAKEN = HttpResponse(200, _XML, b'<Response service="RoutePushService"><Head>OK</Head></Response>')
XML_FAILED = HttpResponse(
    200,
    _XML,
    '<Response service="RoutePushService"><Head>ERR</Head><ERROR code="4002">无法解析</ERROR></Response>'.encode(),
)
"""4002 is "cannot parse" (sheet 4.11)."""
ORDER_STATES_TAKEN = HttpResponse(200, _JSON, b'{"success":"true","code":"0","msg":""}')

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CODE = re.compile(r"[0-9A-Za-z_-]{1,20}")


class _Body(msgspec.Struct, frozen=True):
    WaybillRoute: list[msgspec.Raw]


class _Push(msgspec.Struct, frozen=True):
    Body: _Body | None = None
    orderState: list[msgspec.Raw] | None = None
    timestamp: int | None = None


class _OrderState(msgspec.Struct, frozen=True, rename="camel"):
    order_no: str | None = None
    waybill_no: str | None = None
    order_state_code: str | int | None = None
    order_state_desc: str | None = None
    emp_code: str | int | None = None
    emp_phone: str | int | None = None


def parse_push(account: Account, now: datetime, request: PushRequest) -> PushReceipt:
    """Compare the token, then read. Raises PushRefused when the URL does not carry the account's `push_token`.

    The document promises ten elements at most; more are read as well, since refusing them brings the same ones again.
    """
    _verify(account, request.path)
    if request.body.startswith(b"content=") or request.headers.get("content-type", "").startswith(_FORM):
        return _xml_push(request.body, now)
    return _json_push(request.body, now)


def _verify(account: Account, path: str) -> None:
    token = account.secret("push_token")
    if len(token) < LEAST_TOKEN_LENGTH:
        raise PushRefused(
            f"account {account.account_id} has no push_token of {LEAST_TOKEN_LENGTH} characters or more; "
            "set one and put it behind the push URL in the Fengqiao console"
        )
    given = path.strip("/")
    if not (given.isascii() and same(given, token)):
        raise PushRefused("the URL does not carry the account's push_token")


def _json_push(body: bytes, now: datetime) -> PushReceipt:
    try:
        push = msgspec.json.decode(body, type=_Push)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return PushReceipt(ROUTES_FAILED)
    if push.Body is not None:
        tracks = tuple(read_event(bytes(raw), now) for raw in push.Body.WaybillRoute)
        return PushReceipt(ROUTES_TAKEN, tracks=tracks)
    if push.orderState is not None:
        return _order_states(push.orderState, _sent_time(push.timestamp, now))
    return PushReceipt(ROUTES_FAILED)


def _xml_push(body: bytes, now: datetime) -> PushReceipt:
    try:
        fields = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=_MOST_FIELDS)
        (content,) = fields["content"]
        elements = _elements(content)
    except (ValueError, KeyError, ElementTree.ParseError):
        return PushReceipt(XML_FAILED)
    # The attributes are the event: as JSON they are kept and read as those of the other form.
    tracks = tuple(read_event(to_json(dict(element.attrib)), now) for element in elements)
    return PushReceipt(XML_TAKEN, tracks=tracks)


def _elements(content: str) -> list[ElementTree.Element]:
    """The WaybillRoute elements. Raises ValueError or ParseError for everything that is no route push."""
    if "<!" in content:  # no DTD, so no entities of its own; escaped texts never hold a "<"
        raise ValueError("a route push has no declarations")
    root = ElementTree.fromstring(content)  # noqa: S314  # nothing it could be attacked with got here
    body = root.find("Body")
    if root.tag != "Request" or body is None:
        raise ValueError("no Request with a Body")
    return body.findall("WaybillRoute")


def _order_states(elements: list[msgspec.Raw], time: datetime) -> PushReceipt:
    """Courier dispatch. SF's list of states is not public, so nothing is concluded from one: OTHER, no status."""
    bookings: list[BookingNews] = []
    tracks: list[TrackEvent] = []
    for raw in map(bytes, elements):
        try:
            state = msgspec.json.decode(raw, type=_OrderState)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue  # it names neither order nor waybill: there is nothing to keep it with
        code = "" if state.order_state_code is None else str(state.order_state_code)
        parent = (state.waybill_no or "").split(",", 1)[0].strip()  # a comma list, the parent first
        bookings.append(
            BookingNews(
                BookingState.OTHER,
                reference=state.order_no or "",
                waybill_number=parent,
                carrier_code=code,
                carrier_message=shown(state.order_state_desc or ""),
            )
        )
        if parent:
            tracks.append(_order_event(state, code, parent, time, raw))
    return PushReceipt(ORDER_STATES_TAKEN, tuple(bookings), tuple(tracks))


def _order_event(state: _OrderState, code: str, parent: str, time: datetime, raw: bytes) -> TrackEvent:
    return TrackEvent(
        parent,
        time,
        f"order:{code if _CODE.fullmatch(code) else '?'}",
        state.order_state_desc or "",
        None,
        courier_name="" if state.emp_code is None else str(state.emp_code),
        courier_phone="" if state.emp_phone is None else str(state.emp_phone),
        raw=raw,
        known=False,
    )


def _sent_time(timestamp: int | None, now: datetime) -> datetime:
    """When SF sent it, from milliseconds since 1970; `now` when it does not say."""
    try:
        return now if timestamp is None else _EPOCH + timedelta(milliseconds=timestamp)
    except OverflowError:
        return now
