"""GCRA: exact waits, no window over its limit, learning, and restarts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.estimate import FIRST_CUT
from engine.core.policy.rate import MIN_RATE_PER_S, MIN_SHARE, Gcra

rates = st.floats(0.5, 200.0)
bursts = st.integers(1, 10)
gaps = st.lists(st.floats(0.0, 0.5), min_size=1, max_size=120)


def passed(gcra: Gcra, gaps_s: list[float], start: float = 1000.0) -> list[float]:
    """Times of the calls that pass when one is tried after each gap."""
    now, times = start, []
    for gap_s in gaps_s:
        now += gap_s
        if gcra.take(now) == 0.0:
            times.append(now)
    return times


@given(rates, bursts, gaps, st.floats(0.01, 20.0))
def test_no_window_holds_more_than_burst_and_rate_allow(
    rate: float, burst: int, gaps_s: list[float], window_s: float
) -> None:
    """In every window of T seconds, wherever it starts, at most burst + rate * T calls pass."""
    times = passed(Gcra(rate, burst), gaps_s)

    for first in times:
        inside = sum(first <= t < first + window_s for t in times)
        assert inside <= burst + rate * window_s + 1e-6


@given(rates, bursts, gaps)
def test_the_wait_is_exact(rate: float, burst: int, gaps_s: list[float]) -> None:
    """A caller who waits as told passes, and one who comes a moment earlier does not."""
    gcra = Gcra(rate, burst)
    times = passed(gcra, gaps_s)
    now = (times or [1000.0])[-1]
    wait_s = gcra.wait_s(now)

    if wait_s > 1e-6:
        assert gcra.take(now + wait_s * 0.99) > 0.0
    assert gcra.take(now + wait_s) == 0.0


@given(rates, bursts, st.integers(0, 30))
def test_the_wait_behind_others_is_exact(rate: float, burst: int, ahead: int) -> None:
    """The predicted wait behind n calls is the wait found after n calls have passed as soon as they
    may.
    """
    gcra, twin = Gcra(rate, burst), Gcra(rate, burst)
    now = 1000.0
    for _ in range(ahead):
        now += gcra.wait_s(now)
        gcra.take(now)

    assert twin.wait_s(1000.0, ahead) == pytest.approx(now - 1000.0 + gcra.wait_s(now), abs=1e-6)


def test_a_backlog_uses_the_whole_rate() -> None:
    """Callers who always wait as told pass at the configured rate."""
    gcra, now = Gcra(30.0), 0.0
    for _ in range(300):
        now += gcra.wait_s(now)
        gcra.take(now)

    assert now == pytest.approx(299 / 30.0)


def test_an_unlimited_rate_never_waits() -> None:
    """Without a configured rate nothing is held back until the carrier objects."""
    gcra = Gcra()

    assert [gcra.take(5.0) for _ in range(1000)] == [0.0] * 1000


def test_the_first_objection_estimates_from_the_last_second() -> None:
    """Forty calls in the last second and a "too many": go on at 70 % of forty."""
    gcra = Gcra()
    for n in range(40):
        gcra.take(10.0 + n / 40)
    gcra.throttled(10.99)

    assert gcra.rate_per_s == pytest.approx(40 * (1 - FIRST_CUT))


def test_retry_after_blocks_to_the_second() -> None:
    """Nothing passes before the carrier's own time is over, and something does right after it."""
    gcra = Gcra(10.0)
    gcra.throttled(100.0, 7.0)

    assert gcra.wait_s(100.0) == pytest.approx(7.0)
    assert gcra.take(106.9) > 0
    assert gcra.take(107.0) == 0.0


def test_objections_to_one_burst_tighten_once() -> None:
    """Fifty calls under way when the rate fell say nothing about the new rate."""
    gcra = Gcra(100.0, burst=50)
    for _ in range(50):
        gcra.take(9.9)
    for _ in range(50):
        gcra.throttled(9.95, sent_at=9.9)
        gcra.throttled(9.96, sent_at=9.9)

    assert gcra.rate_per_s == pytest.approx(50.0 * (1 - FIRST_CUT))


def test_an_objection_to_a_lone_call_is_none_to_the_rate() -> None:
    """A breaker's probe during an outage goes out alone; what it is refused for is not how fast we call."""
    gcra, now = Gcra(20.0), 100.0
    for _ in range(60):
        now += 5.0
        assert gcra.take(now) == 0.0
        gcra.throttled(now + 0.1, 1.0, sent_at=now)

    assert gcra.rate_per_s == 20.0
    assert gcra.wait_s(now + 0.1) == pytest.approx(1.0)


@pytest.mark.parametrize("rate_per_s", [20.0, None])
@pytest.mark.parametrize("restarted", [False, True])
def test_after_an_outage_told_as_too_many_the_old_rate_is_back_within_a_minute(
    rate_per_s: float | None, restarted: bool
) -> None:
    """Objections to everything, however slow, are no limit: sixteen a second worked before, and do again."""
    gcra, now = Gcra(rate_per_s), 1000.0
    while now < 1300.0:
        now += max(1 / 16, gcra.wait_s(now))
        if gcra.take(now) == 0.0:
            if now < 1060.0:
                gcra.succeeded(now)
            else:
                gcra.throttled(now + 0.05, sent_at=now)
    assert gcra.rate_per_s == pytest.approx(0.1), "there was an outage"
    if restarted:
        saved, gcra = gcra.state(now), Gcra(rate_per_s)
        gcra.restore(saved, now)

    back = now + 60.0
    while now < back and (gcra.rate_per_s or 20.0) < 16.0:
        now += max(1 / 16, gcra.wait_s(now))
        if gcra.take(now) == 0.0:
            gcra.succeeded(now + 0.05)

    assert now < back


def test_successes_loosen_slowly_up_to_the_configured_rate() -> None:
    """Four seconds of calls regain some of what was lost, minutes all of it and never more than was configured."""
    gcra, now, rates = Gcra(10.0), 100.0, []
    for n in range(10):
        gcra.take(now + n / 10)
    gcra.throttled(now + 1.0)
    while now < 400.0:
        now += gcra.wait_s(now)
        gcra.take(now)
        gcra.succeeded(now)
        rates.append((now, gcra.rate_per_s or 0.0))

    soon = [rate for at, rate in rates if at <= 105.0]
    assert 7.0 < soon[-1] < 10.0
    assert soon == sorted(soon)
    assert max(rate for _, rate in rates) == 10.0


@given(st.floats(0.1, 1000.0), st.integers(1, 60))
def test_a_configured_rate_keeps_a_floor(rate: float, objections: int) -> None:
    """However often the carrier objects, a call can pass now and then, or nothing would be learned
    again.
    """
    gcra = Gcra(rate)
    for n in range(objections):
        gcra.throttled(float(n))

    assert min(MIN_RATE_PER_S, rate * MIN_SHARE) <= (gcra.rate_per_s or 0.0) <= rate


@given(rates, bursts, st.integers(1, 40), st.floats(0.0, 5.0), st.floats(0.0, 1e6))
def test_a_restart_grants_no_second_burst(
    rate: float, burst: int, calls: int, down_s: float, new_origin: float
) -> None:
    """A limiter restored on another machine's monotonic clock waits exactly as long as the old one
    would.
    """
    old = Gcra(rate, burst)
    for _ in range(calls):
        old.take(50.0)
    new = Gcra(rate, burst)
    new.restore(old.state(50.0), new_origin, elapsed_s=down_s)

    assert new.wait_s(new_origin) == pytest.approx(old.wait_s(50.0 + down_s), abs=1e-6)


@given(rates, bursts, gaps, st.lists(st.integers(1, 119), max_size=4), st.floats(0.01, 20.0))
def test_kills_at_any_moment_grant_no_second_burst(
    rate: float, burst: int, gaps_s: list[float], kills: list[int], window_s: float
) -> None:
    """Saved once a second, killed anywhere in between: no window holds more than without the kills."""
    gcra, now, times = Gcra(rate, burst), 1000.0, []
    saved, saved_at = gcra.state(now), now
    for index, gap_s in enumerate(gaps_s):
        now += gap_s
        if index in kills:
            gcra = Gcra(rate, burst)
            gcra.restore(saved, now, elapsed_s=now - saved_at)
            gcra.spend_burst(now)
        if gcra.take(now) == 0.0:
            times.append(now)
        if now - saved_at >= 1.0:
            saved, saved_at = gcra.state(now), now

    for first in times:
        assert sum(first <= t < first + window_s for t in times) <= burst + rate * window_s + 1e-6


def test_the_share_of_the_quota_is_that_of_the_last_minute() -> None:
    """A backlog uses all of it, half as many calls half of it, an hour later none."""
    gcra, now = Gcra(2.0), 1000.0
    for _ in range(300):
        now += gcra.wait_s(now)
        gcra.take(now)
    full = gcra.used_share(now)
    for _ in range(100):
        now += 1.0
        gcra.take(now)

    assert full == pytest.approx(1.0, abs=0.03)
    assert gcra.used_share(now) == pytest.approx(0.5, abs=0.03)
    assert gcra.used_share(now + 3600.0) == 0.0
    assert Gcra().used_share(now) is None


def test_a_wall_clock_set_back_frees_nothing() -> None:
    """A negative elapsed time counts as none."""
    old, new = Gcra(1.0), Gcra(1.0)
    old.take(0.0)
    new.restore(old.state(0.0), 0.0, elapsed_s=-3600.0)

    assert new.wait_s(0.0) == pytest.approx(1.0)


def test_a_charged_call_pushes_the_next_ones_back() -> None:
    """Further requests of a running call are counted though they are never refused."""
    gcra = Gcra(10.0)
    gcra.take(0.0)
    wait_s = gcra.charge(0.0)

    assert wait_s == pytest.approx(0.1)
    assert gcra.wait_s(0.0) == pytest.approx(0.2)


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_impossible_limits_are_named(rate: float, burst: int) -> None:
    """A limit nothing could pass is a mistake of the configuration."""
    with pytest.raises(ValueError, match=r"rate_per_s|burst"):
        Gcra(rate, burst)


def test_retry_after_blocks_a_burst_as_well() -> None:
    """A burst allowance is no way around the carrier's own order to wait."""
    gcra = Gcra(10.0, burst=50)
    gcra.throttled(100.0, 3.0)

    assert gcra.wait_s(100.0) == pytest.approx(3.0)
