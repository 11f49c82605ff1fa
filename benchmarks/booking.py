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
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import grpc
import uvloop

from crossdock.v1 import core_pb2, order_service_pb2, order_service_pb2_grpc
from engine.cli.sandbox import Sandbox, running_sandbox

pb = order_service_pb2
TICKS = os.sysconf("SC_CLK_TCK")
IN_FLIGHT = 64


def order(run: str, index: int) -> core_pb2.Order:
    """A believable order; every one has its own reference."""
    return core_pb2.Order(
        reference=f"{run}-{index}",
        shipper=_party("样例仓库", "0571-86001234", "浙江省", "杭州市", "余杭区", "样例大道1号3号仓"),
        recipient=_party(
            "诸葛平艳",
            f"199{index % 100_000_000:08d}",
            "广东省",
            "深圳市",
            "南山区",
            f"科技园路{index % 900}号2栋303室",
        ),
        parcels=[
            core_pb2.Parcel(
                weight_g=1500,
                items=[
                    core_pb2.Item(
                        title="男士运动鞋 42",
                        quantity=1,
                        unit_price=core_pb2.Money(currency_code="CNY", minor_units=39900),
                    )
                ],
            )
        ],
    )


def _party(name: str, phone: str, province: str, city: str, district: str, street: str) -> core_pb2.Party:
    return core_pb2.Party(
        contact=core_pb2.Contact(name=name, phone=phone),
        address=core_pb2.Address(country_code="CN", province=province, city=city, district=district, street=street),
    )


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def unary(stub: order_service_pb2_grpc.OrderServiceAsyncStub, run: str, count: int) -> None:
    """`count` unary calls, 64 at a time."""
    window = asyncio.Semaphore(IN_FLIGHT)

    async def one(index: int) -> None:
        async with window:
            answer = await stub.CreateOrder(pb.CreateOrderRequest(order=order(run, index)), timeout=60)
            assert answer.order.state == core_pb2.Order.STATE_BOOKED, answer.order.state

    await asyncio.gather(*[one(i) for i in range(count)])


async def stream(stub: order_service_pb2_grpc.OrderServiceAsyncStub, run: str, count: int) -> None:
    """`count` orders through one stream."""

    async def requests() -> AsyncIterator[pb.StreamCreateOrdersRequest]:
        for index in range(count):
            yield pb.StreamCreateOrdersRequest(index=index, order=order(run, index))

    answered = 0
    async for answer in stub.StreamCreateOrders(requests()):
        assert answer.result.created.order.state == core_pb2.Order.STATE_BOOKED, answer.result
        answered += 1
    assert answered == count, answered


LOADS = {"unary": unary, "stream": stream}


async def measure(target: str, pid: int, load: str, count: int) -> dict[str, float]:
    """One round: CPU per order in microseconds, orders per second."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        await LOADS[load](stub, uuid.uuid4().hex, 200)
        before, started = cpu_s(pid), time.perf_counter()
        await LOADS[load](stub, uuid.uuid4().hex, count)
        seconds, cpu = time.perf_counter() - started, cpu_s(pid) - before
    return {"cpu_us": cpu / count * 1e6, "per_s": count / seconds}


def over(engine: Sequence[Mapping[str, float]], bare: Sequence[Mapping[str, float]]) -> float:
    """CPU of the engine over the bare program's: the median of what each round shows.

    Round by round, since the machine's speed changes within a run: of two virtual processors that are one core's, each
    is slower while the other works.
    """
    return round(statistics.median(e["cpu_us"] / b["cpu_us"] for e, b in zip(engine, bare, strict=True)), 2)


async def run(orders: int, rounds: int) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Alternate engine and bare pipeline; ratios, and medians over the rounds."""
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        async with running_sandbox(folder / "engine", carriers=("sf",)) as sandbox:
            bare = await start_bare(sandbox, folder)
            try:
                for _ in range(rounds):
                    for load in LOADS:
                        for name, target, pid in (
                            ("bare", bare[0], bare[1].pid),
                            ("engine", sandbox.server, sandbox.engine_pid),
                        ):
                            figures = await measure(target, pid, load, orders)
                            results.setdefault(f"{load} {name}", []).append(figures)
            finally:
                bare[1].kill()
                await bare[1].wait()
    ratios = {load: over(results[f"{load} engine"], results[f"{load} bare"]) for load in LOADS}
    rows = {name: {key: statistics.median(r[key] for r in of) for key in of[0]} for name, of in results.items()}
    return ratios, rows


async def start_bare(sandbox: Sandbox, folder: Path) -> tuple[str, asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.bare",
        "--carrier",
        sandbox.simulators["sf"].url,
        "--db",
        str(folder / "bare.db"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    port = json.loads(await process.stdout.readline())["grpc_port"]
    return f"127.0.0.1:{port}", process


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
