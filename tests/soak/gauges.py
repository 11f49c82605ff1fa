"""What a life of the engine takes: memory, descriptors, threads, tasks, sampled from outside.

Memory is what is the engine's own (anonymous pages). What it shares with its files, code and the store's index of its
log, is in the kernel's cache for everybody and no growth of the engine.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import msgspec

from tests.acceptance.harness import World, total

PERIOD_S = 2.0
WARM_S = 20.0
WARM_SHARE = 1 / 3
"""A life's first seconds are left out, a third of a long one: code is loaded, what was open is taken up again, and what
is bounded by a number fills (the newest news for watchers, the collector's young generation, the store's cache)."""
LEAST_SAMPLES = 8


class Sample(msgspec.Struct, frozen=True):
    """One look at the engine. `at_s`: seconds since it began to serve."""

    at_s: float
    anonymous_mib: float
    descriptors: int
    threads: int
    tasks: int


class LifeFigures(msgspec.Struct, frozen=True):
    """What one life showed after warming up. slope_mib_per_min is None for a life too short to tell."""

    seconds: float
    peak_mib: float
    last_mib: float
    slope_mib_per_min: float | None
    descriptors: tuple[int, int]
    threads: tuple[int, int]
    tasks: tuple[int, int]


async def watch_life(w: World, samples: list[Sample]) -> None:
    """Sample the running engine until cancelled."""
    born_s = time.monotonic()
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            if (sample := await _look(w, http, born_s)) is not None:
                samples.append(sample)
            await asyncio.sleep(PERIOD_S)


async def _look(w: World, http: httpx.AsyncClient, born_s: float) -> Sample | None:
    proc = Path(f"/proc/{w.sandbox.engine_pid}")
    try:
        page = (await http.get(f"{w.sandbox.http}/metrics", timeout=30.0)).text
        anonymous_mib = _anonymous_mib((proc / "status").read_text())
        descriptors = len(os.listdir(proc / "fd"))
        threads = len(os.listdir(proc / "task"))
    except (OSError, httpx.HTTPError):
        return None
    if not anonymous_mib:
        return None  # killed, and not yet taken off the list
    tasks = int(total(page, "crossdock_tasks"))
    return Sample(time.monotonic() - born_s, anonymous_mib, descriptors, threads, tasks)


def _anonymous_mib(status: str) -> float:
    """RssAnon of /proc/PID/status; 0 for a process that is no more."""
    kib = next((line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")), "0")
    return int(kib) / 1024


def figures(samples: Sequence[Sample]) -> LifeFigures | None:
    """What the samples of one life say; None when there are none."""
    if not samples:
        return None
    warm_s = max(WARM_S, samples[-1].at_s * WARM_SHARE)
    warm = [s for s in samples if s.at_s >= warm_s] or samples[-1:]
    slope = slope_per_min([(s.at_s, s.anonymous_mib) for s in warm]) if len(warm) >= LEAST_SAMPLES else None
    return LifeFigures(
        seconds=round(samples[-1].at_s, 1),
        peak_mib=round(max(s.anonymous_mib for s in samples), 1),
        last_mib=round(samples[-1].anonymous_mib, 1),
        slope_mib_per_min=None if slope is None else round(slope, 2),
        descriptors=_range([s.descriptors for s in warm]),
        threads=_range([s.threads for s in warm]),
        tasks=_range([s.tasks for s in warm]),
    )


def slope_per_min(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the least squares line, per minute of the first coordinate's seconds."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 60.0 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def _range(values: Sequence[int]) -> tuple[int, int]:
    return min(values), max(values)
