"""createOrder: built, signed, read, refused."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from crossdock_sdk import (
    Account,
    Booked,
    Booking,
    CarrierError,
    Contact,
    ErrorClass,
    Item,
    Money,
    Options,
    Parcel,
    Party,
    Routing,
    SideEffect,
    Temperature,
)
from crossdock_zto import book
from crossdock_zto.carrier import Zto
from crossdock_zto.party import sender

change = msgspec.structs.replace


@dataclass
class Desk:
    """Books with a canned answer."""

    zto: Zto
    account: Account
    kit: Any

    def __call__(self, booking: Booking, answer: Any) -> Any:
        outcomes, _ = self.kit.play(self.zto.book(self.kit.context(self.account), [booking]), answer)
        return outcomes[0]


@pytest.fixture
def desk(zto: Zto, account: Account, kit: Any) -> Desk:
    """The carrier's book operation with its driver."""
    return Desk(zto, account, kit)


def body_of(account: Account, booking: Booking) -> Any:
    """The JSON that would be sent."""
    return msgspec.json.decode(book.build(account, booking).body)


def test_create_order_is_built_byte_for_byte_like_the_sample(account: Account, booking: Booking, kit: Any) -> None:
    """The documented sample comes out exactly, and with it the documented digest."""
    request = book.build(account, booking)

    assert request.body == kit.text("create_order.request.json")
    assert request.headers["x-dataDigest"] == "58TXZLVg5/KTHy+y/Qik9g=="
    assert request.url == "https://japi.zto.com/zto.open.createOrder"
    assert request.method == "POST"


def test_amounts_go_out_in_fen(account: Account, booking: Booking) -> None:
    """vasAmount is an integer of fen, the weight of goods an integer of grams."""
    options = Options(insured_value=Money("CNY", 200_050), cash_on_delivery=Money("CNY", 19_900))

    body = body_of(account, change(booking, options=options))

    assert body["orderVasList"] == [
        {"vasType": "COD", "vasAmount": 19_900},
        {"vasType": "insured", "vasAmount": 200_050},
    ]
    assert body["orderItems"] == [{"name": "T恤", "weight": 400, "quantity": 1}]


def test_zero_amount_is_no_service(account: Account, booking: Booking) -> None:
    """An insured value of nothing orders no insurance."""
    body = body_of(account, change(booking, options=Options(insured_value=Money("CNY", 0))))

    assert "orderVasList" not in body


@pytest.mark.parametrize(
    ("number", "key"),
    [
        ("13900002222", "receiverMobile"),
        ("0755-86010515", "receiverPhone"),
        ("+8613900002222", "receiverPhone"),
    ],
)
def test_phone_goes_where_it_belongs(account: Account, booking: Booking, number: str, key: str) -> None:
    """Mobiles and landlines have different keys; exactly one is sent."""
    recipient = Party(Contact("陈小帆", number), booking.recipient.address)

    receiver = body_of(account, change(booking, recipient=recipient))["receiveInfo"]

    assert receiver[key] == number
    assert len({"receiverMobile", "receiverPhone"} & set(receiver)) == 1


def test_town_is_kept_in_the_address_line(account: Account, booking: Booking) -> None:
    """ZTO has no field for the town, so it stands before the street."""
    address = change(booking.recipient.address, town="桂溪街道")

    body = body_of(account, change(booking, recipient=Party(booking.recipient.contact, address)))

    assert body["receiveInfo"]["receiverAddress"] == "桂溪街道天府大道200号"


@pytest.mark.parametrize(
    ("parcel", "items", "size"),
    [
        (Parcel(900, items=(Item("书"),)), [{"name": "书", "weight": 900, "quantity": 1}], None),
        (Parcel(900, items=(Item("书", 2),)), [{"name": "书", "quantity": 2}], None),
        (Parcel(900, 301, 200, 99), None, "31,20,10"),
        (Parcel(900, 301, 200, 0), None, None),
    ],
    ids=["lone piece", "two pieces", "size", "size unknown"],
)
def test_goods_and_size_say_what_is_known(
    account: Account, booking: Booking, parcel: Parcel, items: Any, size: Any
) -> None:
    """Nothing is invented: a weight or size that nobody told is left out."""
    body = body_of(account, change(booking, parcels=(parcel,)))

    assert body.get("orderItems") == items
    assert body["summaryInfo"].get("size") == size
    assert body["summaryInfo"]["quantity"] == 1


def test_group_customer_is_named_by_customer_id(account: Account, booking: Booking, kit: Any) -> None:
    """partnerType 1 takes a customer code and no password."""
    body = body_of(kit.with_settings(account, partner_type="1"), booking)

    assert body["partnerType"] == "1"
    assert body["accountInfo"] == {"customerId": "test", "type": 1}


def test_missing_password_is_refused_before_anything_is_sent(
    zto: Zto, account: Account, booking: Booking, kit: Any
) -> None:
    """The error names the setting, and no request leaves."""
    bare = Account("main", "zto", account.base_url, account.settings, {})

    [outcome], sent = kit.play(zto.book(kit.context(bare), [booking]))

    assert outcome.error_class is ErrorClass.AUTH
    assert "account_password" in outcome.message
    assert sent == []


@pytest.mark.parametrize(
    ("changes", "field", "error_class"),
    [
        ({"parcels": (Parcel(1), Parcel(1))}, "parcels", ErrorClass.NO_SERVICE),
        (
            {"options": Options(temperature=Temperature.CHILLED)},
            "options.temperature",
            ErrorClass.NO_SERVICE,
        ),
        (
            {"options": Options(signed_receipt=True)},
            "options.signed_receipt",
            ErrorClass.NO_SERVICE,
        ),
        ({"options": Options(pickup=True)}, "options.pickup", ErrorClass.NO_SERVICE),
        (
            {"options": Options(cash_on_delivery=Money("USD", 1))},
            "options.cash_on_delivery",
            ErrorClass.INVALID_REQUEST,
        ),
        (
            {"options": Options(insured_value=Money("CNY", -1))},
            "options.insured_value",
            ErrorClass.INVALID_REQUEST,
        ),
    ],
)
def test_wish_that_cannot_be_told_is_refused_unsent(
    zto: Zto,
    account: Account,
    booking: Booking,
    kit: Any,
    changes: dict[str, Any],
    field: str,
    error_class: ErrorClass,
) -> None:
    """An option is never dropped in silence, and the batch-mate is booked all the same."""
    flow = zto.book(kit.context(account), [change(booking, **changes), booking])

    outcomes, sent = kit.play(flow, kit.recorded("create_order.response.json"))

    assert (outcomes[0].field, outcomes[0].error_class) == (field, error_class)
    assert outcomes[0].side_effect is SideEffect.NONE
    assert isinstance(outcomes[1], Booked)
    assert len(sent) == 1


def test_sample_answer_is_read(desk: Desk, booking: Booking, kit: Any) -> None:
    """Waybill number, order code and routing texts; the QR code means the waybill number."""
    outcome = desk(booking, kit.recorded("create_order.response.json"))

    assert outcome == Booked(
        "SO20260301001",
        "75400001234567",
        carrier_order_id="260301000001234567",
        routing=Routing(sort_code="510- A03 21", bag_address="成都", qr_text=""),
    )


def test_answer_without_marks_is_booked_with_empty_routing(desk: Desk, booking: Booking, kit: Any) -> None:
    """Missing routing texts do not make a booking doubtful."""
    answer = kit.answer('{"result":{"billCode":"75400001234567","partnerOrderCode":"SO20260301001"},"status":true}')

    assert desk(booking, answer) == Booked("SO20260301001", "75400001234567")


@pytest.mark.parametrize(
    "result",
    [
        "null",
        "{}",
        "[]",
        '{"billCode":"75400001234567"}',
        '{"billCode":"75400001234567","partnerOrderCode":"SO20260301002"}',
        '{"billCode":"","partnerOrderCode":"SO20260301001"}',
        '{"billCode":null,"partnerOrderCode":"SO20260301001"}',
        '{"billCode":"7540000123456A","partnerOrderCode":"SO20260301001"}',
        '{"billCode":"754000","partnerOrderCode":"SO20260301001"}',
        '{"billCode":75400001234567,"partnerOrderCode":"SO20260301001"}',
    ],
)
def test_success_without_proof_is_unknown(desk: Desk, booking: Booking, kit: Any, result: str) -> None:
    """A "success" that does not carry our reference and a waybill number is believed by nobody."""
    outcome = desk(booking, kit.answer(f'{{"result":{result},"status":true,"statusCode":"0000"}}'))

    assert isinstance(outcome, CarrierError)
    assert outcome.side_effect is SideEffect.UNKNOWN


@pytest.mark.parametrize("code", ["S200", "S202", "S203", "p-ow002", "E500", "X-1", "E23116", ""])
def test_system_fault_on_a_booking_is_unknown(desk: Desk, booking: Booking, kit: Any, code: str) -> None:
    """The order may exist: neither a repeat nor a backup carrier may follow."""
    outcome = desk(booking, kit.refused(code))

    assert outcome.error_class is ErrorClass.TEMPORARY
    assert outcome.side_effect is SideEffect.UNKNOWN


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("S206", ErrorClass.RATE_LIMITED),
        ("S221", ErrorClass.RATE_LIMITED),
        ("F002", ErrorClass.BALANCE),
        ("p-o003", ErrorClass.AUTH),
        ("S208", ErrorClass.INVALID_REQUEST),
    ],
)
def test_refused_booking_proves_that_nothing_was_done(
    desk: Desk, booking: Booking, kit: Any, code: str, expected: ErrorClass
) -> None:
    """These answers come from before the booking: the next candidate may be tried."""
    outcome = desk(booking, kit.refused(code))

    assert (outcome.error_class, outcome.code) == (expected, code)
    assert outcome.side_effect is SideEffect.NONE


def test_damaged_answers_never_become_another_booking(desk: Desk, booking: Booking, kit: Any) -> None:
    """Whatever happens to the bytes, the outcome is an unknown error or a booking of ours."""
    draw = random.Random(20260301)
    sample = kit.text("create_order.response.json")

    for _ in range(2_000):
        raw = bytearray(sample)
        for _ in range(draw.randint(1, 4)):
            raw[draw.randrange(len(raw))] = draw.randrange(256)
        outcome = desk(booking, kit.answer(bytes(raw[: draw.randint(0, len(raw))])))
        if isinstance(outcome, Booked):
            assert outcome.reference == booking.reference
        else:
            assert outcome.side_effect is SideEffect.UNKNOWN


def test_personal_data_stays_out_of_repr(account: Account, booking: Booking) -> None:
    """A stray log line of a request shows no person and no password."""
    shown = repr(book.build(account, booking)) + repr(sender(booking.shipper))
    shown += repr(book._payer(account))

    assert not any(word in shown for word in ("林小舟", "13900001111", "ZTO123", "文三路"))
