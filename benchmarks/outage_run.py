"""One carrier's bad hour in open loop: calm, outage, calm again; samples, ledgers and every attempt's row at the end.

Two carriers. SICK has an outage of a kind and can do a fixed number of bookings a second, of which the load takes
LOAD_SHARE; WELL stays well. A half of the orders may go by SICK alone, a sixth by either (SICK is asked first), a third
by WELL alone. `outage` plays it once a kind and judges.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measure import cpu_s
from benchmarks.metrics import Metrics, values
from benchmarks.open_load import Due, Stub, connected, misbehave, sample, send
from benchmarks.orders import order
from crossdock.v1 import core_pb2, order_service_pb2
from crossdock_sdk.simulator import Entry, Faults
from engine.cli.sandbox import running_sandbox

pb = order_service_pb2
SICK, WELL = "sf", "zto"
KINDS = ("down", "error", "silence", "full", "flapping")
"""The port is closed; every call answers the carrier's system error; no call is answered; every booking is refused for
lack of capacity, which is no fault to a breaker; the port closes and opens."""
ALONE, EITHER, ELSEWHERE = "alone", "either", "elsewhere"
PATTERN = (ALONE, ELSEWHERE, ALONE, EITHER, ALONE, ELSEWHERE) * 2
"""Who comes in which turn: neighbours in a second are never all of one group."""
ROUTES = {
    ALONE: core_pb2.Routing(allowed_carriers=[SICK]),
    EITHER: core_pb2.Routing(preferred_carriers=[SICK]),
    ELSEWHERE: core_pb2.Routing(allowed_carriers=[WELL]),
}
LOAD_SHARE = 0.8
LATENCY_S = 0.08
FLAP_S = 2.0
SAMPLE_S = 0.25
DEADLINE_S = 10.0
CONNECTIONS = 4
OPEN_STATES = [core_pb2.Order.STATE_ACCEPTED, core_pb2.Order.STATE_BOOKING]
BOOKING_OPERATIONS = ("book", "find", "find_by_carrier_order", "cancel")
"""The operations of one lane: they share its breaker."""


class Plan(msgspec.Struct, frozen=True):
    """What happens when, in seconds from the start."""

    kind: str
    outage_s: float
    before_s: float
    after_s: float
    orders_per_s: float
    drain_s: float

    @property
    def outage(self) -> tuple[float, float]:
        """When it begins and ends."""
        return self.before_s, self.before_s + self.outage_s

    @property
    def ends_s(self) -> float:
        """When the last order is sent."""
        return self.before_s + self.outage_s + self.after_s

    def per_s(self, *groups: str) -> float:
        """Orders of these groups a second."""
        return self.orders_per_s * sum(turn in groups for turn in PATTERN) / len(PATTERN)

    @property
    def capacity_per_s(self) -> float:
        """Bookings a second that SICK takes; it answers "busy" to more."""
        return self.per_s(ALONE, EITHER) / LOAD_SHARE

    def due(self) -> Iterator[tuple[float, str]]:
        """When each order is to be sent, and its group."""
        for index, group in enumerate(itertools.cycle(PATTERN)):
            at_s = index / self.orders_per_s
            if at_s >= self.ends_s:
                return
            yield at_s, group

    def faults(self) -> list[tuple[float, str, Faults]]:
        """When SICK begins to behave how."""
        begins, ends = self.outage
        well = Faults(
            operations=("book",), latency_s=LATENCY_S, latency_jitter_s=LATENCY_S / 2, quota_per_s=self.capacity_per_s
        )
        ill = {
            "down": Faults(down=True),
            "error": Faults(latency_s=LATENCY_S, error_share=1.0),
            "silence": Faults(silence_share=1.0),
            "full": msgspec.structs.replace(well, refuse_bookings=True),
            "flapping": Faults(down=True),
        }[self.kind]
        turns = int(self.outage_s / FLAP_S) if self.kind == "flapping" else 1
        flaps = [(begins + turn * FLAP_S, SICK, well if turn % 2 else ill) for turn in range(turns)]
        return [(0.0, SICK, well), *flaps, (ends, SICK, well)]


class Sent(Due):
    """An order, and who may take it."""

    group: str = ""


class Attempt(msgspec.Struct, frozen=True):
    """A row: when it was written and when its outcome was, in seconds of the run; was_sent: a call was made for it."""

    carrier: str
    state: str
    was_sent: bool
    start_s: float
    end_s: float


class Fact(msgspec.Struct, frozen=True):
    """An order as the engine holds it at the end."""

    order_id: str
    state: str
    carrier: str
    waybill_number: str
    attempts: tuple[Attempt, ...]


class Booked(msgspec.Struct, frozen=True):
    """A line of a carrier's ledger, its time in seconds of the run."""

    at_s: float
    carrier: str
    order_id: str
    waybill_number: str


class Sample(msgspec.Struct, frozen=True):
    """SICK's booking lane at a time. calls, books: as its simulator counted; engine_calls: as the engine did.

    breaker: 0 closed, 1 half-open, 2 open. opened: how often until now.
    """

    at_s: float
    calls: int
    books: int
    busy: int
    engine_calls: int
    breaker: int
    opened: int
    in_flight: int
    cpu_s: float


class Run(msgspec.Struct, frozen=True):
    """Everything about one run. facts by order id; cancelled: waybills that ledgers hold as void."""

    plan: Plan
    orders: list[Sent]
    facts: dict[str, Fact]
    samples: list[Sample]
    ledger: list[Booked]
    cancelled: frozenset[str]
    drained_s: float


async def play(folder: Path, plan: Plan) -> Run:
    """Start everything, send the orders, wait for those still open, read rows and ledgers."""
    async with (
        running_sandbox(folder, carriers=(SICK, WELL)) as sandbox,
        connected(sandbox.server, CONNECTIONS) as stubs,
    ):
        await sandbox.simulators[SICK].set_faults(plan.faults()[0][2])
        await sandbox.simulators[WELL].set_faults(
            Faults(operations=("book",), latency_s=LATENCY_S, latency_jitter_s=LATENCY_S / 2)
        )
        samples: list[Sample] = []
        read = functools.partial(_read, sandbox.engine_pid)
        started, wall_s = time.perf_counter() + 0.5, time.time() + 0.5
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(sample(sandbox, SICK, samples, started, every_s=SAMPLE_S, read=read))
            group.create_task(misbehave(sandbox, plan.faults()[1:], started))
            orders = await _send(stubs, plan, started)
            drained_s = await _drain(stubs[0], plan.drain_s)
            watching.cancel()
        facts = {fact.order_id: fact for fact in await _facts(stubs[0], wall_s)}
        entries = [(name, entry) for name, s in sandbox.simulators.items() for entry in s.entries()]
        ledger = [_booked(name, entry, wall_s) for name, entry in entries if entry.kind == "BOOKED"]
        cancelled = frozenset(entry.waybill_number for _, entry in entries if entry.kind == "CANCELLED")
        return Run(plan, orders, facts, samples, ledger, cancelled, drained_s)


def _booked(carrier: str, entry: Entry, wall_s: float) -> Booked:
    owner = str(uuid.UUID(entry.reference.partition("-")[0]))
    return Booked(entry.time.timestamp() - wall_s, carrier, owner, entry.waybill_number)


async def _send(stubs: Sequence[Stub], plan: Plan, started: float) -> list[Sent]:
    run = uuid.uuid4().hex
    orders = [Sent(at_s, group=group) for at_s, group in plan.due()]

    def make(index: int, one: Sent) -> core_pb2.Order:
        wanted = order(run, index)
        wanted.routing.CopyFrom(ROUTES[one.group])
        return wanted

    await send(stubs, orders, started, make=make, deadline_s=DEADLINE_S)
    return orders


async def _drain(stub: Stub, drain_s: float) -> float:
    """Wait until no order is under way; seconds it took."""
    started = time.perf_counter()
    request = pb.ListOrdersRequest(page_size=1, states=OPEN_STATES)
    while time.perf_counter() - started < drain_s:
        if not (await stub.ListOrders(request, timeout=DEADLINE_S)).orders:
            break
        await asyncio.sleep(0.5)
    return time.perf_counter() - started


async def _facts(stub: Stub, wall_s: float) -> list[Fact]:
    facts: list[Fact] = []
    token = ""
    while True:
        page = await stub.ListOrders(pb.ListOrdersRequest(page_size=500, page_token=token), timeout=DEADLINE_S * 3)
        facts += [_fact(one, wall_s) for one in page.orders]
        token = page.next_page_token
        if not token:
            return facts


def _fact(one: core_pb2.Order, wall_s: float) -> Fact:
    state = core_pb2.Order.State.Name(one.state).removeprefix("STATE_")
    attempts = tuple(_attempt(a, wall_s) for a in one.attempts)
    return Fact(one.order_id, state, one.booking.carrier, one.booking.waybill_number, attempts)


def _attempt(row: core_pb2.Attempt, wall_s: float) -> Attempt:
    state = core_pb2.Attempt.State.Name(row.state).removeprefix("STATE_")
    start_s = row.start_time.ToNanoseconds() / 1e9 - wall_s
    end_s = start_s + row.duration.ToNanoseconds() / 1e9 if row.HasField("duration") else float("inf")
    # The lane's own words: it sent nothing, so no call was made.
    return Attempt(row.carrier, state, "sent nothing" not in row.cause, start_s, end_s)


def _read(pid: int, at_s: float, metrics: Metrics, stats: dict[str, Any]) -> Sample:
    def total(name: str, **labels: str) -> int:
        return int(sum(values(metrics, f"crossdock_{name}", account=f"{SICK}-sandbox", **labels)))

    return Sample(
        at_s,
        sum(int(stats["calls"].get(operation, 0)) for operation in BOOKING_OPERATIONS),
        int(stats["calls"].get("book", 0)),
        int(stats["busy"]),
        sum(total("carrier_calls_total", operation=operation) for operation in BOOKING_OPERATIONS),
        total("breaker_state", operation_class="BOOKING"),
        total("breaker_changes_total", operation_class="BOOKING", state="OPEN"),
        total("carrier_calls_in_flight", operation_class="BOOKING"),
        cpu_s(pid),
    )
