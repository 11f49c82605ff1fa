"""The simulator: what it refuses, what it remembers, and round trips with the carrier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from crossdock_sdk import (
    Account,
    Booked,
    Booking,
    BookingState,
    Cancellation,
    Cancelled,
    CarrierError,
    ErrorClass,
    HttpRequest,
    Lane,
    Money,
    Options,
    PushRequest,
    Secret,
    SideEffect,
    SortCodeRequest,
)
from crossdock_sdk.simulator import Faults, Ledger
from crossdock_zto import book, wire
from crossdock_zto.carrier import Zto
from crossdock_zto.simulator import OPERATIONS, ZtoSimulator

change = msgspec.structs.replace


@pytest.fixture
def demo() -> Account:
    """The account the simulator accepts."""
    return ZtoSimulator.account("http://127.0.0.1:9000")


@pytest.fixture
def demo_pick_up(demo: Account, kit: Any) -> Account:
    """The same account with pick-up orders."""
    return kit.with_settings(demo, order_type="2")  # type: ignore[no-any-return]  # kit is untyped


def code_of(simulator: ZtoSimulator, request: HttpRequest) -> str:
    """The statusCode of the simulator's answer."""
    return str(msgspec.json.decode(simulator.handle(request).body)["statusCode"])


def booked(zto: Zto, simulator: ZtoSimulator, account: Account, booking: Booking, kit: Any) -> Any:
    """Book one and return its outcome."""
    outcomes, _ = kit.play(zto.book(kit.context(account), [booking]), simulator.handle)
    return outcomes[0]


def test_booking_round_trip(zto: Zto, simulator: ZtoSimulator, demo: Account, booking: Booking, kit: Any) -> None:
    """A booking ends in the ledger with a number of ZTO's pattern and with routing texts."""
    outcome = booked(zto, simulator, demo, booking, kit)

    assert isinstance(outcome, Booked)
    assert zto.manifest.owns_number(outcome.waybill_number)
    assert len(outcome.carrier_order_id) == 18
    assert outcome.carrier_order_id.startswith("260301")
    assert outcome.routing.bag_address == "成都"
    entry = simulator.ledger.live(booking.reference)
    assert entry is not None
    assert entry.waybill_number == outcome.waybill_number


def test_repeated_reference_books_again(
    zto: Zto, simulator: ZtoSimulator, demo: Account, booking: Booking, kit: Any
) -> None:
    """ZTO documents no protection: whoever repeats gets a second live waybill."""
    first = booked(zto, simulator, demo, booking, kit)
    second = booked(zto, simulator, demo, booking, kit)

    assert first.waybill_number != second.waybill_number
    assert len(simulator.ledger.by_reference[booking.reference]) == 2


def test_two_simulators_of_the_carrier_issue_different_numbers(
    zto: Zto, simulator: ZtoSimulator, demo: Account, booking: Booking, clock: Any, kit: Any
) -> None:
    """Waybill numbers and order codes begin after a serial of its own."""
    other = ZtoSimulator(Ledger(), clock=clock)
    other.first_serial = 1_000_000
    first, second = booked(zto, simulator, demo, booking, kit), booked(zto, other, demo, booking, kit)

    assert (first.waybill_number, second.waybill_number) == ("75400000000001", "75400001000001")
    assert first.carrier_order_id != second.carrier_order_id


def test_numbers_stay_unique_after_a_restart(
    zto: Zto, clock: Any, demo: Account, booking: Booking, kit: Any, tmp_path: Path
) -> None:
    """A restarted simulator continues where the ledger ends, also with its balance."""
    numbers = []
    for run in range(2):
        ledger = Ledger(tmp_path / "zto.jsonl")
        simulator = ZtoSimulator(ledger, clock=clock, balance=2)
        outcome = booked(zto, simulator, demo, change(booking, reference=f"R{run}"), kit)
        numbers += [outcome.waybill_number, outcome.carrier_order_id]
        ledger.close()

    simulator = ZtoSimulator(Ledger(tmp_path / "zto.jsonl"), clock=clock, balance=2)

    assert len(set(numbers)) == 4
    refused = booked(zto, simulator, demo, change(booking, reference="R9"), kit)
    assert refused.error_class is ErrorClass.BALANCE
    simulator.ledger.close()


@pytest.mark.parametrize("order_type", ["1", "2"], ids=["full network", "pick-up"])
def test_order_push_settles_a_lost_answer(
    zto: Zto,
    simulator: ZtoSimulator,
    demo: Account,
    booking: Booking,
    kit: Any,
    order_type: str,
) -> None:
    """From the push alone the booking is found again under our reference, for both order types."""
    account = kit.with_settings(demo, order_type=order_type)
    simulator.handle(book.build(account, booking))

    [pushed] = simulator.outbox
    receipt = zto.parse_push(account, kit.now, PushRequest(pushed.headers, pushed.body))
    [news] = receipt.bookings
    [found], _ = kit.play(zto.find_by_carrier_order(kit.context(account), [news.carrier_order_id]), simulator.handle)

    assert pushed.url == simulator.push_url
    assert news.state is BookingState.LIVE
    assert isinstance(found, Booked)
    assert found.reference == booking.reference


def test_without_push_url_nothing_is_pushed(clock: Any, demo: Account, booking: Booking) -> None:
    """A merchant without a push address hears nothing."""
    simulator = ZtoSimulator(Ledger(), clock=clock)

    simulator.handle(book.build(demo, booking))

    assert simulator.outbox == []


def test_pick_up_order_is_cancelled_once_and_stays_cancelled(
    zto: Zto, simulator: ZtoSimulator, demo_pick_up: Account, booking: Booking, kit: Any
) -> None:
    """The second cancel succeeds too, the ledger has one cancellation and a push tells of it."""
    outcome = booked(zto, simulator, demo_pick_up, booking, kit)
    wanted = Cancellation(booking.reference, outcome.waybill_number, outcome.carrier_order_id)

    for _ in range(2):
        outcomes, _ = kit.play(zto.cancel(kit.context(demo_pick_up), [wanted]), simulator.handle)
        assert outcomes == [Cancelled(booking.reference)]

    assert simulator.ledger.live(booking.reference) is None
    assert [entry.kind for entry in simulator.ledger.entries] == ["BOOKED", "CANCELLED"]
    pushed = PushRequest(body=simulator.outbox[-1].body)
    [news] = zto.parse_push(demo_pick_up, kit.now, pushed).bookings
    assert news.state is BookingState.CANCELLED


def test_full_network_number_cannot_be_cancelled(
    zto: Zto, simulator: ZtoSimulator, demo: Account, demo_pick_up: Account,
    booking: Booking, kit: Any,
) -> None:  # fmt: skip
    """The carrier's server says 查询不到该订单, and the waybill stays live."""
    outcome = booked(zto, simulator, demo, booking, kit)
    wanted = Cancellation(booking.reference, outcome.waybill_number)

    [refused], _ = kit.play(zto.cancel(kit.context(demo_pick_up), [wanted]), simulator.handle)

    assert refused.error_class is ErrorClass.NOT_FOUND
    assert simulator.ledger.live(booking.reference) is not None


def test_full_network_order_is_invisible_by_order_code(
    zto: Zto, simulator: ZtoSimulator, demo: Account, booking: Booking, kit: Any
) -> None:
    """A look-up by orderCode does not pretend that the order is absent."""
    outcome = booked(zto, simulator, demo, booking, kit)

    [found], _ = kit.play(zto.find_by_carrier_order(kit.context(demo), [outcome.carrier_order_id]), simulator.handle)

    assert isinstance(found, CarrierError)
    assert found.side_effect is SideEffect.UNKNOWN


def test_blind_look_up_sees_the_booking_later(
    zto: Zto, simulator: ZtoSimulator, clock: Any, demo: Account, booking: Booking, kit: Any
) -> None:
    """With lookup_blind_s a fresh booking cannot be seen until it is old enough."""
    simulator.faults = Faults(lookup_blind_s=10)
    number = booked(zto, simulator, demo, booking, kit).waybill_number

    def look() -> Any:
        flow = zto.find_by_carrier_order(kit.context(demo), [number])
        return kit.play(flow, simulator.handle)[0][0]

    early = look()
    clock.advance(10)

    assert not isinstance(early, Booked)
    assert isinstance(look(), Booked)


def test_quote_and_sort_code_round_trip(
    zto: Zto, simulator: ZtoSimulator, demo: Account, booking: Booking, kit: Any
) -> None:
    """Prices and routing texts are the same whenever they are asked for."""
    lane = Lane(booking.shipper, booking.recipient, booking.parcels)
    wanted = SortCodeRequest("R1", booking.shipper.address, booking.recipient.address)
    outcome = booked(zto, simulator, demo, booking, kit)

    quotes, _ = kit.play(zto.quote(kit.context(demo), [lane]), simulator.handle)
    marks, _ = kit.play(zto.sort_code(kit.context(demo), [wanted]), simulator.handle)

    assert quotes[0][0].freight == Money("CNY", 1200)
    assert quotes[0][0].transit_s == 48 * 3600
    assert marks == [outcome.routing]


def test_embargo_stops_a_city(zto: Zto, clock: Any, demo: Account, booking: Booking, kit: Any) -> None:
    """A stopped destination is no service."""
    simulator = ZtoSimulator(Ledger(), clock=clock, embargo={"成都市"})
    lane = Lane(booking.shipper, booking.recipient, booking.parcels)

    [outcome], _ = kit.play(zto.quote(kit.context(demo), [lane]), simulator.handle)

    assert outcome.error_class is ErrorClass.NO_SERVICE


@pytest.mark.parametrize(
    ("settings", "secrets", "code"),
    [
        ({"app_key": "other"}, {}, "S210"),
        ({}, {"app_secret": "wrong"}, "S211"),
        ({}, {"account_password": "wrong"}, "p-o003"),
        ({"account_id": "nobody"}, {}, "p-o003"),
        ({"account_id": ""}, {}, "DEF001"),
        ({"order_type": "9"}, {}, "p-o001"),
        ({"partner_type": "1"}, {}, "0000"),
        ({"partner_type": "1", "account_id": "nobody"}, {}, "p-o003"),
    ],
)
def test_wrong_account_is_refused_as_zto_would(
    simulator: ZtoSimulator,
    demo: Account,
    booking: Booking,
    settings: dict[str, str],
    secrets: dict[str, str],
    code: str,
) -> None:
    """Application key, digest, waybill account and order type are checked, in this order."""
    account = change(
        demo,
        settings={**demo.settings, **settings},
        secrets={**demo.secrets, **{k: Secret(v) for k, v in secrets.items()}},
    )

    assert code_of(simulator, book.build(account, booking)) == code
    assert len(simulator.ledger.entries) == (1 if code == "0000" else 0)


def test_tampered_body_fails_the_digest(simulator: ZtoSimulator, demo: Account, booking: Booking) -> None:
    """One changed byte and the gateway refuses."""
    request = book.build(demo, booking)
    forged = change(request, body=request.body.replace(b"13900002222", b"13900002223"))

    assert code_of(simulator, forged) == "S211"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (("partnerOrderCode",), "S208"),
        (("receiveInfo",), "S208"),
        (("receiveInfo", "receiverMobile"), "S208"),
        (("senderInfo", "senderCity"), "S208"),
        (("accountInfo",), "DEF001"),
        (("remark",), "0000"),
    ],
)
def test_missing_parameter_is_refused(
    simulator: ZtoSimulator, demo: Account, booking: Booking, path: tuple[str, ...], code: str
) -> None:
    """What ZTO requires has to be there; what it does not may be left out."""
    body = msgspec.json.decode(book.build(demo, booking).body)
    place = body
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]

    assert code_of(simulator, wire.call(demo, book.API, body)) == code


@pytest.mark.parametrize(
    "changes",
    [
        {"orderItems": {"name": "T恤"}},
        {"orderVasList": {"vasType": "COD"}},
        {"orderVasList": [{"vasType": "COD"}]},
        {"orderVasList": [{"vasType": "insured", "vasAmount": "19.90"}]},
    ],
)
def test_wrong_shapes_fail_the_parameter_check(
    simulator: ZtoSimulator, demo: Account, booking: Booking, changes: dict[str, Any]
) -> None:
    """Lists have to be lists, and amounts integers of fen."""
    body = msgspec.json.decode(book.build(demo, booking).body) | changes

    assert code_of(simulator, wire.call(demo, book.API, body)) == "E403"


def test_value_added_services_are_accepted(
    zto: Zto, simulator: ZtoSimulator, demo: Account, booking: Booking, kit: Any
) -> None:
    """What the carrier writes for money passes the server's check."""
    options = Options(cash_on_delivery=Money("CNY", 100), insured_value=Money("CNY", 100))

    assert isinstance(booked(zto, simulator, demo, change(booking, options=options), kit), Booked)


def test_every_api_has_an_operation_and_others_have_none(simulator: ZtoSimulator, demo: Account) -> None:
    """Faults can aim at operations; an unknown API is S207."""
    for api, operation in OPERATIONS.items():
        assert simulator.operation(wire.call(demo, api, {})) == operation
    stranger = wire.call(demo, "zto.open.unknown", {})

    assert simulator.operation(stranger) == ""
    assert code_of(simulator, stranger) == "S207"


def test_faults_speak_ztos_words(zto: Zto, simulator: ZtoSimulator, demo: Account, booking: Booking, kit: Any) -> None:
    """A failing system leaves the outcome open; flow control and refused bookings do not."""
    simulator.faults = Faults(refuse_bookings=True)
    full = booked(zto, simulator, demo, booking, kit)

    [failed], _ = kit.play(zto.book(kit.context(demo), [booking]), simulator.failing())
    [busy], _ = kit.play(zto.book(kit.context(demo), [booking]), simulator.busy())

    assert full.error_class is ErrorClass.BALANCE
    assert failed.side_effect is SideEffect.UNKNOWN
    assert busy.error_class is ErrorClass.RATE_LIMITED
    assert simulator.ledger.entries == []
