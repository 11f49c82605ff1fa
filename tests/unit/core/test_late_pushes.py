"""Pushes about bookings that were settled before: the order's own, and one that stands beside it."""

from __future__ import annotations

import pytest

from crossdock_sdk import Parcel
from engine.core.policy.records import EventKind, LoadedOrder, OrderState
from tests.fakes.carrier import ALL, manifest, silent, unreachable
from tests.fakes.house import TENANT, House, house, states
from tests.unit.core.test_pushes import push

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")
FIRST = "ALPHA000000001"
"""The number that alpha gives its first parcel."""


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


async def booked(scene: House) -> LoadedOrder:
    """An order that its carrier has confirmed."""
    created = await scene.create()
    assert created.order.order.state is OrderState.BOOKED
    return created.order


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("names", ["reference", "carrier order"])
async def test_a_carrier_that_cancels_a_booking_by_itself_ends_the_order(names: str, restarted: bool) -> None:
    """Its waybill is dead: the order says so once, its label is not printed any more, and its reference is free."""
    async with house(ALPHA) as scene:
        order = await booked(scene)
        assert order.order.booking is not None
        reference, number = order.attempts[0].reference, order.order.booking.waybill_number
        scene.network.ledgers["alpha"].cancel(number)
        if restarted:
            await restart(scene)
        named = {"reference": reference} if names == "reference" else {"carrier_order_id": f"order-{reference}"}
        for _ in range(2):
            news = push(state="CANCELLED", waybill_number=number, **named)
            await scene.run(scene.pushes.handle("alpha-1", news))
        after = await scene.store.get_order(TENANT, order.order.order_id)
        track = await scene.store.find_track(TENANT, "alpha", number)
        told = await kinds(scene)
        again = await scene.create(request_id="another")

    assert after is not None
    assert after.order.failure is not None
    assert (after.order.state, states(after)) == (OrderState.CANCELLED, ["alpha VOIDED"])
    assert (after.order.failure.reason, after.order.due_time) == ("CARRIER_CANCELLED", None)
    assert told.count(EventKind.ORDER_CANCELLED) == 1
    assert track is not None
    assert track.track.retired
    assert "did so by itself" in track.events[-1].event.text
    assert again.order.order.state is OrderState.BOOKED


async def test_a_late_cancellation_of_a_reference_that_served_twice_leaves_the_order_alone() -> None:
    """It may be of the booking that was believed absent. With the waybill's number it is plain."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "book", silent())
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(60.0)
        before = await scene.get(created)
        news = {"state": "CANCELLED", "reference": before.attempts[-1].reference}
        await scene.run(scene.pushes.handle("alpha-1", push(**news)))
        between = await scene.get(created)
        await scene.run(scene.pushes.handle("alpha-1", push(**news, waybill_number=FIRST)))
        after = await scene.get(created)

    assert states(before) == ["alpha ABSENT", "alpha CONFIRMED"]
    assert between == before
    assert (after.order.state, states(after)) == (OrderState.CANCELLED, ["alpha ABSENT", "alpha VOIDED"])


async def test_a_push_ends_a_cancel_whose_answer_was_lost() -> None:
    """What the caller wanted has happened: no failure is told."""
    async with house(ALPHA) as scene:
        order = await booked(scene)
        scene.network.always("alpha", "cancel", silent())
        await scene.run(scene.orders.cancel(TENANT, order.order.order_id, deadline_s=1.0))
        before = await scene.store.get_order(TENANT, order.order.order_id)
        news = push(state="CANCELLED", reference=order.attempts[0].reference)
        await scene.run(scene.pushes.handle("alpha-1", news))
        after = await scene.store.get_order(TENANT, order.order.order_id)

    assert before is not None
    assert after is not None
    assert (before.order.state, after.order.state) == (OrderState.CANCELLING, OrderState.CANCELLED)
    assert after.order.failure is None


async def test_a_cancelled_waybill_of_another_number_leaves_the_order_alone() -> None:
    """A piece of several, or a mistake of the carrier's: the order's own waybill is not named."""
    async with house(ALPHA) as scene:
        order = await booked(scene)
        news = push(state="CANCELLED", reference=order.attempts[0].reference, waybill_number="A9")
        await scene.run(scene.pushes.handle("alpha-1", news))
        after = await scene.store.get_order(TENANT, order.order.order_id)

    assert after == order


async def test_the_answer_after_a_push_that_overtook_it_brings_the_other_pieces() -> None:
    """The push names the first waybill alone; the answer adds the second, which is followed from then on."""
    async with house(manifest("alpha", (*ALL, "track"), options=("multi_parcel",))) as scene:
        scene.network.hold("alpha", "book")
        created = await scene.create(parcels=(Parcel(450), Parcel(500)), deadline_s=1.0)
        reference = created.order.attempts[0].reference
        await scene.run(scene.pushes.handle("alpha-1", push(reference=reference, waybill_number=FIRST)))
        before = await scene.get(created)
        scene.network.release()
        await scene.pass_time(1.0)
        after = await scene.get(created)
        track = await scene.store.find_track(TENANT, "alpha", f"{FIRST}-1")
        told = await kinds(scene)

    assert before.order.booking is not None
    assert after.order.booking is not None
    assert (before.order.state, before.order.booking.sub_waybill_numbers) == (OrderState.BOOKED, ())
    assert after.order.booking.sub_waybill_numbers == (f"{FIRST}-1",)
    assert track is not None
    assert track.track.order_id == after.order.order_id
    assert told.count(EventKind.ORDER_BOOKED) == 1
