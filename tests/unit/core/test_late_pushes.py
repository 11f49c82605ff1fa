"""Pushes about bookings that were settled before: the order's own, and one that stands beside it."""

from __future__ import annotations

import pytest

from engine.core.policy.records import EventKind, OrderState
from tests.fakes.carrier import manifest, silent, unreachable
from tests.fakes.house import TENANT, House, house, states
from tests.unit.core.test_pushes import push

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")


async def kinds(scene: House) -> list[EventKind]:
    """What was told so far."""
    return [e.event.kind for e in await scene.events()]


async def restart(scene: House) -> None:
    """A new engine, which knows nothing but the rows."""
    await scene.crash()
    await scene.start()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_push_about_the_orders_own_booking_is_no_alarm(cancelled: bool) -> None:
    """Its reference was found absent once and then served again: the only booking there is, or was, is the order's."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "book", silent())
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(60.0)
        booked = await scene.get(created)
        if cancelled:
            await scene.run(scene.orders.cancel(TENANT, booked.order.order_id, deadline_s=5.0))
        before = await kinds(scene)
        await restart(scene)
        assert booked.order.booking is not None
        number = booked.order.booking.waybill_number
        news = push(reference=booked.attempts[-1].reference, waybill_number=number)
        await scene.run(scene.pushes.handle("alpha-1", news))
        after = await scene.get(created)

    assert states(booked) == ["alpha ABSENT", "alpha CONFIRMED"]
    assert len({a.reference for a in booked.attempts}) == 1
    assert await kinds(scene) == before
    assert after.order.state is (OrderState.CANCELLED if cancelled else OrderState.BOOKED)


async def test_a_booking_beside_the_orders_own_is_told_once_however_often_it_is_pushed() -> None:
    """Also by an engine that was started meanwhile."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", silent())
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(60.0)
        booked = await scene.get(created)
        news = push(reference=booked.attempts[0].reference, waybill_number="A9")
        for _ in range(2):
            await scene.run(scene.pushes.handle("alpha-1", news))
            await scene.run(scene.pushes.handle("alpha-1", news))
            await restart(scene)
        after = await scene.get(created)

    assert states(after) == ["alpha ABSENT", "beta CONFIRMED"]
    assert (await kinds(scene)).count(EventKind.ORDER_NEEDS_REVIEW) == 1
    assert "alpha booked A9 after all" in after.attempts[0].cause
    assert after.order.state is OrderState.BOOKED


async def test_a_voided_booking_that_surfaces_keeps_its_reference_from_serving_again() -> None:
    """Found absent, tried again without reaching the carrier, then news that the reference was booked and voided."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "book", silent(), unreachable())
        scene.reconcile()
        created = await scene.create()
        while states(before := await scene.get(created)) != ["alpha ABSENT", "alpha NOT_SENT"]:
            await scene.pass_time(0.1)
        reference = before.attempts[0].reference
        await scene.run(scene.pushes.handle("alpha-1", push(state="CANCELLED", reference=reference)))
        await scene.pass_time(60.0)
        after = await scene.get(created)

    assert [a.reference == reference for a in after.attempts] == [True, True, False]
    assert (after.order.state, states(after)[-1]) == (OrderState.BOOKED, "alpha CONFIRMED")
