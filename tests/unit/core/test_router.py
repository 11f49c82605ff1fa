"""The router keeps the candidates of orders that are alike, and never mistakes one order for another."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from crossdock_sdk import Contact, Item, Money, Option, Options, Parcel, ServiceLevel, Temperature
from crossdock_sdk.manifest import Service
from engine.core import router as module
from engine.core.policy.records import OrderDraft, RoutingWish
from engine.core.policy.routing import AccountFacts, LivePrice, Question, RuleEffect, Tariff, route
from engine.core.quotes import LivePrices
from engine.core.router import Router
from tests.fakes.carrier import manifest
from tests.fakes.rows import PARTY, draft

STANDARD = Service("std", "标准", max_weight_g=20_000)
FAST = Service("fast", "特快", level=ServiceLevel.EXPRESS)
ALPHA = manifest(
    "alpha",
    service=(STANDARD, FAST),
    options=(Option.INSURED_VALUE,),
    required_fields=("recipient.contact.company", "parcels.items"),
    max_parcels=2,
)
BETA = manifest("beta", service=(STANDARD,), countries=("CN", "US"))
ODD = manifest("odd", service=(STANDARD,), required_fields=("shipper.contact.nickname",))
ACCOUNTS = (
    AccountFacts(
        "alpha-1", "alpha", 1, (Tariff(("广东省",), 1000, 900, 1000, 300), Tariff(("*",), 1000, 1500, 500, 400))
    ),
    AccountFacts("beta-1", "beta", 2),
)
KNOWN = replace(PARTY, contact=Contact("欧阳小满", "13987654321", "店"))
ABROAD = replace(KNOWN, address=replace(PARTY.address, country_code="US"))
FAR = replace(KNOWN, address=replace(PARTY.address, province="西藏自治区"))
GOODS = (Item("红茶"),)


class Prices(LivePrices):
    """Prices a test sets."""

    def __init__(self) -> None:
        self.live: dict[tuple[str, str], LivePrice] = {}

    def known(self, draft: OrderDraft) -> dict[tuple[str, str], LivePrice]:
        """What was set."""
        return self.live


class Rules:
    """Effects a test sets."""

    def __init__(self) -> None:
        self.now: tuple[RuleEffect, ...] = ()

    def effects(self, draft: OrderDraft) -> tuple[RuleEffect, ...]:
        """What was set."""
        return self.now


def make_router(*more: Any, alpha: Any = ALPHA) -> tuple[Router, Prices, Rules]:
    """A router over alpha and beta (and more), its prices and rules."""
    prices, rules = Prices(), Rules()
    manifests = {m.code: m for m in (alpha, BETA, *more)}
    accounts = (*ACCOUNTS, *[AccountFacts(f"{m.code}-1", m.code) for m in more])
    return Router(accounts, manifests, rules, prices, live_prices=False), prices, rules


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "express": {"service_level": ServiceLevel.EXPRESS},
    "insured": {"options": Options(insured_value=Money("CNY", 100))},
    "frozen": {"options": Options(temperature=Temperature.FROZEN)},
    "preferred": {"routing": RoutingWish(preferred=("beta",))},
    "excluded": {"routing": RoutingWish(excluded=("alpha",))},
    "heavy": {"parcels": (Parcel(21_000, items=GOODS),)},
    "two": {"parcels": (Parcel(225, items=GOODS),) * 2},
    "three": {"parcels": (Parcel(150, items=GOODS),) * 3},
    "no goods": {"parcels": (Parcel(450),)},
    "no company": {"recipient": PARTY},
    "far": {"recipient": FAR},
    "abroad": {"recipient": ABROAD},
    "from abroad": {"shipper": ABROAD},
}


@pytest.mark.parametrize("more", [(), (ODD,)], ids=["as usual", "a carrier asks for what no order has"])
def test_each_order_is_answered_as_if_it_were_the_first(more: tuple[Any, ...]) -> None:
    """Whatever was asked before, in whichever order."""
    router, _, _ = make_router(*more)
    orders = [draft(**{"recipient": KNOWN, **fields}) for fields in VARIANTS.values()]
    fresh = [route(Question(order), router.accounts, router.manifests) for order in orders]

    answers = [router.consider(order) for order in [*orders, *reversed(orders), *orders]]

    assert answers == [*fresh, *reversed(fresh), *fresh]


def test_carriers_that_require_nothing_are_answered_for() -> None:
    """Then every order has all that is required."""
    router, _, _ = make_router(alpha=manifest("alpha", service=(STANDARD,)))
    order = draft()

    assert router.consider(order) == router.consider(order) == route(Question(order), router.accounts, router.manifests)


def test_orders_alike_are_considered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What routing does not look at makes no difference; whoever gets the answer may change its list."""
    router, _, _ = make_router()
    first = router.consider(draft(recipient=KNOWN))
    expected = list(first)
    first.clear()
    monkeypatch.setattr(module, "route", lambda *_: pytest.fail("considered again"))

    again = router.consider(
        draft(recipient=replace(KNOWN, contact=Contact("李四", "13900000001", "坊")), reference="A2")
    )

    assert again == expected


def test_effects_prices_and_refusals_are_of_their_moment() -> None:
    """A rule's effect is part of the question; a live price is never kept."""
    router, prices, rules = make_router()
    order = draft(recipient=KNOWN)
    plain = router.consider(order)
    rules.now = (RuleEffect("r", only=("beta",)),)
    ruled = router.consider(order)
    rules.now = ()
    prices.live = {("beta-1", "std"): LivePrice(Money("CNY", 1))}
    priced = router.consider(order)
    prices.live = {}

    assert [c.candidate.carrier for c in ruled if not c.exclusions] == ["beta"]
    assert priced[0].freight == Money("CNY", 1)
    assert router.consider(order) == plain


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders of ever new kinds do not fill the memory."""
    monkeypatch.setattr(module, "REMEMBERED", 10)
    router, _, _ = make_router()
    for weight_g in range(1, 30):
        router.consider(draft(recipient=KNOWN, parcels=(Parcel(weight_g, items=GOODS),)))

    assert len(router._known) <= 10
