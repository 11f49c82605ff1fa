"""`python -m tests.chaos`: the searches, and what each proves.

    --kills N         lives of an engine ended under orders and faults, chapter by chapter
    --power-cuts N    lives of a machine ended in the middle of the store's writes
    --disk-failures   one scenario of the store, with each operation of the disk failing in turn

Exit codes: 0 nothing was found, 1 a promise was broken (the folder of a kill is kept and named).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from tests.chaos.cuts import play_cuts
from tests.chaos.failures import count_operations, fail_all
from tests.chaos.storm import Chapter, play
from tests.fakes.power import Failure

KILLS_A_CHAPTER = 25
CUTS_AT_ONCE = 500


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=0, help="kills in all (100 when nothing else is asked for)")
    parser.add_argument("--power-cuts", type=int, default=0, help="power cuts in all")
    parser.add_argument("--disk-failures", action="store_true", help="let each operation of the disk fail in turn")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first chapter")
    parser.add_argument("--folder", type=Path, help="where everything lies; else a temporary one")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crossdock-chaos-"))
    logging.disable(logging.CRITICAL)  # every failure that was ordered would be told
    sound = True
    if options.power_cuts:
        sound &= _search_cuts(folder / "cuts", options.seed, options.power_cuts)
    if options.disk_failures:
        sound &= _search_failures(folder / "failures")
    if options.kills or not (options.power_cuts or options.disk_failures):
        sound &= _search_kills(folder, options.seed, options.kills or 100)
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
    print(f"{done} power cuts, {acknowledged} rows acknowledged, cut at {dict(where)}: {_bound(done, len(broken))}")
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


def _bound(trials: int, failures: int) -> str:
    if failures:
        return f"{failures} FAILURES"
    # Rule of three: zero failures in n trials.
    return f"0 failures: true rate below 3/{trials} = {3 / trials:.2%} (95 %)"


def _search_kills(folder: Path, seed: int, kills: int) -> bool:
    chapters: list[Chapter] = []
    left = kills
    while left > 0:
        place = folder / f"seed-{seed}"
        try:
            chapter = asyncio.run(play(place, seed=seed, kills=min(left, KILLS_A_CHAPTER)))
        except Exception:
            print(f"seed {seed} ended early, kept: {place}", file=sys.stderr)
            raise
        chapters.append(chapter)
        _tell(chapter)
        if chapter.violations:
            print(f"kept: {place}", flush=True)
        else:
            shutil.rmtree(place)
        left -= chapter.kills
        seed += 1
    _sum_up(chapters)
    return not any(chapter.violations for chapter in chapters)


def _tell(chapter: Chapter) -> None:
    print(
        f"seed {chapter.seed}: {chapter.kills} kills ({chapter.at_points} at named points), "
        f"{chapter.orders} orders, {chapter.waybills} live waybills, {chapter.states}, "
        f"{chapter.seconds:.0f} s, {len(chapter.violations)} violations",
        flush=True,
    )
    for text in chapter.violations:
        print(f"  {text}", flush=True)


def _sum_up(chapters: list[Chapter]) -> None:
    kills = sum(chapter.kills for chapter in chapters)
    broken = sum(bool(chapter.violations) for chapter in chapters)
    states: Counter[str] = Counter()
    for chapter in chapters:
        states.update(chapter.states)
    if broken:
        print(f"{kills} kills: {broken} of {len(chapters)} chapters broke a promise")
    else:
        print(f"{kills} kills, {_bound(kills, 0)}")
    summary = {
        "kills": kills,
        "at_points": sum(chapter.at_points for chapter in chapters),
        "orders": sum(chapter.orders for chapter in chapters),
        "acknowledged": sum(chapter.acknowledged for chapter in chapters),
        "states": states,
        "broken_chapters": [msgspec.to_builtins(c) for c in chapters if c.violations],
    }
    print(json.dumps(summary, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
