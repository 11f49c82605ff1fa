"""Return rules in CEL: the first that is true decides, and one that fails leaves it to a person."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from crossdock_sdk import Item, Parcel
from engine.api.convert.return_rules import CelReturnRules
from engine.api.convert.rules import LONGEST_RULE
from engine.config import ConfigError, ReturnRuleSettings
from engine.core.policy.return_records import ReturnReason, ReturnWish, Verdict
from engine.core.policy.returns import Facts, Ruling
from tests.fakes.rows import a_return, draft

WITHIN_7_DAYS = "delivered && days_since_delivery <= 7.0 && !request.opened"
FOOD = draft(parcels=(Parcel(450, items=(Item("食品 坚果"),)),))


def rule(
    when: str, decision: Literal["approve", "review", "reject"] = "approve", name: str = "r", explanation: str = ""
) -> ReturnRuleSettings:
    """One rule."""
    return ReturnRuleSettings(name=name, when=when, decision=decision, explanation=explanation)


def judged(*rules: ReturnRuleSettings, days: float | None = None, order: Any = None, **wish: Any) -> Ruling:
    """What the rules say to a return of an order delivered so long ago."""
    fields: dict[str, Any] = {"reason": ReturnReason.CHANGED_MIND, **wish}
    record = a_return(wish=ReturnWish("o1", **fields))
    return CelReturnRules(rules).judge(order or draft(), record, Facts(days))


@pytest.mark.parametrize(
    ("when", "days", "wish", "holds"),
    [
        (WITHIN_7_DAYS, 7.0, {}, True),
        (WITHIN_7_DAYS, 7.01, {}, False),
        (WITHIN_7_DAYS, None, {}, False),
        (WITHIN_7_DAYS, 1.0, {"opened": True}, False),
        ("days_since_delivery == -1.0", None, {}, True),
        ("request.reason == ReturnReason.RETURN_REASON_WRONG_ITEM", None, {"reason": ReturnReason.WRONG_ITEM}, True),
        ("request.items.size() == 1 && request.items[0].title == '红茶'", None, {}, True),
        ("request.note.contains('破')", None, {"note": "盒子破了"}, True),
        ("order.reference == 'A1'", None, {}, True),
    ],
)
def test_a_rule_reads_the_order_the_request_and_the_delivery(
    when: str, days: float | None, wish: dict[str, Any], holds: bool
) -> None:
    """As the contract shows them; where none holds, a person decides."""
    ruling = judged(rule(when), days=days, **wish)

    assert ruling.verdict is (Verdict.APPROVE if holds else Verdict.REVIEW)


def test_the_first_rule_that_holds_decides() -> None:
    """With its name, and its explanation or else its name."""
    no_food = rule("order.parcels[0].items[0].title.contains('食品')", "reject", "food", "no food")

    assert judged(no_food, rule("true"), order=FOOD) == Ruling(Verdict.REJECT, "food", "no food")
    assert judged(no_food, rule("true", name="all")) == Ruling(Verdict.APPROVE, "all", "all")
    assert judged() == Ruling(Verdict.REVIEW, "", "no rule applies")


def test_a_rule_that_fails_leaves_it_to_a_person() -> None:
    """Named, and not passed over: the next rule might approve what this one would have rejected."""
    ruling = judged(rule("order.tags['vip'] == 'no'", "reject", "vips only"), rule("true"))

    assert (ruling.verdict, ruling.rule) == (Verdict.REVIEW, "vips only")
    assert ruling.explanation.startswith("rule vips only failed: ")


def test_bad_rules_are_refused_before_anything_starts() -> None:
    """All of them, each by its name and with what is wrong."""
    bad = (rule("request.colour == 1", name="a"), rule("1 + 1", name="b"), rule("x" * (LONGEST_RULE + 1), name="c"))

    with pytest.raises(ConfigError) as refused:
        CelReturnRules(bad)

    problems = refused.value.problems
    assert [p.split(":")[0] for p in problems] == ["return_rule a", "return_rule b", "return_rule c"]
    assert "Order and Return" in problems[0]
    assert "must be true or false" in problems[1]
