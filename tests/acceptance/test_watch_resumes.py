"""A consumer of both watches is killed a hundred times, the engine a few, while carriers push: nothing is missed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from random import Random

import pytest

from engine.store.sqlite.connection import open_reader
from tests.acceptance import consumer
from tests.acceptance.consumer import KINDS, read_seen, seen_file
from tests.acceptance.harness import World, eventually, parcel_order, world
from tests.acceptance.logs import stored_logs

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(150)]
"""Some twenty seconds of kills; more than a minute only beside other work."""

KILLS = 100
ENGINE_KILLS = 3
MOMENT_S = 0.15
TOLD_WITHIN_S = 3.0
CLIENTS = 2
SPEED = 86_400.0
"""Parcels live a day in a second, so that pushes come all the time."""
CAUGHT_UP_S = 5.0
"""Shorter than the time after which an idle watch looks again by itself."""


def test_a_consumer_that_is_killed_sees_every_message_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it saw in all its lives is the store's log, message by message, without gap or repeat."""
    seed = Random().randrange(1_000_000)
    with capsys.disabled():
        print(f"\nwatch resumes: seed {seed}")

    async def play() -> tuple[Counter[str], dict[str, list[tuple[int, bytes]]]]:
        random = Random(seed)
        async with world(tmp_path, speed=SPEED) as w:
            async with _orders(w), asyncio.TaskGroup() as group:
                haunted = group.create_task(_haunt(w, Random(seed)))
                group.create_task(_kill_engine(w, random))
            await w.at_rest()
            await _silence(w)
            last = await consumer.begin(w.sandbox.server, tmp_path)
            await eventually(lambda: _caught_up(w), CAUGHT_UP_S)
            last.kill()
            await last.wait()
            await w.sandbox.stop_engine()
            return haunted.result(), await stored_logs(tmp_path)

    lives, logs = asyncio.run(play())

    for kind in KINDS:
        seen = [(cursor, message) for cursor, message in read_seen(seen_file(tmp_path, kind)) if message]
        assert [cursor for cursor, _ in seen] == list(range(1, len(logs[kind]) + 1)), f"{kind}: seed {seed}"
        assert seen == logs[kind], f"{kind}: seed {seed}"
        # The kills hit streams that told something, or the test shows nothing.
        assert lives[kind] >= KILLS // 3, f"{lives}, seed {seed}"
    assert len(logs["tracks"]) > len(logs["orders"]) > KILLS


async def _haunt(w: World, random: Random) -> Counter[str]:
    """Kill the consumer again and again; in how many of its lives it saw something of each kind.

    Every other one is killed at any instant, also before it is connected; the rest in the middle of what it is told.
    """
    lives: Counter[str] = Counter()
    folder = w.sandbox.folder
    for life in range(KILLS):
        before = {kind: _size(seen_file(folder, kind)) for kind in KINDS}
        follower = await consumer.begin(w.sandbox.server, folder)
        if life % 2:
            kind = KINDS[life // 2 % 2]
            await eventually(partial(_grown, seen_file(folder, kind), before[kind]), TOLD_WITHIN_S)
        await asyncio.sleep(random.uniform(0.0, MOMENT_S))
        assert follower.returncode is None, "the consumer ended by itself; see consumer.log"
        follower.kill()
        await follower.wait()
        lives.update(kind for kind in KINDS if _size(seen_file(folder, kind)) > before[kind])
    return lives


async def _grown(path: Path, before: int) -> bool:
    return _size(path) > before


async def _kill_engine(w: World, random: Random) -> None:
    for _ in range(ENGINE_KILLS):
        await asyncio.sleep(random.uniform(1.0, 3.0))
        w.sandbox.kill_engine()
        await w.sandbox.start_engine()


@asynccontextmanager
async def _orders(w: World) -> AsyncIterator[None]:
    """Orders at both carriers all through the block."""
    stop = asyncio.Event()

    async def client(name: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            prefer = ("sf", "zto")[number % 2]
            await w.create(parcel_order(f"w{name}-{number}", prefer=[prefer]))
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        for name in range(CLIENTS):
            group.create_task(client(name))
        try:
            yield
        finally:
            stop.set()


async def _silence(w: World) -> None:
    """Wait until carriers have told all they had to tell for now."""
    told = -1.0
    while told < (told := await w.metric("crossdock_track_events_total")):
        await asyncio.sleep(1.0)


async def _caught_up(w: World) -> bool:
    """Whether both consumers stand where the logs end."""
    ends = {"orders": "SELECT max(sequence) FROM events", "tracks": "SELECT max(sequence) FROM track_news"}
    with closing(open_reader(w.sandbox.folder / "crossdock.db")) as store:
        return all(
            [c for c, m in read_seen(seen_file(w.sandbox.folder, kind)) if m][-1:] == [store.execute(ends[kind]).get]
            for kind in KINDS
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
