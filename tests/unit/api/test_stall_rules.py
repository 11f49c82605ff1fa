"""Conditions of stall rules in CEL: typed when read, never taken as "no" when they fail."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from crossdock_sdk.tracking import TrackStatus
from engine.api.convert.rules import LONGEST_RULE
from engine.api.convert.stall_rules import CelStallRules
from engine.config import ConfigError, Settings, StallRuleSettings, StallSettings
from engine.core.policy.stalls import DEFAULT_STALL_RULES, Judgement, Since, StallFacts, StallRule
from engine.wiring import stall_rules_of

FACTS = StallFacts("sf", "IN_TRANSIT", "DEPARTED_FACILITY", True, 3, "拉萨市")


def rule(when: str, name: str = "r") -> StallRule:
    """One rule with this condition."""
    return StallRule(name, Since.BOOKED, 24.0, when=when)


def said(when: str, facts: StallFacts = FACTS) -> Judgement:
    """What a condition says about the facts."""
    return CelStallRules([rule(when)]).judge(rule(when), facts)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("carrier == 'sf'", True),
        ("carrier in ['zto', 'yto']", False),
        ("status == 'IN_TRANSIT' && milestone == 'DEPARTED_FACILITY'", True),
        ("!of_order", False),
        ("event_count >= 3", True),
        ("city.startsWith('拉萨')", True),
    ],
)
def test_a_condition_reads_the_parcels_facts(when: str, holds: bool) -> None:
    """Each under its name, with its type."""
    assert said(when) == Judgement(holds)


@pytest.mark.parametrize(
    ("when", "text"),
    [("1 / event_count > 1", "divide by zero"), ("int(city) > 1", "")],
)
def test_a_condition_that_fails_says_why_without_the_value(when: str, text: str) -> None:
    """What a parcel's facts hold is not written into alerts by accident."""
    judged = said(when, replace(FACTS, event_count=0, city="西藏 13987654321"))

    assert not judged.holds
    assert judged.failed
    assert text in judged.failed
    assert "13987654321" not in judged.failed


def test_facts_that_cannot_be_handed_over_are_a_failure_too() -> None:
    """A carrier's broken text keeps no event from being kept."""
    judged = said("city == ''", replace(FACTS, city="\ud800"))

    assert not judged.holds
    assert judged.failed


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("hours > 5", "undeclared reference to 'hours'"),
        ("event_count > 'many'", "no matching overload"),
        ("event_count", "must be true or false"),
        ("carrier ==", "Syntax error"),
        ("true || " * 1000 + "true", f"at most {LONGEST_RULE} are allowed"),
    ],
)
def test_a_mistake_is_found_when_the_settings_are_read(when: str, what: str) -> None:
    """It names the rule, the key, what is wrong and, for names, which there are."""
    with pytest.raises(ConfigError) as refusal:
        CelStallRules([rule(when, "slow"), rule("true")])

    (problem,) = refusal.value.problems
    assert problem.startswith("stall_rule slow: when: ")
    assert what in problem


def test_settings_become_rules() -> None:
    """Names of statuses and the clock become what the engine goes by; the first of one's own replaces the built-in."""
    own = StallRuleSettings(
        name="slow", since="status", after_h=1, statuses=("NOTHING_KNOWN", "RETURNING"), when=" of_order ", reason="x"
    )

    [made] = stall_rules_of(Settings(stall_rule=(own,)))

    assert made == StallRule("slow", Since.STATUS, 1.0, frozenset({None, TrackStatus.RETURNING}), "of_order", "x")
    assert stall_rules_of(Settings()) == DEFAULT_STALL_RULES
    assert stall_rules_of(Settings(stalls=StallSettings(enabled=False), stall_rule=(own,))) == ()
