"""Pushes: verified over the exact text, read, refused, acknowledged."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from crossdock_sdk import Account, BookingState, PushReceipt, PushRefused, PushRequest
from crossdock_sdk.codec import form
from crossdock_zto import push, wire
from crossdock_zto.carrier import Zto

SECRET = "zto-demo-secret-01"


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


def order_data(**facts: Any) -> bytes:
    """The `data` of an order status push."""
    base = {
        "order_code": "260301000001234567",
        "bill_code": "75400001234567",
        "pre_order_status": 1,
        "error_msg": "",
    }
    return msgspec.json.encode(base | facts)


def test_trace_push_with_the_published_digest_is_acknowledged(zto: Zto, account: Account, kit: Any) -> None:
    """A scan is verified and acknowledged as the sheet says; it is no news about a booking."""
    data = kit.text("trace_push.data.json")
    request = signed(data, data_digest="GMI7IeW0F5KIfUvxTkJH0w==", msg_type="Traces")

    receipt = zto.parse_push(account, kit.now, request)

    assert receipt.bookings == ()
    assert receipt.acknowledgement.status == 200
    assert receipt.acknowledgement.body == kit.text("acknowledgement.json")


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
    receipt = push.parse_push(account, signed(order_data(pre_order_status=status)))

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
    [news] = push.parse_push(account, signed(order_data(**facts))).bookings

    assert (news.waybill_number, news.carrier_order_id) == (waybill, order)


def test_error_text_is_handed_on(account: Account) -> None:
    """ZTO's own words reach operations."""
    request = signed(order_data(pre_order_status=6, error_msg="客户取消"))

    assert push.parse_push(account, request).bookings[0].carrier_message == "客户取消"


def test_label_of_a_push_decides_nothing(account: Account) -> None:
    """msg_type is outside the digest: relabelling a push does not change what it says."""
    told = push.parse_push(account, signed(order_data(), msg_type="Traces"))

    assert told == push.parse_push(account, signed(order_data(), msg_type="PreOrder", token=""))


def test_repeated_push_has_the_same_receipt(account: Account) -> None:
    """Reading has no memory."""
    request = signed(order_data())

    assert push.parse_push(account, request) == push.parse_push(account, request)


@pytest.mark.parametrize("field", ["data", "data_digest", "company_id"])
def test_no_byte_of_a_push_can_be_forged(account: Account, field: str) -> None:
    """Any change of any character of a protected field is refused."""
    data = order_data().decode()
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
                push.parse_push(account, request)


def test_no_byte_of_the_body_can_be_flipped_into_other_news(account: Account, kit: Any) -> None:
    """Over the raw body a flipped byte is refused, or leaves the signed text as it was."""
    body = signed(kit.text("order_push.data.json")).body
    genuine = push.parse_push(account, PushRequest(body=body))

    for at in range(len(body)):
        for mask in (0x01, 0x20, 0x80):
            forged = body[:at] + bytes([body[at] ^ mask]) + body[at + 1 :]
            try:
                receipt: PushReceipt | None = push.parse_push(account, PushRequest(body=forged))
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
        push.parse_push(account, PushRequest(body=body))


@pytest.mark.parametrize("data", ["", "[]", "null", "{", '"x"', '{"pre_order_status":{}}', "[" * 9999])
def test_signed_but_unreadable_data_is_refused(account: Account, data: str) -> None:
    """A right digest does not make nonsense readable."""
    with pytest.raises(PushRefused, match="digest is right"):
        push.parse_push(account, signed(data))


def test_other_accounts_push_is_refused(account: Account, kit: Any) -> None:
    """A push signed for another application does not enter here."""
    other = kit.with_settings(account, app_key="another-app")

    with pytest.raises(PushRefused, match="company_id"):
        push.parse_push(other, signed(order_data()))


def test_account_without_secret_believes_nobody(account: Account) -> None:
    """An empty secret would let anyone sign."""
    bare = Account("main", "zto", account.base_url, account.settings, {})
    text = order_data()
    request = signed(text, data_digest=wire.digest(text, ""))

    with pytest.raises(PushRefused, match="app_secret"):
        push.parse_push(bare, request)


def test_noise_is_always_refused(account: Account) -> None:
    """Random bodies never get through and never raise anything but PushRefused."""
    draw = random.Random(7)

    for _ in range(1_000):
        body = bytes(draw.choices(b'data=&%_igestcompny0123\xff\x00{}"+', k=draw.randint(0, 80)))
        with pytest.raises(PushRefused):
            push.parse_push(account, PushRequest(body=body))
