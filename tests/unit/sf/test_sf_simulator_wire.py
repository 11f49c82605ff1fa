"""The simulator's wire alone: gateway checks, rubbish, faults, its own answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from sf_kit import BOOKING, PARCEL, RECIPIENT, SF, SHIPPER, context, drive, refused
from sf_world import ROOT, World

from crossdock_sdk import (
    Cancellation,
    ErrorClass,
    HttpRequest,
    HttpResponse,
    LabelRequest,
    Lane,
    SideEffect,
)
from crossdock_sf import wire
from crossdock_sf.simulator import SfSimulator


def test_gateway_checks_permission_before_the_signature() -> None:
    """A service code without permission is A1004 even when the digest is wrong as well."""
    simulator = World().simulator
    fields = {
        "partnerID": "DEMOPARTNER", "requestID": "1", "serviceCode": "EXP_RECE_SEARCH_PROMITM",
        "timestamp": "1", "msgDigest": "wrong", "msgData": "{}",
    }  # fmt: skip

    def code(**changes: str) -> str:
        body = urlencode(fields | changes).encode()
        response = simulator.handle(HttpRequest("POST", f"{ROOT}/std/service", {}, body))
        found: str = msgspec.json.decode(response.body)["apiResultCode"]
        return found

    assert code() == "A1004"
    assert code(partnerID="OTHER") == "A1004"
    assert code(serviceCode="EXP_RECE_CREATE_ORDER") == "A1006"
    assert code(msgData="") == "A1001"
    signed = wire.digest("standard_md5", "no json", "1", "DemoCheckWord0123456789AbCdEfGhI")
    assert code(serviceCode="EXP_RECE_CREATE_ORDER", msgData="no json", msgDigest=signed) == "A1001"


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", f"{ROOT}/std/service"),
        HttpRequest("POST", f"{ROOT}/other"),
        HttpRequest("POST", f"{ROOT}/std/service", {}, b"\xff\xfe"),
        HttpRequest("POST", f"{ROOT}/std/service", {}, b"%ff=%fe"),
        HttpRequest("GET", f"{ROOT}/v1.2/demo/"),
    ],
)
def test_rubbish_is_answered_and_never_crashes(request_: HttpRequest) -> None:
    """Whatever comes in, an HTTP answer goes out and no operation is seen in it."""
    simulator = World().simulator

    assert simulator.handle(request_).status in (200, 404)
    assert simulator.operation(request_) in ("", "label")


_CREATE, _QUOTE = "EXP_RECE_CREATE_ORDER", "EXP_RECE_QUERY_DELIVERTM"
_TEMPLATE = "fm_150_standard_DEMOPARTNER"


@pytest.mark.parametrize(
    ("service_code", "body"),
    [
        (_CREATE, {"orderId": 7, "language": 1, "contactInfoList": [1], "cargoDetails": 1}),
        (_QUOTE, {"srcAddress": [], "destAddress": 5}),
        (_QUOTE, {"srcAddress": {"province": 1, "city": 1}, "destAddress": "x"}),
        ("COM_RECE_CLOUD_PRINT_WAYBILLS", {"templateCode": _TEMPLATE, "documents": [1]}),
        ("EXP_RECE_UPDATE_ORDER", {"orderId": [1]}),
        ("EXP_RECE_SEARCH_ORDER_RESP", {}),
    ],
)
def test_signed_nonsense_is_a_business_refusal(service_code: str, body: dict[str, Any]) -> None:
    """Wrong types in a signed body are refused inside the envelope, as SF's S-codes do."""
    world = World()

    response = world.simulator.handle(wire.signed(context(world.account), service_code, body))

    inner = msgspec.json.decode(msgspec.json.decode(response.body)["apiResultData"].encode())
    assert inner["success"] is False


def test_faults_can_aim_at_every_operation() -> None:
    """The simulator recognises the operation of each call, label files included."""
    world = World()
    seen: list[str] = []

    def respond(request: HttpRequest) -> HttpResponse:
        seen.append(world.simulator.operation(request))
        return world.simulator.handle(request)

    ctx = context(world.account)
    drive(SF.quote(ctx, [Lane(SHIPPER, RECIPIENT, (PARCEL,), "2")]), respond)
    drive(SF.book(ctx, [BOOKING]), respond)
    drive(SF.find(ctx, [BOOKING.reference]), respond)
    drive(SF.label(ctx, [LabelRequest("SF7444000000001")]), respond)
    drive(SF.cancel(ctx, [Cancellation(BOOKING.reference, "")]), respond)

    assert seen == ["quote", "book", "find", "label", "label", "cancel"]


def test_busy_and_failing_answers_are_sfs_own() -> None:
    """ "Too many calls" is A1005, proved harmless; the system error is A1099 and proves nothing."""
    simulator = World().simulator
    ctx = context(SfSimulator.account(ROOT), datetime(2026, 3, 1, tzinfo=UTC))

    busy = refused(drive(SF.book(ctx, [BOOKING]), lambda _: simulator.busy())[0])
    failing = refused(drive(SF.book(ctx, [BOOKING]), lambda _: simulator.failing())[0])

    assert (busy.error_class, busy.side_effect) == (ErrorClass.RATE_LIMITED, SideEffect.NONE)
    assert (failing.error_class, failing.side_effect) == (ErrorClass.TEMPORARY, SideEffect.UNKNOWN)


@pytest.mark.parametrize("url", [ROOT, f"{ROOT}/", f"{ROOT}/std/service"])
def test_account_takes_the_root_or_the_service_url(url: str) -> None:
    """The test account always ends up at the service URL."""
    assert SfSimulator.account(url).base_url == f"{ROOT}/std/service"
