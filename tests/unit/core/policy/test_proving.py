"""Which accounts must show that they still work, and when they are asked."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdock_sdk import CarrierError, ErrorClass, Money, Quote
from engine.core.policy.proving import (
    DUE_AFTER_S,
    FIRST_SPREAD_S,
    LEAST_PAUSE_S,
    MOST_PAUSE_S,
    SPREAD_S,
    Proofs,
    first_delay_s,
    is_proof,
    pause_s,
)
from engine.core.policy.records import AttemptState
from engine.outbound import Ambiguous, FaultKind, LaneRefused, NotSent, PluginFault, RefusalReason
from tests.fakes.rows import attempt

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
MANY = [f"sf-{n}" for n in range(120)]


def later(seconds: float) -> datetime:
    """So long after the start."""
    return START + timedelta(seconds=seconds)


def proofs(*account_ids: str) -> Proofs:
    """Nothing is known yet of these accounts."""
    return Proofs(account_ids, account_ids, START)


def asked_at(known: Proofs, until_s: float, *, since_s: float = 0.0, is_proof: bool = True) -> list[tuple[str, float]]:
    """Account and second of every call, each answered at once."""
    calls = []
    for n in range(int((until_s - since_s) / 60.0) + 1):
        second = since_s + n * 60.0
        for account_id in known.due(later(second)):
            calls.append((account_id, second))
            known.answered(account_id, is_proof=is_proof, now=later(second))
    return calls


def test_unknown_accounts_are_asked_in_the_first_minutes_but_not_all_at_once() -> None:
    """So a wrong secret shows on the first day, and a start is no burst."""
    calls = asked_at(proofs(*MANY), 2 * FIRST_SPREAD_S)
    by_minute = Counter(second for _, second in calls)

    assert sorted(a for a, _ in calls) == sorted(MANY)
    assert max(by_minute) <= FIRST_SPREAD_S
    assert max(by_minute.values()) <= len(MANY) / 3


def test_a_proof_holds_for_most_of_a_day() -> None:
    """The next call comes 19 to 20 hours later, spread over that hour."""
    known = proofs(*MANY)
    known.restore(dict.fromkeys(MANY, START))
    calls = asked_at(known, 23 * 3600.0)
    by_minute = Counter(second for _, second in calls)

    assert sorted(a for a, _ in calls) == sorted(MANY)
    assert min(by_minute) >= DUE_AFTER_S - SPREAD_S
    assert max(by_minute) <= DUE_AFTER_S
    assert max(by_minute.values()) <= len(MANY) / 8


def test_what_came_due_while_the_engine_was_down_is_spread() -> None:
    """After a long stop the first minutes are drawn out as for new accounts."""
    known = proofs(*MANY)
    known.restore(dict.fromkeys(MANY, later(-7 * 86_400.0)))
    calls = asked_at(known, 2 * FIRST_SPREAD_S)

    assert {a: int(second) for a, second in calls} == {a: -(-first_delay_s(a) // 60) * 60 for a in MANY}


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        (AttemptState.CONFIRMED, 0),
        (AttemptState.REJECTED, 1),
        (AttemptState.UNKNOWN, 1),
        (AttemptState.NOT_SENT, 1),
        (AttemptState.ABSENT, 1),
    ],
)
def test_a_confirmed_booking_makes_a_call_unnecessary(state: AttemptState, calls: int) -> None:
    """No other end of an attempt does."""
    known = proofs("sf-1")
    known.restore({"sf-1": START})
    known.attempt_ended(attempt(1, "sf", state, end_time=later(10 * 3600.0)))

    assert len(asked_at(known, 21 * 3600.0, since_s=10 * 3600.0)) == calls


def test_calls_that_prove_nothing_are_repeated_with_growing_pauses() -> None:
    """Ten minutes, doubling, never more than four hours."""
    calls = [second for _, second in asked_at(proofs("sf-1"), 24 * 3600.0, is_proof=False)]
    pauses = [int(b - a) // 60 for a, b in pairwise(calls)]

    assert pauses == [10, 20, 40, 80, 160, 240, 240, 240, 240]
    assert pause_s(10_000) == MOST_PAUSE_S


def test_a_proof_ends_the_pauses() -> None:
    """The next trouble begins with the shortest one."""
    known = proofs("sf-1")
    asked_at(known, 3 * 3600.0, is_proof=False)
    known.due(later(6 * 3600.0))
    known.answered("sf-1", is_proof=True, now=later(6 * 3600.0))
    (again,) = known.due(later(27 * 3600.0))
    known.answered(again, is_proof=False, now=later(27 * 3600.0))

    assert known.due(later(27 * 3600.0 + LEAST_PAUSE_S - 1.0)) == []
    assert known.due(later(27 * 3600.0 + LEAST_PAUSE_S)) == ["sf-1"]


def test_a_booking_ends_the_pauses_too() -> None:
    """Whoever books needs no call, and the next trouble begins with the shortest pause."""
    known = proofs("sf-1")
    asked_at(known, 3 * 3600.0, is_proof=False)
    known.attempt_ended(attempt(1, "sf", AttemptState.CONFIRMED, end_time=later(4 * 3600.0)))
    early = known.due(later(22 * 3600.0))
    (again,) = known.due(later(24 * 3600.0))
    known.answered(again, is_proof=False, now=later(24 * 3600.0))

    assert early == []
    assert known.due(later(24 * 3600.0 + LEAST_PAUSE_S)) == ["sf-1"]


def test_an_account_is_never_asked_twice_at_once() -> None:
    """However long the call takes."""
    known = proofs("sf-1")
    first = known.due(later(FIRST_SPREAD_S))

    assert first == ["sf-1"]
    assert known.due(later(90_000.0)) == []


def test_who_cannot_be_asked_is_never_due_but_known() -> None:
    """Bookings prove it alone."""
    known = Proofs(["sf-1"], [], START)
    due = known.due(later(90_000.0))
    known.attempt_ended(attempt(1, "sf", AttemptState.CONFIRMED, end_time=START))

    assert due == []
    assert known.times() == {"sf-1": START}


def test_a_clock_that_was_set_back_puts_nothing_off() -> None:
    """What seems to have happened in the future happened now."""
    known = proofs("sf-1", "sf-2")
    known.restore({"sf-1": later(365 * 86_400.0)})
    (failing,) = [a for a in known.due(later(FIRST_SPREAD_S)) if a == "sf-2"]
    known.answered(failing, is_proof=False, now=later(365 * 86_400.0))
    known.due(later(FIRST_SPREAD_S))

    assert known.times() == {"sf-1": later(FIRST_SPREAD_S)}
    assert known.due(later(FIRST_SPREAD_S + LEAST_PAUSE_S)) == ["sf-2"]
    assert known.due(later(FIRST_SPREAD_S + DUE_AFTER_S)) == ["sf-1"]


def test_a_start_that_was_ahead_of_the_clock_puts_nothing_off() -> None:
    """The first question comes in the minutes after the clock was set right."""
    known = Proofs(["sf-1"], ["sf-1"], later(365 * 86_400.0))
    known.due(START)

    assert known.due(later(FIRST_SPREAD_S)) == ["sf-1"]


def test_what_a_former_process_knew_never_hides_a_newer_proof() -> None:
    """Bookings may be confirmed before the store has told; accounts that are gone are left out."""
    known = proofs("sf-1", "sf-2")
    known.attempt_ended(attempt(1, "sf", AttemptState.CONFIRMED, end_time=later(60.0)))
    known.restore({"sf-1": START, "sf-2": START, "gone": START})

    assert known.times() == {"sf-1": later(60.0), "sf-2": START}


PRICED = (Quote("2", Money("CNY", 1200), 86_400),)


@pytest.mark.parametrize(
    ("answer", "proof"),
    [
        (PRICED, True),
        (CarrierError(ErrorClass.NO_SERVICE, code="20036"), True),
        # Without a code of the carrier's, a plug-in may have said it without asking.
        (CarrierError(ErrorClass.NO_SERVICE), False),
        *[(CarrierError(kind, code="E1"), False) for kind in ErrorClass if kind is not ErrorClass.NO_SERVICE],
        (NotSent(FaultKind.REFUSED), False),
        (Ambiguous(FaultKind.TIMEOUT), False),
        (LaneRefused(RefusalReason.BREAKER_OPEN), False),
        (PluginFault("sf", "quote", "no"), False),
        (None, False),
    ],
)
def test_only_the_carriers_word_on_the_lane_is_proof(answer: object, proof: bool) -> None:
    """A price, or that it does not go there; whatever blames the account, the call or the carrier is none."""
    assert is_proof(answer) is proof


STEP_S = 300.0
DAYS = 4
OUTAGES = st.lists(st.tuples(st.floats(0.0, 24.0 * DAYS), st.floats(0.1, 40.0)), max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    OUTAGES,
    st.lists(st.floats(0.0, 24.0 * DAYS), max_size=4),
    st.integers(0, 6),
    st.lists(st.integers(0, 999), min_size=1, max_size=4, unique=True),
)
def test_nobody_goes_unproved_for_a_day_while_its_carrier_answers(
    outages_h: list[tuple[float, float]], bookings_h: list[float], call_steps: int, numbers: list[int]
) -> None:
    """Over any outages, bookings and slow calls: the longest pause after an outage everybody is proved again."""
    known = proofs(*[f"sf-{n}" for n in numbers])
    down = {n for n in range(int(DAYS * 86_400 / STEP_S)) if any(a <= n * STEP_S / 3600 < a + b for a, b in outages_h)}
    booked = {int(hour * 3600 / STEP_S) for hour in bookings_h} - down
    under_way: dict[str, int] = {}
    failures: Counter[str] = Counter()
    last_failed_s: dict[str, float] = {}
    well_since_s = 0.0
    for n in range(int(DAYS * 86_400 / STEP_S)):
        now_s = n * STEP_S
        well_since_s = now_s + STEP_S if n in down else well_since_s
        for account_id in [a for a, ends in under_way.items() if ends <= n]:
            del under_way[account_id]
            known.answered(account_id, is_proof=n not in down, now=later(now_s))
            failures[account_id] = failures[account_id] + 1 if n in down else 0
            last_failed_s[account_id] = now_s
        if n in booked:
            account_id = f"sf-{numbers[0]}"
            known.attempt_ended(
                attempt(1, "sf", AttemptState.CONFIRMED, account_id=account_id, end_time=later(now_s + 1.0))
            )
            failures[account_id] = 0
        for account_id in known.due(later(now_s + 1.0)):
            assert account_id not in under_way
            if failures[account_id]:
                assert now_s + 1.0 - last_failed_s[account_id] >= pause_s(failures[account_id])
            under_way[account_id] = n + call_steps
        if now_s - well_since_s > MOST_PAUSE_S + (2 * call_steps + 3) * STEP_S:
            ages_s = [(later(now_s) - known.times().get(a, START)).total_seconds() for a in known.account_ids]
            assert set(known.times()) == set(known.account_ids)
            assert max(ages_s) <= DUE_AFTER_S + (call_steps + 2) * STEP_S
