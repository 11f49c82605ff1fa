"""Carriers' pushes: verified first, applied to attempts in doubt, acknowledged after the commit."""

from __future__ import annotations

import json

import pytest

from crossdock_sdk import PushRefused, PushRequest
from crossdock_sdk.manifest import BookingFacts
from engine.core.orders import Created
from engine.core.policy.records import OrderState
from engine.core.pushes import PushUndecided, UnknownPushAccount
from tests.fakes.carrier import lost, manifest, silent
from tests.fakes.house import TENANT, House, house, states

pytestmark = pytest.mark.anyio

FACTS = BookingFacts(confirmed_by_push=True)
BLIND = manifest("blind", ("book", "find_by_carrier_order", "cancel", "push"), booking=FACTS)
BETA = manifest("beta")


def push(signature: str = "good", **news: str) -> PushRequest:
    """News as the fake carrier sends it."""
    return PushRequest({"signature": signature}, json.dumps({"state": "LIVE", **news}).encode())


async def doubtful(scene: House) -> Created:
    """An order that the carrier has booked, with its answer lost."""
    scene.network.script("blind", "book", lost())
    return await scene.create(deadline_s=1.0)


async def test_a_push_confirms_a_booking_in_doubt() -> None:
    """It names the carrier's order; the carrier is asked for it, and its answer carries our reference."""
    async with house(BLIND, BETA) as scene:
        created = await doubtful(scene)
        news = push(carrier_order_id=f"order-{created.order.attempts[0].reference}")
        acknowledged = await scene.run(scene.pushes.handle("blind-1", news))
        after = await scene.get(created)

    assert created.order.order.state is OrderState.BOOKING
    assert (acknowledged.status, acknowledged.body) == (200, b"thanks")
    assert (after.order.state, states(after)) == (OrderState.BOOKED, ["blind CONFIRMED"])
    assert (scene.heard.pushes, scene.heard.settled) == (["blind ACCEPTED"], [OrderState.BOOKED])


async def test_a_push_ends_a_review() -> None:
    """Hours later, without anybody's help."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        scene.reconcile()
        await scene.pass_time(70.0)
        reviewed = await scene.get(created)
        attempt = created.order.attempts[0]
        await scene.run(scene.pushes.handle("blind-1", push(reference=attempt.reference, waybill_number="W9")))
        after = await scene.get(created)

    assert reviewed.order.state is OrderState.NEEDS_REVIEW
    assert after.order.state is OrderState.BOOKED
    assert after.order.booking is not None
    assert after.order.booking.waybill_number == "W9"


async def test_a_push_about_a_cancelled_booking_lets_the_next_carrier_take_over() -> None:
    """The carrier says that nothing is live under our reference: that is proof."""
    async with house(BLIND, BETA) as scene:
        scene.network.script("blind", "book", silent())
        created = await scene.create(deadline_s=1.0)
        reference = created.order.attempts[0].reference
        await scene.run(scene.pushes.handle("blind-1", push(state="CANCELLED", reference=reference)))
        await scene.pass_time(1.0)
        after = await scene.get(created)

    assert states(after) == ["blind ABSENT", "beta CONFIRMED"]


async def test_a_push_confirms_an_order_whose_cancel_is_wanted() -> None:
    """It is cancelled at once: nothing stays live."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=0.0))
        reference = created.order.attempts[0].reference
        await scene.run(scene.pushes.handle("blind-1", push(carrier_order_id=f"order-{reference}")))
        await scene.pass_time(1.0)
        after = await scene.get(created)

    assert (after.order.state, scene.network.live) == (OrderState.CANCELLED, [])


async def test_a_forged_push_is_refused_before_anything_is_read() -> None:
    """No commit, no question to the carrier."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        sent = len(scene.network.sent)
        with pytest.raises(PushRefused):
            await scene.pushes.handle("blind-1", push("bad", reference=created.order.attempts[0].reference))
        after = await scene.get(created)

    assert (after.order.state, len(scene.network.sent)) == (OrderState.BOOKING, sent)
    assert scene.heard.pushes == ["blind REFUSED"]


@pytest.mark.parametrize("account", ["nobody", "dumb-1"])
async def test_a_push_for_no_account_of_ours_is_unknown(account: str) -> None:
    """Nor does one count whose carrier sends no pushes."""
    async with house(BLIND, manifest("dumb", ("book",))) as scene:
        with pytest.raises(UnknownPushAccount):
            await scene.pushes.handle(account, push(reference="x"))


async def test_a_push_that_cannot_be_applied_yet_is_not_acknowledged() -> None:
    """The carrier sends it again; nothing was believed meanwhile."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        scene.network.script("blind", "find_by_carrier_order", silent())
        with pytest.raises(PushUndecided):
            await scene.run(scene.pushes.handle("blind-1", push(carrier_order_id="order-x")))
        after = await scene.get(created)

    assert after.order.state is OrderState.BOOKING


async def test_a_live_booking_without_its_number_is_not_believed() -> None:
    """Else the order would be booked under an empty waybill number."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        with pytest.raises(PushUndecided):
            await scene.run(scene.pushes.handle("blind-1", push(reference=created.order.attempts[0].reference)))
        after = await scene.get(created)

    assert after.order.booking is None


async def test_pushes_about_known_bookings_ask_nobody() -> None:
    """Repeated or late, they are acknowledged and change nothing."""
    async with house(BLIND) as scene:
        created = await scene.create()
        booking = created.order.order.booking
        assert booking is not None
        sent = len(scene.network.sent)
        for _ in range(3):
            news = push(carrier_order_id="order-x", waybill_number=booking.waybill_number)
            await scene.run(scene.pushes.handle("blind-1", news))
        after = await scene.get(created)

    assert (len(scene.network.sent), after) == (sent, created.order)


@pytest.mark.parametrize(
    "news",
    [{"state": "OTHER", "carrier_order_id": "x"}, {"reference": "somebody-elses-1", "waybill_number": "W1"}],
    ids=["other news", "not our booking"],
)
async def test_pushes_that_concern_no_order_are_acknowledged(news: dict[str, str]) -> None:
    """The account may be used by other systems too."""
    async with house(BLIND) as scene:
        acknowledged = await scene.run(scene.pushes.handle("blind-1", push(**news)))

    assert acknowledged.status == 200
