"""areaUnobstructed, obtainPicePrescription and bagAddrMark: built, signed, read, refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crossdock_sdk import (
    Account,
    Booking,
    CarrierError,
    ErrorClass,
    Lane,
    Money,
    Parcel,
    Quote,
    Routing,
    SortCodeRequest,
)
from crossdock_zto import quote, sort_code, wire
from crossdock_zto.carrier import Zto


@pytest.fixture
def lane(booking: Booking) -> Lane:
    """The sample booking's lane."""
    return Lane(booking.shipper, booking.recipient, booking.parcels)


def test_open_lane_is_priced(zto: Zto, account: Account, lane: Lane, kit: Any) -> None:
    """Yuan become fen and hours become seconds; two signed calls, spelt as ZTO spells them."""
    flow = zto.quote(kit.context(account), [lane])

    outcomes, sent = kit.play(flow, kit.recorded("area_open.response.json"), kit.recorded("price.response.json"))

    assert outcomes == [(Quote("1", Money("CNY", 1235), transit_s=48 * 3600),)]
    assert [r.url.rsplit("/", 1)[1] for r in sent] == [
        "zto.open.areaUnobstructed",
        "zto.open.obtainPicePrescription",
    ]
    assert all(r.headers["x-dataDigest"] == wire.digest(r.body, "zto-demo-secret-01") for r in sent)


def test_questions_are_built_as_documented(account: Account, lane: Lane) -> None:
    """Serviceability asks for the recipient only, the price for both ends and kilograms."""
    area = msgspec.json.decode(quote.area(account, lane).body)
    price = msgspec.json.decode(quote.price(account, lane).body)

    target = {
        "province": "四川省",
        "city": "成都市",
        "district": "武侯区",
        "address": "天府大道200号",
    }
    assert area == target
    assert price["addresser"] == target
    assert price["sender"]["city"] == "杭州市"
    assert (price["transportType"], price["weight"]) == (1, 0.4)


@pytest.mark.parametrize(
    ("weight_g", "on_the_wire"),
    [(1, b"0.01"), (400, b"0.40"), (1_001, b"1.01"), (19_999, b"20.00"), (12_340, b"12.34")],
)
def test_weight_has_two_decimals_and_is_never_understated(
    account: Account, lane: Lane, weight_g: int, on_the_wire: bytes
) -> None:
    """Kilograms with two decimals, rounded up."""
    heavy = msgspec.structs.replace(lane, parcels=(Parcel(weight_g),))

    assert b'"weight":' + on_the_wire + b"}" in quote.price(account, heavy).body


def test_stopped_destination_is_no_service(zto: Zto, account: Account, lane: Lane, kit: Any) -> None:
    """ZTO's reason is handed on, and the price is not asked for."""
    flow = zto.quote(kit.context(account), [lane])

    [outcome], sent = kit.play(flow, kit.recorded("area_stopped.response.json"))

    assert outcome.error_class is ErrorClass.NO_SERVICE
    assert (outcome.code, outcome.message) == ("B01", "疫情停发")
    assert len(sent) == 1


def test_one_stopped_lane_leaves_the_others_priced(zto: Zto, account: Account, lane: Lane, kit: Any) -> None:
    """Each lane has its own outcome."""
    flow = zto.quote(kit.context(account), [lane, lane])

    outcomes, _ = kit.play(
        flow,
        kit.recorded("area_stopped.response.json"),
        kit.recorded("area_open.response.json"),
        kit.recorded("price.response.json"),
    )

    assert isinstance(outcomes[0], CarrierError)
    assert outcomes[1][0].freight == Money("CNY", 1235)


def test_area_answer_without_a_verdict_is_not_open(kit: Any) -> None:
    """A missing forbidType is neither open nor stopped."""
    with pytest.raises(CarrierError) as caught:
        quote.read_area(kit.answer('{"result":{},"status":true}'))

    assert caught.value.error_class is ErrorClass.TEMPORARY


@pytest.mark.parametrize(
    ("result", "freight_fen", "transit_s"),
    [
        ('{"price":0.1,"hour":36.5}', 10, 131_400),
        ('{"price":"8.29","hour":"24"}', 829, 86_400),
        ('{"price":1.005}', 101, None),
        ('{"firstWeightPrice":9.9,"hour":24}', None, 86_400),
        ("{}", None, None),
    ],
)
def test_price_is_exact(kit: Any, result: str, freight_fen: int | None, transit_s: int | None) -> None:
    """No float ever touches money, and what ZTO leaves out stays unknown."""
    answer = quote.read_price(kit.answer(f'{{"result":{result},"status":true}}'))

    assert (answer.freight.minor_units if answer.freight else None) == freight_fen
    assert answer.transit_s == transit_s


@pytest.mark.parametrize(
    "result",
    ['{"price":-1}', '{"price":1e400}', '{"price":"NaN"}', '{"price":"x"}', '{"hour":1e9}', "[]"],
)
def test_impossible_price_is_an_error(kit: Any, result: str) -> None:
    """A figure that cannot be true is not passed on."""
    with pytest.raises(CarrierError) as caught:
        quote.read_price(kit.answer(f'{{"result":{result},"status":true}}'))

    assert caught.value.error_class is ErrorClass.TEMPORARY


def test_several_parcels_are_no_service(zto: Zto, account: Account, lane: Lane, kit: Any) -> None:
    """ZTO carries one parcel a waybill; nothing is asked."""
    two = msgspec.structs.replace(lane, parcels=(Parcel(1), Parcel(1)))

    [outcome], sent = kit.play(zto.quote(kit.context(account), [two]))

    assert outcome.error_class is ErrorClass.NO_SERVICE
    assert sent == []


def test_quote_refused_by_the_gateway(zto: Zto, account: Account, lane: Lane, kit: Any) -> None:
    """A missing service binding is the account's fault, not the lane's."""
    [outcome], _ = kit.play(zto.quote(kit.context(account), [lane]), kit.refused("S210"))

    assert outcome.error_class is ErrorClass.AUTH


def test_sort_code_is_built_signed_and_read(zto: Zto, account: Account, booking: Booking, kit: Any) -> None:
    """bagAddrMark in ZTO's own key spelling, and the routing texts back."""
    wanted = SortCodeRequest("R1", booking.shipper.address, booking.recipient.address)

    outcomes, [request] = kit.play(
        zto.sort_code(kit.context(account), [wanted]), kit.recorded("bag_addr_mark.response.json")
    )

    assert outcomes == [Routing(sort_code="510- A03 21", bag_address="成都")]
    assert msgspec.json.decode(request.body) == {
        "unionCode": "R1",
        "send_province": "浙江省",
        "send_city": "杭州市",
        "send_district": "西湖区",
        "send_address": "文三路100号",
        "receive_province": "四川省",
        "receive_city": "成都市",
        "receive_district": "武侯区",
        "receive_address": "天府大道200号",
    }
    assert request.headers["x-dataDigest"] == wire.digest(request.body, "zto-demo-secret-01")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"result":{"mark":"","bagAddr":"成都"},"status":true}', ErrorClass.NOT_FOUND),
        ('{"result":null,"status":true}', ErrorClass.TEMPORARY),
        ('{"status":false,"statusCode":"S208","message":"缺少参数"}', ErrorClass.INVALID_REQUEST),
    ],
)
def test_sort_code_refused(kit: Any, answer: str, expected: ErrorClass) -> None:
    """An answer without a routing text is no answer."""
    outcome = sort_code.read(kit.answer(answer))

    assert isinstance(outcome, CarrierError)
    assert outcome.error_class is expected
