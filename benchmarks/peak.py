"""One run of a peak in open loop: orders sent at times fixed beforehand, faults by plan, samples every second, ledgers.

Four accounts share the orders, each with a simulator of its own: two stay well, one browns out, and one, which should
get twice as many as each of the others, has a hidden quota. `double11` runs it twice and judges.
"""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measure import cpu_s, rss_mib
from benchmarks.metrics import Metrics, values
from benchmarks.open_load import Due, Stub, connected, doubled, misbehave, sample, send
from benchmarks.orders import order
from crossdock.v1 import core_pb2, order_service_pb2
from crossdock_sdk.simulator import Faults
from engine.cli.sandbox import Sandbox, running_sandbox

pb = order_service_pb2
WELL, BROWN, QUOTA = ("sf", "zto"), "sf-brown", "zto-quota"
SHARES = {"sf": 20, "zto": 20, BROWN: 20, QUOTA: 40}
LATENCY_S = 0.08
SLOWER = 10
ERROR_SHARE = 0.5
DEADLINE_S = 30.0
A_CONNECTION = 100


class Plan(msgspec.Struct, frozen=True):
    """What happens when, in seconds from the start. Before and after the peak orders come at the normal rate."""

    peak_s: float
    normal_per_s: float
    peak_per_s: float
    quota_per_s: float
    with_faults: bool
    calm_s: float = 10.0
    drain_s: float = 60.0

    @property
    def peak(self) -> tuple[float, float]:
        """When it begins and ends."""
        return self.calm_s, self.calm_s + self.peak_s

    @property
    def slow(self) -> tuple[float, float]:
        """When BROWN takes ten times as long."""
        return self.calm_s + self.peak_s * 0.25, self.calm_s + self.peak_s * 0.5

    @property
    def failing(self) -> tuple[float, float]:
        """When half of what BROWN is asked fails."""
        return self.calm_s + self.peak_s * 0.5, self.calm_s + self.peak_s * 0.75

    def due(self) -> Iterator[float]:
        """When each order is to be sent."""
        at, (begins, ends) = 0.0, self.peak
        while at < ends + self.calm_s:
            yield at
            at += 1.0 / (self.peak_per_s if begins <= at < ends else self.normal_per_s)

    def faults(self) -> list[tuple[float, str, Faults]]:
        """When which simulator begins to misbehave how."""
        if not self.with_faults:
            return []
        return [
            (self.peak[0], QUOTA, _faults(quota_per_s=self.quota_per_s)),
            (self.slow[0], BROWN, _faults(slower=SLOWER)),
            (self.failing[0], BROWN, _faults(error_share=ERROR_SHARE)),
            (self.failing[1], BROWN, _faults()),
        ]


class Sent(Due):
    """What was answered too. account: where it was sent first. was_diverted: not to its first candidate."""

    state: str = ""
    account: str = ""
    attempts: int = 0
    was_diverted: bool = False
    waybill_number: str = ""


class Sample(msgspec.Struct, frozen=True):
    """Once a second: the engine's memory and processor time, QUOTA's learned rate and what its simulator counted."""

    at_s: float
    rss_mib: float
    cpu_s: float
    rate_per_s: float | None
    calls: int
    refused: int


class Run(msgspec.Struct, frozen=True):
    """Everything about one run. rest_mib: memory before the first order. Ledgers: see `compare`."""

    plan: Plan
    orders: list[Sent]
    samples: list[Sample]
    rest_mib: float
    drained_s: float
    ledgers: dict[str, int]


async def play(folder: Path, plan: Plan) -> Run:
    """Start everything, send the orders, wait for those still open, read the ledgers."""
    settings = {"account": {name: {"share_percent": percent} for name, percent in SHARES.items()}}
    connections = max(2, int(plan.peak_per_s * 5 / A_CONNECTION))
    async with (
        running_sandbox(folder, carriers=tuple(SHARES), settings=settings) as sandbox,
        connected(sandbox.server, connections) as stubs,
    ):
        for simulator in sandbox.simulators.values():
            await simulator.set_faults(_faults())
        rest_mib = rss_mib(sandbox.engine_pid)
        samples: list[Sample] = []
        read = functools.partial(_read, sandbox.engine_pid)
        started = time.perf_counter() + 0.5
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(sample(sandbox, QUOTA, samples, started, every_s=1.0, read=read))
            misbehaving = group.create_task(misbehave(sandbox, plan.faults(), started))
            orders = await _send(stubs, plan, started)
            await misbehaving
            drained_s = await _drain(stubs[0], orders, plan.drain_s)
            watching.cancel()
        return Run(plan, orders, samples, rest_mib, drained_s, compare(sandbox, orders))


def compare(sandbox: Sandbox, orders: Sequence[Sent]) -> dict[str, int]:
    """Orders against the carriers' ledgers: booked but not there, there twice, there without having been booked."""
    live = {n for simulator in sandbox.simulators.values() for n in simulator.live_waybills()}
    booked = {one.waybill_number for one in orders if one.state == "BOOKED"}
    return {
        "live": len(live),
        "lost": len(booked - live),
        "doubled": doubled(sandbox),
        "orphans": len(live - booked),
    }


def _faults(*, slower: float = 1.0, error_share: float = 0.0, quota_per_s: float | None = None) -> Faults:
    """Of bookings only: what else the engine asks is no part of the peak."""
    return Faults(
        operations=("book",),
        latency_s=LATENCY_S * slower,
        latency_jitter_s=LATENCY_S * slower / 2,
        error_share=error_share,
        quota_per_s=quota_per_s,
    )


async def _send(stubs: Sequence[Stub], plan: Plan, started: float) -> list[Sent]:
    run = uuid.uuid4().hex
    orders = [Sent(at_s) for at_s in plan.due()]
    await send(stubs, orders, started, make=lambda index, one: order(run, index), note=_note, deadline_s=DEADLINE_S)
    return orders


def _note(one: Sent, made: core_pb2.Order) -> None:
    one.state = core_pb2.Order.State.Name(made.state).removeprefix("STATE_")
    one.attempts = len(made.attempts)
    if made.attempts:
        one.account = made.attempts[0].account_id.removesuffix("-sandbox")
        one.was_diverted = made.attempts[0].cause.startswith("not ")
    one.waybill_number = made.booking.waybill_number


async def _drain(stub: Stub, orders: Sequence[Sent], drain_s: float) -> float:
    """Look at accepted orders that were not booked yet until they are; seconds it took."""
    started = time.perf_counter()
    while open_orders := [one for one in orders if one.state in ("ACCEPTED", "BOOKING")]:
        if time.perf_counter() - started > drain_s:
            break
        for one in open_orders:
            answer = await stub.GetOrder(pb.GetOrderRequest(order_id=one.order_id), timeout=DEADLINE_S)
            _note(one, answer.order)
        await asyncio.sleep(0.5)
    return time.perf_counter() - started


def _read(pid: int, at_s: float, metrics: Metrics, stats: dict[str, Any]) -> Sample:
    rates = values(metrics, "crossdock_lane_rate_per_second", account=f"{QUOTA}-sandbox", operation="book")
    return Sample(
        at_s,
        rss_mib(pid),
        cpu_s(pid),
        rates[0] if rates else None,
        int(stats["calls"].get("book", 0)),
        int(stats["busy"]),
    )
