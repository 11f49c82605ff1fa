"""Stopping: new calls are refused, what is under way ends, and nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from crossdock.v1 import core_pb2, order_service_pb2
from crossdock_sdk.simulator import Faults
from tests.integration.kit import State, create, only, order
from tests.integration.world import API_KEYS, Caller, World, open_channel, running_engine_of, simulated

pytestmark = pytest.mark.anyio
pb = order_service_pb2


class Stoppable:
    """An engine that a test stops while its own connection stays open."""

    def __init__(self, world: World, caller: Caller, task: asyncio.Task[None], leave: asyncio.Event) -> None:
        self.world = world
        self.caller = caller
        self.stopped = task
        self._leave = leave

    def stop(self) -> None:
        """What the first signal does."""
        self.world.engine.stop()
        self._leave.set()


@asynccontextmanager
async def stoppable(folder: Path, simulators: Any, **settings: Any) -> AsyncIterator[Stoppable]:
    """Run an engine in a task of its own, stopped at the latest at the end."""
    leave = asyncio.Event()
    ready: asyncio.Future[World] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        async with running_engine_of(folder, simulators, settings) as world:
            ready.set_result(world)
            await leave.wait()

    task = asyncio.create_task(run())
    await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await task  # tells why it did not start
    world = ready.result()
    async with open_channel(world.server) as channel:
        engine = Stoppable(world, Caller(channel, API_KEYS["amber"]), task, leave)
        try:
            yield engine
        finally:
            engine.stop()
            world.engine.stop()
            await task


@pytest.fixture
async def simulators(tmp_path: Path) -> AsyncIterator[Any]:
    """Carriers that outlive the engine."""
    async with simulated(tmp_path) as running:
        yield running


async def test_a_creation_under_way_finishes_while_new_calls_are_refused(tmp_path: Path, simulators: Any) -> None:
    """Draining refuses new calls with UNAVAILABLE, says so to probes, and answers the order that was being booked."""
    await simulators["sf"].set_faults(Faults(operations=("book",), latency_s=0.8))
    async with stoppable(tmp_path, simulators) as running:
        creating = asyncio.ensure_future(running.caller.CreateOrder(create("stop-finish", routing=only("sf"))))
        await _event(running.caller)

        running.stop()
        async with httpx.AsyncClient(base_url=running.world.url, trust_env=False) as probe:
            ready = await _until_not_ready(probe)
            alive = await probe.get("/healthz")
        async with open_channel(running.world.server) as channel:
            newcomer = await _code(Caller(channel, API_KEYS["amber"]))

        assert (ready.status_code, ready.text) == (503, "draining\n")
        assert alive.status_code == 200
        assert newcomer == grpc.StatusCode.UNAVAILABLE
        assert (await creating).order.state == State.STATE_BOOKED
        await running.stopped


async def test_watches_end_cleanly(tmp_path: Path, simulators: Any) -> None:
    """A watcher's stream ends with OK, so that its client resumes from its last cursor elsewhere."""
    async with stoppable(tmp_path, simulators) as running:
        watch = running.caller.WatchOrders(pb.WatchOrdersRequest(), timeout=None)
        await watch.read()

        running.stop()

        assert await watch.read() == grpc.aio.EOF
        assert await watch.code() == grpc.StatusCode.OK
        await running.stopped


async def test_health_watchers_hear_of_the_drain(tmp_path: Path, simulators: Any) -> None:
    """A load balancer that watches health is told NOT_SERVING before the port closes."""
    async with stoppable(tmp_path, simulators) as running, open_channel(running.world.server) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        first = await watch.read()

        running.stop()
        second = await watch.read()

        assert [first.status, second.status] == [
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.NOT_SERVING,
        ]
        watch.cancel()
        await running.stopped


async def test_an_idle_engine_stops_at_once(tmp_path: Path, simulators: Any) -> None:
    """With nothing under way the drain time is not waited for."""
    async with stoppable(tmp_path, simulators, server={"drain_s": 30.0}) as running:
        await running.caller.ListOrders(pb.ListOrdersRequest())
        started = time.monotonic()

        running.stop()
        await running.stopped

        assert time.monotonic() - started < 5


async def test_a_second_signal_does_not_wait_for_a_silent_carrier(tmp_path: Path, simulators: Any) -> None:
    """Stopped twice the engine leaves at once; started again it finds out what became of the booking."""
    await simulators["sf"].set_faults(Faults(operations=("book",), silence_share=1.0))
    async with stoppable(tmp_path, simulators, server={"drain_s": 30.0}) as running:
        creating = asyncio.ensure_future(running.caller.CreateOrder(create("stop-twice", routing=only("sf"))))
        await _event(running.caller)
        while not simulators["sf"].simulator.ledger.entries:
            await asyncio.sleep(0)
        started = time.monotonic()

        running.stop()
        running.stop()
        await running.stopped

        took_s = time.monotonic() - started
        await asyncio.wait((creating,))
        assert creating.exception() is not None
        assert took_s < 5

    await simulators["sf"].set_faults(Faults())
    async with stoppable(tmp_path, simulators) as again:
        found = await _settled(again.caller, "stop-twice")

    assert found.state == State.STATE_BOOKED
    [entry] = simulators["sf"].simulator.ledger.entries
    assert found.booking.waybill_number == entry.waybill_number


async def test_a_stream_under_way_loses_nothing(tmp_path: Path, simulators: Any) -> None:
    """A client that keeps its stream open is cut at the drain time; what it had sent is booked, each once."""
    await simulators["sf"].set_faults(Faults(operations=("book",), latency_s=0.1))
    async with stoppable(tmp_path, simulators, server={"drain_s": 1.5}) as running:
        call = running.caller.StreamCreateOrders()
        for n in range(40):
            wanted = order(f"stop-stream-{n}", routing=only("sf"))
            await call.write(pb.StreamCreateOrdersRequest(index=n, order=wanted))
        await call.read()

        running.stop()
        await running.stopped
        call.cancel()

    await simulators["sf"].set_faults(Faults())
    async with stoppable(tmp_path, simulators) as again:
        stored = (await again.caller.ListOrders(pb.ListOrdersRequest(page_size=100))).orders
        orders = [await _settled(again.caller, o.reference) for o in stored]

    assert orders
    assert {o.state for o in orders} == {State.STATE_BOOKED}
    numbers = sorted(e.waybill_number for e in simulators["sf"].simulator.ledger.entries)
    assert sorted(o.booking.waybill_number for o in orders) == numbers


async def _event(caller: Caller) -> None:
    """Until the first order is durable."""
    watch = caller.WatchOrders(pb.WatchOrdersRequest(cursor="0"))
    await watch.read()
    watch.cancel()


async def _settled(caller: Caller, reference: str) -> core_pb2.Order:
    """The order once it is neither accepted nor being booked; events tell when to look again."""
    watch = caller.WatchOrders(pb.WatchOrdersRequest())
    async with asyncio.timeout(20):
        async for _ in watch:
            answer = await caller.GetOrder(pb.GetOrderRequest(reference=reference))
            if answer.order.state not in (State.STATE_ACCEPTED, State.STATE_BOOKING):
                watch.cancel()
                return answer.order  # type: ignore[no-any-return]  # stubs are reached by name
    raise AssertionError("the watch ended")


async def _until_not_ready(probe: httpx.AsyncClient) -> httpx.Response:
    async with asyncio.timeout(5):
        while (answer := await probe.get("/readyz")).status_code == 200:
            pass
    return answer


async def _code(caller: Caller) -> grpc.StatusCode:
    try:
        await caller.ListOrders(pb.ListOrdersRequest(), timeout=2.0)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
