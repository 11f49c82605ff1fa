"""`python -m tests.chaos`: the searches, and what each proves.

    --kills N         lives of an engine ended under orders and faults, chapter by chapter
    --power-cuts N    lives of a machine ended in the middle of the store's writes
    --disk-failures   one scenario of the store, with each operation of the disk failing in turn

Chapters of kills are played side by side, in processes of their own: an engine under kills mostly waits, so that two
cores play eight at once. What a chapter does depends on its own seed alone.

Exit codes: 0 nothing was found, 1 a promise was broken or a chapter ended early (its folder is kept and named).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.bound import bound
from tests.chaos.cuts import play_cuts
from tests.chaos.failures import count_operations, fail_all
from tests.chaos.kills import be_quiet, search_kills
from tests.fakes.power import Failure

CUTS_AT_ONCE = 500
CHAPTERS_A_CORE = 4
"""A chapter keeps a seventh of two cores busy; eight at once, seven eighths of them."""


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=0, help="kills in all (100 when nothing else is asked for)")
    parser.add_argument("--power-cuts", type=int, default=0, help="power cuts in all")
    parser.add_argument("--disk-failures", action="store_true", help="let each operation of the disk fail in turn")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first chapter")
    at_once = CHAPTERS_A_CORE * len(os.sched_getaffinity(0))
    parser.add_argument("--at-once", type=int, default=at_once, help=f"chapters side by side ({at_once} here)")
    parser.add_argument("--folder", type=Path, help="where everything lies; else a temporary one")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crossdock-chaos-"))
    be_quiet()
    sound = True
    if options.power_cuts:
        sound &= _search_cuts(folder / "cuts", options.seed, options.power_cuts)
    if options.disk_failures:
        sound &= _search_failures(folder / "failures")
    if options.kills or not (options.power_cuts or options.disk_failures):
        sound &= search_kills(folder, options.seed, options.kills or 100, options.at_once)
    if sound and options.folder is None:
        shutil.rmtree(folder)
    return 0 if sound else 1


def _search_cuts(folder: Path, seed: int, cuts: int) -> bool:
    done, acknowledged = 0, 0
    where: Counter[str] = Counter()
    broken: list[str] = []
    while done < cuts:
        place = folder / f"seed-{seed}"
        found = asyncio.run(play_cuts(place, seed=seed, cuts=min(CUTS_AT_ONCE, cuts - done)))
        done += found.cuts
        acknowledged += found.acknowledged
        where.update(found.where)
        broken += [f"seed {seed}: {text}" for text in found.lost + found.damage]
        shutil.rmtree(place)
        seed += 1
    for text in broken:
        print(f"  {text}")
    print(f"{done} power cuts, {acknowledged} rows acknowledged, cut at {dict(where)}: {bound(done, len(broken))}")
    return not broken


def _search_failures(folder: Path) -> bool:
    sound = True
    for failure in (Failure.BROKEN, Failure.FULL):
        place = folder / failure.name
        count = asyncio.run(count_operations(place / "clean"))
        runs = asyncio.run(fail_all(place, range(1, count + 1), failure))
        broken = [f"operation {n}: {text}" for n, run in runs.items() for text in run.problems]
        for text in broken:
            print(f"  {text}")
        print(f"{len(runs)} operations, each failing in turn ({failure.value}): {len(broken)} promises broken")
        sound &= not broken
    return sound


if __name__ == "__main__":
    sys.exit(main())
