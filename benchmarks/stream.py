"""10,000 orders through one StreamCreateOrders, carried by two simulated carriers on the same machine.

    python -m benchmarks.stream [--orders 10000]

Every second order prefers 中通, the others 顺丰. Afterwards the simulators' ledgers are read: each order must be there
once, under the waybill it was answered with, and nothing else. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import grpc
import uvloop

from benchmarks import orders
from benchmarks.measure import cpu_s
from benchmarks.open_load import doubled
from crossdock.v1 import order_service_pb2_grpc
from engine.cli.sandbox import CARRIERS, Sandbox, running_sandbox

WARM_UP = 200


async def book(target: str, count: int) -> dict[str, str]:
    """Send `count` orders through one stream; waybill number -> carrier of each."""
    run = uuid.uuid4().hex
    wanted = (orders.preferring(CARRIERS[index % len(CARRIERS)], orders.order(run, index)) for index in range(count))
    async with grpc.aio.insecure_channel(target) as channel:
        made = await orders.stream(order_service_pb2_grpc.OrderServiceStub(channel), wanted)
    return {one.booking.waybill_number: one.booking.carrier for one in made}


def check(sandbox: Sandbox, booked: dict[str, str], count: int) -> None:
    """Stop with what is wrong unless the ledgers hold exactly these orders, each once."""
    live = {n: code for code, simulator in sandbox.simulators.items() for n in simulator.live_waybills()}
    twice = doubled(sandbox)
    if len(booked) != count or live != booked or twice:
        raise SystemExit(
            f"{count} orders were sent, {len(booked)} waybills answered, {len(live)} are live, "
            f"{len(live.items() - booked.items())} of them unanswered, {twice} orders live twice"
        )


async def run(count: int) -> dict[str, object]:
    """Start everything, book, compare with the ledgers."""
    with tempfile.TemporaryDirectory() as scratch:
        async with running_sandbox(Path(scratch)) as sandbox:
            booked = await book(sandbox.server, WARM_UP)
            pids = {"engine": sandbox.engine_pid} | {c: s.process.pid for c, s in sandbox.simulators.items()}
            before, started = {name: cpu_s(pid) for name, pid in pids.items()}, time.perf_counter()
            booked |= await book(sandbox.server, count)
            seconds = time.perf_counter() - started
            cpu_us = {name: (cpu_s(pid) - before[name]) / count * 1e6 for name, pid in pids.items()}
            check(sandbox, booked, WARM_UP + count)
    return {
        "seconds": seconds,
        "per_s": count / seconds,
        "cpu_us_per_order": cpu_us,
        "carriers": Counter(booked.values()),
    }


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000)
    count = parser.parse_args().orders
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(count))
    print(f"{count} orders, all in the ledgers once: {found['seconds']:.1f} s, {found['per_s']:.0f} orders/s")
    print(json.dumps({"benchmark": "stream", "orders": count, **found}))


if __name__ == "__main__":
    main()
