"""Learned rates: a hidden quota is found, used and hardly ever touched, whatever it is and however it changes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import ceil
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdock_sdk.simulator.chaos import SlidingSecond
from engine.core.policy.estimate import FIRST_CUT, LEAST_CUT
from engine.core.policy.rate import Gcra

Quota = Callable[[float], float]


class Tally(msgspec.Struct):
    """When calls were taken and when they were refused."""

    taken: list[float] = []
    refused: list[float] = []

    def used(self, begins: float, ends: float, quota: float) -> float:
        """Share of the quota that was used."""
        return sum(begins <= at < ends for at in self.taken) / (ends - begins) / quota

    def refused_share(self, begins: float, ends: float) -> float:
        """Of all calls."""
        bad, good = (sum(begins <= at < ends for at in times) for times in (self.refused, self.taken))
        return bad / max(bad + good, 1)


def backlog(gcra: Gcra, quota: Quota, *, seconds: float, seed: int = 1, late_s: float = 0.005) -> Tally:
    """A backlog at a carrier that counts each sliding second and refuses the excess.

    Its answers take about 0.1 s; callers wake `late_s` late on average, one call in a hundred arrives up to 50 ms late.
    """
    random, counter, tally = Random(seed), SlidingSecond(), Tally([], [])
    answers: list[tuple[float, int, float, bool]] = []
    now, number = 0.0, 0
    while now < seconds:
        while answers and answers[0][0] <= now:
            at, _, sent_at, good = heapq.heappop(answers)
            if good:
                gcra.succeeded(at)
            else:
                gcra.throttled(at, sent_at=sent_at)
        wait_s = gcra.take(now) if len(answers) < 64 else 1.0
        if wait_s == 0.0:
            arrives = now + random.uniform(0.0, 0.05 if random.random() < 0.01 else 0.002)
            good = counter.try_add(arrives, quota(now))
            (tally.taken if good else tally.refused).append(now)
            number += 1
            heapq.heappush(answers, (arrives + random.uniform(0.08, 0.12), number, now, good))
            continue
        wakes = now + wait_s + random.expovariate(1.0 / late_s)
        now = max(now + 1e-6, min(wakes, answers[0][0] if answers else wakes))
    return tally


def steady(per_s: float) -> Quota:
    """The same at all times."""
    return lambda now: per_s


@pytest.mark.parametrize("ceiling", [None, 200.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_hidden_quota_of_twenty_is_used_and_hardly_touched(ceiling: float | None, seed: int) -> None:
    """From the second minute on at least 95 % of it is used and less than 1 % of the calls are refused."""
    tally = backlog(Gcra(ceiling), steady(20.0), seconds=180.0, seed=seed)

    assert tally.used(60.0, 180.0, 20.0) >= 0.95
    assert tally.refused_share(60.0, 180.0) < 0.01


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([3, 8, 20, 50, 90]), st.integers(0, 10_000), st.sampled_from([0.001, 0.005, 0.02]))
def test_any_hidden_quota_is_found(quota: int, seed: int, late_s: float) -> None:
    """Slow or fast, on quiet and on busy machines, from nothing known but the carrier's objections."""
    tally = backlog(Gcra(), steady(float(quota)), seconds=150.0, seed=seed, late_s=late_s)

    assert tally.used(60.0, 150.0, quota) >= 0.85
    assert tally.refused_share(60.0, 150.0) < 0.025


def test_a_quota_that_falls_is_obeyed_within_seconds() -> None:
    """From twenty to five a second: after ten seconds hardly a call is refused."""
    tally = backlog(Gcra(), lambda now: 20.0 if now < 100.0 else 5.0, seconds=160.0)

    assert tally.refused_share(110.0, 160.0) < 0.03
    assert tally.used(110.0, 160.0, 5.0) >= 0.85


def test_a_quota_that_rises_is_found_in_minutes() -> None:
    """From five to twenty a second: after three minutes it is used."""
    tally = backlog(Gcra(), lambda now: 5.0 if now < 100.0 else 20.0, seconds=400.0)

    assert tally.used(280.0, 400.0, 20.0) >= 0.9


@given(st.floats(0.2, 300.0), st.integers(1, 4), st.lists(st.floats(0.0, 0.3), min_size=1, max_size=300))
def test_no_second_holds_more_than_the_learned_rate(rate: float, burst: int, gaps_s: list[float]) -> None:
    """Wherever it starts, whatever the lateness: what is caught up is never more than the second had left."""
    gcra, now, times = Gcra(burst=burst), 1000.0, []
    for n in range(ceil(rate)):
        gcra.take(now - 1.0 + n / rate)
    gcra.throttled(now)
    learned = gcra.rate_per_s or 0.0
    for gap_s in gaps_s:
        now += gap_s
        if gcra.take(now) == 0.0:
            times.append(now)

    for first in times:
        assert sum(first <= t < first + 1.0 for t in times) <= max(ceil(learned), 1) + burst - 1


def test_callers_who_are_late_lose_nothing() -> None:
    """Ten milliseconds late each, at twenty calls a second: spaced from the last call a sixth would be lost."""
    gcra, now, times = learned(20.0), 100.0, []
    while now < 160.0:
        if gcra.take(now) == 0.0:
            times.append(now)
        now += gcra.wait_s(now) + 0.01

    assert len([t for t in times if t >= 110.0]) / 50.0 == pytest.approx(20.0, rel=0.02)


def test_a_rate_nobody_uses_stays() -> None:
    """Successes of a few calls prove nothing about many."""
    gcra = learned(20.0)
    for second in range(100, 700):
        gcra.take(float(second))
        gcra.succeeded(second + 0.1)

    assert gcra.rate_per_s == pytest.approx(20.0)


def test_a_rate_grows_no_further_than_it_is_used() -> None:
    """Fifteen calls a second say nothing about twenty."""
    gcra, now = learned(10.0, knee=10.5), 100.0
    while now < 400.0:
        now += max(gcra.wait_s(now), 1 / 15)
        gcra.take(now)
        gcra.succeeded(now)

    assert 15.0 < (gcra.rate_per_s or 0.0) < 19.0


def test_a_touch_costs_little_and_an_objection_out_of_the_blue_much() -> None:
    """At the known limit one or two per cent; far below it as much as the first time, and a second of silence."""
    near, far = used_up(learned(20.0, knee=20.5), 20), used_up(learned(20.0, knee=40.0), 20)
    near.throttled(101.0)
    far.throttled(101.0)

    assert near.rate_per_s == pytest.approx(20.0 * (1 - LEAST_CUT))
    assert far.rate_per_s == pytest.approx(20.0 * (1 - FIRST_CUT))
    assert far.wait_s(101.0) >= 1.0 > near.wait_s(101.0)


def test_a_restart_remembers_where_the_carrier_objected() -> None:
    """A touch costs a new process as little as it would have cost the old one."""
    old = learned(20.0, knee=20.5)
    new = Gcra()
    new.restore(old.state(100.0), 5000.0, elapsed_s=1.0)
    new = used_up(new, 20, 5001.0)
    new.throttled(5002.0)

    assert new.rate_per_s == pytest.approx(20.0 * (1 - LEAST_CUT))


def test_after_a_crash_a_second_counts_as_used() -> None:
    """What went out unsaved may have been a second's worth: nothing passes before that is over."""
    gcra = learned(20.0)
    gcra.spend_burst(100.0)

    assert gcra.wait_s(100.0) >= 1.0
    assert gcra.take(101.01) == 0.0


def learned(rate: float, knee: float = 0.0) -> Gcra:
    """A limiter that has learned a rate."""
    gcra = Gcra()
    gcra.restore(msgspec.structs.replace(gcra.state(0.0), rate_per_s=rate, knee_per_s=knee or None), 100.0)
    return gcra


def used_up(gcra: Gcra, calls: int, begins: float = 100.0) -> Gcra:
    """After a second of so many calls."""
    for n in range(calls):
        gcra.take(begins + n / calls)
    return gcra
