"""Daily caps: what counts, on which day, and when an account is full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.records import AttemptState
from engine.core.policy.tallies import COUNTED, DailyCap, Tallies
from tests.fakes.rows import attempt

SHANGHAI = ZoneInfo("Asia/Shanghai")
MORNING = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)  # nine o'clock in Shanghai
S = AttemptState


def capped(cap: int = 2) -> Tallies:
    """One account with a cap in Shanghai's days."""
    return Tallies([DailyCap("alpha-1", cap, SHANGHAI)])


def test_a_cap_is_reached_by_what_was_decided_not_by_what_was_answered() -> None:
    """Orders under way count: together they cannot exceed it."""
    tallies = capped()
    for number in (1, 2):
        tallies.reserve(attempt(number, "alpha", S.INTENT, start_time=MORNING))

    assert (tallies.booked("alpha-1", MORNING), tallies.is_full("alpha-1", MORNING)) == (2, True)
    assert tallies.exclusions(MORNING) == {"alpha-1": "daily cap of 2 reached, 2 booked today"}


@pytest.mark.parametrize(
    ("state", "left"),
    [(S.REJECTED, 0), (S.NOT_SENT, 0), (S.ABSENT, 0), (S.UNKNOWN, 1), (S.CONFIRMED, 1), (S.VOIDED, 1)],
)
def test_what_is_proved_to_be_no_booking_is_given_back(state: AttemptState, left: int) -> None:
    """A cancelled booking has been one."""
    tallies = capped()
    intent = attempt(1, "alpha", S.INTENT, start_time=MORNING)
    tallies.reserve(intent)
    tallies.changed(attempt(1, "alpha", state, start_time=MORNING), S.INTENT)

    assert tallies.booked("alpha-1", MORNING) == left


def test_a_booking_that_surfaces_late_counts_again() -> None:
    """It was believed absent."""
    tallies = capped()
    tallies.reserve(attempt(1, "alpha", S.INTENT, start_time=MORNING))
    tallies.changed(attempt(1, "alpha", S.ABSENT, start_time=MORNING), S.UNKNOWN)
    tallies.changed(attempt(1, "alpha", S.CONFIRMED, start_time=MORNING), S.ABSENT)

    assert tallies.booked("alpha-1", MORNING) == 1


def test_a_day_ends_at_midnight_where_the_account_is() -> None:
    """16:00 UTC is midnight in Shanghai; yesterday's attempts are settled on yesterday's account."""
    tallies = capped(1)
    evening = datetime(2026, 11, 21, 15, 59, 59, tzinfo=UTC)
    late = attempt(1, "alpha", S.INTENT, start_time=evening)
    tallies.reserve(late)
    next_day = evening + timedelta(seconds=1)
    free = tallies.is_full("alpha-1", next_day)
    tallies.reserve(attempt(1, "alpha", S.INTENT, start_time=next_day))
    tallies.changed(attempt(1, "alpha", S.REJECTED, start_time=evening), S.INTENT)

    assert (tallies.is_full("alpha-1", evening), free, tallies.is_full("alpha-1", next_day)) == (False, False, True)
    assert tallies.day_start("alpha-1", next_day) == datetime(2026, 11, 21, 16, 0, tzinfo=UTC)


def test_old_days_are_forgotten() -> None:
    """A year of days takes the room of two."""
    tallies = capped()
    for day in range(365):
        tallies.reserve(attempt(1, "alpha", S.INTENT, start_time=MORNING + timedelta(days=day)))

    assert len(tallies._counts) == 2
    assert tallies.booked("alpha-1", MORNING + timedelta(days=364)) == 1


def test_accounts_without_a_cap_are_not_counted() -> None:
    """Zero is none."""
    tallies = Tallies([DailyCap("alpha-1", 0, SHANGHAI)])
    tallies.reserve(attempt(1, "alpha", S.INTENT, start_time=MORNING))

    assert (bool(tallies), tallies.booked("alpha-1", MORNING), tallies.is_full("alpha-1", MORNING)) == (False, 0, False)


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(sorted(S)), st.integers(0, 38)),
        max_size=60,
    )
)
def test_the_count_is_always_that_of_the_rows(steps: list[tuple[int, AttemptState, int]]) -> None:
    """Whatever becomes of attempts on whatever day: following them gives what counting them would."""
    tallies, rows = capped(), {}
    for number, state, hours in steps:
        if number not in rows:
            rows[number] = attempt(number, "alpha", S.INTENT, start_time=MORNING + timedelta(hours=hours))
            tallies.reserve(rows[number])
        else:
            before = rows[number].state
            rows[number] = attempt(number, "alpha", state, start_time=rows[number].start_time)
            tallies.changed(rows[number], before)
    for day in range(2):
        now = MORNING + timedelta(days=day)
        counted = [
            row
            for row in rows.values()
            if row.state in COUNTED and row.start_time.astimezone(SHANGHAI).date() == now.astimezone(SHANGHAI).date()
        ]

        assert tallies.booked("alpha-1", now) == len(counted)
