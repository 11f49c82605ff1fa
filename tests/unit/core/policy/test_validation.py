"""What an order must be: violations with path and remedy, all at once, and the normalised draft."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from crossdock_sdk import Address, Contact, Item, Money, Options, Parcel, Party, Temperature
from engine.core.policy.records import OrderDraft, RoutingWish
from engine.core.policy.validation import check_order, check_waybill_number, window_violations
from tests.fakes.rows import NOW, PARTY, draft

ABROAD = Party(Contact("Ann Lee", "+14155552671"), Address("US", "CA", "San Jose", street="1 First St"))


def party(*, contact: dict[str, str] | None = None, **address: str) -> Party:
    """The sound party with some fields replaced."""
    return Party(replace(PARTY.contact, **(contact or {})), replace(PARTY.address, **address))


def goods(**fields: Any) -> tuple[Parcel, ...]:
    """One parcel with one item."""
    return (Parcel(450, items=(Item(**{"title": "红茶", **fields}),)),)


ONE_WRONG = [
    ("reference", draft(reference="")),
    ("reference", draft(reference=" \u3000")),
    ("reference", draft(reference="\u200b")),
    ("recipient.contact.name", draft(recipient=party(contact={"name": " "}))),
    ("shipper.contact.name", draft(shipper=party(contact={"name": "张\n三"}))),
    ("recipient.contact.phone", draft(recipient=party(contact={"phone": "12"}))),
    ("shipper.contact.phone", draft(shipper=party(contact={"phone": ""}))),
    ("recipient.address.country_code", draft(recipient=party(country_code="XX"))),
    ("recipient.address.postal_code", draft(recipient=party(postal_code="12"))),
    ("recipient.address.province", draft(recipient=party(province="火星省"))),
    ("recipient.address.street", draft(recipient=party(street=""))),
    ("parcels[0].weight_g", draft(parcels=(Parcel(0, items=(Item("茶"),)),))),
    ("parcels[1].items[0].title", draft(parcels=(*goods(), *goods(title=" ")))),
    ("parcels[0].items[0].quantity", draft(parcels=goods(quantity=0))),
    ("options.insured_value.currency_code", draft(options=Options(insured_value=Money("USD", 5)))),
    ("options.insured_value.minor_units", draft(options=Options(insured_value=Money("CNY", -1)))),
    ("options.cash_on_delivery.minor_units", draft(options=Options(cash_on_delivery=Money("CNY", 0)))),
    ("options.pickup", draft(options=Options(pickup_start_time=NOW))),
    ("options.pickup", draft(options=Options(pickup_end_time=NOW))),
    (
        "options.pickup_end_time",
        draft(options=Options(pickup=True, pickup_start_time=NOW, pickup_end_time=NOW)),
    ),
    (
        "options.signed_receipt",
        draft(options=Options(temperature=Temperature.CHILLED, signed_receipt=True)),
    ),
    ("routing.excluded_carriers", draft(routing=RoutingWish(allowed=("sf",), excluded=("sf",)))),
    ("routing.excluded_carriers", draft(routing=RoutingWish(preferred=("sf",), excluded=("sf",)))),
]


@pytest.mark.parametrize(("field", "order"), ONE_WRONG, ids=[f"{i}-{e[0]}" for i, e in enumerate(ONE_WRONG)])
def test_a_wrong_field_is_named_by_its_path_with_a_remedy(field: str, order: OrderDraft) -> None:
    """Paths are those of the contract's Order."""
    _, violations = check_order(order)

    assert field in [v.field for v in violations]
    assert all(v.remedy and v.description for v in violations)


def test_a_sound_order_has_no_violations() -> None:
    """With every option that goes together."""
    options = Options(
        insured_value=Money("CNY", 100_00),
        cash_on_delivery=Money("CNY", 1),
        signed_receipt=True,
        pickup=True,
        pickup_start_time=NOW,
        pickup_end_time=NOW + timedelta(hours=2),
    )

    assert check_order(draft(options=options))[1] == ()


@pytest.mark.parametrize(
    ("left_s", "fields"), [(-1, ["options.pickup_end_time"]), (0, ["options.pickup_end_time"]), (1, [])]
)
def test_a_pickup_window_ends_in_the_future(left_s: int, fields: list[str]) -> None:
    """One that is over is named by its end."""
    options = Options(pickup=True, pickup_end_time=NOW + timedelta(seconds=left_s))

    assert [v.field for v in window_violations(options, NOW)] == fields
    assert window_violations(Options(pickup=True, pickup_start_time=NOW - timedelta(days=1)), NOW) == ()


@pytest.mark.parametrize(
    "number", ["SF7444900000001", " 75400000900001\n", "ＳＦ７４４", "JDVA00000000000-1-2-", "a/b_c.d", "7"]
)
def test_what_carriers_print_is_a_waybill_number(number: str) -> None:
    """In half and full width, with blanks around it as they come from a spreadsheet."""
    assert check_waybill_number(number, "n") == ()


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("", "is empty"),
        (" \u3000", "is empty"),
        ("SF1 SF2", "has a blank inside"),
        ("SF1\nSF2", "has a blank inside"),
        ("\U0001f600\u0000x", "is no waybill number"),
        ("-1-2-", "is no waybill number"),
        ("运单", "is no waybill number"),
        ("SF" + "0" * 39, "is no waybill number"),
    ],
)
def test_what_no_carrier_prints_is_no_waybill_number(number: str, why: str) -> None:
    """Each with what to do; a number is shown to nobody else."""
    [found] = check_waybill_number(number, "key.waybill_number")

    assert (found.field, found.description, bool(found.remedy)) == ("key.waybill_number", why, True)


def test_all_violations_come_at_once() -> None:
    """So that a caller corrects an order in one go."""
    wrong = draft(
        shipper=party(contact={"name": "", "phone": ""}),
        recipient=party(street=""),
        parcels=(Parcel(0),),
        options=Options(insured_value=Money("USD", 0)),
        routing=RoutingWish(allowed=("sf",), excluded=("sf",)),
    )

    fields = {v.field for v in check_order(wrong)[1]}

    assert fields >= {
        "shipper.contact.name",
        "shipper.contact.phone",
        "recipient.address.street",
        "parcels[0].weight_g",
        "options.insured_value.currency_code",
        "options.insured_value.minor_units",
        "routing.excluded_carriers",
    }


def test_the_draft_comes_back_in_canonical_form() -> None:
    """Divisions in full, phones as carriers want them, no spaces at the ends; all else untouched."""
    loose = Party(
        Contact(" 欧阳小满 ", "+86 139-8765-4321", " 茶行 ", "a@b.cn"),
        Address("CN", "广东", "深圳", "福田", " 华强北街道 ", "建设街357号", "518000"),
    )

    normal, violations = check_order(draft(recipient=loose, remark="轻放"))

    assert violations == ()
    assert normal.recipient == Party(
        Contact("欧阳小满", "13987654321", "茶行", "a@b.cn"),
        Address("CN", "广东省", "深圳市", "福田区", "华强北街道", "建设街357号", "518000"),
    )
    assert (normal.remark, normal.parcels, normal.shipper) == ("轻放", draft().parcels, PARTY)


def test_a_phone_that_cannot_be_read_stays_as_it_was() -> None:
    """It is reported, never replaced by something else."""
    normal, _ = check_order(draft(recipient=party(contact={"phone": "12"})))

    assert normal.recipient.contact.phone == "12"


@pytest.mark.parametrize("missing", ["hs_code", "unit_price", "origin_country_code"])
def test_a_parcel_abroad_needs_what_customs_ask_for(missing: str) -> None:
    """Code, price and origin of every item; each is named by its path."""
    item = {"hs_code": "090240", "unit_price": Money("CNY", 5000), "origin_country_code": "CN"}
    del item[missing]

    _, violations = check_order(draft(recipient=ABROAD, parcels=goods(**item)))

    assert [v.field for v in violations] == [f"parcels[0].items[0].{missing}"]


def test_a_parcel_within_one_country_needs_no_customs_data() -> None:
    """Nobody has to look up HS codes for a parcel to the next town."""
    assert check_order(draft(parcels=goods()))[1] == ()


def test_violations_never_quote_personal_data() -> None:
    """Names, phones and streets reach logs and error answers by no way."""
    wrong = party(contact={"name": "卢楠楠" * 40, "phone": "13x98765"}, street="文化东路77\n2号")

    text = " ".join(str(v) for v in check_order(draft(recipient=wrong))[1])

    assert text
    assert not [part for part in ("卢楠楠", "13x98765", "文化东路") if part in text]
