"""The store when the power goes: what was acknowledged is there afterwards, wherever the cut fell.

A sample; `python -m tests.chaos --power-cuts N --seed S` searches on.
"""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from random import Random

import pytest

from engine.store.port import StoreUnsafe
from engine.store.sqlite import SqliteStore
from tests.chaos.cuts import play_cuts
from tests.chaos.failures import count_operations, fail_all
from tests.fakes.power import Disk, Failure

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

CUTS = 60
SEED = 20261128
OPENING = 25
"""Operations of the disk, all of them part of opening a new store."""


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


async def test_a_store_that_cannot_be_opened_lets_go_of_its_file(tmp_path: Path) -> None:
    """The connection is closed there and then: one that is collected later would fail where nobody expects it."""
    refused = 0
    for operation in range(1, OPENING):
        folder = tmp_path / str(operation)
        await asyncio.to_thread(folder.mkdir)
        disk = Disk(Random(operation))
        disk.fail_at(operation, Failure.CUT)
        with disk.mounted(folder):
            with pytest.raises(StoreUnsafe):
                await SqliteStore.open(folder / "store.db", fatal=disk.stop)
            gc.collect()  # what is left open fails now, which pytest turns into an error
        refused += 1

    assert refused == OPENING - 1


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
