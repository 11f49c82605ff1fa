"""WatchOrders: commit order without gaps, resuming, filters, checkpoints and cursors."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from crossdock.v1 import core_pb2, order_service_pb2
from tests.integration.kit import State, booked, only, order, refusal
from tests.integration.world import World, running_world

pytestmark = pytest.mark.anyio
pb = order_service_pb2
Kind = pb.OrderEvent.Kind


class Watcher:
    """A watch that is read message by message, each within a few seconds."""

    def __init__(self, world: World, cursor: str = "", **wanted: Any) -> None:
        self.call = world.caller().WatchOrders(pb.WatchOrdersRequest(cursor=cursor, **wanted), timeout=None)

    async def take(self, count: int) -> list[pb.WatchOrdersResponse]:
        """The next messages."""
        async with asyncio.timeout(10):
            return [await self.call.read() for _ in range(count)]

    async def until(self, reference: str, kind: int) -> list[pb.WatchOrdersResponse]:
        """Messages up to and including that event."""
        seen: list[pb.WatchOrdersResponse] = []
        while not seen or (seen[-1].event.reference, seen[-1].event.kind) != (reference, kind):
            seen += await self.take(1)
        return seen


async def _events(world: World, reference: str, kind: int) -> list[pb.WatchOrdersResponse]:
    """Everything from the first event to that one."""
    watcher = Watcher(world, "0")
    seen = await watcher.until(reference, kind)
    watcher.call.cancel()
    return seen


async def test_a_watch_from_zero_tells_an_orders_whole_story(world: World) -> None:
    """Accepted, booked, cancelling, cancelled: in commit order with ascending cursors."""
    placed = await booked(world.caller(), "watch-story", routing=only("sf"))
    await world.caller().CancelOrder(pb.CancelOrderRequest(order_id=placed.order_id))

    seen = await _events(world, "watch-story", Kind.KIND_ORDER_CANCELLED)

    story = [m for m in seen if m.event.order_id == placed.order_id]
    assert [m.event.kind for m in story] == [
        Kind.KIND_ORDER_ACCEPTED,
        Kind.KIND_ORDER_BOOKED,
        Kind.KIND_ORDER_CANCELLING,
        Kind.KIND_ORDER_CANCELLED,
    ]
    assert story[1].event.waybill_number == placed.booking.waybill_number
    assert story[1].event.carrier == "sf"
    cursors = [int(m.cursor) for m in seen]
    assert cursors == sorted(set(cursors))


async def test_a_watch_from_now_tells_what_comes(world: World) -> None:
    """With an empty cursor the first message says where "now" is; only later events follow."""
    await booked(world.caller(), "watch-before")
    watcher = Watcher(world)
    [start] = await watcher.take(1)

    await booked(world.caller(), "watch-after")

    seen = await watcher.take(2)
    watcher.call.cancel()
    assert not start.HasField("event")
    assert [m.event.reference for m in seen] == ["watch-after", "watch-after"]
    assert int(start.cursor) + 1 == int(seen[0].cursor)


async def test_a_cut_watch_resumes_without_a_gap(world: World) -> None:
    """A reader that left goes on after its last cursor, and misses nothing of the time between."""
    await booked(world.caller(), "watch-cut-1")
    first = await _events(world, "watch-cut-1", Kind.KIND_ORDER_BOOKED)
    await booked(world.caller(), "watch-cut-2")

    watcher = Watcher(world, first[-1].cursor)
    rest = await watcher.until("watch-cut-2", Kind.KIND_ORDER_BOOKED)
    watcher.call.cancel()

    whole = await _events(world, "watch-cut-2", Kind.KIND_ORDER_BOOKED)
    assert [m.cursor for m in first + rest] == [m.cursor for m in whole]
    assert [m.event.kind for m in rest] == [Kind.KIND_ORDER_ACCEPTED, Kind.KIND_ORDER_BOOKED]


async def test_every_cursor_is_a_place_to_resume(world: World) -> None:
    """From each message's cursor the next message follows."""
    await booked(world.caller(), "watch-every")
    whole = await _events(world, "watch-every", Kind.KIND_ORDER_BOOKED)

    for here, following in itertools.pairwise(whole):
        watcher = Watcher(world, here.cursor)
        assert await watcher.take(1) == [following]
        watcher.call.cancel()


async def test_filters_narrow_a_watch(world: World) -> None:
    """States and carriers are both respected; other events pass unseen."""
    await booked(world.caller(), "watch-filter-start")
    start = (await _events(world, "watch-filter-start", Kind.KIND_ORDER_BOOKED))[-1].cursor
    await booked(world.caller(), "watch-filter-sf", routing=only("sf"))
    placed = await booked(world.caller(), "watch-filter-zto", routing=only("zto"))

    watcher = Watcher(world, start, states=[State.STATE_BOOKED], carriers=["zto"])
    [seen] = await watcher.take(1)
    watcher.call.cancel()

    assert seen.event.order_id == placed.order_id
    assert seen.event.kind == Kind.KIND_ORDER_BOOKED


async def test_many_events_are_told_page_by_page(world: World) -> None:
    """More events than one page of the store come complete and in order."""
    requests = [pb.CreateOrderRequest(order=o) for o in _orders(200)]
    await world.caller().BatchCreateOrders(pb.BatchCreateOrdersRequest(requests=requests))
    watcher = Watcher(world, "0")

    seen: list[pb.WatchOrdersResponse] = []
    told: set[str] = set()
    while len(told) < 200:
        seen += await watcher.take(1)
        if seen[-1].event.reference.startswith("watch-many") and seen[-1].event.kind == Kind.KIND_ORDER_BOOKED:
            told.add(seen[-1].event.reference)
    watcher.call.cancel()

    cursors = [int(m.cursor) for m in seen]
    assert cursors == sorted(set(cursors))
    assert len(seen) >= 400


@pytest.mark.parametrize("cursor", ["abc", "-1", "1.5", "１２", " 1", "9" * 30, "0x1"])
async def test_an_invented_cursor_is_refused(world: World, cursor: str) -> None:
    """What is no cursor of this engine, or lies in the future, is CURSOR_INVALID."""
    watcher = Watcher(world, cursor)

    status = await refusal(watcher.call.read())

    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CURSOR_INVALID")


async def test_a_cursor_whose_successors_are_gone_is_refused(tmp_path: Path) -> None:
    """After old events were purged an old cursor is CURSOR_EXPIRED; `0` starts with what is left."""
    async with running_world(tmp_path) as world:
        await booked(world.caller(), "watch-old")
        tomorrow = world.engine.parts.clock.now() + timedelta(days=1)
        await world.engine.parts.store.purge(keys_before=tomorrow, events_before=tomorrow)
        await booked(world.caller(), "watch-new")

        status = await refusal(Watcher(world, "1").call.read())
        [first] = await Watcher(world, "0").take(1)

        assert (status.code, status.reason) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED")
        assert status.info.metadata["oldestCursor"] == first.cursor
        assert first.event.reference == "watch-new"


async def test_a_watcher_that_leaves_is_forgotten(world: World) -> None:
    """The engine counts open watches, and a cancelled one no more."""
    watcher = Watcher(world, "0")
    await watcher.take(1)
    assert world.engine.parts.watch.watcher_count >= 1

    watcher.call.cancel()

    async with asyncio.timeout(5):
        while world.engine.parts.watch.watcher_count:
            await asyncio.sleep(0)


def _orders(count: int) -> list[core_pb2.Order]:
    return [order(f"watch-many-{n}") for n in range(count)]
