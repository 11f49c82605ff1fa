"""The store when the power goes: what was acknowledged is there afterwards, wherever the cut fell.

A sample; `python -m tests.chaos --power-cuts N --seed S` searches on.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.cuts import play_cuts
from tests.chaos.failures import count_operations, fail_all
from tests.fakes.power import Failure

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

CUTS = 60
SEED = 20261128


async def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Cuts inside opening, commits and checkpoints, under writers at once: every row is there, the file is sound."""
    found = await play_cuts(tmp_path, seed=SEED, cuts=CUTS)

    assert (found.lost, found.damage) == ([], [])
    assert found.cuts == CUTS
    assert found.acknowledged > CUTS
    assert {"sync of store.db-wal", "write of store.db-wal", "write of store.db"} <= found.where.keys()


async def test_the_same_cuts_find_what_synchronous_normal_loses(tmp_path: Path) -> None:
    """Without a sync at each commit acknowledged rows are lost: these cuts can tell."""
    found = await play_cuts(tmp_path, seed=SEED, cuts=40, synchronous="NORMAL")

    assert found.lost
    assert found.damage == []


@pytest.mark.parametrize("failure", [Failure.BROKEN, Failure.FULL], ids=["device error", "no space"])
async def test_a_failing_operation_never_makes_a_false_promise(failure: Failure, tmp_path: Path) -> None:
    """Every fifth operation of opening, writing, checkpointing fails in turn: what was acknowledged survives both
    restarts, what was refused is not there, a failed sync ends the process.
    """
    count = await count_operations(tmp_path / "clean")

    runs = await fail_all(tmp_path, range(1, count + 1, 5), failure)

    assert {n: run.problems for n, run in runs.items() if run.problems} == {}
    assert len(runs) > 40
    failed = {run.failed for run in runs.values()}
    if failure is Failure.BROKEN:
        assert {"sync of store.db-wal", "write of store.db", "sync of store.db"} <= failed
        assert all(run.fatal or not run.opened for run in runs.values() if run.failed.startswith("sync"))
    else:
        assert {"write of store.db-wal", "write of store.db"} <= failed
        assert all(run.refused for run in runs.values() if run.failed == "write of store.db-wal")
        assert not any(run.fatal for run in runs.values())
