"""Fairness: what a flood costs those who have no part in it.

    python -m benchmarks.fairness [--seconds 20] [--latency 1.0]

A quiet shop books two orders a second at a carrier that takes a second each, so that the carrier's time weighs more
than this machine's. First alone, then beside a flood that another process sends (ghz, see `benchmarks.ghz`) over 16
connections, whether or not answers come:

- a crowd of the same tenant polls tracks, half as often again as the engine can answer;
- another tenant books ten times its share, that is five times what the engine can book. It books at another carrier,
  one that is quick: what is shared is the engine. Of a carrier's lane the tenants have their turns, see its tests.

Tells how the shop's p50 and p99 move, and what was refused to it. Prints a table and a JSON line, the moves first;
exits with 1 where more was moved than promised.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec
import uvloop
from google.protobuf.message import Message

from benchmarks.ghz import GET_IT, Ghz, find
from benchmarks.measure import percentile
from benchmarks.open_load import sleep_until
from benchmarks.orders import only, order
from crossdock.v1 import core_pb2, order_service_pb2, order_service_pb2_grpc, track_service_pb2
from crossdock_sdk.simulator import Faults
from engine.cli.sandbox import Sandbox, running_sandbox
from engine.cli.sandbox.rules import WAREHOUSE

pb = order_service_pb2
SHOP_PER_S = 2.0
FLOOD_CONNECTIONS = 16
"""A server lets 128 calls a connection through; so many make a flood that is not held back by that."""
MEASURED = 1500
"""Calls from which it is told how many the engine can answer."""
SETTLE_S = 4.0
"""A flood has run for so long when the shop's calls begin to count; how it begins is told beside."""
QUIET_S = 5.0
DEADLINE_S = 20.0


class Flood(msgspec.Struct, frozen=True):
    """One flood. times: of what the engine can answer. may_move: the shop's p99 at most."""

    name: str
    method: str
    key: str
    make: Callable[[int], Sequence[Message]]
    times: float
    may_move: float


class Told(msgspec.Struct):
    """How the calls of one side ended."""

    seconds: list[float] = msgspec.field(default_factory=list)
    codes: Counter[str] = msgspec.field(default_factory=Counter)

    def at(self, share: float) -> float:
        """A percentile of those that were served, in seconds."""
        return percentile(self.seconds, share)


def elsewhere(count: int) -> list[pb.CreateOrderRequest]:
    """Orders nobody sent before, for the other carrier."""
    run = uuid.uuid4().hex
    return [pb.CreateOrderRequest(order=only("zto", order(run, index))) for index in range(count)]


class Shop:
    """Books steadily."""

    def __init__(self, server: str, key: str) -> None:
        self._channel = grpc.aio.insecure_channel(server)
        self._orders = order_service_pb2_grpc.OrderServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def aclose(self) -> None:
        """Hang up."""
        await self._channel.close()

    async def book(self, told: Told) -> core_pb2.Order:
        """One order; how long it took is kept."""
        started = time.perf_counter()
        request = pb.CreateOrderRequest(order=only("sf", order(uuid.uuid4().hex, 1)))
        try:
            answer = await self._orders.CreateOrder(request, metadata=self._metadata, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            told.codes[error.code().name] += 1
            return core_pb2.Order()
        told.codes["OK"] += 1
        told.seconds.append(time.perf_counter() - started)
        return answer.order

    async def go_on(self, seconds: float) -> Told:
        """Bookings for so long."""
        told, tasks, started = Told(), [], time.perf_counter()
        for index in range(int(SHOP_PER_S * seconds)):
            await sleep_until(started + index / SHOP_PER_S)
            tasks.append(asyncio.create_task(self.book(told)))
        await asyncio.gather(*tasks)
        return told


async def slow(sandbox: Sandbox, latency_s: float) -> None:
    """The shop's carrier takes so long for a booking from now on."""
    await sandbox.simulators["sf"].set_faults(Faults(operations=("book",), latency_s=latency_s))


@asynccontextmanager
async def flooding(ghz: Ghz, server: str, flood: Flood, rate: float, seconds: float) -> AsyncIterator[None]:
    """A flood beside; it is cut at the end."""
    requests = flood.make(int(rate * seconds))
    process = await ghz.start(server, flood.method, requests, rate=rate, key=flood.key, connections=FLOOD_CONNECTIONS)
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def play(
    ghz: Ghz, sandbox: Sandbox, shop: Shop, flood: Flood, latency_s: float, seconds: float
) -> dict[str, Any]:
    """The shop alone and beside one flood."""
    await slow(sandbox, 0.0)
    measured = await ghz.start(sandbox.server, flood.method, flood.make(MEASURED), key=flood.key)
    rate = flood.times * (await ghz.report(measured))["rps"]
    await slow(sandbox, latency_s)
    await asyncio.sleep(QUIET_S)  # whatever the measurement left behind
    alone = await shop.go_on(seconds)
    if not alone.seconds:
        raise SystemExit(f"the shop was not served when it was alone: {dict(alone.codes)}")
    async with flooding(ghz, sandbox.server, flood, rate, SETTLE_S + 2 * seconds):
        at_first = await shop.go_on(SETTLE_S)
        beside = await shop.go_on(seconds)
    found = row(flood, rate, alone, at_first, beside)
    show(found)
    return found


async def run(program: str, seconds: float, latency_s: float) -> dict[str, Any]:
    """Both floods."""
    keys = {name: uuid.uuid4().hex for name in ("shop", "greedy")}
    tenants = [
        {"name": name, "api_key_sha256": [hashlib.sha256(key.encode()).hexdigest()], "shipper": WAREHOUSE}
        for name, key in keys.items()
    ]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        async with running_sandbox(folder / "engine", settings={"tenant": tenants}) as sandbox:
            shop, ghz = Shop(sandbox.server, keys["shop"]), Ghz(program, folder)
            question = track_service_pb2.GetTrackRequest(order_id=(await shop.book(Told())).order_id)
            polls = Flood(
                "polls", "crossdock.v1.TrackService.GetTrack", keys["shop"], lambda n: [question] * n, 1.5, 0.10
            )
            greedy = Flood("greedy", "crossdock.v1.OrderService.CreateOrder", keys["greedy"], elsewhere, 5.0, 0.15)
            rows = [await play(ghz, sandbox, shop, flood, latency_s, seconds) for flood in (polls, greedy)]
            await shop.aclose()
    return {
        "moved": {found["flood"]: found["p99_moved"] for found in rows},
        "held": all(found["held"] for found in rows),
        "benchmark": "fairness",
        "latency_s": latency_s,
        "rows": rows,
    }


def row(flood: Flood, rate: float, alone: Told, at_first: Told, beside: Told) -> dict[str, Any]:
    """What a flood did to the shop."""
    moved = beside.at(0.99) / alone.at(0.99) - 1
    codes = at_first.codes + beside.codes
    refused = codes["RESOURCE_EXHAUSTED"]
    return {
        "flood": flood.name,
        "p99_moved": round(moved, 3),
        "may_move": flood.may_move,
        "refused_to_shop": refused,
        "shop_codes": dict(codes),
        "held": moved <= flood.may_move and set(codes) == {"OK"},
        "flood_per_s": round(rate),
        "p50_ms": [round(side.at(0.5) * 1e3) for side in (alone, at_first, beside)],
        "p99_ms": [round(side.at(0.99) * 1e3) for side in (alone, at_first, beside)],
        "bookings": len(beside.seconds),
    }


def show(found: dict[str, Any]) -> None:
    """One flood as a table."""
    print(f"\n{found['flood']}: {found['flood_per_s']} calls/s")
    print(f"{'the shop, ms':16}{'alone':>8}{'at first':>10}{'beside':>8}{'moved':>8}")
    for name in ("p50_ms", "p99_ms"):
        alone, at_first, beside = found[name]
        print(f"{name[:3]:16}{alone:>8}{at_first:>10}{beside:>8}{beside / alone - 1:>8.1%}")
    print(f"the shop's calls ended {found['shop_codes']}; p99 may move by {found['may_move']:.0%}", flush=True)


def main() -> int:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--latency", type=float, default=1.0)
    options = parser.parse_args()
    program = find()
    if program is None:
        print(GET_IT, file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(program, options.seconds, options.latency))
    print(json.dumps(found))
    return 0 if found["held"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
