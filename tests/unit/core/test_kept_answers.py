"""What a carrier has answered while the store cannot write: told once, it is kept until it is written down."""

from __future__ import annotations

import asyncio

import pytest

from crossdock_sdk import ErrorClass, Repeat
from crossdock_sdk.manifest import BookingFacts
from engine.core.orders import Created
from engine.core.policy.records import OrderState
from engine.store.port import StoreError
from tests.fakes.carrier import answer, lost, manifest, refuse
from tests.fakes.house import TENANT, House, draft, house, states, turns

pytestmark = pytest.mark.anyio

BLIND = manifest("alpha", ("book", "cancel"), booking=BookingFacts(repeat=Repeat.BOOKS_AGAIN))
"""A carrier that cannot be asked what became of a booking."""
ALPHA, BETA = manifest("alpha"), manifest("beta")


async def booking(scene: House) -> asyncio.Task[Created]:
    """A caller whose booking is at the carrier, which keeps its answer back."""
    scene.network.hold("alpha", "book")
    creating = asyncio.ensure_future(scene.orders.create(TENANT, draft(), request_id="r", deadline_s=30.0))
    await turns(200)
    return creating


def fail(scene: House, count: int) -> None:
    """The next commits find no room."""
    scene.store.commit_faults.extend(StoreError("8192 writes wait for the disk: try again later") for _ in range(count))


async def test_a_booking_is_written_down_as_soon_as_the_store_can() -> None:
    """The caller still gets it; nobody has to look for it, which this carrier could not even be asked to."""
    async with house(BLIND) as scene:
        creating = await booking(scene)
        fail(scene, 3)
        scene.network.release()
        await scene.pass_time(1.0)
        created = await creating

    assert (created.order.order.state, states(created.order)) == (OrderState.BOOKED, ["alpha CONFIRMED"])
    assert scene.network.count("alpha", "book") == 1
    assert scene.heard.failed == ["StoreError"]


async def test_a_refusal_is_written_down_before_another_carrier_is_asked() -> None:
    """Its proof that nothing was booked is worth as much as a booking."""
    async with house(BLIND, BETA) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.NO_SERVICE))
        creating = await booking(scene)
        fail(scene, 2)
        scene.network.release()
        created = await scene.run(creating)

    assert states(created.order) == ["alpha REJECTED", "beta CONFIRMED"]


async def test_what_a_look_up_found_is_not_looked_up_again() -> None:
    """One question, one answer, however long the disk takes."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "book", lost())
        scene.network.hold("alpha", "find")
        creating = asyncio.ensure_future(scene.orders.create(TENANT, draft(), request_id="r", deadline_s=30.0))
        await turns(200)
        fail(scene, 8)
        scene.network.release()
        created = await scene.run(creating)

    assert states(created.order) == ["alpha CONFIRMED"]
    assert scene.network.count("alpha", "find") == 1


@pytest.mark.parametrize("refused", [False, True])
async def test_what_became_of_a_cancel_is_not_asked_again(refused: bool) -> None:
    """Voided, or refused for good: the carrier hears one cancel."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        if refused:
            scene.network.script("alpha", "cancel", answer(error_class=ErrorClass.PERMANENT, message="已揽收"))
        scene.network.hold("alpha", "cancel")
        cancelling = asyncio.ensure_future(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=30.0))
        await turns(200)
        fail(scene, 3)
        scene.network.release()
        await scene.run(asyncio.gather(cancelling, return_exceptions=True))
        after = await scene.get(created)

    assert after.order.state is (OrderState.BOOKED if refused else OrderState.CANCELLED)
    assert scene.network.count("alpha", "cancel") == 1


async def test_an_engine_that_stops_does_not_wait_for_a_store_that_never_writes_again() -> None:
    """Workers that keep an answer are cut like all others; the rows bring the next engine there."""
    async with house(ALPHA) as scene:
        creating = await booking(scene)
        fail(scene, 1000)
        scene.network.release()
        await scene.pass_time(60.0)
        waited = scene.booker.open_count
        scene.booker.cut()
        await scene.booker.rest()
        created = await creating
        scene.store.commit_faults.clear()
        await scene.crash()
        await scene.start()
        scene.reconcile()
        await scene.pass_time(130.0)
        after = await scene.get(created)

    assert waited == 1
    assert (after.order.state, scene.network.count("alpha", "book")) == (OrderState.BOOKED, 1)


async def test_an_answer_about_an_order_that_another_engine_took_is_left_to_it() -> None:
    """While the store failed a later engine took over: it looks the booking up, and nobody overwrites it."""
    async with house(ALPHA) as scene:
        creating = await booking(scene)
        fail(scene, 2)
        scene.network.release()
        await turns(200)
        epoch = await scene.store.next_epoch()
        taken = await scene.store.get_order_by_reference(TENANT, "A1")
        assert taken is not None
        due = scene.clock.now().replace(year=2027)
        (theirs,) = await scene.store.claim_due(due, epoch=epoch, limit=1)
        await scene.pass_time(10.0)
        after = await scene.get(theirs)
        await creating

    assert (after.order.lease_epoch, states(after)) == (epoch, ["alpha INTENT"])
    assert scene.heard.failed == ["StoreError", "Stale"]
