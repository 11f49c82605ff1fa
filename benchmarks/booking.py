"""CreateOrder and StreamCreateOrders: CPU per order of the engine process over the bare pipeline, in one run.

    python -m benchmarks.booking [--orders 4000] [--rounds 5]

Both servers book with the same 顺丰 simulator on the same machine, alternating round by round, loaded by the same
client process. CPU is user + system time of the whole server process (all its threads) from /proc, divided by
orders. Prints a table and a JSON line, ratios first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from pathlib import Path

import grpc
import uvloop

from benchmarks.bare_process import bare_pipeline
from benchmarks.measure import cpu_s, medians, over
from benchmarks.orders import order, stream
from crossdock.v1 import core_pb2, order_service_pb2, order_service_pb2_grpc
from engine.cli.sandbox import running_sandbox

pb = order_service_pb2
IN_FLIGHT = 64


async def unary(stub: order_service_pb2_grpc.OrderServiceAsyncStub, run: str, count: int) -> None:
    """`count` unary calls, 64 at a time."""
    window = asyncio.Semaphore(IN_FLIGHT)

    async def one(index: int) -> None:
        async with window:
            answer = await stub.CreateOrder(pb.CreateOrderRequest(order=order(run, index)), timeout=60)
            assert answer.order.state == core_pb2.Order.STATE_BOOKED, answer.order.state

    await asyncio.gather(*[one(i) for i in range(count)])


async def in_one_stream(stub: order_service_pb2_grpc.OrderServiceAsyncStub, run: str, count: int) -> None:
    """`count` orders through one stream."""
    await stream(stub, (order(run, index) for index in range(count)))


LOADS = {"unary": unary, "stream": in_one_stream}


async def measure(target: str, pid: int, load: str, count: int) -> dict[str, float]:
    """One round: CPU per order in microseconds, orders per second."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        await LOADS[load](stub, uuid.uuid4().hex, 200)
        before, started = cpu_s(pid), time.perf_counter()
        await LOADS[load](stub, uuid.uuid4().hex, count)
        seconds, cpu = time.perf_counter() - started, cpu_s(pid) - before
    return {"cpu_us": cpu / count * 1e6, "per_s": count / seconds}


async def run(orders: int, rounds: int) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Alternate engine and bare pipeline; ratios, and medians over the rounds."""
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        async with (
            running_sandbox(folder / "engine", carriers=("sf",)) as sandbox,
            bare_pipeline(sandbox, folder) as bare,
        ):
            programs = (("bare", bare.address, bare.pid), ("engine", sandbox.server, sandbox.engine_pid))
            for _ in range(rounds):
                for load in LOADS:
                    for name, target, pid in programs:
                        figures = await measure(target, pid, load, orders)
                        results.setdefault(f"{load} {name}", []).append(figures)
    return {load: over(results[f"{load} engine"], results[f"{load} bare"]) for load in LOADS}, medians(results)


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ratios, rows = runner.run(run(arguments.orders, arguments.rounds))
    print(f"{'':16}{'CPU us/order':>14}{'orders/s':>10}{'over bare':>11}")
    for name, figures in rows.items():
        load, kind = name.split()
        ratio = f"{ratios[load]:.2f}" if kind == "engine" else ""
        print(f"{name:16}{figures['cpu_us']:>14.0f}{figures['per_s']:>10.0f}{ratio:>11}")
    print(json.dumps({"benchmark": "booking", "ratios": ratios, "rows": rows}))


if __name__ == "__main__":
    main()
