"""Overload: a day's mix of calls at half to four times of what the engine can do, sent whether or not answers come.

    python -m benchmarks.overload [--seconds 20] [--steps 0.5,1,2,3,4] [--plot benchmarks/overload.png]

What the engine can do is measured first, with a closed loop of 32 callers. Then each step offers its multiple of that,
in an open loop over 32 connections. Tells what was served, refused and lost by kind of call, how long both took, how
much the engine's memory grew, and how soon after the load all is served again. Prints a table, what was promised and
whether it held, and a JSON line. Exits with 1 where a promise did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import uvloop

from benchmarks.measure import cpu_s, percentile, rss_mib
from benchmarks.metrics import Metrics, scrape, values
from benchmarks.mix import DEADLINE_S, KINDS, Call, Caller, closed_loop, open_loop
from benchmarks.orders import order
from benchmarks.pushes import booked, pushes
from crossdock.v1 import order_service_pb2, order_service_pb2_grpc
from engine.cli.sandbox import Sandbox, running_sandbox

BOOKED = 300
CALLERS = 32
CAPACITY_S = 8.0
AFTER = 0.3
"""Of what the engine can do; the load after the last step, during which everything must come back."""
BACK_WITHIN_S = 30.0
MAY_GROW_MIB = 256
SERVED = "served"
ORDERED = sorted((k for k in KINDS if k.given_up), key=lambda k: k.given_up)


class Step(msgspec.Struct, frozen=True):
    """What became of the calls of one step. Counts by kind, times in milliseconds, rates a second."""

    times: float
    seconds: float
    offered: Mapping[str, int]
    served: Mapping[str, int]
    refused: Mapping[str, int]
    lost: Mapping[str, int]
    p99_ms: Mapping[str, float]
    refused_ms: tuple[float, float]
    refused_here_p99_ms: float
    grew_mib: float
    cpu: float
    late_p99_ms: float

    @property
    def goodput(self) -> float:
        """Calls served a second."""
        return sum(self.served.values()) / self.seconds

    @property
    def goodput_per_core(self) -> float:
        """Calls served in a second of the engine's processor time, whatever else runs on the machine."""
        return self.goodput / self.cpu if self.cpu else 0.0

    def part_refused(self, kind: str) -> float:
        """Of the calls of a kind."""
        return self.refused.get(kind, 0) / max(self.offered.get(kind, 0), 1)


def percentile_ms(seconds: Sequence[float], share: float) -> float:
    """A percentile in milliseconds."""
    return round(percentile(seconds, share) * 1e3, 1)


class Engine:
    """The engine from outside: its memory, processor and counters."""

    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient) -> None:
        self._sandbox = sandbox
        self._http = http
        self.most_mib = 0.0

    def resident_mib(self) -> float:
        """Memory in use now."""
        return rss_mib(self._sandbox.engine_pid)

    def cpu_s(self) -> float:
        """Processor time used so far."""
        return cpu_s(self._sandbox.engine_pid)

    async def metrics(self) -> Metrics:
        """What it counts now."""
        return await scrape(self._http, self._sandbox)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Remembers the most memory while inside."""
        self.most_mib = self.resident_mib()

        async def look() -> None:
            while True:
                self.most_mib = max(self.most_mib, self.resident_mib())
                await asyncio.sleep(0.2)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()


def refusals_p99_ms(before: Metrics, after: Metrics) -> float:
    """The upper bound of the bucket that holds the 99th of a hundred refusals."""
    prefix = 'crossdock_grpc_refusal_duration_seconds_bucket{le="'
    rows = [(n.removeprefix(prefix)[:-2], v - before.get(n, 0)) for n, v in after.items() if n.startswith(prefix)]
    total = max((count for _, count in rows), default=0.0)
    bounds = sorted(float(bound) for bound, count in rows if total and count >= 0.99 * total)
    return bounds[0] * 1e3 if bounds else 0.0


async def play(engine: Engine, caller: Caller, times: float, rate: float, seconds: float) -> Step:
    """One step."""
    before, resident, cpu, began = await engine.metrics(), engine.resident_mib(), engine.cpu_s(), time.perf_counter()
    async with engine.watched():
        calls = await open_loop(caller, rate, seconds)
    used = (engine.cpu_s() - cpu) / (time.perf_counter() - began)
    return step_of(
        times, seconds, calls, refusals_p99_ms(before, await engine.metrics()), engine.most_mib - resident, used
    )


def step_of(times: float, seconds: float, calls: Sequence[Call], here_ms: float, grew_mib: float, cpu: float) -> Step:
    """Counts what became of the calls."""

    def count(*codes: str, others: bool = False) -> dict[str, int]:
        return dict(Counter(call.kind for call in calls if (call.code in codes) != others))

    served, refused = ("OK", "FAILED_PRECONDITION"), ("REFUSED",)  # a cancelled order has no label: an answer
    took = {
        k.name: percentile_ms([c.took_s for c in calls if c.kind == k.name and c.code in served], 0.99) for k in KINDS
    }
    refusing = [call.took_s for call in calls if call.code in refused]
    return Step(
        times=times,
        seconds=seconds,
        offered=dict(Counter(call.kind for call in calls)),
        served=count(*served),
        refused=count(*refused),
        lost=count(*served, *refused, others=True),
        p99_ms=took,
        refused_ms=(percentile_ms(refusing, 0.5), percentile_ms(refusing, 0.99)),
        refused_here_p99_ms=here_ms,
        grew_mib=round(grew_mib, 1),
        cpu=round(cpu, 2),
        late_p99_ms=percentile_ms([call.late_s for call in calls], 0.99),
    )


async def back_after_s(engine: Engine, caller: Caller, rate: float) -> float:
    """Seconds from the end of the load until nothing is given up any more, while callers go on at `rate`."""
    began = time.perf_counter()
    going_on = asyncio.create_task(open_loop(caller, rate, BACK_WITHIN_S))
    try:
        while (passed_s := time.perf_counter() - began) < BACK_WITHIN_S:
            metrics = await engine.metrics()
            given_up = ("crossdock_brownout_pressure", "crossdock_brownout_level")
            if not any(sum(values(metrics, name)) for name in given_up):
                break
            await asyncio.sleep(0.25)
    finally:
        going_on.cancel()
        await asyncio.gather(going_on, return_exceptions=True)
    return round(passed_s, 1)


def promises(steps: Sequence[Step], back_s: float) -> dict[str, bool]:
    """What was promised, with the figures, and whether it held."""
    unloaded = min(steps, key=lambda step: step.times).p99_ms["bookings"]
    peak, peak_per_core = max(step.goodput for step in steps), max(step.goodput_per_core for step in steps)
    found = {}
    for step in (step for step in steps if step.times > 1):
        times, lost = f"at {step.times:g}x", sum(step.lost.values()) / sum(step.offered.values())
        part, per_core = step.goodput / peak, step.goodput_per_core / peak_per_core
        told = f"{part:.0%} of the peak, {per_core:.0%} of it for the processor time the engine was given"
        found[f"{times} what is served stays at 80 %: {told}"] = max(part, per_core) >= 0.8
        p99 = step.p99_ms["bookings"]
        told = f"p99 {p99:.0f} ms, {p99 / unloaded:.1f} of the unloaded"
        found[f"{times} a booking that is served is in time: {told}"] = p99 <= max(2 * unloaded, DEADLINE_S * 1e3)
        found[f"{times} hardly a call is neither served nor refused: {lost:.1%}"] = lost <= 0.01
        here = step.refused_here_p99_ms
        found[f"{times} refusing takes at most 10 ms here: {here:g} ms"] = here <= 10
        parts = [step.part_refused(kind.name) for kind in ORDERED]
        kept = sum(step.refused.get(kind.name, 0) for kind in KINDS if not kind.given_up)
        told = ", ".join(f"{kind.name} {part:.0%}" for kind, part in zip(ORDERED, parts, strict=True))
        in_order = all(less >= more - 0.02 for less, more in pairwise(parts)) and not kept
        found[f"{times} what matters least is refused first: {told}, all others {kept}"] = in_order
    grew = max(step.grew_mib for step in steps)
    found[f"memory grows by at most {MAY_GROW_MIB} MiB: {grew:.0f}"] = grew <= MAY_GROW_MIB
    found[f"{back_s:g} s after the load everything is served again"] = back_s < BACK_WITHIN_S
    return found


async def order_ids(server: str) -> list[str]:
    """Orders booked before the load, to ask about."""
    pb, run = order_service_pb2, uuid.uuid4().hex
    async with grpc.aio.insecure_channel(server) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        asked = [pb.CreateOrderRequest(order=order(run, index)) for index in range(BOOKED)]
        answer = await stub.BatchCreateOrders(pb.BatchCreateOrdersRequest(requests=asked), timeout=60)
    return [result.created.order.order_id for result in answer.results]


async def run(steps: Sequence[float], seconds: float) -> dict[str, Any]:
    """Measure what the engine can do, then offer more."""
    with tempfile.TemporaryDirectory() as scratch:
        async with running_sandbox(Path(scratch)) as sandbox, httpx.AsyncClient(trust_env=False, timeout=30) as http:
            engine, pushed = Engine(sandbox, http), pushes(await booked(sandbox.server, BOOKED))
            port = int(sandbox.http.rpartition(":")[2])
            async with Caller(sandbox.server, pushed, port, await order_ids(sandbox.server)) as caller:
                await closed_loop(caller, CALLERS, CAPACITY_S / 4)
                calls = await closed_loop(caller, CALLERS, CAPACITY_S)
                capacity = step_of(0, CAPACITY_S, calls, 0, 0, 0).goodput
                played = []
                for times in steps:
                    played.append(await play(engine, caller, times, times * capacity, seconds))
                    show(played[-1], capacity)
                back_s = await back_after_s(engine, caller, AFTER * capacity)
    held = promises(played, back_s)
    peak = max(step.goodput for step in played)
    return {
        "goodput_over_peak": {f"{step.times:g}": round(step.goodput / peak, 2) for step in played},
        "held": all(held.values()),
        "benchmark": "overload",
        "capacity_per_s": round(capacity, 1),
        "back_after_s": back_s,
        "promises": held,
        "steps": msgspec.to_builtins(played),
    }


def show(step: Step, capacity: float) -> None:
    """One step as a table."""
    offered, (half, most) = sum(step.offered.values()) / step.seconds, step.refused_ms
    print(f"\n{step.times:g}x of {capacity:.0f}/s: offered {offered:.0f}/s, served {step.goodput:.0f}/s")
    print(
        f"engine {step.cpu} cores, memory +{step.grew_mib:.0f} MiB; the load was late by p99 {step.late_p99_ms:.0f} ms"
    )
    print(f"refusals took p50 {half:.0f} p99 {most:.0f} ms for callers, p99 {step.refused_here_p99_ms:g} ms here")
    print(f"{'':10}{'offered/s':>10}{'served/s':>10}{'refused':>9}{'lost':>7}{'p99 ms':>9}")
    for kind in KINDS:
        offered, name = step.offered.get(kind.name, 0), kind.name
        print(
            f"{name:10}{offered / step.seconds:>10.1f}{step.served.get(name, 0) / step.seconds:>10.1f}"
            f"{step.part_refused(name):>9.0%}{step.lost.get(name, 0) / max(offered, 1):>7.1%}{step.p99_ms[name]:>9.0f}",
            flush=True,
        )


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Offered against served, and who was refused, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = msgspec.convert(found["steps"], list[Step])
    times = [step.times for step in steps]
    figure, (load, shed, wait) = pyplot.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    load.plot(times, [sum(s.offered.values()) / s.seconds for s in steps], "--", color="0.5", label="offered")
    load.plot(times, [s.goodput for s in steps], "o-", color="tab:green", label=SERVED)
    load.plot(
        times, [s.served.get("bookings", 0) / s.seconds for s in steps], "s-", color="tab:blue", label="bookings served"
    )
    load.axhline(found["capacity_per_s"], color="0.8", linewidth=1)
    load.set(title="Calls a second", xlabel="offered, times of what it can do", ylim=(0, None))
    load.legend()
    for kind in ORDERED:
        shed.plot(times, [s.part_refused(kind.name) * 100 for s in steps], "o-", label=kind.name)
    kept = [
        100 * sum(s.refused.get(k.name, 0) for k in KINDS if not k.given_up) / max(1, sum(s.offered.values()))
        for s in steps
    ]
    shed.plot(times, kept, "k:", label="cancels, pushes, health")
    shed.set(title="Refused, per cent of each kind", xlabel="offered, times of what it can do", ylim=(-3, 103))
    shed.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)  # nowhere inside is room
    wait.plot(times, [s.p99_ms["bookings"] for s in steps], "s-", color="tab:blue", label="booking served, p99")
    wait.plot(
        times, [s.refused_ms[1] or None for s in steps], "o-", color="tab:red", label="refusal seen by callers, p99"
    )
    wait.plot(
        times,
        [s.refused_here_p99_ms or None for s in steps],
        "x-",
        color="tab:orange",
        label="refusal in the engine, p99",
    )
    wait.axhline(DEADLINE_S * 1e3, color="0.5", linestyle="--", linewidth=1, label="deadline")
    wait.set(title="Milliseconds", xlabel="offered, times of what it can do", yscale="log")
    wait.legend(fontsize="small")
    figure.savefig(path, dpi=90)


def main() -> int:
    """Print tables, promises and the JSON line, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--steps", default="0.5,1,2,3,4")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run([float(times) for times in options.steps.split(",")], options.seconds))
    print()
    for promise, held in found["promises"].items():
        print(f"{'held  ' if held else 'BROKEN'} {promise}")
    print(json.dumps(found))
    if options.plot:
        plot(found, options.plot)
    return 0 if found["held"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
