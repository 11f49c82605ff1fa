"""A flood of calls of every kind: what matters least is refused first, bookings go on, and it is over by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from crossdock.v1 import (
    core_pb2,
    label_service_pb2,
    label_service_pb2_grpc,
    order_service_pb2,
    order_service_pb2_grpc,
    track_service_pb2,
    track_service_pb2_grpc,
)
from tests.acceptance.harness import World, eventually, parcel_order, world
from tests.integration.kit import answered

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

pb = order_service_pb2
SACRIFICE = ("ListOrders", "QuoteOrder", "GetTrack", "GetLabel", "CreateOrder")
"""In this order."""
KEPT = ("CancelOrder", "Check")
CONNECTIONS, CALLERS = 8, 960
"""More at once than any engine answers within the waits of `SETTINGS`."""
SETTINGS: Mapping[str, Any] = {"overload": {"door_wait_s": 0.03}, "booking": {"review_after_s": 60.0}}
FLOOD_AT_MOST_S = 15.0
ENOUGH = 50
"""Bookings that were refused: then all others were given up before."""
OVER_WITHIN_S = 20.0
TOLERANCE = 0.1


class Flood:
    """Callers that call again as soon as they are answered, each kind in turn; and what they were told."""

    def __init__(self, booked: core_pb2.Order) -> None:
        self.offered, self.refused, self.served = Counter[str](), Counter[str](), Counter[str]()
        self.others: list[str] = []
        self.waybills: set[str] = set()
        self.is_counted = True
        self.is_shed = False
        self._booked = booked
        self._number = count()

    def calls(self, channel: grpc.aio.Channel) -> dict[str, Callable[[], Awaitable[Any]]]:
        """One call of each kind."""
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        labels = label_service_pb2_grpc.LabelServiceStub(channel)
        tracks = track_service_pb2_grpc.TrackServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        order_id, at_most_s = self._booked.order_id, 30.0
        label, track = label_service_pb2.GetLabelRequest, track_service_pb2.GetTrackRequest
        return {
            "ListOrders": lambda: orders.ListOrders(pb.ListOrdersRequest(page_size=1), timeout=at_most_s),
            "QuoteOrder": lambda: orders.QuoteOrder(pb.QuoteOrderRequest(order=self._new()), timeout=at_most_s),
            "GetTrack": lambda: tracks.GetTrack(track(order_id=order_id), timeout=at_most_s),
            "GetLabel": lambda: labels.GetLabel(label(order_id=order_id), timeout=at_most_s),
            "CreateOrder": lambda: orders.CreateOrder(pb.CreateOrderRequest(order=self._new()), timeout=at_most_s),
            # An order that nobody made: found out as cheaply as a cancel can be.
            "CancelOrder": lambda: orders.CancelOrder(pb.CancelOrderRequest(order_id="none"), timeout=at_most_s),
            "Check": lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=at_most_s),
        }

    async def call(self, kind: str, ask: Callable[[], Awaitable[Any]]) -> bool:
        """One call; whether it was served."""
        is_counted = self.is_counted
        self.offered[kind] += is_counted
        try:
            answer = await ask()
        except grpc.aio.AioRpcError as error:
            status = answered(error)
            if status.reason == "ENGINE_OVERLOADED":
                assert status.code is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert status.detail(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() > 0
                self.is_shed = self.is_shed or kind == "CreateOrder"
                self.refused[kind] += is_counted
                return False
            if kind != "CancelOrder" or status.reason != "ORDER_NOT_FOUND":
                self.others.append(f"{kind}: {status.code.name} {status.reason}")
        else:
            if kind == "CreateOrder" and answer.order.booking.waybill_number:
                self.waybills.add(answer.order.booking.waybill_number)
        self.served[kind] += is_counted
        return True

    async def run(self, w: World) -> None:
        """Until bookings are refused, and then enough of them, or time is up.

        Counted are calls sent after the first refusal of a booking: each queue at the door has its own wait, so that
        what was sent before meets the engine at different times.
        """
        self.is_counted = False
        async with AsyncExitStack() as stack:
            options = (("grpc.use_local_subchannel_pool", 1),)
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(w.sandbox.server, options=options))
                for _ in range(CONNECTIONS)
            ]
            over = asyncio.Event()
            callers = [asyncio.create_task(self._caller(channels[n % CONNECTIONS], n, over)) for n in range(CALLERS)]

            async def shed() -> bool:
                return self.is_shed

            async def enough() -> bool:
                return self.refused["CreateOrder"] >= ENOUGH and self.served["CreateOrder"] > 0

            self.is_counted = await eventually(shed, FLOOD_AT_MOST_S)
            await eventually(enough, FLOOD_AT_MOST_S)
            over.set()
            await asyncio.gather(*callers)

    async def _caller(self, channel: grpc.aio.Channel, first: int, over: asyncio.Event) -> None:
        calls = list(self.calls(channel).items())
        for turn in count(first):
            if over.is_set():
                return
            await self.call(*calls[turn % len(calls)])

    def _new(self) -> core_pb2.Order:
        return parcel_order(f"flood-{next(self._number)}")


def test_a_flood_is_shed_in_order_and_forgotten(tmp_path: Path) -> None:
    """Lists, quotes, tracks, labels, bookings; never cancels or health; then everything is served again by itself."""

    async def play() -> None:
        async with world(tmp_path, settings=SETTINGS) as w:
            flood = Flood(await w.create(parcel_order("before")))
            await flood.run(w)
            assert flood.is_shed, "bookings were not shed"
            parts = {kind: flood.refused[kind] / flood.offered[kind] for kind in (*SACRIFICE, *KEPT)}
            back = Flood(flood._booked)

            async def all_served() -> bool:
                served = [await back.call(kind, ask) for kind, ask in back.calls(w.channel()).items()]
                return all(served) and not await w.metric("crossdock_brownout_pressure")

            async def at_rest() -> bool:
                return not await w.metric("crossdock_orders_in_work")

            is_over = await eventually(all_served, OVER_WITHIN_S)
            assert is_over, f"still refused {OVER_WITHIN_S:g} s after the flood: {back.refused}"
            assert await eventually(at_rest, OVER_WITHIN_S)
            live = {number for simulator in w.sandbox.simulators.values() for number in simulator.live_waybills()}
            level = await w.metric("crossdock_brownout_level")

            assert flood.refused["CreateOrder"] >= ENOUGH, f"bookings were not shed: {parts}"
            assert all(parts[less] >= parts[more] - TOLERANCE for less, more in pairwise(SACRIFICE)), parts
            assert not any(flood.refused[kind] for kind in KEPT), flood.refused
            assert flood.served["CreateOrder"] > 0
            assert not flood.others, Counter(flood.others)
            assert flood.waybills <= live
            assert level == 0

    asyncio.run(play())
