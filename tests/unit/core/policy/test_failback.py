"""How an account comes back after a failure: 10, 25, 50, 100 % of its orders."""

from __future__ import annotations

from collections import Counter

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.failback import FULL, Failback, FailbackRules, draw


def back(now: float = 0.0) -> Failback:
    """An account whose breaker opened and has just closed again."""
    ramp = Failback()
    ramp.opened()
    ramp.closed(now)
    return ramp


def test_an_account_that_never_failed_gets_all_its_orders() -> None:
    """Successes and failures alone start no ramp."""
    ramp = Failback()
    ramp.succeeded(1.0)
    ramp.failed(2.0)
    ramp.closed(3.0)

    assert (ramp.ramp_percent, ramp.is_ramping, ramp.step) == (FULL, False, None)


def test_it_comes_back_in_steps_of_a_healthy_minute() -> None:
    """A call every ten seconds, all good."""
    ramp = back()
    percents = []
    for second in range(0, 200, 10):
        ramp.succeeded(float(second))
        percents.append(ramp.ramp_percent)

    assert Counter(percents) == {10: 6, 25: 6, 50: 6, 100: 2}
    assert percents == sorted(percents)


def test_faults_on_the_way_start_the_way_again() -> None:
    """From any step to the first, with the whole time before it. A single one among few calls is borne."""
    ramp = back()
    ramp.succeeded(60.0)
    ramp.succeeded(120.0)
    ramp.failed(125.0)
    before = ramp.ramp_percent
    ramp.failed(130.0)
    after = ramp.ramp_percent
    ramp.succeeded(189.0)
    early = ramp.ramp_percent
    ramp.succeeded(190.0)

    assert (before, after, early, ramp.ramp_percent) == (50, 10, 10, 25)


@pytest.mark.parametrize(("one_of", "percent"), [(1000, 100), (50, 100), (10, 10)])
def test_a_busy_account_comes_back_although_a_call_fails_now_and_then(one_of: int, percent: int) -> None:
    """A hundred calls a second: one of a thousand or of fifty is borne, one of ten is not."""
    ramp = back()
    for call in range(1, 190 * 100):
        (ramp.succeeded if call % one_of else ramp.failed)(call / 100)

    assert ramp.ramp_percent == percent


def test_silence_proves_nothing() -> None:
    """An hour without a call leaves it where it is; the first good one after it counts."""
    ramp = back()
    silent = ramp.ramp_percent
    ramp.succeeded(3600.0)

    assert (silent, ramp.ramp_percent) == (10, 25)


def test_probes_before_the_breaker_closes_do_not_count() -> None:
    """While it is half-open nothing is regained, however long it takes."""
    ramp = Failback()
    ramp.opened()
    ramp.succeeded(1e6)
    ramp.failed(1e6)

    assert (ramp.ramp_percent, ramp.step) == (10, 0)


@pytest.mark.parametrize(("step", "percent"), [(0, 10), (2, 50), (3, 100), (99, 100)])
def test_a_restart_goes_on_from_the_step_with_its_whole_time(step: int, percent: int) -> None:
    """Nobody watched meanwhile; a step that no longer exists is the last."""
    ramp = Failback()
    ramp.restore(step, 500.0)
    restored = ramp.ramp_percent
    ramp.succeeded(559.0)

    assert (restored, ramp.ramp_percent) == (percent, percent)


def test_without_steps_all_comes_back_at_once() -> None:
    """Switched off."""
    ramp = Failback(FailbackRules(steps_percent=()))
    ramp.opened()
    ramp.closed(0.0)

    assert (ramp.ramp_percent, ramp.is_ramping) == (FULL, False)


@given(st.lists(st.tuples(st.sampled_from(["opened", "closed", "good", "bad"]), st.floats(0.1, 90.0)), max_size=60))
def test_it_never_gets_more_than_was_healthy_long_enough(steps: list[tuple[str, float]]) -> None:
    """Over any history: the part it gets is at most what the time since its breaker last closed allows."""
    ramp, now, trouble = Failback(), 0.0, float("-inf")
    for what, passed in steps:
        now += passed
        match what:
            case "opened":
                ramp.opened()
                trouble = float("inf")
            case "closed":
                ramp.closed(now)
                trouble = now if trouble > now or ramp.is_ramping else trouble
            case "good":
                ramp.succeeded(now)
            case "bad":
                ramp.failed(now)
        healthy = 0 if trouble > now else int((now - trouble) / 60.0 + 1e-9) if trouble > float("-inf") else 3
        assert ramp.ramp_percent <= (10, 25, 50, 100)[min(healthy, 3)]


def test_draws_are_even_and_always_the_same() -> None:
    """Of many orders each part is what it says, within three per cent; an order draws the same every time."""
    ids = [str(uuid_utils.uuid7()) for _ in range(20_000)]
    draws = [draw(order_id) for order_id in ids]

    assert draws == [draw(order_id) for order_id in ids]
    assert set(draws) <= set(range(FULL))
    for percent in (10, 25, 50):
        assert sum(d < percent for d in draws) / len(draws) == pytest.approx(percent / 100, abs=0.03)
