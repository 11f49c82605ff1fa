"""Routing rules in CEL: checked against the contract's types when read, never taken as "no" when they fail."""

from __future__ import annotations

import pytest

from crossdock_sdk import Address, Options, Parcel, Party, ServiceLevel, Temperature
from engine.api.convert.rules import LONGEST_RULE, MOST_RULES, CelRules
from engine.config import ConfigError, RuleSettings
from engine.core.policy.records import RoutingWish
from engine.core.policy.routing import RuleEffect
from tests.fakes.rows import PARTY, draft


def rule(when: str, name: str = "r", **effects: tuple[str, ...]) -> RuleSettings:
    """One rule."""
    return RuleSettings(name=name, when=when, **effects)


def true(when: str, **fields: object) -> bool:
    """Whether the rule applies to the order with these fields."""
    (*effects,) = CelRules([rule(when, only=("sf",))]).effects(draft(**fields))
    assert not [e for e in effects if e.failed]
    return bool(effects)


LHASA = Party(PARTY.contact, Address("CN", "西藏自治区", "拉萨市", "城关区", street="北京中路1号"))
BOSTON = Party(PARTY.contact, Address("US", "西藏自治区", "Boston", street="1 Main St"))


@pytest.mark.parametrize(
    ("when", "fields", "holds"),
    [
        ("true", {}, True),
        ("weight_g > 20000", {"parcels": (Parcel(15_000), Parcel(5_001))}, True),
        ("weight_g > 20000", {"parcels": (Parcel(20_000),)}, False),
        ("remote", {"recipient": LHASA}, True),
        ("remote", {}, False),
        ("remote", {"recipient": BOSTON}, False),
        ("order.recipient.address.province in ['广东省']", {}, True),
        ("order.service_level == ServiceLevel.SERVICE_LEVEL_EXPRESS", {"service_level": ServiceLevel.EXPRESS}, True),
        ("order.service_level == ServiceLevel.SERVICE_LEVEL_EXPRESS", {}, False),
        ("order.options.temperature != Temperature.TEMPERATURE_AMBIENT", {}, False),
        (
            "order.options.temperature == Temperature.TEMPERATURE_FROZEN",
            {"options": Options(temperature=Temperature.FROZEN)},
            True,
        ),
        ("order.parcels.exists(p, p.items.exists(i, i.title.contains('茶')))", {}, True),
        ("has(order.options.insured_value)", {}, False),
        ("'vip' in order.tags && order.tags['vip'] == 'yes'", {"tags": {"vip": "yes"}}, True),
        ("'vip' in order.tags && order.tags['vip'] == 'yes'", {}, False),
    ],
)
def test_a_rule_reads_the_order_as_the_contract_shows_it(when: str, fields: dict[str, object], holds: bool) -> None:
    """With the total weight and remoteness beside it."""
    assert true(when, **fields) is holds


HEAVY = {"parcels": (Parcel(20_001),)}


@pytest.mark.parametrize(
    ("when", "first", "second"),
    [
        ("weight_g > 20000", HEAVY, {}),
        ("remote", {"recipient": LHASA}, {}),
        ("order.options.signed_receipt", {"options": Options(signed_receipt=True)}, {}),
        ("order . service_level == ServiceLevel.SERVICE_LEVEL_EXPRESS", {"service_level": ServiceLevel.EXPRESS}, {}),
        ("'sf' in order.routing.allowed_carriers", {"routing": RoutingWish(allowed=("sf",))}, {}),
        ("order.recipient.address.city == '拉萨市'", {"recipient": LHASA}, {}),
        ("order.options.pickup || order.remark == 'x'", {"remark": "x"}, {}),
        ("[order].exists(each, each.remark == 'x')", {"remark": "x"}, {}),
        ("order // a remark\n.remark == 'x'", {"remark": "x"}, {}),
        ("order.parcels.exists(order, order.weight_g > 20000)", HEAVY, {}),
        ("order.options == order.options && 'vip' in order.tags", {"tags": {"vip": ""}}, {}),
    ],
)
def test_one_order_is_never_answered_with_what_another_was(
    when: str, first: dict[str, object], second: dict[str, object]
) -> None:
    """Whatever a rule asks for, however it is written, orders that differ in it are told apart, again and again."""
    rules = CelRules([rule(when, only=("sf",)), rule("order.options.pickup", "other")])

    said = [bool(rules.effects(draft(**fields))) for fields in (first, second, first, second)]

    assert said == [True, False, True, False]


def test_what_orders_share_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that look at options, speed and weight only are not evaluated again for an order like an earlier one."""
    rules = CelRules([rule("weight_g > 20000 || order.options.pickup", only=("sf",))])
    first = rules.effects(draft(**HEAVY))
    monkeypatch.setattr(rules, "_evaluate", lambda *_: pytest.fail("evaluated again"))

    again = rules.effects(draft(reference="A2", remark="other", **HEAVY))

    assert again == first == (RuleEffect("r", ("sf",)),)


def test_a_true_rule_has_its_effects() -> None:
    """All of them, in the file's order; false ones have none."""
    rules = CelRules(
        [
            rule("true", "first", only=("sf",), prefer=("zto",), exclude=("x",), services=("1",)),
            rule("false", "second", only=("sf",)),
            rule("true", "third"),
        ]
    )

    assert rules.effects(draft()) == (
        RuleEffect("first", ("sf",), ("zto",), ("x",), ("1",)),
        RuleEffect("third"),
    )


def test_without_rules_nothing_is_evaluated() -> None:
    """The usual case costs nothing."""
    assert CelRules([]).effects(draft()) == ()


@pytest.mark.parametrize(
    "when",
    ["order.tags['vip'] == 'yes'", "weight_g / 0 > 1", "order.parcels[7].weight_g > 1"],
    ids=["missing key", "division", "index"],
)
def test_a_rule_that_fails_on_an_order_says_so(when: str) -> None:
    """It is an effect of its own, which excludes every carrier: never "no"."""
    (effect,) = CelRules([rule(when, only=("sf",))]).effects(draft())

    assert effect.name == "r"
    assert effect.failed
    assert (effect.only, effect.prefer, effect.exclude, effect.services) == ((), (), (), ())


@pytest.mark.parametrize(
    "when",
    [
        "int(order.recipient.contact.name) == 1",
        "order.tags[order.recipient.contact.phone] == ''",
        "timestamp(order.recipient.address.street) == timestamp('2026-01-01T00:00:00Z')",
        "bool(order.recipient.contact.name)",
        "'x'.matches(order.recipient.contact.name + '(')",
    ],
)
def test_a_failing_rule_never_quotes_personal_data(when: str) -> None:
    """Its text goes into answers and errors."""
    (effect,) = CelRules([rule(when)]).effects(draft())

    assert effect.failed
    assert not [part for part in ("欧阳小满", "13987654321", "建设街") if part in effect.failed]


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("order.wieght > 1", "wieght"),
        ("weight_g > 'heavy'", "no matching overload"),
        ("order.service_level == ServiceLevel.FAST", "FAST"),
        ("weight_g", "must be true or false"),
        ("weight_g >", "Syntax error"),
        ("", "Syntax error"),
        ("nobody", "nobody"),
        ("true || " * 1000 + "true", f"at most {LONGEST_RULE} are allowed"),
    ],
)
def test_a_mistake_in_a_rule_is_found_when_the_settings_are_read(when: str, what: str) -> None:
    """It names the rule, the key and what is wrong."""
    with pytest.raises(ConfigError) as refusal:
        CelRules([rule(when, "near")])

    (problem,) = refusal.value.problems
    assert problem.startswith("rule near: when: ")
    assert what in problem


def test_all_mistakes_are_reported_at_once() -> None:
    """One line a rule."""
    with pytest.raises(ConfigError) as refusal:
        CelRules([rule("x", "a"), rule("true", "b"), rule("1", "c")])

    assert [p.split(":")[0] for p in refusal.value.problems] == ["rule a", "rule c"]


def test_the_number_of_rules_is_bounded() -> None:
    """Every order pays for each of them."""
    with pytest.raises(ConfigError, match=f"at most {MOST_RULES} are allowed"):
        CelRules([rule("true", f"r{n}") for n in range(MOST_RULES + 1)])
