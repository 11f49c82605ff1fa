"""Plays a soak and judges it: the checker's rules, both logs against what a consumer saw, and what grew."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec

from tests.acceptance import consumer
from tests.acceptance.checker import doubled, violations
from tests.acceptance.consumer import KINDS, read_seen, seen_file
from tests.acceptance.harness import World, eventually, world
from tests.acceptance.logs import stored_logs
from tests.chaos.plan import wishes
from tests.soak import load
from tests.soak.gauges import LifeFigures, Sample, figures, watch_life

SPEED = 8_640.0
"""A parcel's day is ten seconds."""
LIFE_S = (45.0, 75.0)
LAST_SHARE = 0.25
"""Of the time: the last life, which nobody kills."""
CALM_S = 120.0
QUIET_S = 90.0
SLOW_WATCHER_S = 8.0
DAWDLERS, STALLED = 2, 3
CACHE_MIB = 2
"""Of the store, so that its cache is full before memory is judged: it may grow to its bound, and nothing else may."""


class Summary(msgspec.Struct, frozen=True):
    """What the soak showed. `watchers_cut`: how streams of dawdling and stalled watchers ended."""

    seed: int
    seconds: float
    kills: int
    orders: int
    states: dict[str, int]
    acknowledged: int
    order_events: int
    track_news: int
    watchers_cut: dict[str, int]
    lives: list[LifeFigures]
    violations: list[str]

    @property
    def last_slope(self) -> float | None:
        """MiB a minute in the last life, the long one."""
        return self.lives[-1].slope_mib_per_min if self.lives else None


async def play(folder: Path, *, seed: int, seconds: float, life_s: tuple[float, float] = LIFE_S) -> Summary:
    """The soak. `seed` decides orders, faults and kills; which instants they hit does not come from it."""
    started_s = time.monotonic()
    random = Random(seed)
    found: list[str] = []
    lives: list[list[Sample]] = [[]]
    cut: list[str] = []
    settings: dict[str, dict[str, float]] = {
        "server": {"slow_watcher_s": SLOW_WATCHER_S},
        "store": {"cache_mib": CACHE_MIB},
    }
    async with world(folder, speed=SPEED, settings=settings) as w:
        follower = await consumer.begin(w.sandbox.server, folder)
        async with _under_load(w, random, seed, cut):
            sampling = asyncio.create_task(watch_life(w, lives[-1]))
            ends_s = time.monotonic() + seconds
            while time.monotonic() + life_s[1] < ends_s - seconds * LAST_SHARE:
                await asyncio.sleep(random.uniform(*life_s))
                w.sandbox.kill_engine()
                await w.sandbox.start_engine()
                await _end(sampling)
                found += [f"after kill {len(lives)}: {text}" for text in doubled(w.ledgers())]
                lives.append([])
                sampling = asyncio.create_task(watch_life(w, lives[-1]))
            await asyncio.sleep(max(0.0, ends_s - time.monotonic()))
            await _end(sampling)
        await w.heal()
        await w.at_rest(CALM_S)
        await _silence(w)
        evidence = await w.evidence()
        await eventually(lambda: _caught_up(w, len(evidence.events)), CALM_S)
        assert follower.returncode is None, "the consumer ended by itself; see consumer.log"
        follower.kill()
        await follower.wait()
        await w.sandbox.stop_engine()
    found += violations(evidence)
    logs = await stored_logs(folder)
    found += _consumer(folder, logs)
    shown = [life for samples in lives if (life := figures(samples)) is not None]
    return Summary(
        seed=seed,
        seconds=round(time.monotonic() - started_s, 1),
        kills=len(lives) - 1,
        orders=len(evidence.orders),
        states=Counter(order.state for order in evidence.orders),
        acknowledged=sum(call.acknowledged for call in evidence.calls),
        order_events=len(logs["orders"]),
        track_news=len(logs["tracks"]),
        watchers_cut=Counter(cut),
        lives=shown,
        violations=found,
    )


@asynccontextmanager
async def _under_load(w: World, random: Random, seed: int, cut: list[str]) -> AsyncIterator[None]:
    """Everything that goes on inside the block. Leaving it lets orders finish and sends watchers home."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(load.orders(w, wishes(Random(seed), f"soak{seed}"), stop, group))
        group.create_task(load.questions(w, random, stop))
        troubles = group.create_task(load.faults(w, Random(seed), stop))
        watchers = [group.create_task(load.dawdling(w, cut)) for _ in range(DAWDLERS)]
        watchers += [group.create_task(load.stalled(w, cut, 2 * SLOW_WATCHER_S)) for _ in range(STALLED)]
        try:
            yield
        finally:
            stop.set()
            for task in (troubles, *watchers):
                task.cancel()
            await w.heal()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _silence(w: World) -> None:
    """Wait until carriers have told what they had to tell, or for as long as patience lasts."""
    ends_s = time.monotonic() + QUIET_S
    told = -1.0
    while told < (told := await w.metric("crossdock_track_events_total")) and time.monotonic() < ends_s:
        await asyncio.sleep(3.0)


async def _caught_up(w: World, events: int) -> bool:
    seen = [c for c, m in read_seen(seen_file(w.sandbox.folder, "orders")) if m]
    return bool(seen) and seen[-1] >= events


def _consumer(folder: Path, logs: dict[str, list[tuple[int, bytes]]]) -> list[str]:
    """What the consumer saw through all kills is the beginning of each log; of orders, all of it."""
    found = []
    for kind in KINDS:
        log = logs[kind]
        if [sequence for sequence, _ in log] != list(range(1, len(log) + 1)):
            found.append(f"{kind}: the log's sequence has gaps")
        seen = [(cursor, message) for cursor, message in read_seen(seen_file(folder, kind)) if message]
        # News may come until the very end; a consumer that is killed then has not heard the last of it.
        if seen != log[: len(seen)] or len(seen) < len(log) * 0.95:
            found.append(f"{kind}: the consumer's {len(seen)} messages are not those of the log's {len(log)}")
    return found
