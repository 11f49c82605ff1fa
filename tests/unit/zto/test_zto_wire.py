"""The envelope, the digest and the error table."""

from __future__ import annotations

import re
from typing import Any

import pytest

from crossdock_sdk import Account, CarrierError, ErrorClass, SideEffect
from crossdock_zto import codes, wire
from crossdock_zto.codes import BOOK_CODES, CODES

TEMPORARY = {"S200", "S202", "S203", "E500", "p-ow002"}

DOCUMENTED = [
    "S200", "S202", "S203", "S206", "S221", "S207", "S208", "S210", "S211", "S212", "S214",
    "E403", "E404", "E409", "E413", "E416", "E418", "E500", "DEF001", "F002", "p-o001",
    "p-o003", "p-ow002", "查询不到该订单", "E23101", "E23112", "E23119", "E23120", "E23137",
    "E23102", "E23108", "E23148", "E23149", "E23150", "E23116", "E23121", "E23127",
    "E23151", "E23157", "E23160", "E23118", "E23135", "E23144", "E23154", "E23114",
    "E23115", "E23122", "E23136", "E23138", "E23130",
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("track_query.request.json", "xRl0cWuhGmtddaFwc8F+xA=="),
        ("create_order.request.json", "58TXZLVg5/KTHy+y/Qik9g=="),
        ("trace_push.data.json", "GMI7IeW0F5KIfUvxTkJH0w=="),
    ],
)
def test_digest_equals_the_published_vectors(kit: Any, body: str, expected: str) -> None:
    """The digest is base64(md5(text + secret)) over the exact bytes."""
    assert wire.digest(kit.text(body), "zto-demo-secret-01") == expected


@pytest.mark.parametrize("base_url", ["https://japi.zto.com/", "https://japi.zto.com"])
def test_call_signs_the_bytes_it_sends(account: Account, base_url: str) -> None:
    """URL, headers and digest belong to the very body that goes out."""
    at = Account("main", "zto", base_url, account.settings, account.secrets)

    request = wire.call(at, "zto.open.getOrderInfo", {"billCode": "75400001234567", "name": "陈"})

    assert request.url == "https://japi.zto.com/zto.open.getOrderInfo"
    assert request.headers["x-appKey"] == "zto-demo-app"
    assert request.headers["x-dataDigest"] == wire.digest(request.body, "zto-demo-secret-01")
    assert request.body == '{"billCode":"75400001234567","name":"陈"}'.encode()


@pytest.mark.parametrize("status", ["false", '"true"', "1", "null", '"false"', "{}"])
def test_only_the_literal_true_is_success(kit: Any, status: str) -> None:
    """`status === true`: neither a success code nor a truthy value will do."""
    answer = kit.answer(f'{{"result":{{}},"message":"成功","status":{status},"statusCode":"0000"}}')

    with pytest.raises(CarrierError) as caught:
        wire.result(answer, dict[str, str], CODES)

    assert caught.value.side_effect is SideEffect.UNKNOWN


@pytest.mark.parametrize("code", ["0000", "SYS000", "", "whatever"])
def test_success_does_not_depend_on_the_code(kit: Any, code: str) -> None:
    """createOrder says 0000 and the others SYS000; nobody looks at it."""
    answer = kit.answer(f'{{"result":{{"a":"b"}},"status":true,"statusCode":"{code}"}}')

    assert wire.result(answer, dict[str, str], CODES) == {"a": "b"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"null",
        b"[]",
        b'{"status":true',
        b"\xff\xfe",
        b'{"status":true}',
        b'{"result":' + b"[" * 50_000,
        b'{"status":true,"result":' + b"[" * 600 + b"]" * 600 + b"}",
    ],
    ids=["empty", "html", "null", "list", "cut", "not utf-8", "no result", "deep", "deep result"],
)
def test_unreadable_answer_proves_nothing(kit: Any, body: bytes) -> None:
    """What is not ZTO's envelope leaves the side effect unknown."""
    with pytest.raises(CarrierError) as caught:
        wire.result(kit.answer(body), dict[str, str], CODES)

    assert caught.value.error_class is ErrorClass.TEMPORARY
    assert caught.value.side_effect is SideEffect.UNKNOWN


def test_other_http_status_is_never_success(kit: Any) -> None:
    """ZTO always says HTTP 200; a gateway's 502 is not believed whatever it contains."""
    answer = kit.answer('{"result":{},"status":true,"statusCode":"0000"}', 502)

    with pytest.raises(CarrierError, match="HTTP 502") as caught:
        wire.result(answer, dict[str, str], CODES)

    assert caught.value.side_effect is SideEffect.UNKNOWN


def test_error_table_is_complete_and_no_larger() -> None:
    """Every documented code has a row, and no row is made up."""
    assert set(CODES.rows) == set(DOCUMENTED)


@pytest.mark.parametrize("code", DOCUMENTED)
def test_only_system_faults_leave_the_outcome_open(code: str) -> None:
    """No code of ZTO's is documented as "nothing was done" except by its class."""
    error = CODES.error(code, "失败")

    assert (error.side_effect is SideEffect.UNKNOWN) is (code in TEMPORARY)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("S206", ErrorClass.RATE_LIMITED),
        ("S221", ErrorClass.RATE_LIMITED),
        ("S211", ErrorClass.AUTH),
        ("F002", ErrorClass.BALANCE),
        ("p-o003", ErrorClass.AUTH),
        ("DEF001", ErrorClass.INVALID_REQUEST),
        ("S207", ErrorClass.PERMANENT),
        ("E23102", ErrorClass.NOT_FOUND),
        ("E23116", ErrorClass.DUPLICATE),
        ("E23114", ErrorClass.NO_SERVICE),
        ("查询不到该订单", ErrorClass.NOT_FOUND),
    ],
)
def test_code_has_the_class_of_the_sheet(code: str, expected: ErrorClass) -> None:
    """One example of each class, checked by hand against the carrier's table."""
    assert CODES.error(code, "").error_class is expected


@pytest.mark.parametrize("code", [*codes.INTERCEPT, *codes.TRACKING, *codes.TEXTS, "S999", ""])
def test_foreign_code_on_a_booking_is_unknown(code: str) -> None:
    """A code of another operation is not understood on createOrder and proves nothing."""
    assert BOOK_CODES.error(code, "").side_effect is SideEffect.UNKNOWN


def test_refusal_text_hides_phone_numbers(kit: Any) -> None:
    """ZTO repeats what it dislikes; errors are logged, phones are not."""
    answer = kit.refused("S208", "手机号13900002222有误, 单号75400001234567")

    with pytest.raises(CarrierError) as caught:
        wire.result(answer, dict[str, str], CODES)

    assert not re.search("13900002222", str(caught.value) + caught.value.message)
    assert "75400001234567" in caught.value.message


def test_known_code_beats_the_text_beside_it(kit: Any) -> None:
    """A timed-out back end stays unknown even when its message sounds final."""
    envelope = wire.open_envelope(kit.refused("S200", "查询不到该订单"))

    error = wire.refusal(envelope, CODES)

    assert error is not None
    assert error.error_class is ErrorClass.TEMPORARY
