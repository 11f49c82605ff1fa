"""A carrier that refuses everybody for hours: it is not fed by retries, and gets all that waited once it is well."""

from __future__ import annotations

import pytest

from crossdock_sdk import ErrorClass
from engine.core.policy.records import AttemptState, OrderState
from engine.core.policy.retry import FLOOR, SHARE
from engine.outbound import Priority
from tests.fakes.carrier import manifest, refuse
from tests.fakes.house import House, house

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")
ORDERS = 60
DEADLINE_S = 0.5


async def refuse_all(scene: House, count: int) -> None:
    """So many orders while alpha has no room for any of them."""
    scene.network.always("alpha", "book", refuse(ErrorClass.CAPACITY))
    for n in range(count):
        await scene.create(f"A{n}", deadline_s=DEADLINE_S)


async def test_a_carrier_that_refuses_everybody_is_not_fed_by_retries() -> None:
    """In two minutes each order is tried once, and all their retries together stay within the budget."""
    async with house(ALPHA) as scene:
        scene.reconcile()
        began_s = scene.clock.monotonic()
        await refuse_all(scene, ORDERS)
        while scene.clock.monotonic() < began_s + 110.0:
            await scene.pass_time(1.0)
        calls = scene.network.count("alpha", "book")

    assert ORDERS < calls <= ORDERS + max(FLOOR, ORDERS * SHARE)


async def test_orders_that_the_budget_held_back_are_all_booked_once_there_is_room() -> None:
    """Retries that succeed cost nothing: within two of the longest pauses nobody waits any more."""
    async with house(ALPHA) as scene:
        scene.reconcile()
        await refuse_all(scene, ORDERS)
        for _ in range(60):
            await scene.pass_time(1.0)
        scene.network.always("alpha", "book", None)
        for _ in range(60):
            await scene.pass_time(1.0)
        booked = len(scene.network.ledgers["alpha"].live)

    assert booked == ORDERS


async def test_a_spent_budget_is_no_obstacle_to_orders_that_were_never_there() -> None:
    """First attempts are no retries: a new order is asked for at once, and goes to the backup when refused."""
    async with house(ALPHA, BETA) as scene:
        await refuse_all(scene, 0)
        scene.network.always("alpha", "find", refuse(ErrorClass.CAPACITY))
        for _ in range(FLOOR):
            await scene.run(
                scene.outbound.call("alpha-1", "find", "P", deadline_s=5.0, priority=Priority.QUERY, is_retry=True)
            )
        is_spent = not scene.outbound.may_retry("alpha-1", "book")
        created = await scene.create("B1", deadline_s=DEADLINE_S)

    assert is_spent
    assert created.order.order.state is OrderState.BOOKED
    assert [a.state for a in created.order.attempts] == [AttemptState.REJECTED, AttemptState.CONFIRMED]
