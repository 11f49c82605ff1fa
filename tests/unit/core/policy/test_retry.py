"""Retry budget, backoff and Retry-After."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.retry import (
    FLOOR,
    MAX_RETRY_AFTER_S,
    SHARE,
    RetryBudget,
    backoff_s,
    parse_retry_after,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), max_size=300))
def test_retries_stay_within_a_tenth_of_first_attempts(steps: list[tuple[float, bool]]) -> None:
    """Counted over everything, retries are at most 10 % of first attempts plus the floor per
    window.
    """
    budget, now, firsts, retries = RetryBudget(), 0.0, 0, 0
    for gap_s, is_retry in steps:
        now += gap_s
        if is_retry:
            retries += budget.take(now)
        else:
            budget.first_attempt(now)
            firsts += 1

    windows = now // 110.0 + 1
    assert retries <= firsts * SHARE + FLOOR * windows


def test_a_few_retries_are_always_left() -> None:
    """Without any traffic thirty retries may go in two minutes, the next may not."""
    budget = RetryBudget()

    assert [budget.take(5.0) for _ in range(FLOOR + 1)] == [True] * FLOOR + [False]


def test_traffic_buys_retries() -> None:
    """A thousand first attempts allow a hundred retries."""
    budget = RetryBudget()
    for n in range(1000):
        budget.first_attempt(n / 100)

    assert sum(budget.take(10.0) for _ in range(500)) == 100


def test_spent_retries_come_back_after_the_window() -> None:
    """Two minutes later the floor is whole again."""
    budget = RetryBudget()
    for _ in range(FLOOR):
        budget.take(5.0)

    assert (budget.left(60.0), budget.left(130.0)) == (0, FLOOR)


def test_a_retry_that_is_given_back_was_never_spent() -> None:
    """Only those that fail are counted; giving back more than was taken gives nothing."""
    budget = RetryBudget()
    for _ in range(FLOOR):
        budget.take(5.0)
    budget.give_back()
    left = budget.left(60.0)
    for _ in range(FLOOR + 5):
        budget.give_back()

    assert (left, budget.left(60.0), budget.left(130.0)) == (1, FLOOR, FLOOR)


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (11, 512.0), (12, 900.0), (10**6, 900.0)],
)
def test_the_backoff_doubles_up_to_its_cap(attempt: int, expected: float) -> None:
    """Half a second, doubling, never more than fifteen minutes."""
    assert backoff_s(attempt, 1.0) == expected


@given(st.integers(-5, 100), st.floats(0.0, 1.0))
def test_jitter_covers_the_whole_span(attempt: int, fraction: float) -> None:
    """Full jitter: the fraction scales the span from zero."""
    assert backoff_s(attempt, fraction) == pytest.approx(backoff_s(attempt, 1.0) * fraction)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("Sat, 21 Nov 2026 08:01:30 GMT", 90.0),
        ("Saturday, 21-Nov-26 08:01:30 GMT", 90.0),
        ("Sat, 21 Nov 2026 07:00:00 GMT", 0.0),
        ("999999999999", MAX_RETRY_AFTER_S),
        ("9" * 400, None),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("1_0", None),
        ("１２", None),
        ("12 seconds", None),
        ("Sat, 99 Nov 2026 08:01:30 GMT", None),
    ],
)
def test_retry_after_is_read_or_ignored(value: str | None, expected: float | None) -> None:
    """Seconds and HTTP dates count, nonsense does not."""
    assert parse_retry_after(value, NOW) == expected


@given(st.text(max_size=80))
def test_no_retry_after_can_break_it(value: str) -> None:
    """Whatever a carrier sends, the result is None or lies within a day."""
    wait_s = parse_retry_after(value, NOW)

    assert wait_s is None or 0.0 <= wait_s <= MAX_RETRY_AFTER_S
