"""A sample of the search in `tests.chaos`: kills at any instant under orders and faults."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.chaos.storm import play

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

KILLS = 12
SEED = 20261111


def test_kills_at_any_instant_lose_and_double_nothing(tmp_path: Path) -> None:
    """Twelve kills later every acknowledged order is there, booked once, its events without gap."""
    chapter = asyncio.run(play(tmp_path, seed=SEED, kills=KILLS))

    assert chapter.violations == []
    assert chapter.kills == KILLS
    assert chapter.orders > KILLS  # the storm had clients
