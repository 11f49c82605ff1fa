"""Overload seen by callers: what is refused at which level, how, and what is never refused."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from crossdock.v1 import core_pb2, label_service_pb2, order_service_pb2, return_service_pb2, track_service_pb2
from engine.core.policy.brownout import Level
from tests.integration.kit import Answered, answered, booked, create, order, refusal
from tests.integration.world import World, running_world

pytestmark = pytest.mark.anyio
pb = order_service_pb2


def _calls(world: World, booking: core_pb2.Order) -> dict[str, Any]:
    """A sound call of each kind, by RPC."""
    caller = world.caller()
    return {
        "ListOrders": lambda: caller.ListOrders(pb.ListOrdersRequest()),
        "ListReturns": lambda: caller.ListReturns(return_service_pb2.ListReturnsRequest()),
        "MergeLabels": lambda: caller.MergeLabels(
            label_service_pb2.MergeLabelsRequest(order_ids=[booking.order_id])
        ).read(),
        "QuoteOrder": lambda: caller.QuoteOrder(pb.QuoteOrderRequest(order=order("quote"))),
        "GetLabel": lambda: caller.GetLabel(label_service_pb2.GetLabelRequest(order_id=booking.order_id)),
        "CreateOrder": lambda: caller.CreateOrder(create(f"new-{world.engine.parts.brownout.level}")),
        "GetTrack": lambda: caller.GetTrack(track_service_pb2.GetTrackRequest(order_id=booking.order_id)),
        "GetOrder": lambda: caller.GetOrder(pb.GetOrderRequest(order_id=booking.order_id)),
        "CancelOrder": lambda: caller.CancelOrder(pb.CancelOrderRequest(order_id=booking.order_id)),
    }


REFUSED = {
    Level.NORMAL: set[str](),
    Level.EXPORTS: {"ListOrders", "ListReturns", "MergeLabels"},
    Level.QUESTIONS: {"ListOrders", "ListReturns", "MergeLabels", "QuoteOrder"},
    Level.LABELS: {"ListOrders", "ListReturns", "MergeLabels", "QuoteOrder", "GetTrack", "GetLabel"},
    Level.BOOKINGS: {"ListOrders", "ListReturns", "MergeLabels", "QuoteOrder", "GetTrack", "GetLabel", "CreateOrder"},
}


async def _refusal_of(call: Any) -> Answered | None:
    """How a call was refused, None when it was served."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return answered(error)
    return None


@pytest.mark.parametrize("level", Level)
async def test_each_level_refuses_its_calls_and_no_others(world: World, level: Level) -> None:
    """Every refusal is ENGINE_OVERLOADED with RetryInfo; reading an order and cancelling work at every level."""
    booking = await booked(world.caller(), f"overload-{level}")
    refused = set()
    for method, call in _calls(world, booking).items():
        world.engine.parts.brownout.level = level  # nothing is measured in this world
        status = await _refusal_of(call())
        if status is not None:
            retry = status.detail(error_details_pb2.RetryInfo).retry_delay
            assert (status.code, status.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ENGINE_OVERLOADED")
            assert retry.ToTimedelta().total_seconds() == 1.0
            refused.add(method)
    world.engine.parts.brownout.level = Level.NORMAL

    assert refused == REFUSED[level]


async def test_a_refused_call_is_not_even_read(world: World) -> None:
    """Bytes that are no message are refused like any other, without a look at them."""
    raw: Any = world.channel.unary_unary("/crossdock.v1.OrderService/ListOrders")
    world.engine.parts.brownout.level = Level.EXPORTS
    status = await refusal(raw(b"\xff\xff\xff", metadata=world.caller().metadata, timeout=10))
    world.engine.parts.brownout.level = Level.NORMAL
    otherwise = await refusal(raw(b"\xff\xff\xff", metadata=world.caller().metadata, timeout=10))

    assert (status.reason, otherwise.reason) == ("ENGINE_OVERLOADED", "REQUEST_INVALID")


async def test_refused_calls_leave_nothing_behind(world: World) -> None:
    """Neither frames nor what gRPC knows of a call, be it one answer or a stream; a flood is made of thousands."""
    caller, refused = world.caller(), 100
    ask: dict[str, Any] = {
        "unary": lambda: caller.ListOrders(pb.ListOrdersRequest()),
        "stream": lambda: caller.MergeLabels(label_service_pb2.MergeLabelsRequest(order_ids=["none"])).read(),
    }
    world.engine.parts.brownout.level = Level.EXPORTS
    kept = {}
    for kind, call in ask.items():
        await refusal(call())
        before = _calls_kept()
        for _ in range(refused):
            await refusal(call())
        kept[kind] = _calls_kept() - before
    world.engine.parts.brownout.level = Level.NORMAL

    assert max(kept.values()) < refused / 10, kept


def _calls_kept() -> int:
    gc.collect()
    return sum(type(one).__name__ in ("AbortError", "_ServicerContext", "traceback") for one in gc.get_objects())


async def test_a_late_loop_is_seen_told_and_over_again(tmp_path: Path) -> None:
    """The engine measures itself: it sheds, logs, counts, and serves again after the calm."""
    overload = {"enabled": True, "loop_lag_s": 0.2, "calm_s": 0.1}
    async with running_world(tmp_path, settings={"overload": overload}, carriers=()) as world:
        clock = world.engine.parts.clock
        async with asyncio.timeout(40):
            while not world.engine.parts.brownout.level:
                ends = clock.monotonic() + 0.4
                while clock.monotonic() < ends:
                    pass
                await asyncio.sleep(0)
            text = ""
            while "crossdock_brownout_level 0.0" not in text:
                text = (await world.http.get("/metrics")).text

    assert 'cause="loop_lag"' in text
    assert '"cause":"loop_lag"' in world.log_text().replace(" ", "")


async def test_essential_calls_find_room_when_all_others_do_not(tmp_path: Path) -> None:
    """Above `max_concurrent_calls` a cancel is still served."""
    async with running_world(tmp_path, settings={"server": {"max_concurrent_calls": 2}}) as world:
        caller = world.caller()
        booking = await booked(caller, "room-1")
        watches = [caller.WatchOrders(pb.WatchOrdersRequest(), timeout=None) for _ in range(2)]
        for watch in watches:
            await watch.read()
        listed = await refusal(caller.ListOrders(pb.ListOrdersRequest()))
        answer = await caller.CancelOrder(pb.CancelOrderRequest(order_id=booking.order_id))

    assert listed.reason == "ENGINE_OVERLOADED"
    assert answer.order.state == core_pb2.Order.State.STATE_CANCELLED


async def test_calls_that_wait_at_the_door_are_seen_before_they_get_in(tmp_path: Path) -> None:
    """While the event loop looks elsewhere gRPC keeps the calls; a knock among them tells how long."""
    async with running_world(tmp_path, settings={"overload": {"enabled": True}}, carriers=()) as world:
        clock, waits = world.engine.parts.clock, [0.0]
        async with asyncio.timeout(40):
            while max(waits) < 0.1:
                asking = [refusal(world.caller().GetOrder(pb.GetOrderRequest(order_id="x"))) for _ in range(8)]
                answers = asyncio.gather(*asking)
                for _ in range(20):
                    ends = clock.monotonic() + 0.05
                    while clock.monotonic() < ends:
                        pass
                    await asyncio.sleep(0)
                await answers
                text = (await world.http.get("/metrics")).text
                waits.append(
                    float(text.partition('\ncrossdock_door_wait_seconds{queue="others"} ')[2].partition("\n")[0])
                )

    assert max(waits) < 5.0


async def test_calls_that_pile_up_before_the_door_are_answered_one_and_all(world: World) -> None:
    """Left to itself gRPC cuts some of them once a thousand wait: at random, and with nothing that tells why."""
    address, options = world.server, (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(20)]
    await asyncio.gather(*[channel.channel_ready() for channel in channels])
    raw: list[Any] = [channel.unary_unary("/crossdock.v1.OrderService/GetOrder") for channel in channels]
    calls: list[Any] = [raw[number % 20](b"", timeout=60) for number in range(2400)]
    await asyncio.sleep(0)  # all of them are sent before the engine sees the first
    ends = world.engine.parts.clock.monotonic() + 1.0
    while world.engine.parts.clock.monotonic() < ends:
        pass
    codes = {await call.code() for call in calls}
    await asyncio.gather(*[channel.close() for channel in channels])

    assert codes == {grpc.StatusCode.UNAUTHENTICATED}


async def test_nobody_else_can_knock(world: World) -> None:
    """A call that only says it is a knock is a call like any other, and needs a key."""
    raw: Any = world.channel.unary_unary("/crossdock.v1.OrderService/CreateOrder")
    status = await refusal(raw(b"", metadata=(("crossdock-knock", "guessed"),), timeout=10))

    assert status.code is grpc.StatusCode.UNAUTHENTICATED
