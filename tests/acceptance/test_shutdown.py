"""SIGTERM under load: the engine ends by itself with exit code 0 and owes nobody anything."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc
import pytest

from crossdock.v1 import core_pb2
from tests.acceptance.checker import violations
from tests.acceptance.harness import World, eventually, parcel_order, state_of, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

CLIENTS = 8
AT_ONCE_S = 3.0
"""What "at once" may take: closing the store included, beside other work on two cores."""


def test_clients_with_one_retry_lose_nothing(tmp_path: Path) -> None:
    """A call is answered OK or UNAVAILABLE; repeated at the restarted engine, each is OK."""

    async def play() -> None:
        async with world(tmp_path) as w:
            await w.faults("sf", latency_s=0.1, latency_jitter_s=0.2)
            back = asyncio.Event()
            clients = [asyncio.create_task(_client(w, n, back)) for n in range(CLIENTS)]
            await eventually(lambda: _answered(w, CLIENTS), 20.0)
            w.sandbox.terminate_engine()
            exit_code = await w.sandbox.wait_engine()
            await w.sandbox.start_engine()
            back.set()
            created = [order for orders in await asyncio.gather(*clients) for order in orders]
            await w.at_rest()
            evidence = await w.evidence()

        codes = {call.code for call in w.calls}
        assert exit_code == 0
        assert codes <= {"OK", "UNAVAILABLE"}
        assert "UNAVAILABLE" in codes
        assert len(created) == len(evidence.orders)
        assert violations(evidence) == []

    asyncio.run(play())


def test_a_call_under_way_is_answered_first(tmp_path: Path) -> None:
    """The carrier takes its time: the caller still gets the waybill, then the engine ends."""

    async def play() -> None:
        async with world(tmp_path) as w:
            await w.faults("sf", operations=["book"], latency_s=1.0)
            creating = asyncio.create_task(w.create(parcel_order("under-way")))
            await eventually(lambda: _has_booked(w), 10.0)
            w.sandbox.terminate_engine()
            order = await creating
            exit_code = await w.sandbox.wait_engine()

        assert state_of(order) == "BOOKED"
        assert [call.code for call in w.calls] == ["OK"]
        assert exit_code == 0

    asyncio.run(play())


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """The carrier is silent: the second SIGTERM does not wait for it; the order is found later."""

    async def play() -> None:
        async with world(tmp_path) as w:
            await w.faults("sf", operations=["book"], silence_share=1.0)
            creating = asyncio.create_task(w.create(parcel_order("hurried"), deadline_s=30.0))
            await eventually(lambda: _has_booked(w), 10.0)
            w.sandbox.terminate_engine()
            refused = await eventually(lambda: _refuses(w), 10.0)
            still_waits = not creating.done()
            started_s = time.monotonic()
            w.sandbox.terminate_engine()
            exit_code = await w.sandbox.wait_engine()
            took_s = time.monotonic() - started_s
            await w.heal()
            await w.sandbox.start_engine()
            order = await w.becomes(await creating, "BOOKED")
            evidence = await w.evidence()

        assert refused
        assert still_waits
        assert exit_code == 0
        assert took_s < AT_ONCE_S
        assert (state_of(order), order.booking.carrier) == ("BOOKED", "sf")
        assert violations(evidence) == []

    asyncio.run(play())


async def _client(w: World, number: int, back: asyncio.Event) -> list[core_pb2.Order]:
    """Creates until refused, waits for the engine to be back, repeats that one once."""
    orders: list[core_pb2.Order] = []
    while not back.is_set():
        order = parcel_order(f"load-{number}-{len(orders)}")
        try:
            orders.append(await w.create(order, patience_s=0.0))
        except grpc.aio.AioRpcError:
            async with asyncio.timeout(40.0):
                await back.wait()
                await w.channel().channel_ready()
            orders.append(await w.create(order, patience_s=0.0))
    return orders


async def _answered(w: World, count: int) -> bool:
    return sum(call.acknowledged for call in w.calls) >= count


async def _has_booked(w: World) -> bool:
    return bool(w.ledgers()["sf"])


async def _refuses(w: World) -> bool:
    """Whether new calls are turned away."""
    try:
        await w.create(parcel_order("late"), patience_s=0.0, deadline_s=1.0)
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False
