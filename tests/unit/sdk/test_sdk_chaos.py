"""The decisions behind the faults: shares, aim, latency, quotas, as pure functions."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from crossdock_sdk.simulator import Faults
from crossdock_sdk.simulator.chaos import Mishap, SlidingSecond, draw


def test_shares_come_out_as_asked() -> None:
    """Over many draws each mishap has its share and the rest goes well."""
    faults = Faults(error_share=0.2, cut_share=0.1, silence_share=0.3)
    random = Random(1)

    drawn = Counter(draw(faults, "book", random).mishap for _ in range(10_000))

    assert set(drawn) == {Mishap.ERROR, Mishap.CUT, Mishap.SILENCE, Mishap.NOTHING}
    assert abs(drawn[Mishap.ERROR] / 10_000 - 0.2) < 0.02
    assert abs(drawn[Mishap.CUT] / 10_000 - 0.1) < 0.02
    assert abs(drawn[Mishap.SILENCE] / 10_000 - 0.3) < 0.02


def test_certain_share_never_misses() -> None:
    """A share of 1 strikes each time."""
    random = Random(2)

    drawn = {draw(Faults(cut_share=1.0), "book", random).mishap for _ in range(1_000)}

    assert drawn == {Mishap.CUT}


def test_only_aimed_operations_are_hit() -> None:
    """Operations that are not listed are left alone, latency included."""
    faults = Faults(operations=("book",), cut_share=1.0, latency_s=3.0)

    fate = draw(faults, "find", Random(3))

    assert (fate.mishap, fate.delay_s) == (Mishap.NOTHING, 0.0)


def test_latency_stays_within_its_jitter() -> None:
    """The delay is the latency plus at most the jitter."""
    faults = Faults(latency_s=1.0, latency_jitter_s=0.5)
    random = Random(4)

    delays = [draw(faults, "book", random).delay_s for _ in range(1_000)]

    assert 1.0 <= min(delays) < 1.05
    assert 1.45 < max(delays) <= 1.5


def test_no_faults_draw_nothing() -> None:
    """Turning faults off and on again does not shift the sequence of a seed."""
    random = Random(5)
    before = random.getstate()

    draw(Faults(), "book", random)

    assert random.getstate() == before


def test_quota_holds_in_every_window() -> None:
    """No second, wherever it starts, has more accepted calls than the quota."""
    window = SlidingSecond()
    times = [n * 0.01 for n in range(500)]

    accepted = [t for t in times if window.try_add(t, 10)]

    assert max(sum(start <= t < start + 1 for t in accepted) for start in accepted) == 10
    assert len(accepted) == 50


@pytest.mark.parametrize(("quota_per_s", "expected"), [(0.5, 5), (0, 0), (1, 10)])
def test_small_quotas_stretch_the_window(quota_per_s: float, expected: int) -> None:
    """Half a call a second is one in two seconds; zero is none at all."""
    window = SlidingSecond()

    accepted = sum(window.try_add(n * 0.1, quota_per_s) for n in range(100))

    assert accepted == expected


def test_peak_is_the_busiest_second() -> None:
    """The peak counts every call of the fullest second, not of a clock's second."""
    window = SlidingSecond()
    for time_s in (0.0, 0.9, 1.0, 1.1, 5.0):
        window.add(time_s)

    assert window.peak == 3
