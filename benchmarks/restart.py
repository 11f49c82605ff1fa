"""An engine is killed with 100,000 open orders: how soon it serves again, and how the backlog and new orders fare.

    python -m benchmarks.restart [--orders 100000] [--seconds 60]

First the engine, at rest and then under one stream, tells its memory and how many bookings a second it can make. It is
killed, and the orders are written into its store as it would have left them: nine of ten accepted and due, one of ten
with an attempt of which nobody knows whether it was sent. Then it is started: the time counts until it says that it
serves, and until it has booked a new order. A sandbox's engine is forked from a process that has loaded its code; what
loading takes is measured by itself and added. For a minute new orders go on coming, two a second, and the simulators'
ledgers are read once a second. At the end no order may have two live waybills. Prints a table and a JSON line, the
ratio first; exits with 1 where less was found than promised.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import msgspec
import uuid_utils
import uvloop

from benchmarks.measure import percentile, rss_mib
from benchmarks.open_load import doubled, sleep_until
from benchmarks.orders import order, preferring, stream
from crossdock.v1 import core_pb2, order_service_pb2, order_service_pb2_grpc
from engine.api.convert.orders import read_draft
from engine.cli.sandbox import CARRIERS, Sandbox, running_sandbox
from engine.core.policy.records import AttemptRecord, AttemptState, EventKind, OrderRecord, OrderState
from engine.core.policy.transitions import event
from engine.store.port import Idempotency
from engine.store.sqlite import SqliteStore

pb = order_service_pb2
TENANT = "sandbox"
IN_DOUBT_EACH = 10
"""Of so many orders one has an attempt whose outcome nobody knows."""
WRITERS = 256
NORMAL_ORDERS = 3000
NEW_PER_S = 2.0
DEADLINE_S = 30.0
GOAL_SERVES_S = 5.0
GOAL_BACK_S = 60.0
GOAL_GOODPUT = 0.95
GOAL_KIB_PER_ORDER = 1.0
WINDOW_S = 5


class Found(msgspec.Struct):
    """What happened after the start. All times hold the loading."""

    loads_s: float
    serves_s: float = 0.0
    first_booked_s: float = 0.0
    booked_at: list[tuple[float, int]] = msgspec.field(default_factory=list)
    took_s: list[float] = msgspec.field(default_factory=list)
    codes: Counter[str] = msgspec.field(default_factory=Counter)
    rss_mib: list[float] = msgspec.field(default_factory=list)


async def fill(path: Path, count: int) -> float:
    """Write the orders that the killed engine left; seconds it took."""
    started = time.perf_counter()
    store = await SqliteStore.open(path)
    epoch = await store.next_epoch()
    run, now = uuid.uuid4().hex, datetime.now(UTC)
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await leave(store, run, number, epoch, now)

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(work())
    await store.aclose()
    return time.perf_counter() - started


async def leave(store: SqliteStore, run: str, number: int, epoch: int, now: datetime) -> None:
    """One order as it stood when the engine died."""
    in_doubt = number % IN_DOUBT_EACH == 0
    asked = preferring(CARRIERS[number % len(CARRIERS)], order(run, number))
    record = OrderRecord(
        order_id=str(uuid_utils.uuid7()),
        tenant=TENANT,
        draft=read_draft(asked, None),
        state=OrderState.BOOKING if in_doubt else OrderState.ACCEPTED,
        create_time=now,
        update_time=now,
        due_time=now + timedelta(seconds=120) if in_doubt else now,
        lease_epoch=epoch,
    )
    reference = f"{record.order_id.replace('-', '')}-1"
    attempt = AttemptRecord(record.order_id, 1, "sf", "sf-sandbox", "", reference, AttemptState.INTENT, now)
    attempts = (attempt,) if in_doubt else ()
    told = event(record, EventKind.ORDER_ACCEPTED, now)
    await store.accept(record, attempts, (told,), Idempotency("", b"left"))


async def book(stub: Any, found: Found, reference: str, due: float) -> None:
    """A new order; how long it took since it was due."""
    request = pb.CreateOrderRequest(order=order(reference, 1))
    try:
        answer = await stub.CreateOrder(request, timeout=DEADLINE_S, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        found.codes[error.code().name] += 1
        return
    found.codes[core_pb2.Order.State.Name(answer.order.state)] += 1
    found.took_s.append(time.perf_counter() - due)


async def observe(sandbox: Sandbox, found: Found, started: float, seconds: float) -> None:
    """Once a second: what the carriers have booked since the start, and the engine's memory."""
    before = await booked(sandbox)
    while (passed := time.perf_counter() - started) < seconds:
        await asyncio.sleep(1.0 - passed % 1.0)
        found.booked_at.append((time.perf_counter() - started, await booked(sandbox) - before))
        found.rss_mib.append(rss_mib(sandbox.engine_pid))


async def booked(sandbox: Sandbox) -> int:
    """What the carriers say they have booked."""
    stats = await asyncio.gather(*[simulator.stats() for simulator in sandbox.simulators.values()])
    return sum(int(one["bookings"]) for one in stats)


async def loading_s() -> float:
    """How long a process of its own takes to load an engine's code."""
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import engine.app, engine.cli.serve")
    if await process.wait():
        raise SystemExit("the engine's code cannot be loaded")
    return time.perf_counter() - begun


async def start(sandbox: Sandbox, seconds: float) -> Found:
    """Start the engine on what was left, and go on ordering."""
    found, run = Found(await loading_s()), uuid.uuid4().hex
    started = time.perf_counter() - found.loads_s
    await sandbox.start_engine()
    found.serves_s = time.perf_counter() - started
    async with grpc.aio.insecure_channel(sandbox.server) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        observing = asyncio.create_task(observe(sandbox, found, started, seconds))
        await book(stub, found, f"{run}-first", started)
        found.first_booked_s = time.perf_counter() - started
        async with asyncio.TaskGroup() as group:
            begun = time.perf_counter()
            for index in range(int((seconds - found.first_booked_s) * NEW_PER_S)):
                due = begun + index / NEW_PER_S
                await sleep_until(due)
                group.create_task(book(stub, found, f"{run}-{index}", due))
        await observing
    return found


def orders(count: int) -> Iterator[core_pb2.Order]:
    """So many that nobody sent before."""
    run = uuid.uuid4().hex
    return (order(run, index) for index in range(count))


async def run(count: int, seconds: float) -> dict[str, Any]:
    """Everything, once."""
    with tempfile.TemporaryDirectory() as scratch:
        async with running_sandbox(Path(scratch)) as sandbox:
            rest_mib = rss_mib(sandbox.engine_pid)
            async with grpc.aio.insecure_channel(sandbox.server) as channel:
                stub = order_service_pb2_grpc.OrderServiceStub(channel)
                await stream(stub, orders(200))
                begun = time.perf_counter()
                await stream(stub, orders(NORMAL_ORDERS))
                normal_per_s = NORMAL_ORDERS / (time.perf_counter() - begun)
            worked_mib = rss_mib(sandbox.engine_pid)
            sandbox.kill_engine()
            await sandbox.wait_engine()
            fill_s = await fill(sandbox.folder / "crossdock.db", count)
            found = await start(sandbox, seconds)
            twice = doubled(sandbox)
    return told(found, count, normal_per_s, rest_mib, worked_mib, fill_s, twice)


def told(
    found: Found, count: int, normal_per_s: float, rest_mib: float, worked_mib: float, fill_s: float, twice: int
) -> dict[str, Any]:
    """The figures, ratio first."""
    rates = [
        (at, (total - found.booked_at[index - WINDOW_S][1]) / (at - found.booked_at[index - WINDOW_S][0]))
        for index, (at, total) in enumerate(found.booked_at)
        if index >= WINDOW_S
    ]
    goodput = max(rate for _, rate in rates) / normal_per_s
    back_s = next((at for at, rate in rates if rate >= GOAL_GOODPUT * normal_per_s), None)
    kib = max(0.0, max(found.rss_mib) - worked_mib) * 1024 / count
    return {
        "goodput": round(goodput, 2),
        "held": found.serves_s <= GOAL_SERVES_S and back_s is not None and twice == 0 and kib <= GOAL_KIB_PER_ORDER,
        "benchmark": "restart",
        "open_orders": count,
        "loads_s": round(found.loads_s, 2),
        "serves_s": round(found.serves_s, 2),
        "first_booked_s": round(found.first_booked_s, 2),
        "back_s": back_s and round(back_s, 1),
        "normal_per_s": round(normal_per_s, 1),
        "booked": found.booked_at[-1][1],
        "new_p50_s": round(percentile(found.took_s, 0.5), 2),
        "new_p99_s": round(percentile(found.took_s, 0.99), 2),
        "new_codes": dict(found.codes),
        "doubled": twice,
        "rest_mib": round(rest_mib, 1),
        "worked_mib": round(worked_mib, 1),
        "most_mib": round(max(found.rss_mib), 1),
        "kib_per_open_order": round(kib, 2),
        "fill_s": round(fill_s, 1),
    }


def main() -> int:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options.orders, options.seconds))
    print(f"{options.orders} open orders; {found['normal_per_s']:.0f} bookings/s before")
    for name, text, goal in (
        ("serves_s", "serves after, s", f"{GOAL_SERVES_S:.0f}"),
        ("loads_s", "of that, loading its code, s", ""),
        ("first_booked_s", "first new order booked after, s", ""),
        ("back_s", f"{GOAL_GOODPUT:.0%} of the former bookings/s after, s", f"{GOAL_BACK_S:.0f}"),
        ("goodput", "best bookings/s over the former", f"{GOAL_GOODPUT}"),
        ("new_p50_s", "new orders p50, s", ""),
        ("new_p99_s", "new orders p99, s", ""),
        ("doubled", "orders with two waybills", "0"),
        ("rest_mib", "memory at rest, MiB", "150"),
        ("most_mib", "memory at most, MiB", ""),
        ("kib_per_open_order", "more than before, KiB per open order", f"{GOAL_KIB_PER_ORDER:.0f}"),
    ):
        print(f"{text:44}{found[name]!s:>10}{goal:>8}")
    print(f"new orders ended {found['new_codes']}")
    print(json.dumps(found))
    return 0 if found["held"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
