"""The circuit breaker: when it opens, how it probes, when it closes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.breaker import Breaker, BreakerRules, BreakerState, Verdict

OK, BAD, NEUTRAL = Verdict.SUCCESS, Verdict.FAILURE, Verdict.NEUTRAL


def run(breaker: Breaker, now: float, *verdicts: Verdict, seconds: float = 0.1) -> None:
    """Make calls one after the other at `now`."""
    for verdict in verdicts:
        permit = breaker.acquire(now)
        assert permit is not None
        breaker.finished(permit, now, verdict, seconds=seconds)


def opened(now: float = 100.0, rules: BreakerRules | None = None) -> Breaker:
    breaker = Breaker(rules)
    run(breaker, now, *[BAD] * 5)
    return breaker


def waits_of_failed_probes(breaker: Breaker, now: float = 100.0) -> list[int]:
    """The open times in seconds, as six probes after each other fail."""
    waits = []
    for _ in range(6):
        waits.append(round(breaker.wait_s(now)))
        now += breaker.wait_s(now)
        run(breaker, now, BAD)
    return waits


def test_five_failures_in_a_row_open_it() -> None:
    """The fifth failure stops the calls for five seconds."""
    breaker = Breaker()
    run(breaker, 100.0, *[BAD] * 4)
    still = breaker.state(100.0)
    run(breaker, 100.0, BAD)

    assert (still, breaker.state(100.0)) == (BreakerState.CLOSED, BreakerState.OPEN)
    assert breaker.wait_s(100.0) == pytest.approx(5.0)
    assert breaker.acquire(104.9) is None


def test_a_success_between_failures_starts_the_count_again() -> None:
    """Four, one good, four: not five in a row."""
    breaker = Breaker()
    run(breaker, 100.0, *[BAD] * 4, OK, *[BAD] * 4)

    assert breaker.state(100.0) is BreakerState.CLOSED


def test_half_of_twenty_calls_in_ten_seconds_open_it() -> None:
    """Alternating failures never make five in a row, but half of twenty is enough."""
    breaker = Breaker()
    for n in range(9):
        run(breaker, 100.0 + n, OK, BAD)
    before = breaker.state(109.0)
    run(breaker, 109.0, OK, BAD)

    assert (before, breaker.state(109.0)) == (BreakerState.CLOSED, BreakerState.OPEN)


def test_look_ups_that_succeed_do_not_hide_bookings_that_fail() -> None:
    """Where half of all bookings fail and each failure is looked up at once, it opens as if nobody had looked."""
    breaker = Breaker()
    for n in range(10):
        for operation, verdict in (("find", OK), ("book", OK), ("book", BAD)):
            permit = breaker.acquire(100.0 + n)
            assert permit is not None
            breaker.finished(permit, 100.0 + n, verdict, operation=operation)

    assert breaker.state(109.0) is BreakerState.OPEN


def test_failures_older_than_the_window_are_forgotten() -> None:
    """The same twenty calls over twenty seconds are no reason."""
    breaker = Breaker()
    for n in range(10):
        run(breaker, 100.0 + 2 * n, OK, BAD)

    assert breaker.state(120.0) is BreakerState.CLOSED


def test_neutral_calls_do_not_count() -> None:
    """Being throttled shows neither health nor sickness."""
    breaker = Breaker()
    run(breaker, 100.0, *[BAD] * 4, *[NEUTRAL] * 50, BAD)

    assert breaker.state(100.0) is BreakerState.OPEN


def test_slow_calls_count_as_failures() -> None:
    """A carrier that answers well but far too late is failing."""
    breaker = Breaker(BreakerRules(slow_s=10.0))
    run(breaker, 100.0, *[OK] * 5, seconds=10.5)

    assert breaker.state(100.0) is BreakerState.OPEN


def test_at_most_one_probe_runs_while_half_open() -> None:
    """After the open time one call passes; the next only when that one has ended."""
    breaker = opened()
    permit = breaker.acquire(131.0)
    second = breaker.acquire(131.0)
    assert permit is not None
    breaker.finished(permit, 132.0, OK)

    assert second is None
    assert breaker.acquire(132.0) is not None


def test_three_successful_probes_close_it() -> None:
    """Two are not enough."""
    breaker = opened()
    run(breaker, 131.0, OK, OK)
    before = breaker.state(131.0)
    run(breaker, 131.0, OK)

    assert (before, breaker.state(131.0)) == (BreakerState.HALF_OPEN, BreakerState.CLOSED)


def test_each_failed_probe_opens_it_for_longer_up_to_the_cap() -> None:
    """5, 10, 15, 20 seconds and no more: a carrier that is back after an hour is found out as soon as one after a
    minute.
    """
    assert waits_of_failed_probes(opened()) == [5, 10, 15, 20, 20, 20]


def test_a_longer_first_time_stays_as_it_is() -> None:
    """Whoever wants fewer probes sets it."""
    assert waits_of_failed_probes(opened(rules=BreakerRules(open_s=30.0))) == [30] * 6


@pytest.mark.parametrize(("healthy_s", "expected"), [(19.0, 20.0), (21.0, 5.0)])
def test_a_carrier_that_comes_and_goes_is_tried_ever_less_often(healthy_s: float, expected: float) -> None:
    """Closed for less than the longest open time it goes on where it was, else it begins anew."""
    breaker = opened()
    waits_of_failed_probes(breaker)
    run(breaker, 1000.0, OK, OK, OK)
    run(breaker, 1000.0 + healthy_s, *[BAD] * 5)

    assert breaker.wait_s(1000.0 + healthy_s) == pytest.approx(expected)


def test_calls_from_before_the_opening_are_ignored() -> None:
    """An old call that ends well during the probing closes nothing."""
    breaker = Breaker()
    old = [breaker.acquire(99.0) for _ in range(3)]
    run(breaker, 100.0, *[BAD] * 5)
    for permit in old:
        assert permit is not None
        breaker.finished(permit, 131.0, OK)

    assert breaker.state(131.0) is BreakerState.HALF_OPEN


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 4.5), (0.5, 5.0), (1.0, 5.5)])
def test_jitter_spreads_the_open_time(fraction: float, expected: float) -> None:
    """Ten per cent to both sides, by the fraction passed in."""
    breaker = Breaker()
    for _ in range(5):
        permit = breaker.acquire(0.0)
        assert permit is not None
        breaker.finished(permit, 0.0, BAD, fraction=fraction)

    assert breaker.wait_s(0.0) == pytest.approx(expected)


def test_the_open_time_can_be_set() -> None:
    """Demos and tests want two seconds."""
    assert opened(0.0, BreakerRules(open_s=2.0)).wait_s(0.0) == pytest.approx(2.0)


@given(st.lists(st.tuples(st.floats(0.0, 40.0), st.sampled_from(Verdict), st.booleans())))
def test_it_never_lets_two_probes_through_and_never_sticks(
    steps: list[tuple[float, Verdict, bool]],
) -> None:
    """Whatever happens, at most one call runs while tripped, and after 22 s without calls one may
    go.
    """
    breaker, now, running = Breaker(), 0.0, []
    for gap_s, verdict, finish in steps:
        now += gap_s
        tripped = breaker.state(now) is not BreakerState.CLOSED
        permit = breaker.acquire(now)
        if permit is not None:
            running.append((permit, tripped))
        assert sum(p[1] and p[0] == breaker.era for p in running) <= 1
        if finish and running:
            breaker.finished(running.pop()[0], now, verdict)
    for permit, _ in running:
        breaker.finished(permit, now, NEUTRAL)

    assert breaker.may_call(now + 22.1)
