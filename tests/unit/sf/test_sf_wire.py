"""The envelope: signatures against published vectors, exact bytes, what an answer proves."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from hashlib import md5
from urllib.parse import quote_plus

import pytest
from sf_kit import ACCOUNT, CHECK_WORD, NONCE, NOW, TIMESTAMP, URL, answer, change, context, fields

from crossdock_sdk import CarrierError, ErrorClass, HttpResponse, Secret, SideEffect
from crossdock_sdk.codec import to_json
from crossdock_sdk.signing import java_url_encode
from crossdock_sf import wire

PLAIN = '{"language":"zh-CN","orderId":"DEMO-20260301-0007"}'
AWKWARD = '{"remark":"请放门口 ~(A*B)!","orderId":"DEMO+1"}'

VECTORS = [
    ("standard_md5", PLAIN, "Xy4y3ZRkQTFzGA9iVXvayw=="),
    ("simple_md5", PLAIN, "AqFYiYuXow3k20hcISBd1Q=="),
    ("sm3", PLAIN, "zZNmXCwUeoe2yOzCSDK4BF6mYT31aOImYuWm+GP+i6U="),
    ("standard_md5", AWKWARD, "dEx5VIJXeytM+QSJc+DQlg=="),
    ("simple_md5", AWKWARD, "JFWmaXVY42U7VZFJBvUWxg=="),
]


@pytest.mark.parametrize(("mode", "text", "expected"), VECTORS)
def test_published_vector_is_reproduced(mode: str, text: str, expected: str) -> None:
    """Each signature mode gives the digest that the carrier sheet prints."""
    made = wire.digest(mode, text, TIMESTAMP, CHECK_WORD)

    assert made == expected


def test_java_encoding_of_awkward_characters() -> None:
    """Space, tilde, star, brackets and plus are written as Java's URLEncoder writes them."""
    expected = (
        "%7B%22remark%22%3A%22%E8%AF%B7%E6%94%BE%E9%97%A8%E5%8F%A3+%7E%28A*B%29%21%22"
        "%2C%22orderId%22%3A%22DEMO%2B1%22%7D"
    )

    assert java_url_encode(AWKWARD) == expected


def test_plain_quote_plus_would_sign_wrongly() -> None:
    """Python's own form encoding gives the sheet's wrong digest, and ours is another."""
    text = quote_plus(AWKWARD + TIMESTAMP + CHECK_WORD)
    wrong = b64encode(md5(text.encode()).digest()).decode()

    assert wrong == "VJNr5r1pxSGON/B9WycrmQ=="
    assert wire.digest("standard_md5", AWKWARD, TIMESTAMP, CHECK_WORD) != wrong


def test_call_carries_all_fields_of_the_envelope() -> None:
    """A call is a form POST with the six documented fields and nothing else."""
    request = wire.signed(context(), "EXP_RECE_CREATE_ORDER", {"orderId": "A"})
    sent = fields(request)

    assert (request.method, request.url) == ("POST", URL)
    assert request.headers["content-type"] == "application/x-www-form-urlencoded;charset=UTF-8"
    assert sent.keys() == {
        "partnerID", "requestID", "serviceCode", "timestamp", "msgDigest", "msgData",
    }  # fmt: skip
    assert (sent["partnerID"], sent["requestID"]) == ("DEMOPARTNER", NONCE)
    assert (sent["serviceCode"], sent["timestamp"]) == ("EXP_RECE_CREATE_ORDER", TIMESTAMP)


@pytest.mark.parametrize("mode", ["standard_md5", "simple_md5", "sm3"])
def test_text_that_is_sent_is_the_text_that_was_signed(mode: str) -> None:
    """Emoji, quotes, ampersand, plus and backslash survive the form with their signature intact."""
    account = change(ACCOUNT, settings={**ACCOUNT.settings, "signature_mode": mode})
    body = {"name": '保温杯☕ 100% A&B "特价" +赠品 <b>新</b> \\ ~*\n𠮷'}

    sent = fields(wire.signed(context(account), "X", body))

    assert sent["msgData"] == to_json(body).decode()
    assert sent["msgDigest"] == wire.digest(mode, sent["msgData"], sent["timestamp"], CHECK_WORD)


def test_timestamp_is_exact_milliseconds() -> None:
    """No instant of a second loses a millisecond to floating point."""
    texts = [wire.timestamp_text(NOW + timedelta(milliseconds=n)) for n in range(1000)]

    assert [int(text) - int(TIMESTAMP) for text in texts] == list(range(1000))


def test_calls_of_one_flow_have_request_ids_of_their_own() -> None:
    """SF refuses a repeated request id (A1007), so the calls of a flow differ, repeatably."""
    ids = [fields(wire.signed(context(), "X", {}, index=n))["requestID"] for n in (0, 1, 2, 1)]

    assert len(set(ids)) == 3
    assert ids[1] == ids[3]
    assert all(len(text) <= 40 for text in ids)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"settings": {}}, "partner_id"),
        ({"secrets": {}}, "check_word"),
        ({"settings": {"partner_id": "P", "signature_mode": "md5"}}, "signature_mode"),
    ],
)
def test_misconfigured_account_is_named_before_anything_is_sent(changes: dict[str, object], named: str) -> None:
    """What is missing for a signature is AUTH, proved harmless, and says which key to set."""
    with pytest.raises(CarrierError, match=named) as caught:
        wire.signed(context(change(ACCOUNT, **changes)), "X", {})

    assert caught.value.error_class is ErrorClass.AUTH
    assert caught.value.side_effect is SideEffect.NONE


def test_errors_never_show_the_check_word() -> None:
    """A wrong signature mode is reported without the secret beside it."""
    account = change(
        ACCOUNT,
        settings={"partner_id": "P", "signature_mode": "rot13"},
        secrets={"check_word": Secret("CANARY")},
    )

    with pytest.raises(CarrierError) as caught:
        wire.signed(context(account), "X", {})

    assert "CANARY" not in repr(caught.value) + str(caught.value) + repr(account)


@pytest.mark.parametrize("flag", [True, "true"])
def test_success_is_boolean_or_the_text_true(flag: object) -> None:
    """Documents write the flag as text, traffic as a boolean: both count."""
    response = answer({"success": flag, "errorCode": "S0000", "msgData": {"a": 1}})

    assert wire.unwrap(response) == b'{"a":1}'


@pytest.mark.parametrize("flag", [False, "false"])
def test_failure_is_never_taken_for_success(flag: object) -> None:
    """The text "false" is a failure although Python finds it truthy."""
    response = answer({"success": flag, "errorCode": "8016", "errorMsg": "重复下单"})

    with pytest.raises(CarrierError) as caught:
        wire.unwrap(response)

    assert caught.value.code == "8016"


@pytest.mark.parametrize(
    "inner",
    [
        {"success": None, "errorCode": "S0000", "msgData": {}},
        {"success": "True", "errorCode": "S0000", "msgData": {}},
        {"success": 1, "errorCode": "S0000", "msgData": {}},
        {"success": True, "errorCode": "8016", "msgData": {}},
        {"success": False, "errorCode": "S0000"},
        {"success": False},
        {},
    ],
)
def test_flag_that_does_not_add_up_proves_nothing(inner: dict[str, object]) -> None:
    """A contradictory or missing flag is TEMPORARY with unknown effect."""
    with pytest.raises(CarrierError) as caught:
        wire.unwrap(answer(inner))

    assert caught.value.error_class is ErrorClass.TEMPORARY
    assert caught.value.side_effect is SideEffect.UNKNOWN


def test_payload_wrapped_more_than_once_is_found() -> None:
    """Some gateways put the JSON text into a string again."""
    inner = to_json({"success": True, "errorCode": "S0000", "msgData": to_json({"a": 1}).decode()})
    twice = HttpResponse(
        200,
        {},
        to_json({"apiResultCode": "A1000", "apiResultData": to_json(inner.decode()).decode()}),
    )

    assert wire.read(wire.unwrap(twice), dict[str, int]) == {"a": 1}


def test_payload_nested_too_deeply_proves_nothing() -> None:
    """A payload that hides its depth in a string is refused like any other odd shape."""
    deep = to_json('{"a":' + "[" * 5000 + "]" * 5000 + "}")

    with pytest.raises(CarrierError) as caught:
        wire.read(deep, dict[str, object])

    assert caught.value.side_effect is SideEffect.UNKNOWN


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b'{"succ":"fail"}',
        b'{"apiResultCode":"A1000"}',
        b'{"apiResultCode":"A1000","apiResultData":""}',
        b'{"apiResultCode":"A1000","apiResultData":"{"}',
        b'{"apiResultCode":"A1000","apiResultData":"[]"}',
        b'{"apiResultCode":"A1000","apiResultData":"\\"\\ud800"}',
        b'{"apiResultCode":7}',
        b"[1]",
        b"\xff\xfe\x00",
        b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"apiErrorMsg":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("status", [200, 502])
def test_unreadable_answer_proves_nothing(body: bytes, status: int) -> None:
    """Whatever is not an answer of SF's is TEMPORARY with unknown effect."""
    with pytest.raises(CarrierError) as caught:
        wire.unwrap(HttpResponse(status, {}, body))

    assert caught.value.error_class is ErrorClass.TEMPORARY
    assert caught.value.side_effect is SideEffect.UNKNOWN


def test_success_under_an_error_status_proves_nothing() -> None:
    """A 500 that carries a success is a contradiction."""
    with pytest.raises(CarrierError) as caught:
        wire.unwrap(answer({"success": True, "errorCode": "S0000", "msgData": {}}, status=500))

    assert caught.value.side_effect is SideEffect.UNKNOWN


@pytest.mark.parametrize(("header", "wait_s"), [("7", 7.0), ("soon", None), ("", None), ("²", None)])
def test_too_many_requests_by_http_status(header: str, wait_s: float | None) -> None:
    """HTTP 429 is RATE_LIMITED with the wait it asks for; it proves nothing about the order."""
    with pytest.raises(CarrierError) as caught:
        wire.unwrap(HttpResponse(429, {"retry-after": header}, b""))

    assert caught.value.error_class is ErrorClass.RATE_LIMITED
    assert caught.value.retry_after_s == wait_s
    assert caught.value.side_effect is SideEffect.UNKNOWN
