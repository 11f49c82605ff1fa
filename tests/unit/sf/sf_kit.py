"""What the SF tests share: a demo account, made-up people, envelopes, a loop that plays flows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from crossdock_sdk import (
    Account,
    Address,
    Booking,
    CallContext,
    CarrierError,
    Contact,
    Flow,
    HttpRequest,
    HttpResponse,
    Item,
    Manifest,
    Money,
    Parcel,
    Party,
    Secret,
)
from crossdock_sf import Sf

T = TypeVar("T")

FIXTURES = Path(__file__).parent / "fixtures"
CHECK_WORD = "DemoCheckWord0123456789AbCdEfGhI"
NONCE = "0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 3, 1, 2, 0, 0, 123_000, tzinfo=UTC)
TIMESTAMP = "1772330400123"
"""NOW in milliseconds: the timestamp of the published vectors."""
URL = "https://sf.example/std/service"

SF = Sf(Manifest.load("crossdock_sf"))
ACCOUNT = Account(
    "demo",
    "sf",
    URL,
    {"partner_id": "DEMOPARTNER", "monthly_card": "7551234567"},
    {"check_word": Secret(CHECK_WORD)},
)

SHIPPER = Party(
    Contact("林样例", "13800000001", "样例书店"),
    Address("CN", "浙江省", "杭州市", "西湖区", "", "文三路1号样例大厦3层"),
)
RECIPIENT = Party(
    Contact("周样例", "13800000002"),
    Address("CN", "四川省", "成都市", "武侯区", "", "天府大道2号样例小区5栋101"),
)
PARCEL = Parcel(1500, items=(Item("图书", 2, unit_price=Money("CNY", 3000), weight_g=700),))
BOOKING = Booking("DEMO-20260301-0007", SHIPPER, RECIPIENT, (PARCEL,), "2", remark="样例订单")


def change(value: T, **changes: Any) -> T:
    """A copy of a struct with some fields replaced."""
    return msgspec.structs.replace(value, **changes)  # type: ignore[type-var]


def context(account: Account = ACCOUNT, now: datetime = NOW) -> CallContext:
    """A call's context at NOW."""
    return CallContext(account, now, NONCE)


def fixture(name: str) -> bytes:
    """A recorded message."""
    return (FIXTURES / name).read_bytes()


def answer(inner: bytes | dict[str, Any], status: int = 200) -> HttpResponse:
    """An inner answer in the gateway's envelope."""
    text = inner if isinstance(inner, bytes) else msgspec.json.encode(inner)
    envelope = {"apiErrorMsg": "", "apiResultCode": "A1000", "apiResultData": text.decode()}
    return HttpResponse(status, {}, msgspec.json.encode(envelope))


def success(data: Any) -> HttpResponse:
    """A successful inner answer with this `msgData`."""
    return answer({"success": True, "errorCode": "S0000", "errorMsg": None, "msgData": data})


def refusal(code: str, text: str = "") -> HttpResponse:
    """A business refusal."""
    return answer({"success": False, "errorCode": code, "errorMsg": text, "msgData": None})


def gateway(code: str) -> HttpResponse:
    """A refusal by the gateway."""
    return HttpResponse(200, {}, msgspec.json.encode({"apiResultCode": code, "apiErrorMsg": "x"}))


def drive(flow: Flow[T], respond: Callable[[HttpRequest], HttpResponse]) -> T:
    """Run a flow to its end, answering each request with `respond`."""
    try:
        request = next(flow)
        while True:
            request = flow.send(respond(request))
    except StopIteration as end:
        result: T = end.value
        return result


def play(flow: Flow[T], *responses: HttpResponse) -> tuple[T, list[HttpRequest]]:
    """Run a flow on canned answers; returns its result and the requests it made."""
    requests: list[HttpRequest] = []

    def respond(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return responses[len(requests) - 1]

    return drive(flow, respond), requests


def fields(request: HttpRequest) -> dict[str, str]:
    """The form fields of a call."""
    return dict(parse_qsl(request.body.decode("ascii"), keep_blank_values=True))


def message(request: HttpRequest) -> dict[str, Any]:
    """The business object of a call."""
    return msgspec.json.decode(fields(request)["msgData"], type=dict[str, Any])


def refused(outcome: object) -> CarrierError:
    """The outcome, which must be an error."""
    assert isinstance(outcome, CarrierError)
    return outcome
