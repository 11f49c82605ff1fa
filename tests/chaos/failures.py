"""The n-th operation of the disk fails, for every n of one scenario, as SQLite tests itself.

The scenario opens a store, writes orders through it, lets it checkpoint and closes it. With the n-th write, truncation
or sync failing, nothing may be acknowledged that is not there after a restart, nothing refused for want of space may
have been stored, a failed sync must end the process, and the file must be sound.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random
from unittest.mock import patch

import msgspec

from engine.store.port import AcceptKind, StoreError
from engine.store.sqlite import SqliteStore
from tests.chaos.cuts import Promises, accept_one, confirm_one, label_one, missing
from tests.fakes.power import Disk, Failure

ORDERS = 6
CHECKPOINT_PAGES = 20
AFTERWARDS = ("the process was started again", "the machine was started again")


class Run(msgspec.Struct):
    """One run of the scenario. failed: what failed, "" when the scenario ended first; problems: promises broken."""

    failed: str = ""
    fatal: list[str] = []
    opened: bool = False
    refused: int = 0
    operations: int = 0
    problems: list[str] = []


async def count_operations(folder: Path) -> int:
    """How many operations the scenario has when nothing fails."""
    with patch("engine.store.sqlite.checkpoints.CHECKPOINT_PAGES", CHECKPOINT_PAGES):
        return (await fail_nth(folder, 0, Failure.BROKEN)).operations


async def fail_all(folder: Path, numbers: Iterable[int], failure: Failure) -> dict[int, Run]:
    """The scenario once for each n."""
    with patch("engine.store.sqlite.checkpoints.CHECKPOINT_PAGES", CHECKPOINT_PAGES):
        return {n: await fail_nth(folder / f"{failure.name}-{n}", n, failure) for n in numbers}


async def fail_nth(folder: Path, n: int, failure: Failure) -> Run:
    """The scenario with its n-th operation failing, then both kinds of restart."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    disk, promises, run = Disk(Random(n)), Promises(), Run()
    disk.load(folder)
    disk.fail_at(n, failure)

    def fatal(text: str) -> None:
        run.fatal.append(text)
        disk.stop()

    with disk.mounted(folder):
        try:
            store = await SqliteStore.open(folder / "store.db", fatal=fatal)
        except StoreError:
            run.refused += 1
        else:
            run.opened = True
            try:
                await _scenario(store, disk, promises, run)
            finally:
                await store.aclose()
    run.operations = disk.operations
    run.failed = disk.failed[0] if disk.failed else ""
    for restart in AFTERWARDS:
        disk.unload(folder)
        lost, damage = await missing(folder, promises)
        run.problems += [f"{restart}: {text}" for text in lost + damage]
        disk.lose_power()
    if run.failed.startswith("sync") and run.opened and not run.fatal:
        run.problems.append(f"{run.failed} failed and the process went on")
    shutil.rmtree(folder)
    return run


async def _scenario(store: SqliteStore, disk: Disk, promises: Promises, run: Run) -> None:
    for number in range(1, ORDERS + 1):
        for act in (accept_one, confirm_one, label_one):
            try:
                await act(store, promises, f"o{number}")
            except StoreError:
                run.refused += 1
                if run.fatal:
                    return
                disk.fail_at(0, Failure.FULL)  # somebody makes room
                # A second creation would be a replay, a second step Stale, had the refused one been stored.
                if await act(store, promises, f"o{number}") is AcceptKind.REPLAYED:
                    run.problems.append(f"order o{number} was refused, and stored all the same")
