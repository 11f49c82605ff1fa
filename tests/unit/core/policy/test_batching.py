"""When a micro-batch leaves."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.batching import NEVER, BatchRules, due_in_s

RULES = BatchRules(size=50, max_wait_s=0.02, margin_s=1.0)


@pytest.mark.parametrize(
    ("count", "oldest_s", "newest_s", "deadline_s", "expected"),
    [
        (0, NEVER, NEVER, NEVER, NEVER),
        (1, 100.0, 100.0, 200.0, 0.02),
        (49, 99.99, 99.991, 200.0, 0.01),
        (50, 100.0, 100.0, 200.0, 0.0),
        (120, 100.0, 100.0, 200.0, 0.0),
        (1, 99.0, 99.0, 200.0, 0.0),
        (2, 99.98, 100.0, 200.0, 0.01),
        (9, 99.95, 99.998, 200.0, 0.008),
        (9, 99.905, 100.0, 200.0, 0.005),
        (1, 100.0, 100.0, 101.005, 0.005),
        (1, 100.0, 100.0, 100.5, 0.0),
        (9, 99.95, 100.0, 101.005, 0.005),
    ],
    ids=[
        "empty", "fresh", "older", "full", "more", "old", "company comes", "and goes on coming", "for too long",
        "deadline near", "deadline nearer", "deadline near though company comes",
    ],
)  # fmt: skip
def test_a_batch_leaves_when_full_old_or_urgent(
    count: int, oldest_s: float, newest_s: float, deadline_s: float, expected: float
) -> None:
    """Size, age, nobody coming any more and the earliest deadline, whichever comes first."""
    due = due_in_s(RULES, count=count, oldest_s=oldest_s, newest_s=newest_s, deadline_s=deadline_s, now=100.0)

    assert due == pytest.approx(expected)


def test_what_a_full_call_left_behind_waits_for_the_rest_of_its_crowd() -> None:
    """A tenth of a second from its leaving, never longer; and not past a deadline."""
    due = partial(due_in_s, RULES, count=4, newest_s=100.0, now=100.0)

    assert due(oldest_s=100.0, deadline_s=200.0, full_s=100.0) == pytest.approx(0.1)
    assert due(oldest_s=99.95, deadline_s=200.0, full_s=99.99) == pytest.approx(0.05)
    assert due(oldest_s=100.0, deadline_s=200.0, full_s=99.9) == pytest.approx(0.02)
    assert due(oldest_s=100.0, deadline_s=101.03, full_s=100.0) == pytest.approx(0.03)


def test_single_calls_never_wait_for_company() -> None:
    """An operation without batches sends each item at once."""
    assert due_in_s(BatchRules(size=1), count=1, oldest_s=5.0, newest_s=5.0, deadline_s=9.0, now=5.0) == 0.0


@given(st.integers(1, 49), st.floats(0, 10), st.floats(0, 1), st.floats(0, 100), st.floats(0, 10))
def test_nobody_waits_past_the_limit_or_the_deadline(
    count: int, age_s: float, part: float, left_s: float, now: float
) -> None:
    """The wait is never negative, in all never over longest_s, never beyond a deadline that can still be met."""
    newest_s = now - age_s * part
    due = due_in_s(RULES, count=count, oldest_s=now - age_s, newest_s=newest_s, deadline_s=now + left_s, now=now)

    assert 0.0 <= due <= max(0.0, RULES.longest_s - age_s) + 1e-9
    assert due <= RULES.max_wait_s + 1e-9
    assert due <= max(0.0, left_s - RULES.margin_s) + 1e-9
