"""An open load: orders sent at times fixed beforehand, whether or not earlier ones were answered."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import grpc
import httpx
import msgspec

from benchmarks.metrics import Metrics, scrape
from crossdock.v1 import core_pb2, order_service_pb2, order_service_pb2_grpc
from crossdock_sdk.simulator import Faults
from engine.cli.sandbox import Sandbox

pb = order_service_pb2
Stub: TypeAlias = "order_service_pb2_grpc.OrderServiceAsyncStub"
"""Known to type checkers alone."""


class Due(msgspec.Struct):
    """An order as its caller saw it, in seconds of the run.

    at_s: when it was due. late_s: how much later it was sent. took_s: until its answer, since it was due.
    code: of gRPC, "" when accepted.
    """

    at_s: float
    late_s: float = 0.0
    took_s: float = 0.0
    code: str = ""
    order_id: str = ""


One = TypeVar("One", bound=Due)
Seen = TypeVar("Seen")


async def sleep_until(at: float) -> None:
    """Until `time.perf_counter()` says so; a time that has passed costs nothing, so that who is late catches up."""
    wait_s = at - time.perf_counter()
    if wait_s > 0:
        await asyncio.sleep(wait_s)


@asynccontextmanager
async def connections(server: str, count: int) -> AsyncIterator[list[grpc.aio.Channel]]:
    """`count` connections of their own: one lets no more than 128 calls through at once."""
    apart = (("grpc.use_local_subchannel_pool", 1),)
    async with AsyncExitStack() as stack:
        channels = [grpc.aio.insecure_channel(server, options=apart) for _ in range(count)]
        for channel in channels:
            await stack.enter_async_context(channel)
        yield channels


@asynccontextmanager
async def connected(server: str, count: int) -> AsyncIterator[list[Stub]]:
    """Such connections for orders."""
    async with connections(server, count) as channels:
        yield [order_service_pb2_grpc.OrderServiceStub(channel) for channel in channels]


async def send(
    stubs: Sequence[Stub],
    orders: Sequence[One],
    started: float,
    *,
    make: Callable[[int, One], core_pb2.Order],
    note: Callable[[One, core_pb2.Order], None] = lambda one, made: None,
    deadline_s: float,
) -> None:
    """Create what `make` says for each when it is due, and write down how that ended; `note` hears what was made."""

    async def create(stub: Stub, one: One, wanted: core_pb2.Order) -> None:
        try:
            answer = await stub.CreateOrder(pb.CreateOrderRequest(order=wanted), timeout=deadline_s)
        except grpc.aio.AioRpcError as error:
            one.code = error.code().name
        else:
            one.order_id = answer.order.order_id
            note(one, answer.order)
        one.took_s = time.perf_counter() - started - one.at_s

    async with asyncio.TaskGroup() as group:
        for index, one in enumerate(orders):
            await sleep_until(started + one.at_s)
            one.late_s = time.perf_counter() - started - one.at_s
            group.create_task(create(stubs[index % len(stubs)], one, make(index, one)))


async def misbehave(sandbox: Sandbox, planned: Iterable[tuple[float, str, Faults]], started: float) -> None:
    """Make each simulator behave so from its second of the run on."""
    for at_s, name, faults in planned:
        await sleep_until(started + at_s)
        await sandbox.simulators[name].set_faults(faults)


async def sample(
    sandbox: Sandbox,
    carrier: str,
    samples: list[Seen],
    started: float,
    *,
    every_s: float,
    read: Callable[[float, Metrics, dict[str, Any]], Seen],
) -> None:
    """Until cancelled: add what `read` makes of the second of the run, the engine's metrics, a simulator's counts."""
    async with httpx.AsyncClient(trust_env=False) as http:
        for turn in itertools.count():
            await sleep_until(started + turn * every_s)
            metrics = await scrape(http, sandbox)
            stats = (await http.get(f"{sandbox.simulators[carrier].control_url}/stats")).json()
            samples.append(read(time.perf_counter() - started, metrics, stats))


def doubled(sandbox: Sandbox) -> int:
    """Orders that have more than one live waybill in the carriers' ledgers."""
    owners = Counter(
        reference.rpartition("-")[0]
        for simulator in sandbox.simulators.values()
        for reference in simulator.live_waybills().values()
    )
    return sum(count > 1 for count in owners.values())
