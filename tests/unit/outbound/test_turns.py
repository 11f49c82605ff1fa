"""Turns over the operations of a lane: whose call is next, and what others are told of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from crossdock_sdk import Limit
from engine.outbound import LaneSettings, Priority
from engine.outbound.turns import Turns
from tests.unit.outbound.support import Yard, booking, yard

pytestmark = pytest.mark.anyio
TWO = Limit(concurrency=2)
FLOOD = 100


def start(scene: Yard, operation: str, reference: str, tenant: str) -> asyncio.Task[Any]:
    """An item as urgent as a booking, with time to wait."""
    item = booking(reference) if operation == "book" else reference
    return scene.start(operation, item, tenant=tenant, priority=Priority.BOOK, deadline_s=500.0)


async def flooded(scene: Yard, tenant: str = "big") -> list[asyncio.Task[Any]]:
    """A tenant's look-ups, of which two are under way."""
    scene.transport.hold = True
    finds = [start(scene, "find", f"F{n}", tenant) for n in range(FLOOD)]
    await scene.clock.settle()
    return finds


async def drain(scene: Yard, *tasks: asyncio.Task[Any]) -> None:
    """Answer whatever is sent until all are done."""
    scene.transport.hold = False
    scene.transport.release(len(scene.transport.held))
    await asyncio.gather(*tasks)


async def test_a_flood_of_one_tenants_look_ups_does_not_hold_up_anothers_booking() -> None:
    """They share a lane and a priority: the booking waits for one turn of theirs at most."""
    async with yard(book=TWO, find=TWO, cancel=TWO) as scene:
        finds = await flooded(scene)
        booked = start(scene, "book", "B1", "small")
        await scene.clock.settle()
        for _ in range(2):
            scene.transport.release()
            await scene.clock.settle()
        after_it_came = scene.transport.sent[2:]
        await drain(scene, booked, *finds)

    assert after_it_came == ["find:F2", "book:B1"]


async def test_a_tenants_own_operations_take_turns() -> None:
    """Its bookings do not wait for all of its look-ups."""
    async with yard(book=TWO, find=TWO, cancel=TWO) as scene:
        finds = await flooded(scene)
        booked = [start(scene, "book", f"B{n}", "big") for n in range(3)]
        await scene.clock.settle()
        await drain(scene, *booked, *finds)

    sent = [call.split(":")[0] for call in scene.transport.sent[2:8]]
    assert sorted(sent) == ["book"] * 3 + ["find"] * 3


async def test_tenants_share_a_lane_by_weight_whatever_they_ask() -> None:
    """Three to one, although each has a queue to itself."""
    settings = LaneSettings(drain_s=0.2, tenant_weights={"big": 3})
    one = Limit(concurrency=1)
    async with yard(settings=settings, book=one, find=one, cancel=one) as scene:
        finds = await flooded(scene)
        booked = [start(scene, "book", f"B{n}", "small") for n in range(FLOOD)]
        await scene.clock.settle()
        await drain(scene, *booked, *finds)

    shared = Counter(call.split(":")[0] for call in scene.transport.sent[1:41])
    assert shared == {"find": 30, "book": 10}


async def test_a_wait_is_predicted_from_all_that_goes_before_in_the_lane() -> None:
    """Look-ups of a second each in both slots: one turn of theirs for a booking, all of them for whoever comes last."""
    async with yard(book=TWO, find=TWO, cancel=TWO) as scene:
        finds = await flooded(scene)
        scene.clock.advance(1.0)
        scene.transport.release(2)
        await scene.clock.settle()
        waits_s = {
            tenant: scene.outbound.wait_s("a", "book", priority=Priority.BOOK, tenant=tenant)
            for tenant in ("big", "small")
        }
        last_s = scene.outbound.lane("a", "book").predicted_wait_s(scene.clock.monotonic(), "book")
        await drain(scene, *finds)

    assert waits_s == {"big": 0.5, "small": 0.5}
    assert last_s == (FLOOD - 4) / 2


def test_whoever_was_away_has_saved_nothing_up() -> None:
    """A tenant that comes back has the next turn, not all those it did not take."""
    turns = Turns({})
    for _ in range(10):
        turns.took("find", "old")
    back = turns.rank("book", "back") < turns.rank("find", "old")
    turns.took("book", "back")

    assert back
    assert turns.rank("find", "old") < turns.rank("book", "back")


def test_no_operation_starves_behind_its_tenants_others() -> None:
    """Of two queues with the same tenant next, the one goes that has waited longer for its turn."""
    turns = Turns({})
    order = []
    for _ in range(6):
        operation = min(("find", "book"), key=lambda name: turns.rank(name, "big"))
        turns.took(operation, "big")
        order.append(operation)

    assert order == ["find", "book"] * 3
