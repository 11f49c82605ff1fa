"""The adaptive concurrency limit: bounds, growth under use, one decrease per message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.concurrency import AimdLimit


def test_it_starts_at_eight_within_the_ceiling() -> None:
    """Eight, or the carrier's ceiling when that is less."""
    assert [AimdLimit(c).limit for c in (1, 2, 5, 8, 100)] == [1, 2, 5, 8, 8]


def test_a_limits_worth_of_successes_adds_one() -> None:
    """Nine successes at eight in use are enough for nine calls at once."""
    limit = AimdLimit(100)
    for _ in range(9):
        limit.succeeded(in_flight=8)

    assert limit.limit == 9


def test_an_unused_limit_does_not_grow() -> None:
    """Success at a fraction of the limit proves nothing about more."""
    limit = AimdLimit(100)
    for _ in range(1000):
        limit.succeeded(in_flight=2)

    assert limit.limit == 8


@pytest.mark.parametrize(("event", "expected"), [("timed_out", 18), ("throttled", 14)])
def test_a_bad_sign_multiplies(event: str, expected: int) -> None:
    """Timeouts take a tenth, "too many" takes three tenths."""
    limit = AimdLimit(20, start=20)
    getattr(limit, event)(10.0, sent_at=9.0)

    assert limit.limit == expected


def test_a_burst_of_timeouts_decreases_once() -> None:
    """Twenty calls sent before the first decrease carry one message."""
    limit = AimdLimit(20, start=20)
    for n in range(20):
        limit.timed_out(10.0 + n / 100, sent_at=9.0)

    assert limit.limit == 18


@given(
    st.integers(1, 64),
    st.lists(st.sampled_from(["succeeded", "timed_out", "throttled"]), max_size=300),
)
def test_it_stays_between_floor_and_ceiling(ceiling: int, events: list[str]) -> None:
    """Whatever happens the limit lies between two (or the ceiling) and the ceiling."""
    limit = AimdLimit(ceiling)
    for n, event in enumerate(events):
        if event == "succeeded":
            limit.succeeded(limit.limit)
        else:
            getattr(limit, event)(float(n), sent_at=float(n))
        assert min(2, ceiling) <= limit.limit <= ceiling


def test_a_ceiling_of_nothing_is_named() -> None:
    """A limit nothing could pass is a mistake of the configuration."""
    with pytest.raises(ValueError, match="ceiling"):
        AimdLimit(0)
