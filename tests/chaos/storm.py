"""Plays a storm: clients that never give up, an engine that is killed again and again, the checker.

A storm is a row of chapters, each in a folder of its own: some kills under load and faults, then
calm, then every rule of the checker. While it goes on, the ledgers are checked after each kill,
and a watcher that resumes from its last cursor must see every event once.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import grpc
import msgspec

from crossdock.v1 import core_pb2
from tests.acceptance.checker import doubled, violations
from tests.acceptance.evidence import Evidence, SeenEvent
from tests.acceptance.harness import World, eventually, parcel_order, through_proxies, watch, world
from tests.chaos.plan import Life, Wish, lives, wishes
from tests.fakes.proxy import Proxy, Trouble

CLIENTS = 6
PAUSE_S = 0.03
PATIENCE_S = 240.0
CALM_S = 60.0
"""Until every order is at rest once the faults are gone: a silent call, then a review."""


class Chapter(msgspec.Struct, frozen=True):
    """What one chapter showed."""

    seed: int
    kills: int
    at_points: int
    calls: int
    acknowledged: int
    orders: int
    waybills: int
    states: dict[str, int]
    seconds: float
    violations: list[str]


async def play(folder: Path, *, seed: int, kills: int) -> Chapter:
    """One chapter. `seed` decides orders, faults and kills."""
    started_s = time.monotonic()
    random = Random(seed)
    planned = list(lives(random, kills))
    found: list[str] = []
    at_points = 0
    async with world(folder, with_engine=False) as w, through_proxies(w) as proxies:
        await _start(w, planned[0].crash_at)
        async with _watching(w) as seen:
            async with _clients(w, wishes(random, f"s{seed}")):
                for number, life in enumerate(planned, start=1):
                    next_point = planned[number].crash_at if number < kills else ""
                    at_points += await _live(w, proxies, life, next_point)
                    found += [f"after kill {number}: {text}" for text in doubled(w.ledgers())]
                await w.heal()
                _lay(proxies, {})
            await w.at_rest(CALM_S)
            evidence = await w.evidence()
            await eventually(lambda: _has_seen(seen, evidence), 10.0)
    found += violations(evidence)
    found += _watched(seen, evidence.events)
    return _chapter(seed, kills, at_points, evidence, found, time.monotonic() - started_s)


def _lay(proxies: Mapping[str, Proxy], wires: Mapping[str, Trouble]) -> None:
    for carrier, proxy in proxies.items():
        proxy.trouble = wires.get(carrier, Trouble())


async def _live(w: World, proxies: Mapping[str, Proxy], life: Life, next_point: str) -> bool:
    """Let the engine live until its kill, and start the next one; whether a point killed it."""
    _lay(proxies, life.wires)
    for carrier, faults in life.faults.items():
        await w.faults(carrier, **faults)
    at_point = True
    try:
        code = await w.sandbox.wait_engine(life.kill_after_s)
    except TimeoutError:
        at_point = False
        w.sandbox.kill_engine()
    else:
        if code != -signal.SIGKILL:
            raise RuntimeError(f"the engine ended with code {code}; see engine.log")
    await _start(w, next_point)
    return at_point


async def _start(w: World, crash_at: str) -> None:
    """Start the next engine; one that dies at its point before it serves was killed too."""
    try:
        await w.sandbox.start_engine(_environment(crash_at))
    except RuntimeError:
        if not crash_at or await w.sandbox.wait_engine() != -signal.SIGKILL:
            raise
        # Orders taken up at the start can pass a point at once.
        await w.sandbox.start_engine()


def _environment(crash_at: str) -> dict[str, str]:
    return {"CROSSDOCK_CRASH_AT": crash_at} if crash_at else {}


@asynccontextmanager
async def _clients(w: World, stream: Iterator[Wish]) -> AsyncIterator[None]:
    """Clients at work inside the block; leaving it lets each finish what it began."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(_client(w, stream, stop))
        try:
            yield
        finally:
            stop.set()


async def _client(w: World, stream: Iterator[Wish], stop: asyncio.Event) -> None:
    while not stop.is_set():
        await _fulfil(w, next(stream))
        await asyncio.sleep(PAUSE_S)


async def _fulfil(w: World, wish: Wish) -> None:
    order = parcel_order(wish.reference, only=wish.only, prefer=wish.prefer)

    async def create() -> core_pb2.Order:
        return await w.create(order, deadline_s=wish.deadline_s, patience_s=PATIENCE_S)

    created, *_ = await asyncio.gather(*[create() for _ in range(wish.twins)])
    if wish.cancels:
        try:
            await w.cancel(created, deadline_s=wish.deadline_s, patience_s=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            # In review or already failed: a proper answer.
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
    elif wish.repeats:
        await create()


@asynccontextmanager
async def _watching(w: World) -> AsyncIterator[list[SeenEvent]]:
    """What a subscriber sees that resumes from its last cursor whenever its stream breaks."""
    seen: list[SeenEvent] = []

    async def follow() -> None:
        while True:
            try:
                async for event in watch(w.orders, seen[-1].cursor if seen else 0):
                    seen.append(event)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(PAUSE_S)

    task = asyncio.create_task(follow())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _has_seen(seen: list[SeenEvent], evidence: Evidence) -> bool:
    return len(seen) >= len(evidence.events)


def _watched(seen: list[SeenEvent], events: object) -> list[str]:
    """The watcher's events are those the store tells afterwards: none lost, none told twice."""
    if seen == events:
        return []
    return [f"watched: {len(seen)} events seen through the kills are not those told afterwards"]


def _chapter(seed: int, kills: int, at_points: int, evidence: Evidence, found: list[str], seconds: float) -> Chapter:
    states: dict[str, int] = {}
    for order in evidence.orders:
        states[order.state] = states.get(order.state, 0) + 1
    return Chapter(
        seed=seed,
        kills=kills,
        at_points=at_points,
        calls=len(evidence.calls),
        acknowledged=sum(call.acknowledged for call in evidence.calls),
        orders=len(evidence.orders),
        waybills=sum(len(waybills) for waybills in evidence.live.values()),
        states=states,
        seconds=seconds,
        violations=found,
    )
