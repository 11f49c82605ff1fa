"""A sample of `tests.soak`: the long run's machinery, for a few seconds and one kill."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.soak.gauges import Sample, figures, slope_per_min
from tests.soak.run import play


@pytest.mark.acceptance
@pytest.mark.timeout(240)  # some seconds of load, then as long as parcels on their way take to be silent
def test_a_short_soak_loses_nothing(tmp_path: Path) -> None:
    """Orders, questions, faults and watchers through a kill: the checker finds nothing, the gauges see each life."""
    summary = asyncio.run(play(tmp_path, seed=20261111, seconds=16.0, life_s=(4.0, 5.0)))

    assert summary.violations == []
    assert summary.kills >= 1
    assert summary.orders > 5
    assert all(life.tasks[1] > 0 for life in summary.lives)
    assert summary.lives


def test_the_slope_is_that_of_the_line() -> None:
    """Two MiB a minute, whatever it starts from."""
    assert slope_per_min([(second, 100.0 + second / 30.0) for second in range(40)]) == pytest.approx(2.0)


def test_the_first_third_of_a_long_life_is_warming_up() -> None:
    """Whatever is bounded by a number takes minutes to fill; after that a leak still shows."""
    filling = [Sample(float(s), 50.0 + s / 10, 20, 5, 30) for s in range(200)]
    leaking = [Sample(200.0 + s, 70.0 + s / 30.0, 20, 5, 30) for s in range(401)]

    life = figures([*filling, *leaking])

    assert life is not None
    assert life.slope_mib_per_min == 2.0


def test_a_life_is_judged_after_it_has_warmed_up() -> None:
    """What is taken while code loads and caches fill is no growth; a short life tells no slope."""
    loading = [Sample(float(s), 50.0 + s, 20, 5, 30) for s in range(20)]
    steady = [Sample(20.0 + s, 90.0, 21, 5, 31) for s in range(20)]

    long, short = figures([*loading, *steady]), figures(loading)

    assert long is not None
    assert short is not None
    assert (long.slope_mib_per_min, long.descriptors, long.tasks) == (0.0, (21, 21), (31, 31))
    assert short.slope_mib_per_min is None
