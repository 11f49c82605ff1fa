"""Routing: every reason to exclude, the order of the rest, the choice of a product, contract prices."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from crossdock_sdk import Item, Manifest, Money, Option, Options, Parcel, ServiceLevel, Temperature
from crossdock_sdk.manifest import Service
from engine.core.policy.records import OrderDraft, RoutingWish
from engine.core.policy.routing import (
    AccountFacts,
    Considered,
    LivePrice,
    Question,
    RuleEffect,
    Tariff,
    blamed_field,
    route,
    tariff_price,
)
from tests.fakes.carrier import manifest
from tests.fakes.rows import PARTY, draft

STANDARD = Service("std", "标准", max_weight_g=20_000)
FAST = Service("fast", "特快", level=ServiceLevel.EXPRESS)
COLD = Service("cold", "冷运", temperatures=(Temperature.CHILLED, Temperature.FROZEN))
HEAVY = Service("heavy", "重货", max_weight_g=100_000)
GOODS = (Item("红茶"),)
ABROAD = replace(PARTY, address=replace(PARTY.address, country_code="US"))


def carrier(code: str = "alpha", **fields: Any) -> Manifest:
    """A carrier with four products and no options."""
    return manifest(code, **{"service": (STANDARD, FAST, COLD, HEAVY), "max_parcels": 2, **fields})


def asked(
    order: OrderDraft, *manifests: Manifest, accounts: tuple[AccountFacts, ...] = (), **fields: Any
) -> list[Considered]:
    """Routing's answer, with one account a carrier unless accounts are given."""
    accounts = accounts or tuple(AccountFacts(f"{m.code}-1", m.code) for m in manifests)
    return route(Question(order, **fields), accounts, {m.code: m for m in manifests})


def order_of(considered: list[Considered]) -> list[str]:
    """Accounts of the candidates, best first."""
    return [c.candidate.account_id for c in considered if not c.exclusions]


EXCLUSIONS = [
    ("not allowed", draft(routing=RoutingWish(allowed=("beta",))), {}, {}, "not among routing.allowed_carriers"),
    ("excluded", draft(routing=RoutingWish(excluded=("alpha",))), {}, {}, "among routing.excluded_carriers"),
    ("books nothing", draft(), {"operations": ("quote",)}, {}, "Alpha takes no bookings"),
    ("to abroad", draft(recipient=ABROAD), {}, {}, "Alpha does not ship to US"),
    ("from abroad", draft(shipper=ABROAD), {}, {}, "Alpha does not ship from US"),
    (
        "parcels",
        draft(parcels=(Parcel(1, items=GOODS),) * 3),
        {"options": (Option.MULTI_PARCEL,)},
        {},
        "takes at most 2 parcels an order, this has 3",
    ),
    ("many", draft(parcels=(Parcel(1, items=GOODS),) * 2), {}, {}, "cannot be told option multi_parcel"),
    ("insured", draft(options=Options(insured_value=Money("CNY", 1))), {}, {}, "cannot be told option insured_value"),
    ("COD", draft(options=Options(cash_on_delivery=Money("CNY", 1))), {}, {}, "cannot be told option cash_on_delivery"),
    ("cool", draft(options=Options(temperature=Temperature.CHILLED)), {}, {}, "cannot be told option chilled"),
    ("frozen", draft(options=Options(temperature=Temperature.FROZEN)), {}, {}, "cannot be told option frozen"),
    ("receipt", draft(options=Options(signed_receipt=True)), {}, {}, "cannot be told option signed_receipt"),
    ("pickup", draft(options=Options(pickup=True)), {}, {}, "cannot be told option pickup"),
    ("a field", draft(), {"required_fields": ("shipper.contact.company",)}, {}, "needs shipper.contact.company"),
    ("a list's field", draft(), {"required_fields": ("parcels.items.hs_code",)}, {}, "needs parcels.items.hs_code"),
    (
        "level",
        draft(service_level=ServiceLevel.EXPRESS),
        {"service": (STANDARD,)},
        {},
        "product 标准 is STANDARD, EXPRESS was asked for",
    ),
    (
        "temperature",
        draft(options=Options(temperature=Temperature.CHILLED)),
        {"service": (STANDARD,), "options": (Option.CHILLED,)},
        {},
        "product 标准 does not carry CHILLED goods",
    ),
    (
        "weight",
        draft(parcels=(Parcel(20_500, items=GOODS),)),
        {"service": (STANDARD,)},
        {},
        "product 标准 takes at most 20 kg, this weighs 20.5 kg",
    ),
    ("only", draft(), {}, {"effects": (RuleEffect("r", only=("beta",)),)}, "rule 'r' allows only beta"),
    ("rule", draft(), {}, {"effects": (RuleEffect("r", exclude=("alpha",)),)}, "rule 'r' excludes alpha"),
    (
        "failed",
        draft(),
        {},
        {"effects": (RuleEffect("r", failed="no such key"),)},
        "rule 'r' could not be evaluated: no such key",
    ),
    ("refusal", draft(), {}, {"refusals": {"alpha-1": "停发"}}, "Alpha: 停发"),
]


@pytest.mark.parametrize(
    ("order", "facts", "question", "reason"), [e[1:] for e in EXCLUSIONS], ids=[e[0] for e in EXCLUSIONS]
)
def test_an_excluded_account_says_why(order: OrderDraft, facts: Any, question: Any, reason: str) -> None:
    """In words that need no look into the code."""
    found = asked(order, carrier(**facts), **question)

    assert [(c.rank, c.exclusions) for c in found] == [(0, (reason,))]


def test_an_account_says_everything_that_excludes_it() -> None:
    """All reasons at once, not the first one found."""
    wish = RoutingWish(allowed=("beta",), excluded=("alpha",))

    fields = ("shipper.contact.company",)
    found = asked(draft(routing=wish, options=Options(pickup=True)), carrier(required_fields=fields))

    assert len(found[0].exclusions) == 4


def test_a_carrier_that_does_not_ship_there_needs_nothing_else() -> None:
    """Which options it could not be told does not matter any more."""
    found = asked(draft(recipient=ABROAD, options=Options(pickup=True)), carrier())

    assert found[0].exclusions == ("Alpha does not ship to US",)


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (draft(recipient=ABROAD), "recipient.address.country_code"),
        (draft(shipper=ABROAD), "shipper.address.country_code"),
        (draft(options=Options(pickup=True)), ""),
    ],
)
def test_one_field_is_blamed_only_when_no_carrier_can_serve_it(order: OrderDraft, field: str) -> None:
    """Otherwise each carrier has its own reasons."""
    assert blamed_field(order, {"alpha": carrier()}) == field


def test_a_sound_account_is_a_candidate_with_its_reasons() -> None:
    """Price, priority, and who wanted it."""
    effects = (RuleEffect("near", prefer=("alpha",)), RuleEffect("safe", only=("alpha",)))
    facts = AccountFacts("alpha-1", "alpha", 7, (Tariff(("*",), 1000, 1200, 500, 300),))
    wish = RoutingWish(preferred=("alpha",))

    found = asked(draft(routing=wish), carrier(), accounts=(facts,), effects=effects)

    assert (found[0].rank, found[0].exclusions) == (1, ())
    assert found[0].reasons == (
        "rule 'near' prefers alpha",
        "rule 'safe' sends it to alpha only",
        "preferred by the caller",
        "price 12.00 CNY",
        "priority 7",
    )


def test_options_that_ask_for_nothing_exclude_nobody() -> None:
    """A value of zero is no insurance."""
    nothing = Options(insured_value=Money("CNY", 0), cash_on_delivery=Money("CNY", 0))

    assert order_of(asked(draft(options=nothing), carrier())) == ["alpha-1"]


def test_a_filled_required_field_excludes_nobody() -> None:
    """Also one inside a list."""
    fields = ("recipient.contact.phone", "parcels.items.title")

    assert order_of(asked(draft(), carrier(required_fields=fields))) == ["alpha-1"]


def test_an_account_of_a_carrier_that_is_not_loaded_is_left_out() -> None:
    """There is nothing to say about it."""
    assert asked(draft(), carrier(), accounts=(AccountFacts("gone-1", "gone"),)) == []


PRICES = {
    ("alpha-1", "std"): LivePrice(Money("CNY", 900)),
    ("beta-1", "std"): LivePrice(Money("CNY", 800), 86_400),
    ("gamma-1", "std"): LivePrice(None),
}


@pytest.mark.parametrize(
    ("fields", "wish", "best_first"),
    [
        ({}, RoutingWish(), ["alpha-1", "beta-1", "gamma-1"]),
        ({"live_prices": PRICES}, RoutingWish(), ["beta-1", "alpha-1", "gamma-1"]),
        (
            {"live_prices": PRICES, "effects": (RuleEffect("r", prefer=("gamma", "alpha")),)},
            RoutingWish(),
            ["gamma-1", "alpha-1", "beta-1"],
        ),
        (
            {"live_prices": PRICES, "effects": (RuleEffect("r", prefer=("gamma",)),)},
            RoutingWish(preferred=("alpha",)),
            ["alpha-1", "gamma-1", "beta-1"],
        ),
        (
            {"effects": (RuleEffect("a", prefer=("beta",)), RuleEffect("b", prefer=("gamma",)))},
            RoutingWish(),
            ["beta-1", "gamma-1", "alpha-1"],
        ),
    ],
    ids=["priority", "price", "rule before price", "caller before rule", "earlier rule first"],
)
def test_candidates_are_ranked(fields: Any, wish: RoutingWish, best_first: list[str]) -> None:
    """Preference of the caller, of the rules, then price (unknown last), then priority."""
    codes = ("alpha", "beta", "gamma")
    accounts = tuple(AccountFacts(f"{code}-1", code, n) for n, code in reversed(list(enumerate(codes))))
    manifests = [carrier(code) for code in codes]

    found = asked(draft(routing=wish), *manifests, accounts=accounts, **fields)

    assert order_of(found) == best_first
    assert [c.rank for c in found] == [1, 2, 3]


def test_equal_candidates_stand_in_the_order_of_their_names() -> None:
    """The same question always gets the same answer."""
    accounts = (AccountFacts("b", "alpha"), AccountFacts("a", "alpha"))

    assert order_of(asked(draft(), carrier(), accounts=accounts)) == ["a", "b"]


def test_excluded_accounts_come_last() -> None:
    """Candidates first, so that the first one is the one that would be booked."""
    found = asked(draft(routing=RoutingWish(excluded=("alpha",))), carrier("alpha"), carrier("beta"))

    assert [(c.candidate.carrier, c.rank) for c in found] == [("beta", 1), ("alpha", 0)]


@pytest.mark.parametrize(
    ("order", "effects", "service"),
    [
        (draft(), (), "std"),
        (draft(service_level=ServiceLevel.EXPRESS), (), "fast"),
        (draft(options=Options(temperature=Temperature.FROZEN)), (), "cold"),
        (draft(parcels=(Parcel(30_000, items=GOODS),)), (), "heavy"),
        (draft(), (RuleEffect("r", services=("heavy",)),), "heavy"),
        (draft(), (RuleEffect("r", services=("other",)),), "std"),
    ],
    ids=["first", "level", "temperature", "weight", "rule", "rule of another carrier"],
)
def test_the_first_product_that_fits_is_taken(order: OrderDraft, effects: Any, service: str) -> None:
    """By level, temperature and weight, unless a rule names products of this carrier."""
    found = asked(order, carrier(options=(Option.FROZEN,)), effects=effects)

    assert [(c.candidate.service, c.exclusions) for c in found] == [(service, ())]


def test_a_product_named_by_a_rule_must_fit_too() -> None:
    """Else the account is excluded, and says which product did not fit."""
    found = asked(draft(), carrier(), effects=(RuleEffect("r", services=("fast",)),))

    assert found[0].exclusions == ("product 特快 is EXPRESS, STANDARD was asked for",)


def test_a_live_price_beats_the_contracts() -> None:
    """And it says where it is from."""
    accounts = (AccountFacts("alpha-1", "alpha", tariff=(Tariff(("*",), 1000, 5000, 0, 0),)),)
    live = {("alpha-1", "std"): LivePrice(Money("CNY", 900), 3600)}

    found = asked(draft(), carrier(), accounts=accounts, live_prices=live)

    assert (found[0].freight, found[0].freight_is_live, found[0].transit_s) == (Money("CNY", 900), True, 3600)


@pytest.mark.parametrize(
    ("weight_g", "fen"), [(1, 1200), (1000, 1200), (1001, 1500), (1500, 1500), (1501, 1800), (3000, 2400)]
)
def test_a_contract_price_counts_every_started_step(weight_g: int, fen: int) -> None:
    """12 yuan for the first kilogram, 3 for each started half after it."""
    tariff = (Tariff(("*",), 1000, 1200, 500, 300),)

    assert tariff_price(tariff, draft(parcels=(Parcel(weight_g, items=GOODS),))) == Money("CNY", fen)


@pytest.mark.parametrize(
    ("tariff", "price"),
    [
        ((Tariff(("*",), 1000, 900, 0, 0), Tariff(("广东省",), 1000, 700, 0, 0)), Money("CNY", 700)),
        ((Tariff(("西藏自治区",), 1000, 900, 0, 0), Tariff(("*",), 1000, 800, 0, 0)), Money("CNY", 800)),
        ((Tariff(("西藏自治区",), 1000, 900, 0, 0),), None),
        ((), None),
    ],
    ids=["named province", "all others", "no step for it", "no tariff"],
)
def test_a_contract_price_is_the_provinces_or_that_of_all_others(
    tariff: tuple[Tariff, ...], price: Money | None
) -> None:
    """Without either there is no price; it is never guessed."""
    assert tariff_price(tariff, draft()) == price
