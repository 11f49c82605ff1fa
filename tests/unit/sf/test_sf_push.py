"""SF's pushes: proved by the token in their URL, read in both forms, acknowledged as documented."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sf_kit import ACCOUNT, NOW, SF, change, fixture

from crossdock_sdk import (
    BookingNews,
    BookingState,
    Milestone,
    Place,
    PushReceipt,
    PushRefused,
    PushRequest,
    Secret,
    TrackEvent,
    TrackStatus,
)

TOKEN = "token-of-the-demo-account"
OURS = change(ACCOUNT, secrets={**ACCOUNT.secrets, "push_token": Secret(TOKEN)})
JSON = {"content-type": "application/json;charset=utf-8"}
FORM = {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}
TAKEN = {"return_code": "0000", "return_msg": "成功"}
XML_TAKEN = b'<Response service="RoutePushService"><Head>OK</Head></Response>'
SAMPLE = fixture("routes.push.json").strip()
ROW = msgspec.json.decode(SAMPLE)["Body"]["WaybillRoute"][0]
XML = (
    '<Request service="RoutePushService" lang="zh-CN"><Body><WaybillRoute id="177000000000001" '
    'mailno="SF1990000000017" acceptTime="2026-03-04 11:40:00" acceptAddress="成都市" '
    'remark="您的快件&lt;已&gt;签收" opCode="80" '
    'orderid="DEMO-20260301-0007"/></Body></Request>'
)


def parse(body: bytes, path: str = TOKEN, **headers: str) -> PushReceipt:
    """A push to the demo account."""
    return SF.parse_push(OURS, NOW, PushRequest(headers or JSON, body, path))


def batch(*rows: object) -> bytes:
    """A JSON push of these elements."""
    return msgspec.json.encode({"Body": {"WaybillRoute": rows}})


def xml(text: str) -> bytes:
    """A form push of this XML."""
    return b"content=" + quote_plus(text).encode("ascii")


def event(receipt: PushReceipt) -> TrackEvent:
    """The only event of a push."""
    (found,) = receipt.tracks
    return found


def test_documented_sample_is_read_and_acknowledged() -> None:
    """The JSON sample is one delivered event with SF's id, and gets the exact acknowledgement."""
    receipt = parse(SAMPLE)

    assert receipt.acknowledgement.status == 200
    assert receipt.acknowledgement.body == '{"return_code":"0000","return_msg":"成功"}'.encode()
    assert event(receipt) == TrackEvent(
        "SF1990000000017", datetime(2026, 3, 4, 3, 40, tzinfo=UTC), "op:80", "您的快件已签收",
        TrackStatus.DELIVERED, Milestone.SIGNED_BY_RECIPIENT, Place("成都市"), "177000000000001",
        raw=SAMPLE.removeprefix(b'{"Body":{"WaybillRoute":[').removesuffix(b"]}}"),
    )  # fmt: skip


def test_form_push_says_the_same_and_gets_its_own_acknowledgement() -> None:
    """The XML form carries the same event; the text of an attribute is unescaped."""
    receipt = parse(xml(XML), **FORM)

    found = event(receipt)
    assert receipt.acknowledgement.body == XML_TAKEN
    assert (found.text, found.carrier_event_id, found.code) == ("您的快件<已>签收", "177000000000001", "op:80")
    assert change(found, text="", raw=b"") == change(event(parse(SAMPLE)), text="", raw=b"")
    assert msgspec.json.decode(found.raw)["orderid"] == "DEMO-20260301-0007"


@pytest.mark.parametrize("path", ["", "/", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), f"{TOKEN}/x", "令牌", "\udc80" * 25])
def test_wrong_token_is_refused(path: str) -> None:
    """Only the URL that carries the account's token is believed, and the refusal tells nothing of it."""
    with pytest.raises(PushRefused) as caught:
        parse(SAMPLE, path)

    assert TOKEN not in caught.value.reason
    assert "push_token" in caught.value.reason


@pytest.mark.parametrize("token", [None, "", "short", "fifteen-letters"])
def test_account_without_a_good_token_takes_no_pushes(token: str | None) -> None:
    """No token, or one that could be guessed, refuses every push, also one that carries it."""
    secrets = ACCOUNT.secrets if token is None else {**ACCOUNT.secrets, "push_token": Secret(token)}
    account = change(ACCOUNT, secrets=secrets)

    with pytest.raises(PushRefused, match="16 characters"):
        SF.parse_push(account, NOW, PushRequest(JSON, SAMPLE, token or ""))


def test_slashes_around_the_token_do_not_matter() -> None:
    """Consoles and proxies add them."""
    assert parse(SAMPLE, f"/{TOKEN}/") == parse(SAMPLE)


def test_repeated_push_gives_the_same_receipt() -> None:
    """Three rows of four are repeats: the same bytes are read the same way, odd elements included."""
    body = batch(ROW, {"mailno": "SF1990000000017"}, 5)

    assert parse(body) == parse(body)


def test_secrets_and_people_are_not_shown() -> None:
    """Neither the token nor the text of an event is in a repr."""
    request = PushRequest(JSON, SAMPLE, TOKEN)

    assert TOKEN not in repr(request)
    assert "签收" not in repr(request) + repr(event(parse(SAMPLE)))


@pytest.mark.parametrize(
    ("bad", "number"),
    [
        (5, ""),
        (None, ""),
        ([], ""),
        ({}, ""),
        (ROW | {"mailno": None}, ""),
        (ROW | {"mailno": "无"}, ""),
        (ROW | {"acceptTime": None}, "SF1990000000017"),
        (ROW | {"acceptTime": "2026-13-01 00:00:00"}, "SF1990000000017"),
        (ROW | {"opCode": ["80"]}, "SF1990000000017"),
    ],
)
def test_bad_element_is_set_aside_and_the_rest_delivered(bad: Any, number: str) -> None:
    """It is an event without status that keeps its bytes and is known again; the push is acknowledged."""
    receipt = parse(batch(bad, ROW))

    odd, good = receipt.tracks
    assert (odd.code, odd.status, odd.known, odd.waybill_number) == ("unreadable", None, False, number)
    assert odd.carrier_event_id.startswith("unreadable:")
    assert msgspec.json.decode(odd.raw) == bad
    assert good == event(parse(SAMPLE))
    assert msgspec.json.decode(receipt.acknowledgement.body) == TAKEN


def test_more_elements_than_promised_are_read() -> None:
    """Refusing them would only bring the same batch again."""
    rows = [ROW | {"id": str(nth)} for nth in range(25)]

    assert [e.carrier_event_id for e in parse(batch(*rows)).tracks] == [str(nth) for nth in range(25)]


def test_empty_batch_is_acknowledged() -> None:
    """Nothing in it is no failure."""
    assert msgspec.json.decode(parse(batch()).acknowledgement.body) == TAKEN


def test_reason_and_unknown_codes_are_told() -> None:
    """A reason sharpens its operation; an unknown operation has no status and is marked unknown."""
    rows = [ROW | {"opCode": "8000", "reasonCode": "6"}, ROW | {"opCode": "4711"}, ROW | {"opCode": "922"}]

    lost, odd, silent = parse(batch(*rows)).tracks

    assert (lost.code, lost.status, lost.milestone) == ("op:8000/6", TrackStatus.EXCEPTION, Milestone.LOST)
    assert (odd.code, odd.status, odd.known) == ("op:4711", None, False)
    assert (silent.code, silent.status, silent.known) == ("op:922", None, True)


def test_new_number_may_have_a_field_of_its_own() -> None:
    """One push handler reads `newMailno`."""
    assert event(parse(batch(ROW | {"newMailno": "SF1990000000025"}))).new_waybill_number == "SF1990000000025"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[]", b"\xff", b'{"Body":{}}', b'{"Body":{"WaybillRoute":5}}', b"[" * 9_999]
)
def test_unreadable_json_push_gets_the_documents_failure(body: bytes) -> None:
    """1000, upon which SF sends it again; nothing of it is believed."""
    receipt = parse(body)

    assert receipt.acknowledgement.status == 200
    assert msgspec.json.decode(receipt.acknowledgement.body)["return_code"] == "1000"
    assert (receipt.tracks, receipt.bookings) == ((), ())


@pytest.mark.parametrize(
    "body",
    [
        b"content=",
        b"content=%ff",
        b"content=x&content=x",
        b"other=1",
        xml("<Request/>"),
        xml(XML.replace("</Body>", "")),
        xml(XML.replace("Request", "Response")),
        xml(f'<!DOCTYPE r [<!ENTITY a "x">]>{XML}'),
        xml(f'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>{XML.replace("成都市", "&a;")}'),
        xml(XML.replace("成都市", "&a;")),
        xml(XML.replace("<Body>", "<Body><![CDATA[x]]>")),
        "content=文".encode(),
    ],
)
def test_unreadable_form_push_gets_the_documents_failure(body: bytes) -> None:
    """ERR with 4002; documents that declare anything are not even parsed."""
    receipt = parse(body, **FORM)

    assert receipt.acknowledgement.body.startswith(
        b'<Response service="RoutePushService"><Head>ERR</Head><ERROR code="4002">'
    )
    assert receipt.tracks == ()


def test_deep_xml_is_survived() -> None:
    """Twenty thousand nested elements are rubbish like any other."""
    assert parse(xml("<a>" * 20_000), **FORM).tracks == ()
    assert parse(xml("<a>" * 20_000 + "</a>" * 20_000), **FORM).tracks == ()


def test_order_state_is_news_without_a_verdict() -> None:
    """SF's list of states is not public: the text and the courier are passed on, nothing is concluded."""
    state = {
        "orderNo": "DEMO-20260301-0007", "waybillNo": "SF1990000000017,SF1990000000025", "orderStateCode": "04-40034",
        "orderStateDesc": "已派收派员", "empCode": "612345", "empPhone": "13800000003",
        "lastTime": "2026-03-02 16:00:00", "carrierCode": "SF",
    }  # fmt: skip
    body = msgspec.json.encode({"requestId": "1", "timestamp": 1772330400123, "orderState": [state, 5]})

    receipt = parse(body)

    assert receipt.acknowledgement.body == b'{"success":"true","code":"0","msg":""}'
    assert receipt.bookings == (
        BookingNews(
            BookingState.OTHER, "DEMO-20260301-0007", waybill_number="SF1990000000017",
            carrier_code="04-40034", carrier_message="已派收派员",
        ),
    )  # fmt: skip
    found = event(receipt)
    assert (found.code, found.status, found.known, found.time) == ("order:04-40034", None, False, NOW)
    assert (found.courier_name, found.courier_phone) == ("612345", "13800000003")
    assert "13800000003" not in repr(found)


def test_order_state_before_there_is_a_waybill_is_news_only() -> None:
    """Without a number there is no parcel to tell of; an impossible time is no trouble."""
    body = msgspec.json.encode({"timestamp": 10**18, "orderState": [{"orderNo": "R", "orderStateCode": 4}]})

    receipt = parse(body)

    assert receipt.tracks == ()
    assert receipt.bookings == (BookingNews(BookingState.OTHER, "R", carrier_code="4"),)


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("2026-03-04 11:40:00")
_ROWS = st.dictionaries(st.sampled_from(sorted(ROW)), _VALUES) | _VALUES


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(_ROWS, max_size=4))
def test_every_element_of_any_batch_is_kept(rows: list[Any]) -> None:
    """Whatever the elements are, there is an event for each, with its bytes and an aware time."""
    receipt = parse(batch(*rows))

    assert len(receipt.tracks) == len(rows)
    assert all(found.time.tzinfo and found.raw for found in receipt.tracks)


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=80), form=st.booleans())
def test_random_bytes_are_answered(body: bytes, form: bool) -> None:
    """With the right token any body gets an answer of 200, and nothing comes out of rubbish."""
    receipt = parse(body, **(FORM if form else JSON))

    assert receipt.acknowledgement.status == 200
    assert receipt.tracks == ()
