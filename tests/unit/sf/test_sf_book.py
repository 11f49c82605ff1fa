"""Booking: built, signed, read, refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sf_kit import (
    ACCOUNT,
    BOOKING,
    CHECK_WORD,
    PARCEL,
    RECIPIENT,
    SF,
    SHIPPER,
    TIMESTAMP,
    change,
    context,
    fields,
    fixture,
    gateway,
    message,
    play,
    refusal,
    refused,
    success,
)

from crossdock_sdk import (
    Booked,
    Booking,
    BookOutcome,
    ErrorClass,
    HttpResponse,
    Item,
    Money,
    Options,
    Parcel,
    SideEffect,
    Temperature,
)
from crossdock_sf import wire

ORDER = BOOKING.reference
WAYBILL = "SF1990000000017"


def _body(booking: Booking = BOOKING, **settings: str) -> dict[str, Any]:
    account = change(ACCOUNT, settings={**ACCOUNT.settings, **settings})
    flow = SF.book(context(account), [booking])
    return message(next(flow))


def _book(response: HttpResponse, booking: Booking = BOOKING) -> BookOutcome:
    outcomes, _ = play(SF.book(context(), [booking]), response)
    return outcomes[0]


def _order(**changes: Any) -> dict[str, Any]:
    order: dict[str, Any] = {
        "orderId": ORDER,
        "filterResult": 2,
        "waybillNoInfoList": [{"waybillType": 1, "waybillNo": WAYBILL}],
    }
    return order | changes


def _pieces(*numbers: tuple[int, str]) -> list[dict[str, Any]]:
    return [{"waybillType": kind, "waybillNo": number} for kind, number in numbers]


def test_order_is_built_as_in_the_sample() -> None:
    """A plain booking has every field of the document's sample that a domestic order needs."""
    sample = msgspec.json.decode(fixture("create.request.json"), type=dict[str, Any])
    pickup = Options(pickup=True, pickup_start_time=datetime(2026, 3, 2, 6, tzinfo=UTC))

    body = _body(change(BOOKING, options=pickup))

    for key in set(sample) - {"cargoDetails"}:
        assert body[key] == sample[key], key
    assert body["cargoDetails"] == [{"name": "图书", "count": 2, "weight": 0.7}]


def test_order_is_signed_over_the_text_that_is_sent() -> None:
    """Awkward goods, names and remarks reach SF byte for byte under a digest that fits them."""
    title = '保温杯☕ 100% A&B "特价" +赠品 <b>新</b> ~*'
    booking = change(BOOKING, parcels=(Parcel(500, items=(Item(title),)),), remark="a=b&c=d+e\n'%20")

    sent = fields(next(SF.book(context(), [booking])))

    assert sent["serviceCode"] == "EXP_RECE_CREATE_ORDER"
    assert sent["msgDigest"] == wire.digest("standard_md5", sent["msgData"], TIMESTAMP, CHECK_WORD)
    body = msgspec.json.decode(sent["msgData"].encode())
    assert body["cargoDetails"][0]["name"] == title
    assert body["remark"] == "a=b&c=d+e\n'%20"


def test_landline_is_tel_and_mobile_is_mobile() -> None:
    """SF wants mobile numbers and landlines in different fields."""
    shipper = change(SHIPPER, contact=change(SHIPPER.contact, phone="0755-86010515"))

    sender, receiver = _body(change(BOOKING, shipper=shipper))["contactInfoList"]

    assert (sender["tel"], "mobile" in sender) == ("0755-86010515", False)
    assert (receiver["mobile"], "tel" in receiver) == ("13800000002", False)


def test_town_goes_into_the_address_and_district_into_county() -> None:
    """SF has no town level: it leads the free address."""
    address = change(RECIPIENT.address, town="簇桥街道", street="1号")

    receiver = _body(change(BOOKING, recipient=change(RECIPIENT, address=address)))["contactInfoList"][1]

    assert (receiver["county"], receiver["address"]) == ("武侯区", "簇桥街道1号")
    assert receiver["country"] == "CN"


def test_several_parcels_are_one_order_with_the_total_weight() -> None:
    """Pieces become parcelQty and totalWeight; their goods are listed together."""
    body = _body(change(BOOKING, parcels=(PARCEL, change(PARCEL, weight_g=1), PARCEL)))

    assert (body["parcelQty"], body["totalWeight"]) == (3, 3.001)
    assert len(body["cargoDetails"]) == 3


def test_volume_is_sent_only_when_every_piece_is_measured() -> None:
    """Volume is in cm3; a piece without lengths leaves it out."""
    box = change(PARCEL, length_mm=300, width_mm=200, height_mm=105)

    assert _body(change(BOOKING, parcels=(box, box)))["volume"] == 12600
    assert "volume" not in _body(change(BOOKING, parcels=(box, PARCEL)))


def test_amounts_are_yuan_texts() -> None:
    """Cash on delivery and insured value are decimal yuan, no float in between."""
    options = Options(cash_on_delivery=Money("CNY", 19990), insured_value=Money("CNY", 1_000_000_05))

    assert _body(change(BOOKING, options=options))["serviceList"] == [
        {"name": "COD", "value": "199.90"},
        {"name": "INSURE", "value": "1000000.05"},
    ]


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(Temperature.CHILLED, 1), (Temperature.FROZEN, 3), (Temperature.AMBIENT, None)],
)
def test_temperature_layer_is_told(temperature: Temperature, expected: int | None) -> None:
    """Chilled is 1, frozen is 3, ambient says nothing."""
    body = _body(change(BOOKING, service="201", options=Options(temperature=temperature)))

    assert body["expressTypeId"] == 201
    assert body.get("temperatureRange") == expected


def test_pickup_window_is_beijing_time() -> None:
    """Start and end of the window are local texts; without pickup neither is sent."""
    options = Options(
        pickup=True,
        pickup_start_time=datetime(2026, 3, 2, 6, tzinfo=UTC),
        pickup_end_time=datetime(2026, 3, 2, 17, tzinfo=UTC),
    )

    asked = _body(change(BOOKING, options=options))
    not_asked = _body(change(BOOKING, options=change(options, pickup=False)))

    assert (asked["isDocall"], asked["sendStartTm"]) == (1, "2026-03-02 14:00:00")
    assert asked["extraInfoList"] == [{"attrName": "pickupAppointEndTime", "attrVal": "2026-03-03 01:00:00"}]
    assert not_asked["isDocall"] == 0
    assert not {"sendStartTm", "extraInfoList"} & not_asked.keys()


def test_signed_receipt_and_merchant_reference_are_told() -> None:
    """isSignBack asks for the receipt number, custReferenceNo carries the merchant's own."""
    options = Options(signed_receipt=True)

    body = _body(change(BOOKING, options=options, order_reference="SO-1"))

    assert (body["isSignBack"], body["custReferenceNo"]) == (1, "SO-1")
    assert _body()["isSignBack"] == 0


def test_payer_and_monthly_account_come_from_the_settings() -> None:
    """pay_method is 1 unless set; an empty monthly account is not sent."""
    body = _body(pay_method="2", monthly_card="")

    assert body["payMethod"] == 2
    assert "monthlyCard" not in body
    assert (_body()["payMethod"], _body()["monthlyCard"]) == (1, "7551234567")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parcels": (Parcel(500),)}, "parcels.items"),
        ({"service": "标快"}, "service"),
        (
            {"options": Options(cash_on_delivery=Money("USD", 1))},
            "options.cash_on_delivery.currency_code",
        ),
        (
            {"options": Options(insured_value=Money("USD", 1))},
            "options.insured_value.currency_code",
        ),
    ],
)
def test_what_sf_cannot_be_told_is_refused_without_a_call(changes: dict[str, Any], field: str) -> None:
    """Nothing is sent; the error names our field and proves that nothing was booked."""
    outcomes, requests = play(SF.book(context(), [change(BOOKING, **changes)]))
    error = refused(outcomes[0])

    assert requests == []
    assert (error.error_class, error.field) == (ErrorClass.INVALID_REQUEST, field)
    assert error.side_effect is SideEffect.NONE


def test_sample_answer_is_read() -> None:
    """The document's sample answer is a booking with its waybill number and routing."""
    outcome = _book(HttpResponse(200, {}, fixture("create.answer.json")))

    assert isinstance(outcome, Booked)
    assert (outcome.reference, outcome.waybill_number) == (ORDER, WAYBILL)
    assert outcome.routing.sort_code == "028W-AB-012"
    assert outcome.routing.product_name == "T6"


def test_routing_prefers_the_performed_products_name() -> None:
    """The QR text and the product's name are taken from the routing data."""
    data = {
        "destRouteLabel": "755A",
        "twoDimensionCode": "MMM={'k1':'755A'}",
        "proName": "顺丰标快",
    }
    routes = [{"code": "9999", "routeLabelData": None}, {"code": "1000", "routeLabelData": data}]

    outcome = _book(success(_order(routeLabelInfo=routes)))

    assert isinstance(outcome, Booked)
    assert outcome.routing.qr_text == "MMM={'k1':'755A'}"
    assert outcome.routing.product_name == "顺丰标快"


@pytest.mark.parametrize("routes", [None, [], "odd", [{"code": 7}], [{"routeLabelData": []}], [1]])
def test_odd_routing_casts_no_doubt_on_the_booking(routes: Any) -> None:
    """Routing data that cannot be read is left empty; the booking stands."""
    outcome = _book(success(_order(routeLabelInfo=routes)))

    assert isinstance(outcome, Booked)
    assert outcome.routing.sort_code == ""


def test_child_numbers_come_in_order_without_the_receipt() -> None:
    """Type 2 numbers are the other pieces in SF's order; type 3 is the receipt's."""
    numbers = _pieces((3, "SF1990000000099"), (2, "SF1990000000055"), (1, WAYBILL), (2, "SF1990000000018"))
    booking = change(BOOKING, parcels=(PARCEL,) * 3)

    outcome = _book(success(_order(waybillNoInfoList=numbers)), booking)

    assert isinstance(outcome, Booked)
    assert outcome.waybill_number == WAYBILL
    assert outcome.sub_waybill_numbers == ("SF1990000000055", "SF1990000000018")


@pytest.mark.parametrize(
    "changes",
    [
        {"orderId": "OTHER"},
        {"orderId": None},
        {"filterResult": None},
        {"filterResult": 4},
        {"filterResult": 1},
        {"waybillNoInfoList": None},
        {"waybillNoInfoList": []},
        {"waybillNoInfoList": _pieces((2, WAYBILL))},
        {"waybillNoInfoList": _pieces((1, "SF199000000001"))},
        {"waybillNoInfoList": _pieces((1, ""))},
        {"waybillNoInfoList": _pieces((1, "SF199000000001７"))},
        {"waybillNoInfoList": _pieces((1, WAYBILL), (1, "SF1990000000018"))},
        {"waybillNoInfoList": _pieces((1, WAYBILL), (2, WAYBILL))},
        {"waybillNoInfoList": _pieces((1, WAYBILL), (2, "SF1990000000018"))},
        {"waybillNoInfoList": [{"waybillType": 1, "waybillNo": 7}]},
    ],
)
def test_answer_that_does_not_add_up_is_unknown(changes: dict[str, Any]) -> None:
    """Another's order, no clear acceptance or unusable numbers leave it to the look-up."""
    error = refused(_book(success(_order(**changes))))

    assert error.error_class is ErrorClass.TEMPORARY
    assert error.side_effect is SideEffect.UNKNOWN


def test_piece_numbers_that_repeat_are_unknown() -> None:
    """Two pieces under one number are not two pieces."""
    numbers = _pieces((1, WAYBILL), (2, WAYBILL))
    booking = change(BOOKING, parcels=(PARCEL,) * 2)

    error = refused(_book(success(_order(waybillNoInfoList=numbers)), booking))

    assert error.side_effect is SideEffect.UNKNOWN


@pytest.mark.parametrize(
    ("remark", "field"),
    [("1", "recipient.address"), ("2", "shipper.address"), ("3", ""), ("4:高峰期", "")],
)
def test_screening_refusal_is_no_service(remark: str, field: str) -> None:
    """filterResult 3 is a refusal although success is true; the remark says which end."""
    response = success(_order(filterResult=3, remark=remark, waybillNoInfoList=None))

    error = refused(_book(response))

    assert (error.error_class, error.field) == (ErrorClass.NO_SERVICE, field)
    assert error.side_effect is SideEffect.NONE
    assert error.message


def test_manual_check_is_left_to_the_look_up() -> None:
    """filterResult 1 is neither booked nor refused."""
    error = refused(_book(success(_order(filterResult=1, waybillNoInfoList=None))))

    assert (error.error_class, error.side_effect) == (ErrorClass.TEMPORARY, SideEffect.UNKNOWN)
    assert "manual check pending" in error.message


def test_used_reference_is_a_duplicate_that_must_be_looked_up() -> None:
    """8016 says that the reference is taken, not what became of its order."""
    error = refused(_book(refusal("8016", "重复下单")))

    assert (error.error_class, error.side_effect) == (ErrorClass.DUPLICATE, SideEffect.UNKNOWN)


@pytest.mark.parametrize("code", ["A1007", "A1009", "A1099", "A9999"])
def test_gateway_failure_after_sending_is_unknown(code: str) -> None:
    """Codes that come from behind the gateway prove nothing about the order (trap 6)."""
    assert refused(_book(gateway(code))).side_effect is SideEffect.UNKNOWN


def test_refusal_of_one_booking_leaves_its_mate_alone() -> None:
    """Each booking has an outcome of its own, in order."""
    other = change(BOOKING, reference="OTHER")

    outcomes, requests = play(
        SF.book(context(), [other, BOOKING]),
        refusal("8057"),
        HttpResponse(200, {}, fixture("create.answer.json")),
    )

    assert refused(outcomes[0]).code == "8057"
    assert isinstance(outcomes[1], Booked)
    assert len({fields(request)["requestID"] for request in requests}) == 2
