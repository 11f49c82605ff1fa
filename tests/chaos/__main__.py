"""`python -m tests.chaos --kills N --seed S`: the search, chapter by chapter, and what it proves.

Exit codes: 0 nothing was found, 1 a promise was broken (the folder is kept and named).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from tests.chaos.storm import Chapter, play

KILLS_A_CHAPTER = 25


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first chapter")
    parser.add_argument("--folder", type=Path, help="where the chapters lie; else a temporary one")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crossdock-chaos-"))
    chapters: list[Chapter] = []
    left, seed = options.kills, options.seed
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
    broken = any(chapter.violations for chapter in chapters)
    if not broken and options.folder is None:
        shutil.rmtree(folder)
    return 1 if broken else 0


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
        # Rule of three: zero failures in n trials.
        print(f"{kills} kills, 0 failures: true rate below 3/{kills} = {3 / kills:.2%} (95 %)")
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
