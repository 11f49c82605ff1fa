"""Searches for a broken promise by killing engines: chapters of a storm side by side, and what they showed in all."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec

from tests.chaos.bound import bound
from tests.chaos.storm import Chapter, play

KILLS_A_CHAPTER = 25


def be_quiet() -> None:
    """Log nothing in this process."""
    logging.disable(logging.CRITICAL)  # every failure that was ordered would be told


def search_kills(folder: Path, seed: int, kills: int, at_once: int) -> bool:
    """Play `kills` kills in chapters of consecutive seeds, `at_once` side by side; whether all of them held."""
    chapters: list[Chapter] = []
    ended_early: list[int] = []
    # Spawned, not forked: a chapter begins without its parent's threads and event loops.
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=spawned, initializer=be_quiet) as players:
        playing = {
            players.submit(_play, folder / f"seed-{seed_here}", seed_here, kills_here): seed_here
            for seed_here, kills_here in _split(seed, kills)
        }
        for played in as_completed(playing):
            chapter = _played(played, playing[played], folder)
            if chapter is None:
                ended_early.append(playing[played])
            else:
                chapters.append(chapter)
    _sum_up(chapters, ended_early)
    return not ended_early and not any(chapter.violations for chapter in chapters)


def _split(seed: int, kills: int) -> Iterator[tuple[int, int]]:
    """Seed and kills of each chapter."""
    for number, begun in enumerate(range(0, kills, KILLS_A_CHAPTER)):
        yield seed + number, min(KILLS_A_CHAPTER, kills - begun)


def _play(folder: Path, seed: int, kills: int) -> Chapter:
    return asyncio.run(play(folder, seed=seed, kills=kills))


def _played(played: Future[Chapter], seed: int, folder: Path) -> Chapter | None:
    """What a chapter showed, told and tidied away; None when it ended early, which proves nothing."""
    place = folder / f"seed-{seed}"
    try:
        chapter = played.result()
    except Exception as error:
        print(f"seed {seed} ended early, kept: {place}", file=sys.stderr)
        traceback.print_exception(error)
        return None
    _tell(chapter)
    if chapter.violations:
        print(f"kept: {place}", flush=True)
    else:
        shutil.rmtree(place)
    return chapter


def _tell(chapter: Chapter) -> None:
    print(
        f"seed {chapter.seed}: {chapter.kills} kills ({chapter.at_points} at named points), "
        f"{chapter.orders} orders, {chapter.waybills} live waybills, {chapter.states}, "
        f"{chapter.seconds:.0f} s, {len(chapter.violations)} violations",
        flush=True,
    )
    for text in chapter.violations:
        print(f"  {text}", flush=True)


def _sum_up(chapters: Sequence[Chapter], ended_early: Sequence[int]) -> None:
    kills = sum(chapter.kills for chapter in chapters)
    broken = sum(bool(chapter.violations) for chapter in chapters)
    states: Counter[str] = Counter()
    for chapter in chapters:
        states.update(chapter.states)
    if broken:
        print(f"{kills} kills: {broken} of {len(chapters)} chapters broke a promise")
    else:
        print(f"{kills} kills, {bound(kills, 0)}")
    if ended_early:
        print(f"{len(ended_early)} chapters ended early and prove nothing: seeds {sorted(ended_early)}")
    summary = {
        "kills": kills,
        "at_points": sum(chapter.at_points for chapter in chapters),
        "orders": sum(chapter.orders for chapter in chapters),
        "acknowledged": sum(chapter.acknowledged for chapter in chapters),
        "states": states,
        "ended_early": sorted(ended_early),
        "broken_chapters": [msgspec.to_builtins(c) for c in chapters if c.violations],
    }
    print(json.dumps(summary, ensure_ascii=False))
