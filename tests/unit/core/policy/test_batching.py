"""When a micro-batch leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.batching import NEVER, BatchRules, due_in_s

RULES = BatchRules(size=50, max_wait_s=0.02, margin_s=1.0)


@pytest.mark.parametrize(
    ("count", "oldest_s", "deadline_s", "expected"),
    [
        (0, NEVER, NEVER, NEVER),
        (1, 100.0, 200.0, 0.02),
        (49, 99.99, 200.0, 0.01),
        (50, 100.0, 200.0, 0.0),
        (120, 100.0, 200.0, 0.0),
        (1, 99.0, 200.0, 0.0),
        (1, 100.0, 101.005, 0.005),
        (1, 100.0, 100.5, 0.0),
    ],
    ids=["empty", "fresh", "older", "full", "more", "old", "deadline near", "deadline nearer"],
)
def test_a_batch_leaves_when_full_old_or_urgent(
    count: int, oldest_s: float, deadline_s: float, expected: float
) -> None:
    """Size, age and the earliest deadline, whichever comes first."""
    due = due_in_s(RULES, count=count, oldest_s=oldest_s, deadline_s=deadline_s, now=100.0)

    assert due == pytest.approx(expected)


def test_single_calls_never_wait_for_company() -> None:
    """An operation without batches sends each item at once."""
    assert due_in_s(BatchRules(size=1), count=1, oldest_s=5.0, deadline_s=9.0, now=5.0) == 0.0


@given(st.integers(1, 49), st.floats(0, 10), st.floats(0, 100), st.floats(0, 10))
def test_nobody_waits_past_the_limit_or_the_deadline(count: int, age_s: float, left_s: float, now: float) -> None:
    """The wait is never negative, never over max_wait_s, never beyond a deadline that can still be
    met.
    """
    due = due_in_s(RULES, count=count, oldest_s=now - age_s, deadline_s=now + left_s, now=now)

    assert 0.0 <= due <= RULES.max_wait_s + 1e-9
    assert due <= max(0.0, left_s - RULES.margin_s) + 1e-9
