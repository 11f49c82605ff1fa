"""Orders of accounts that were switched off, or taken out of the settings, between two starts of the engine."""

from __future__ import annotations

import pytest

from engine.core.orders import Created
from engine.core.policy.records import OrderState
from tests.fakes.carrier import lost, manifest, silent
from tests.fakes.house import RULES, TENANT, House, house, states
from tests.unit.core.test_pushes import push

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")


async def doubtful(scene: House) -> Created:
    """An order that alpha has booked without the engine knowing; then alpha's look-up fails too."""
    scene.network.script("alpha", "book", lost())
    scene.network.always("alpha", "find", silent())
    return await scene.create(deadline_s=1.0)


async def cancel(scene: House, created: Created) -> None:
    """Ask for a cancel, and give it half a minute."""
    await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=30.0))


async def restart(scene: House, *, without: str = "", unplugged: str = "", disabled: str = "") -> None:
    """A new engine: without an account, without a carrier's plug-in, or with an account switched off."""
    await scene.crash()
    scene.accounts.pop(without, None)
    scene.carriers.pop(unplugged, None)
    scene.disabled.add(disabled)
    await scene.start()
    scene.reconcile()


async def test_an_account_switched_off_gets_no_orders_but_ends_those_it_has() -> None:
    """What is in doubt there is looked up, what is booked is cancelled; new orders go elsewhere."""
    async with house(ALPHA, BETA) as scene:
        booked = await scene.create("A0")
        created = await doubtful(scene)
        await restart(scene, disabled="alpha-1")
        scene.network.always("alpha", "find", None)
        await scene.pass_time(60.0)
        found = await scene.get(created)
        await cancel(scene, booked)
        cancelled = await scene.get(booked)
        other = await scene.create("A2")

    assert (found.order.state, states(found)) == (OrderState.BOOKED, ["alpha CONFIRMED"])
    assert cancelled.order.state is OrderState.CANCELLED
    assert states(other.order) == ["beta CONFIRMED"]
    assert scene.heard.failed == []


async def test_an_account_switched_off_still_takes_pushes() -> None:
    """A push may be the only way its doubts end."""
    async with house(ALPHA, BETA) as scene:
        created = await doubtful(scene)
        await restart(scene, disabled="alpha-1")
        news = push(reference=created.order.attempts[0].reference, waybill_number="W9")
        await scene.run(scene.pushes.handle("alpha-1", news))
        after = await scene.get(created)

    assert (after.order.state, states(after)) == (OrderState.BOOKED, ["alpha CONFIRMED"])


@pytest.mark.parametrize("unplugged", ["", "alpha"], ids=["plug-in there", "plug-in gone"])
@pytest.mark.parametrize("booked", [True, False], ids=["booked", "in doubt"])
async def test_an_order_of_an_account_that_is_gone_comes_to_a_person(booked: bool, unplugged: str) -> None:
    """Nobody can be asked about it any more: its worker lives, its row says what to do, and nothing is booked twice."""
    async with house(ALPHA, BETA) as scene:
        created = await scene.create() if booked else await doubtful(scene)
        await restart(scene, without="alpha-1", unplugged=unplugged)
        if booked:
            await cancel(scene, created)
        await scene.pass_time(RULES.review_after_s + 60.0)
        after = await scene.get(created)

    assert after.order.state is OrderState.NEEDS_REVIEW
    assert after.order.failure is not None
    assert "alpha-1" in after.order.failure.remedy
    assert len(scene.network.live) == 1
    assert scene.heard.failed == []


async def test_an_account_that_comes_back_ends_the_review_of_its_cancels() -> None:
    """The cancel was asked for all along."""
    async with house(ALPHA, BETA) as scene:
        created = await scene.create()
        account = scene.accounts["alpha-1"]
        await restart(scene, without="alpha-1")
        await cancel(scene, created)
        await scene.pass_time(RULES.review_after_s)
        reviewed = await scene.get(created)
        scene.accounts["alpha-1"] = account
        await restart(scene)
        await scene.pass_time(150.0)
        after = await scene.get(created)

    assert reviewed.order.failure is not None
    assert "not configured" in reviewed.order.failure.message
    assert (after.order.state, scene.network.live) == (OrderState.CANCELLED, [])
