"""Plug-in and simulator together: round trips, business rules, the ledger."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from pypdf import PdfReader
from sf_kit import BOOKING, NOW, PARCEL, RECIPIENT, SF, SHIPPER, change, refused
from sf_world import ROOT, World, person, to

from crossdock_sdk import (
    Absent,
    Address,
    Booked,
    Booking,
    Cancelled,
    CarrierLabel,
    ErrorClass,
    HttpRequest,
    Item,
    LabelRequest,
    Lane,
    Money,
    Options,
    Parcel,
    Pending,
    Quote,
    Refused,
    Secret,
    SideEffect,
    Temperature,
)
from crossdock_sdk.simulator import Faults, Ledger
from crossdock_sdk.testing import check_carrier
from crossdock_sf.simulator import SfSimulator


def test_conformance_check_finds_nothing() -> None:
    """The plug-in keeps every rule of the kit that carrier authors run."""
    assert check_carrier(SF, SfSimulator) == []


@pytest.mark.parametrize("mode", ["standard_md5", "simple_md5", "sm3"])
def test_each_signature_mode_is_accepted_by_its_own_application_only(mode: str) -> None:
    """A digest of another mode gives A1006, although it is correct in itself."""
    world = World(signature_mode=mode)
    ours = {**world.account.settings, "signature_mode": mode}
    other = {**ours, "signature_mode": "sm3" if mode != "sm3" else "simple_md5"}

    world.account = change(world.account, settings=other)
    wrong = refused(world.book())
    world.account = change(world.account, settings=ours)

    assert (wrong.code, wrong.error_class) == ("A1006", ErrorClass.AUTH)
    assert isinstance(world.book(), Booked)


def test_wrong_check_word_is_refused_and_books_nothing() -> None:
    """A1006 leaves the ledger empty."""
    world = World()
    world.account = change(world.account, secrets={"check_word": Secret("wrong")})

    assert refused(world.book()).code == "A1006"
    assert world.simulator.ledger.entries == []


def test_booking_is_found_printed_and_cancelled() -> None:
    """A booking's whole life: the ledger agrees with every answer."""
    world = World()

    booked = world.booked()
    found = world.find()
    (label,) = world.label(LabelRequest(booked.waybill_number))
    cancelled = [world.cancel(), world.cancel()]

    assert booked.waybill_number == "SF7444000000001"
    assert isinstance(found, Booked)
    assert found.waybill_number == booked.waybill_number
    assert isinstance(label, CarrierLabel)
    assert cancelled == [Cancelled(BOOKING.reference)] * 2
    assert [entry.kind for entry in world.simulator.ledger.entries] == ["BOOKED", "CANCELLED"]


def test_awkward_goods_pass_the_signature() -> None:
    """Emoji, quotes, ampersand and plus in a title do not disturb the digest."""
    title = '保温杯☕ 100% A&B "特价" +赠品 <b>新</b> ~(A*B)! 𠮷'

    World().booked(change(BOOKING, parcels=(Parcel(500, items=(Item(title),)),), remark=title))


def test_routing_is_believable_and_repeatable() -> None:
    """Chengdu's area code leads the routing text; the QR text names the waybill."""
    booked = World().booked()

    assert booked.routing.sort_code.startswith("028")
    assert booked.waybill_number in booked.routing.qr_text
    assert booked.routing.product_name == "顺丰标快"
    assert World().booked() == booked


def test_pieces_and_receipts_have_numbers_of_their_own_also_after_a_restart(tmp_path: Path) -> None:
    """Numbers go on where the ledger ended, children and receipts counted."""
    path = tmp_path / "ledger"
    booking = change(BOOKING, parcels=(PARCEL,) * 3, options=Options(signed_receipt=True))

    first = World(Ledger(path)).booked(booking)
    second = World(Ledger(path)).booked(change(booking, reference="DEMO-2"))

    assert (first.waybill_number, *first.sub_waybill_numbers) == (
        "SF7444000000001", "SF7444000000002", "SF7444000000003",
    )  # fmt: skip
    assert second.waybill_number == "SF7444000000005"


def test_two_simulators_of_the_carrier_issue_different_numbers() -> None:
    """Each begins after a serial of its own."""
    one, other = World(), World()
    other.simulator.first_serial = 1_000_000

    assert one.booked().waybill_number == "SF7444000000001"
    assert other.booked().waybill_number == "SF7444001000001"


def test_used_reference_is_refused_even_after_cancelling() -> None:
    """An order id stays burnt; the look-up behind 8016 tells whose order it is."""
    world = World()
    world.booked()
    again = refused(world.book())
    world.cancel()

    assert (again.code, again.side_effect) == ("8016", SideEffect.UNKNOWN)
    assert refused(world.book()).code == "8016"
    assert len(world.simulator.ledger.by_reference[BOOKING.reference]) == 1


def test_replaying_simulator_answers_the_first_order_again() -> None:
    """The observed replay gives the same waybill and books nothing."""
    world = World(replays=True)

    assert world.booked() == world.booked(change(BOOKING, remark="other"))
    assert len(world.simulator.ledger.entries) == 1


def test_young_booking_is_hidden_from_a_blind_look_up() -> None:
    """Within lookup_blind_s a booked order is answered as unknown, afterwards it shows."""
    world = World()
    world.simulator.faults = Faults(lookup_blind_s=10)
    world.booked()
    world.clock.advance(9.9)
    early = world.find()
    world.clock.advance(0.1)

    assert early == Absent(BOOKING.reference)
    assert isinstance(world.find(), Booked)


def test_cancelled_order_is_still_found() -> None:
    """The least helpful answer the document allows: a look-up does not tell that it is void."""
    world = World()
    world.booked()
    world.cancel()

    assert isinstance(world.find(), Booked)


def test_unknown_orders_and_waybills_are_said_so() -> None:
    """Look-up, cancel and print of what was never booked."""
    world = World()
    (label,) = world.label(LabelRequest("SF7444000000001"))

    assert world.find() == Absent(BOOKING.reference)
    assert refused(world.cancel()).error_class is ErrorClass.NOT_FOUND
    assert "找不到该运单" in refused(label).message


def test_capacity_fault_refuses_bookings() -> None:
    """refuse_bookings answers 8177, and nothing is booked."""
    world = World()
    world.simulator.faults = Faults(refuse_bookings=True)

    error = refused(world.book())

    assert (error.code, error.error_class) == ("8177", ErrorClass.CAPACITY)
    assert world.simulator.ledger.entries == []


@pytest.mark.parametrize(
    ("booking", "code"),
    [
        (to(street=""), "1014"),
        (change(BOOKING, recipient=person(RECIPIENT, name="")),
         "1015"),
        (change(BOOKING, recipient=person(RECIPIENT, phone="")),
         "1016"),
        (change(BOOKING, shipper=change(SHIPPER, address=Address("CN", "浙江省"))), "1010"),
        (change(BOOKING, shipper=person(SHIPPER, name="")), "1011"),
        (change(BOOKING, shipper=person(SHIPPER, phone="")), "1012"),
        (change(BOOKING, service="199"), "8057"),
        (change(BOOKING, parcels=(change(PARCEL, weight_g=1000),) * 308, service="155"), "8117"),
        (change(BOOKING, parcels=(change(PARCEL, weight_g=0),) * 2), "S0002"),
        (change(BOOKING, parcels=(change(PARCEL, weight_g=300_001),)), "20012"),
        (change(BOOKING, reference="X" * 65), "S0004"),
        (change(BOOKING, options=Options(cash_on_delivery=Money("CNY", -5))), "6138"),
    ],
)  # fmt: skip
def test_incomplete_order_is_refused_with_its_code(booking: Booking, code: str) -> None:
    """Each missing or impossible field has the code of the document, and books nothing."""
    world = World()

    assert refused(world.book(booking)).code == code
    assert world.simulator.ledger.entries == []


def test_heaviest_freight_is_taken() -> None:
    """The 300 kg bound is that of timed products, not of 小票零担."""
    World().booked(change(BOOKING, service="155", parcels=(change(PARCEL, weight_g=480_000),)))


@pytest.mark.parametrize(("card", "code"), [("7550000000", "20028"), ("755", "6126"), ("", "8114")])
def test_monthly_account_must_be_the_sandboxs(card: str, code: str) -> None:
    """Only 7551234567 pays in the sandbox."""
    world = World()
    world.account = change(world.account, settings={**world.account.settings, "monthly_card": card})

    assert refused(world.book()).code == code


def test_address_outside_the_map_is_screened_out() -> None:
    """An unserved province is filterResult 3, and stays refused when looked up."""
    world = World()

    error = refused(world.book(to(province="样例省")))

    assert (error.error_class, error.field) == (ErrorClass.NO_SERVICE, "recipient.address")
    assert isinstance(world.find(), Refused)
    assert world.simulator.ledger.entries == []


def test_held_order_is_decided_later() -> None:
    """A manual check is pending first and booked after a while; the look-up sees both."""
    world = World()

    error = refused(world.book(to(street="人工筛单路1号")))
    early = world.find()
    world.clock.advance(5)
    late = world.find()

    assert error.side_effect is SideEffect.UNKNOWN
    assert isinstance(early, Pending)
    assert isinstance(late, Booked)
    assert len(world.simulator.ledger.entries) == 1


def test_cancelled_held_order_never_comes_alive() -> None:
    """Cancelling during the manual check refuses the order for good."""
    world = World()
    world.book(to(street="人工筛单路1号"))

    assert world.cancel() == Cancelled(BOOKING.reference)
    world.clock.advance(60)
    assert isinstance(world.find(), Refused)
    assert world.simulator.ledger.entries == []


@pytest.mark.parametrize(("size", "points"), [((100, 150), (283.46, 425.2)), ((76, 130), (215.43, 368.5))])
def test_label_is_a_real_pdf_with_a_page_for_each_piece(size: tuple[int, int], points: tuple[float, float]) -> None:
    """An independent reader finds the pages, their size and each piece's number."""
    world = World()
    booked = world.booked(change(BOOKING, parcels=(PARCEL,) * 3))
    request = LabelRequest(booked.waybill_number, booked.sub_waybill_numbers, *size)

    (label,) = world.label(request)

    assert isinstance(label, CarrierLabel)
    pages = PdfReader(io.BytesIO(label.content), strict=True).pages
    numbers = (booked.waybill_number, *booked.sub_waybill_numbers)
    assert [(float(p.mediabox.width), float(p.mediabox.height)) for p in pages] == [points] * 3
    assert all(number in page.extract_text() for page, number in zip(pages, numbers, strict=True))


def test_store_hands_out_nothing_without_its_token() -> None:
    """The header is needed, Authorization is not welcome, another file's token does not fit."""
    world = World()
    world.booked()
    path = f"{ROOT}/v1.2/demo/150/SF7444000000001.pdf"

    answers = [
        world.simulator.handle(HttpRequest("GET", path, headers))
        for headers in ({}, {"x-auth-token": "AUTH_tkv12_x"}, {"authorization": "Bearer x"})
    ]

    assert [answer.status for answer in answers] == [404, 404, 404]


def test_template_of_another_account_is_refused() -> None:
    """A template code that does not end in the account's id gives the document's text."""
    world = World()
    booked = world.booked()
    settings = {**world.account.settings, "template_code": "fm_150_standard_OTHER"}
    world.account = change(world.account, settings=settings)

    (label,) = world.label(LabelRequest(booked.waybill_number))

    assert refused(label).error_class is ErrorClass.INVALID_REQUEST


def test_quote_has_a_deterministic_tariff() -> None:
    """Far costs more than near, express more than standard; the sample's lane costs 23 yuan."""
    world = World()
    far = Lane(SHIPPER, RECIPIENT, (PARCEL,), "2")
    near = change(far, recipient=SHIPPER)

    every = world.quote(change(far, service=""))
    prices = [world.quote(lane) for lane in (far, near, change(far, service="1"))]

    assert isinstance(every, tuple)
    assert {quote.service for quote in every} == {"1", "2", "154", "155", "201"}
    freights = [quotes[0].freight for quotes in prices if isinstance(quotes, tuple)]
    assert freights == [Money("CNY", 2300), Money("CNY", 1300), Money("CNY", 2990)]
    first = every[0]
    assert isinstance(first, Quote)
    assert first.deliver_by_time is not None
    assert first.deliver_by_time > NOW


def test_quote_beyond_the_map_is_no_service() -> None:
    """A lane to an unserved province has no offers."""
    lane = Lane(SHIPPER, to(province="样例省").recipient, (PARCEL,), "2")

    assert refused(World().quote(lane)).error_class is ErrorClass.NO_SERVICE


def test_value_added_services_are_remembered_without_personal_data() -> None:
    """The ledger knows amounts and temperature, and nobody's name, phone or street."""
    options = Options(cash_on_delivery=Money("CNY", 19990), temperature=Temperature.FROZEN)
    world = World()
    world.booked(change(BOOKING, service="201", options=options))

    facts = world.simulator.ledger.entries[0].facts
    text = msgspec.json.encode(facts).decode()

    assert (facts["services"], facts["temperature_range"]) == ({"COD": "199.90"}, 3)
    assert not any(canary in text for canary in ("样例", "13800000002", "天府大道"))
