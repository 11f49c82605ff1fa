"""Look-ups at a carrier that answers slowly: whoever has to wait long gives its place to orders of others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from crossdock_sdk import HttpRequest, HttpResponse, Limit
from engine.core.carrier_calls import MOST_LOOK_UPS
from engine.core.policy.records import AttemptState, OrderState, RoutingWish
from engine.core.reconcile import AT_ONCE
from engine.store.port import Idempotency
from tests.fakes import house as houses
from tests.fakes.carrier import answer, lost, manifest
from tests.fakes.house import TENANT, House, draft, house, states, turns

pytestmark = pytest.mark.anyio

SLOW = manifest("alpha", limits={"find": Limit(concurrency=2, timeout_s=15.0), "book": Limit(concurrency=2)})
BETA = manifest("beta")

Send = Callable[..., Awaitable[HttpResponse]]


def slow_look_ups(scene: House, seconds: float) -> Send:
    """A transport over which alpha needs `seconds` to say that it does not know yet."""
    real = scene.network.send
    scene.network.always("alpha", "find", answer(pending=True))

    async def send(request: HttpRequest, *, timeout_s: float, max_body_bytes: int) -> HttpResponse:
        if request.url == "https://alpha.invalid/find":
            await scene.clock.sleep(seconds)
        return await real(request, timeout_s=timeout_s, max_body_bytes=max_body_bytes)

    return send


async def leave(scene: House, doubts: int, wish: RoutingWish) -> str:
    """What an outage leaves: so many doubts at alpha, all due, and after them an order; returns its id."""
    made = (await scene.create("T")).order
    now = scene.clock.now()
    for n in range(doubts):
        order_id = str(UUID(int=n))
        order = replace(
            made.order, order_id=order_id, draft=draft(f"D{n}"), state=OrderState.BOOKING, booking=None, due_time=now
        )
        attempt = replace(
            made.attempts[0],
            order_id=order_id,
            reference=f"{order_id}-1",
            state=AttemptState.UNKNOWN,
            unknown_since=now,
            end_time=now,
        )
        await scene.store.accept(replace(order, version=0), (attempt,), (), Idempotency(f"d{n}", b"x"))
    last = replace(
        made.order,
        order_id=str(UUID(int=doubts)),
        draft=draft("MINE", routing=wish),
        state=OrderState.ACCEPTED,
        booking=None,
        due_time=now + timedelta(seconds=1),
        version=0,
    )
    await scene.store.accept(last, (), (), Idempotency("mine", b"x"))
    return last.order_id


@pytest.mark.parametrize("review_after_s", [60.0, 240.0])
async def test_doubts_at_a_slow_carrier_do_not_hold_up_the_orders_of_another(
    review_after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand of them, ten seconds a look-up: an order for a healthy carrier goes out within ten seconds."""
    monkeypatch.setattr(houses, "RULES", replace(houses.RULES, review_after_s=review_after_s))
    async with house(SLOW, BETA, max_open=10_000) as scene:
        mine = await leave(scene, 2000, RoutingWish(allowed=("beta",)))
        monkeypatch.setattr(scene.network, "send", slow_look_ups(scene, 10.0))
        scene.reconcile()
        await scene.pass_time(10.0)
        loaded = await scene.orders.get(TENANT, order_id=mine)

    assert loaded.order.state is OrderState.BOOKED


async def test_a_carrier_that_takes_many_look_ups_at_once_gets_a_part_of_the_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls under way hold places too: hundreds that all hang leave most of them to others."""
    wide = manifest("alpha", limits={"find": Limit(concurrency=500, timeout_s=15.0)})
    async with house(wide, BETA, max_open=10_000) as scene:
        mine = await leave(scene, 1000, RoutingWish(allowed=("beta",)))
        monkeypatch.setattr(scene.network, "send", slow_look_ups(scene, 14.0))
        scene.reconcile()
        await scene.pass_time(5.0)
        places = scene.booker.background_count
        loaded = await scene.orders.get(TENANT, order_id=mine)

    assert places <= MOST_LOOK_UPS
    assert loaded.order.state is OrderState.BOOKED


async def test_giving_places_back_leaves_a_slow_carrier_as_many_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its two places are never long without a call, and the engine's are mostly free."""
    async with house(SLOW, max_open=10_000) as scene:
        await leave(scene, AT_ONCE, RoutingWish(allowed=("alpha",)))
        monkeypatch.setattr(scene.network, "send", slow_look_ups(scene, 1.5))
        scene.reconcile()
        await scene.pass_time(30.0)
        places = scene.booker.background_count

    assert scene.network.count("alpha", "find") >= 0.9 * 2 * 30.0 / 1.5
    assert places < AT_ONCE / 4


async def test_a_caller_who_waits_has_its_look_up_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its order keeps its place in the carrier's queue, and the answer comes within its deadline."""
    limit = Limit(rate_per_s=0.1, burst=1)
    async with house(manifest("alpha", limits={"find": limit})) as scene:
        scene.network.script("alpha", "book", lost(), lost())
        made = [
            asyncio.ensure_future(scene.orders.create(TENANT, draft(f"A{n}"), request_id=f"r{n}", deadline_s=30.0))
            for n in range(2)
        ]
        await turns()
        await scene.pass_time(10.5)
        created = [await one for one in made]

    assert [states(one.order) for one in created] == [["alpha CONFIRMED"]] * 2
