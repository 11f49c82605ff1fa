"""Pushes: verified over the exact text, read, refused, acknowledged."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from crossdock_sdk import (
    Account,
    BookingState,
    Milestone,
    Place,
    PushReceipt,
    PushRefused,
    PushRequest,
    TrackEvent,
    TrackStatus,
)
from crossdock_sdk.codec import form
from crossdock_zto import push, wire
from crossdock_zto.carrier import Zto
from crossdock_zto.track_codes import ACTIONS

SECRET = "zto-demo-secret-01"

# Every row of the sheet's section 6, second table: action, text, status, milestone.
PUSH_ROWS = [
    ("GOT", "", "PICKED_UP", "COLLECTED"),
    ("DEPARTURE", "", "IN_TRANSIT", "DEPARTED_FACILITY"),
    ("ARRIVAL", "快件已到达样例快递柜", "IN_TRANSIT", "ARRIVED_AT_FACILITY"),
    ("DISPATCH", "", "OUT_FOR_DELIVERY", "OUT_FOR_DELIVERY"),
    ("INBOUND", "已存放至样例驿站", "AVAILABLE_FOR_COLLECTION", "AT_STATION"),
    ("INBOUND", "已存放至样例快递柜", "AVAILABLE_FOR_COLLECTION", "AT_LOCKER"),
    ("HANDOVERSCAN_SIGNED", "已由驿站代签收", "AVAILABLE_FOR_COLLECTION", "AT_STATION"),
    ("DEPARTURE_SIGNED", "", "DELIVERED", "SIGNED_BY_RECIPIENT"),
    ("SIGNED", "", "DELIVERED", "SIGNED_BY_RECIPIENT"),
    ("PROBLEM", "", "EXCEPTION", ""),
    ("RETURN_SCAN", "", "RETURNING", "RETURN_STARTED"),
    ("RETURN_SIGNED", "", "RETURNED", "RETURN_COMPLETED"),
]


def signed(data: bytes | str, /, **changes: str) -> PushRequest:
    """A push as ZTO sends it, with some fields changed."""
    text = data.decode() if isinstance(data, bytes) else data
    fields = {
        "data": text,
        "data_digest": wire.digest(text.encode(), SECRET),
        "company_id": "zto-demo-app",
        "msg_type": "PreOrder",
    }
    return PushRequest(body=form(fields | changes))


def parse(account: Account, request: PushRequest) -> PushReceipt:
    """The receipt of a push that came on 3 March 2026."""
    return push.parse_push(account, datetime(2026, 3, 3, tzinfo=UTC), request)


def order_data(**facts: Any) -> bytes:
    """The `data` of an order status push."""
    base = {
        "order_code": "260301000001234567",
        "bill_code": "75400001234567",
        "pre_order_status": 1,
        "error_msg": "",
    }
    return msgspec.json.encode(base | facts)


def trace_data(**facts: Any) -> bytes:
    """The `data` of a trace push; None leaves a field out."""
    base = {"billCode": "75400001234567", "actionTime": "2026-03-02 09:15:00", "action": "GOT", "desc": "已揽收"}
    return msgspec.json.encode({k: v for k, v in (base | facts).items() if v is not None})


def trace(account: Account, **facts: Any) -> TrackEvent:
    """The event of a signed trace push."""
    receipt = parse(account, signed(trace_data(**facts), msg_type="Traces"))
    assert receipt.bookings == ()
    assert receipt.acknowledgement is push.ACKNOWLEDGEMENT
    [event] = receipt.tracks
    return event


def test_trace_push_with_the_published_digest_is_read(zto: Zto, account: Account, kit: Any) -> None:
    """The sheet's sample is one event, its local time read as UTC+8, and acknowledged as the sheet says."""
    data = kit.text("trace_push.data.json")
    request = signed(data, data_digest="GMI7IeW0F5KIfUvxTkJH0w==", msg_type="Traces")

    receipt = zto.parse_push(account, kit.now, request)

    assert receipt.bookings == ()
    assert receipt.tracks == (
        TrackEvent(
            "75400001234567",
            datetime(2026, 3, 2, 1, 15, tzinfo=UTC),
            "action:DISPATCH",
            "【成都市】业务员正在派件",
            TrackStatus.OUT_FOR_DELIVERY,
            Milestone.OUT_FOR_DELIVERY,
            place=Place("成都市", "成都武侯"),
            courier_name="周师傅",
            courier_phone="13900003333",
            raw=data,
        ),
    )
    assert receipt.acknowledgement.status == 200
    assert receipt.acknowledgement.body == kit.text("acknowledgement.json")


@pytest.mark.parametrize(("action", "text", "status", "milestone"), PUSH_ROWS)
def test_action_means_what_the_sheet_says(
    account: Account, action: str, text: str, status: str, milestone: str
) -> None:
    """Each action has its status; ARRIVAL and DEPARTURE are hubs, a shop's signature is no delivery."""
    event = trace(account, action=action, desc=text)

    assert (event.status, event.milestone, event.known) == (TrackStatus(status), Milestone(milestone), True)
    assert event.carrier_event_id == ""


def test_every_row_of_the_push_table_is_tested() -> None:
    """The table holds what the sheet lists, nothing more."""
    assert set(ACTIONS.rows) == {f"action:{action}" for action, *_ in PUSH_ROWS} | {"action:INBOUND/柜"}


@pytest.mark.parametrize("action", ["收件", "44", "got", "SIGN", "GOT ME", "", None, 7, {}])
def test_unknown_action_is_kept_and_never_guessed(account: Account, action: object) -> None:
    """An action that is not in the table, also a word of the query, has no status; the event stays."""
    event = trace(account, action=action, desc="已签收")

    assert (event.status, event.milestone, event.known) == (None, Milestone.NONE, False)
    assert event.raw == trace_data(action=action, desc="已签收")


def test_signer_and_locker_are_read(account: Account) -> None:
    """expressSigner signs; a locker may be named by the facility alone. Neither shows in the repr."""
    signed_for = trace(account, action="SIGNED", expressSigner="陈小帆")
    stored = trace(account, action="INBOUND", desc="已入库", facilityName="样例小区自提柜")

    assert signed_for.signer == "陈小帆"
    assert "陈小帆" not in repr(signed_for)
    assert (stored.code, stored.milestone) == ("action:INBOUND/柜", Milestone.AT_LOCKER)


def test_odd_side_fields_of_a_trace_hide_nothing(account: Account) -> None:
    """Keys vary and so may their types; number, action and time still count."""
    event = trace(account, billCode=75400001234567, city=["成都"], facilityName=None, courier=7, desc={})

    assert (event.waybill_number, event.status) == ("75400001234567", TrackStatus.PICKED_UP)
    assert (event.place, event.text, event.courier_name) == (Place(), "", "7")


@pytest.mark.parametrize("time", [None, "soon", "0001-01-01 00:00:00", 1772360400000, "2026-03-02T09:15:00Z", {}])
def test_trace_without_a_time_is_set_aside(account: Account, time: object) -> None:
    """It is kept with its bytes and no status, and an id of its own tells a repeat."""
    event, other = trace(account, actionTime=time), trace(account, actionTime=time, action="SIGNED")

    assert (event.code, event.status, event.known) == ("action:unreadable", None, False)
    assert event.raw == trace_data(actionTime=time)
    assert event.carrier_event_id == trace(account, actionTime=time).carrier_event_id != other.carrier_event_id


@pytest.mark.parametrize("number", [None, "", "SF1234567890123", ["75400001234567"]])
def test_trace_of_no_parcel_is_refused(account: Account, number: object) -> None:
    """Without a waybill number there is nothing to keep it with; the reason names the key and quotes nothing."""
    request = signed(trace_data(billCode=number), msg_type="Traces")

    with pytest.raises(PushRefused, match="billCode") as refused:
        parse(account, request)

    assert "SF" not in refused.value.reason


def test_signed_data_about_nothing_known_is_acknowledged(account: Account) -> None:
    """What is neither an order nor a trace must not come back for ever."""
    receipt = parse(account, signed('{"billCode":"75400001234567"}'))

    assert receipt == PushReceipt(push.ACKNOWLEDGEMENT)


def test_order_push_tells_the_booking(zto: Zto, account: Account, kit: Any) -> None:
    """A full-network order is named by what it can be looked up with: its waybill number."""
    receipt = zto.parse_push(account, kit.now, signed(kit.text("order_push.data.json")))

    [news] = receipt.bookings
    assert news.state is BookingState.LIVE
    assert (news.waybill_number, news.carrier_order_id) == ("75400001234567", "75400001234567")
    assert (news.reference, news.carrier_code) == ("", "1")


def test_pick_up_order_is_named_by_its_order_code(zto: Zto, pick_up: Account, kit: Any) -> None:
    """Pick-up orders are looked up by orderCode."""
    receipt = zto.parse_push(pick_up, kit.now, signed(kit.text("order_push.data.json")))

    assert receipt.bookings[0].carrier_order_id == "260301000001234567"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (1, BookingState.LIVE),
        ("2", BookingState.LIVE),
        (3, BookingState.LIVE),
        (4, BookingState.LIVE),
        (5, BookingState.LIVE),
        (15, BookingState.LIVE),
        (6, BookingState.CANCELLED),
        ("6", BookingState.CANCELLED),
        (7, BookingState.OTHER),
        (-1, BookingState.OTHER),
        ("", BookingState.OTHER),
    ],
)
def test_order_status_decides_the_state(account: Account, status: int | str, state: BookingState) -> None:
    """Known statuses are mapped, the rest is OTHER with the raw code beside it."""
    receipt = parse(account, signed(order_data(pre_order_status=status)))

    assert receipt.bookings[0].state is state
    assert receipt.bookings[0].carrier_code == str(status)


@pytest.mark.parametrize(
    ("facts", "waybill", "order"),
    [
        ({"bill_code": None}, "", "260301000001234567"),
        ({"bill_code": "n/a"}, "", "260301000001234567"),
        ({"bill_code": 75400001234567, "order_code": None}, "75400001234567", "75400001234567"),
        ({"bill_code": "", "order_code": 260301000001234567}, "", "260301000001234567"),
    ],
)
def test_missing_or_odd_ids_stay_empty(account: Account, facts: dict[str, Any], waybill: str, order: str) -> None:
    """Ids come as text or numbers; what is no waybill number is not passed on as one."""
    [news] = parse(account, signed(order_data(**facts))).bookings

    assert (news.waybill_number, news.carrier_order_id) == (waybill, order)


def test_error_text_is_handed_on(account: Account) -> None:
    """ZTO's own words reach operations."""
    request = signed(order_data(pre_order_status=6, error_msg="客户取消"))

    assert parse(account, request).bookings[0].carrier_message == "客户取消"


@pytest.mark.parametrize("data", [order_data(), trace_data()], ids=["order", "trace"])
def test_label_of_a_push_decides_nothing(account: Account, data: bytes) -> None:
    """msg_type is outside the digest: relabelling a push does not change what it says."""
    told = parse(account, signed(data, msg_type="Traces"))

    assert told == parse(account, signed(data, msg_type="PreOrder", token=""))


@pytest.mark.parametrize("data", [order_data(), trace_data()], ids=["order", "trace"])
def test_repeated_push_has_the_same_receipt(account: Account, data: bytes) -> None:
    """Reading has no memory."""
    request = signed(data)

    assert parse(account, request) == parse(account, request)


@pytest.mark.parametrize("field", ["data", "data_digest", "company_id"])
@pytest.mark.parametrize("text", [order_data(), trace_data()], ids=["order", "trace"])
def test_no_byte_of_a_push_can_be_forged(account: Account, text: bytes, field: str) -> None:
    """Any change of any character of a protected field is refused."""
    data = text.decode()
    original = {
        "data": data,
        "data_digest": wire.digest(data.encode(), SECRET),
        "company_id": "zto-demo-app",
    }
    genuine = original[field]

    for at in range(len(genuine)):
        for other in {chr((ord(genuine[at]) + step) % 128) for step in (1, 32, 77)}:
            forged = genuine[:at] + other + genuine[at + 1 :]
            request = signed(data, **{field: forged})
            with pytest.raises(PushRefused):
                parse(account, request)


@pytest.mark.parametrize("name", ["order_push.data.json", "trace_push.data.json"])
def test_no_byte_of_the_body_can_be_flipped_into_other_news(account: Account, kit: Any, name: str) -> None:
    """Over the raw body a flipped byte is refused, or leaves the signed text as it was."""
    body = signed(kit.text(name)).body
    genuine = parse(account, PushRequest(body=body))

    for at in range(len(body)):
        for mask in (0x01, 0x20, 0x80):
            forged = body[:at] + bytes([body[at] ^ mask]) + body[at + 1 :]
            try:
                receipt: PushReceipt | None = parse(account, PushRequest(body=forged))
            except PushRefused:
                receipt = None
            assert receipt in (None, genuine)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "form"),
        (b"\xff=1", "form"),
        (b"data=%FF%FE&data_digest=x&company_id=y", "form"),
        (b"nonsense", "form"),
        (b"&".join(b"k%d=1" % i for i in range(50)), "form"),
        (b"company_id=zto-demo-app&data_digest=x", "`data`"),
        (b"data=1&data=2&data_digest=x&company_id=zto-demo-app", "twice"),
        (b"data=1&data_digest=x", "company_id"),
        (b"data=1&company_id=zto-demo-app", "data_digest"),
    ],
)
def test_what_is_no_push_is_refused_with_a_reason(account: Account, body: bytes, reason: str) -> None:
    """The reason helps operations and quotes nothing of the body."""
    with pytest.raises(PushRefused, match=reason):
        parse(account, PushRequest(body=body))


@pytest.mark.parametrize("data", ["", "[]", "null", "{", '"x"', '{"pre_order_status":{}}', "[" * 9999])
def test_signed_but_unreadable_data_is_refused(account: Account, data: str) -> None:
    """A right digest does not make nonsense readable."""
    with pytest.raises(PushRefused, match="digest is right"):
        parse(account, signed(data))


def test_other_accounts_push_is_refused(account: Account, kit: Any) -> None:
    """A push signed for another application does not enter here."""
    other = kit.with_settings(account, app_key="another-app")

    with pytest.raises(PushRefused, match="company_id"):
        parse(other, signed(order_data()))


def test_account_without_secret_believes_nobody(account: Account) -> None:
    """An empty secret would let anyone sign."""
    bare = Account("main", "zto", account.base_url, account.settings, {})
    text = order_data()
    request = signed(text, data_digest=wire.digest(text, ""))

    with pytest.raises(PushRefused, match="app_secret"):
        parse(bare, request)


def test_noise_is_always_refused(account: Account) -> None:
    """Random bodies never get through and never raise anything but PushRefused."""
    draw = random.Random(7)

    for _ in range(1_000):
        body = bytes(draw.choices(b'data=&%_igestcompny0123\xff\x00{}"+', k=draw.randint(0, 80)))
        with pytest.raises(PushRefused):
            parse(account, PushRequest(body=body))
