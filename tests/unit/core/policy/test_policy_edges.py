"""The branches of decisions that everyday cases pass by. With the other tests of this room every branch is taken."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from msgspec.structs import replace

from crossdock_sdk import Item, Parcel
from engine.core.policy import address
from engine.core.policy.address import check_address
from engine.core.policy.booking import asked, rests
from engine.core.policy.breaker import Breaker, BreakerRules, BreakerState, Verdict
from engine.core.policy.divisions import divisions
from engine.core.policy.fields import check_foreign
from engine.core.policy.phone import check_phone
from engine.core.policy.rate import Gcra, GcraState
from engine.core.policy.records import AttemptRecord, AttemptState, OrderState, RoutingWish
from engine.core.policy.return_items import resolve_items
from engine.core.policy.return_records import ReturnItem, ReturnReason, ReturnWish
from engine.core.policy.routing import AccountFacts, Question, Required, alike, route
from engine.core.policy.shares import MOST_GROUPS, Shares
from engine.core.policy.stalls import DEFAULT_STALL_RULES, StallFacts, Unconditional
from engine.core.policy.tallies import DailyCap, Tallies
from engine.core.policy.track_records import DeadLetter, TrackRecord
from engine.core.policy.transitions import started
from engine.core.policy.validation import check_order
from tests.fakes.carrier import manifest
from tests.fakes.rows import NOW, ORDER_ID, PARTY, a_return, attempt, draft, loaded

ROAD = "文三路1号"


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        (("江苏省", "昆山市", "虎丘区"), "city", "昆山市 is a district of 江苏省苏州市"),
        (("浙江省", "", "天河区"), "district", "天河区 belongs to 广东省广州市"),
        (("河北省", "唐山市", "经济开发区"), "district", "may be 河北唐山芦台经济开发区 or 河北唐山海港经济开发区"),
    ],
)
def test_levels_that_contradict_each_other_are_refused(given: tuple[str, str, str], field: str, words: str) -> None:
    """The violation names the level, and what the name could mean."""
    [violation] = check_address(*given, ROAD).violations

    assert violation.field == field
    assert words in violation.description


@pytest.mark.parametrize(
    ("given", "city", "note"),
    [
        (("湖北省", "襄樊市", "襄城区"), "襄阳市", "since 2010"),
        (("广东省", "中山市", ""), "中山市", "has towns only"),
    ],
)
def test_a_city_with_a_history_is_taken_with_a_warning(given: tuple[str, str, str], city: str, note: str) -> None:
    """A former name is today's city; a city without districts needs none."""
    result = check_address(*given, ROAD)

    assert (result.city, result.violations) == (city, ())
    assert note in result.warnings[0]


def test_a_city_name_of_two_provinces_is_refused_without_the_province(monkeypatch: pytest.MonkeyPatch) -> None:
    """Today no two cities share a name; should a table of next year have such a pair, nobody guesses."""

    class Table:
        """Two cities under one name."""

        def get(self, name: str) -> tuple[object, ...]:
            return divisions().cities.get("杭州市") + divisions().cities.get("广州市")

    monkeypatch.setattr(address, "cities_of", lambda province: Table())

    [violation] = check_address("", "双城市", "", ROAD).violations

    assert (violation.field, violation.remedy) == ("city", "give the province")
    assert violation.description == "双城市 may be 浙江省杭州市, 广东省广州市"


def test_a_county_that_is_its_own_city_may_be_written_twice() -> None:
    """City and district carry one name; the street begins behind both."""
    result = check_address("", "", "", "湖北省仙桃市仙桃市仙桃市沙嘴街道1号")

    assert (result.city, result.district, result.street) == ("仙桃市", "仙桃市", "沙嘴街道1号")


def test_a_foreign_address_holds_no_control_characters() -> None:
    """They would break a carrier's label."""
    [violation] = check_foreign("US", "New\x07York", "1 Main St")

    assert (violation.field, violation.description) == ("city", "holds control characters")


@pytest.mark.parametrize("written", ["0086 12", "+86 1234567", "0086 000 0000 0000"])
def test_a_chinese_number_that_cannot_be_is_refused(written: str) -> None:
    """Also with its calling code written out, and without showing it."""
    result = check_phone(written, "CN")

    assert result.violations
    assert not any(written in violation.description for violation in result.violations)


def test_a_chinese_number_abroad_is_judged_as_a_chinese_one() -> None:
    """A recipient elsewhere may have one; it must still exist."""
    assert check_phone("+86 123", "US").violations
    assert check_phone("+86 139 8765 4321", "US").violations == ()


def test_a_foreign_number_of_a_wrong_length_is_refused() -> None:
    """No number of that country is so short."""
    [violation] = check_phone("+1 201 555", "US").violations

    assert "which no number of that country has" in violation.description


def test_a_neutral_probe_leaves_the_breaker_half_open() -> None:
    """It showed neither health nor trouble: another probe may go."""
    breaker = Breaker(BreakerRules(jitter=0.0))
    for _ in range(breaker.rules.consecutive):
        permit = breaker.acquire(0.0)
        assert permit is not None
        breaker.finished(permit, 0.0, Verdict.FAILURE)
    opened = breaker.era
    later = breaker.rules.open_s + 1.0
    probe = breaker.acquire(later)
    assert probe is not None

    breaker.finished(probe, later, Verdict.NEUTRAL)

    assert (opened, breaker.era) == (1, 1)
    assert breaker.state(later) is BreakerState.HALF_OPEN
    assert breaker.may_call(later)


def test_an_unlimited_account_charges_nothing() -> None:
    """A further request of a flow waits for nobody."""
    gcra = Gcra(None, 1)

    assert [gcra.charge(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_block_outlives_a_restart() -> None:
    """Of a minute's Retry-After, ten seconds have passed; an account without limit learns none."""
    gcra = Gcra(None, 1)

    gcra.restore(GcraState(owed_s=0.0, blocked_s=60.0, rate_per_s=None), 1000.0, elapsed_s=10.0)

    assert gcra.wait_s(1000.0) == pytest.approx(50.0)
    assert gcra.state(1000.0).rate_per_s is None


def test_a_return_of_something_else_takes_nothing_from_an_order() -> None:
    """An older return may name goods that the order, as it is now known, does not have."""
    forward = draft(parcels=(Parcel(450, items=(Item("红茶", 2),)),))
    stranger = a_return(items=(ReturnItem("", "杯子", 1),))
    wish = ReturnWish(ORDER_ID, ReturnReason.DAMAGED, (ReturnItem("", "红茶", 2),))

    items, violations = resolve_items(wish, forward, [stranger])

    assert violations == ()
    assert [(item.title, item.quantity) for item in items] == [("红茶", 2)]


def test_a_carrier_may_be_excluded_beside_others_that_are_wanted() -> None:
    """Only one that stands on both lists is a contradiction."""
    sound = draft(routing=RoutingWish(allowed=("sf",), excluded=("zto",)))

    assert check_order(sound)[1] == ()


def test_records_show_no_person() -> None:
    """What a log line may hold of a return, a track, a letter."""
    wish = ReturnWish(ORDER_ID, ReturnReason.DAMAGED, note="欧阳小满")
    track = TrackRecord("t1", "acme", "sf", "sf-1", "SF1", NOW, phone_tail="4321")
    letter = DeadLetter("l1", "sf-1", NOW, "欧阳小满", 1, {"x-signature": "s3cret"}, b"13987654321")

    shown = f"{wish!r} {track!r} {letter!r}"

    assert "SF1" in shown
    assert not any(secret in shown for secret in ("欧阳小满", "4321", "s3cret"))


def test_a_rule_without_condition_holds() -> None:
    """The judge of an engine without rules of its own agrees to everything."""
    facts: StallFacts = object()  # type: ignore[assignment]

    assert Unconditional().judge(DEFAULT_STALL_RULES[0], facts).holds


@pytest.mark.parametrize(
    ("fields", "at_its_end"),
    [
        ({"state": OrderState.FAILED}, True),
        ({"state": OrderState.NEEDS_REVIEW}, False),
        ({"state": OrderState.BOOKED, "due_time": NOW}, False),
        ({"state": OrderState.BOOKED, "cancel_requested": True}, False),
    ],
)
def test_an_order_rests_when_its_own_row_says_so(fields: dict[str, Any], at_its_end: bool) -> None:
    """A row with a time, a wish or a person's turn may hold another move."""
    assert rests(loaded(**fields).order) is at_its_end


def test_accounts_that_have_had_the_order_are_retried() -> None:
    """Those that may have it again: what was refused for good, or never sent, makes no retry."""
    attempts = [
        attempt(1, "alpha", AttemptState.REJECTED, error_class="CAPACITY"),
        attempt(2, "beta", AttemptState.REJECTED, error_class="NO_SERVICE"),
        attempt(3, "gamma", AttemptState.ABSENT),
        attempt(4, "delta", AttemptState.NOT_SENT),
    ]

    assert asked(attempts) == {"alpha-1", "gamma-1"}


@pytest.mark.parametrize(
    ("former", "told"),
    [
        ([attempt(1, "alpha", AttemptState.NOT_SENT)], ["alpha: NOT_SENT; gamma is full"]),
        ([attempt(1, "beta", AttemptState.NOT_SENT)], []),
    ],
)
def test_a_change_of_carrier_says_why_it_passed_others_over(former: list[AttemptRecord], told: list[str]) -> None:
    """Beside what the carrier before it said; staying where it is tells nobody."""
    step = started(loaded(*former), attempt(2, "beta", AttemptState.INTENT, cause="gamma is full"), NOW, NOW)

    assert [event.reason for event in step.events] == told


@pytest.mark.parametrize(
    ("required", "filled"),
    [
        ((), True),
        (("recipient.contact.phone",), True),
        (("shipper.contact.email",), False),
        (("recipient.no_such_field",), False),
        (("remark",), False),
    ],
)
def test_required_fields_are_looked_at_before_candidates_are_shared(required: tuple[str, ...], filled: bool) -> None:
    """An order that lacks one is considered for itself; so is one of which something unknown is asked."""
    assert Required([manifest("alpha", required_fields=required)]).are_filled(draft()) is filled


def test_orders_are_alike_in_what_decides_their_candidates() -> None:
    """Who receives it does not, where it goes does."""
    elsewhere = replace(PARTY, address=replace(PARTY.address, province="西藏自治区"))

    assert alike(draft(reference="R2")) == alike(draft(reference="R3"))
    assert alike(draft()) != alike(draft(recipient=elsewhere))


def test_a_quote_tells_of_shares_and_of_full_accounts() -> None:
    """Both stand where people look for them: among the reasons, and among the exclusions."""
    accounts = [AccountFacts("alpha-1", "alpha"), AccountFacts("beta-1", "beta")]
    question = Question(draft(), shares=Shares({"alpha-1": 60}), full={"beta-1": "daily cap of 1 reached"})
    answers = route(question, accounts, {code: manifest(code) for code in ("alpha", "beta")})
    by_account = {answer.candidate.account_id: answer for answer in answers}

    assert "share of 60 % among those that could take it" in by_account["alpha-1"].reasons
    assert "daily cap of 1 reached" in by_account["beta-1"].exclusions


def test_shares_forget_when_there_are_too_many_groups() -> None:
    """So that orders with ever new sets of candidates cannot fill the memory."""
    shares = Shares({"alpha": 50})
    for number in range(MOST_GROUPS + 1):
        shares.assigned(("alpha", f"a{number}"), "alpha")

    assert shares.lag(("alpha", "a0"))["alpha"] == pytest.approx(1 / 50)
    assert shares.lag(("alpha", f"a{MOST_GROUPS}"))["alpha"] == pytest.approx(2 / 50)


def test_tallies_go_on_from_the_rows_and_give_back_what_was_not_written() -> None:
    """After a start they know the day so far; accounts without a cap are nowhere."""
    tallies = Tallies([DailyCap("alpha-1", 3, UTC)])
    tallies.restore([("alpha-1", 2)], NOW)
    unwritten = attempt(1, "alpha", AttemptState.INTENT)
    tallies.reserve(unwritten)
    full = tallies.is_full("alpha-1", NOW)
    tallies.release(unwritten)

    assert (full, tallies.booked("alpha-1", NOW), list(tallies.caps)) == (True, 2, ["alpha-1"])
