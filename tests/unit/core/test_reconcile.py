"""The loops that run beside the orders: taking up what is due, keeping limits, cleaning up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from msgspec.structs import replace

from crossdock_sdk import ErrorClass, Limit
from engine.core.policy.records import OrderState, RoutingWish
from engine.core.reconcile import AT_ONCE, RATES_KEY, housekeeping, keep_rates, reconcile, restore_rates
from engine.core.standing import MOST_IN_BACKGROUND
from engine.store.port import Idempotency, StoreError
from tests.fakes.carrier import manifest, refuse
from tests.fakes.house import TENANT, House, draft, house

pytestmark = pytest.mark.anyio

ALPHA = manifest("alpha")


async def stop(task: asyncio.Task[None]) -> None:
    """End a loop."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_due_orders_are_taken_up_on_time() -> None:
    """Not before, and without a caller."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "book", *[refuse(ErrorClass.CAPACITY)] * 2)
        created = await scene.create()
        due = (await scene.get(created)).order.due_time
        assert due is not None
        scene.reconcile()
        await scene.pass_time((due - scene.clock.now()).total_seconds() - 0.3)
        before = scene.network.count("alpha", "book")
        await scene.pass_time(1.0)
        after = await scene.get(created)

    assert (before, after.order.state) == (2, OrderState.BOOKED)


async def test_a_backlog_is_worked_off_in_bounded_portions() -> None:
    """A start after a long outage does not drown the carrier."""
    async with house(ALPHA, max_open=10_000) as scene:
        scene.network.always("alpha", "book", refuse(ErrorClass.CAPACITY))
        template = await scene.create("A0")
        loaded = await scene.get(template)
        for n in range(AT_ONCE + 20):
            order_id = f"00000000-0000-7000-8000-{n:012d}"
            draft = replace(loaded.order.draft, reference=f"B{n}")
            scene.store._orders[order_id] = replace(loaded.order, order_id=order_id, draft=draft, lease_epoch=0)
        scene.network.hold("alpha", "book", 10_000)
        scene.reconcile()
        await scene.pass_time(0.0)
        running = scene.booker.background_count

    assert running == MOST_IN_BACKGROUND


async def test_a_backlog_of_bookings_at_one_carrier_does_not_hold_up_the_orders_of_another() -> None:
    """Two thousand due at thirty a second: an order for a carrier that is free is booked long before they are."""
    alpha = manifest("alpha", limits={"book": Limit(rate_per_s=30.0, concurrency=50)})
    async with house(alpha, manifest("beta"), max_open=10_000, divert_wait_s=5.0) as scene:
        made = (await scene.create("T")).order.order
        now = scene.clock.now()
        for n in range(2000):
            wish = RoutingWish(allowed=("alpha",) if n < 1999 else ("beta",))
            order = replace(
                made,
                order_id=str(UUID(int=n)),
                draft=draft(f"D{n}", routing=wish),
                state=OrderState.ACCEPTED,
                booking=None,
                due_time=now + timedelta(milliseconds=n),
                version=0,
            )
            await scene.store.accept(order, (), (), Idempotency(f"d{n}", b"x"))
        scene.reconcile()
        await scene.pass_time(25.0)
        last = await scene.orders.get(TENANT, order_id=str(UUID(int=1999)))

    assert last.order.state is OrderState.BOOKED
    assert scene.network.count("alpha", "book") >= 0.9 * 30.0 * 25.0


async def test_a_store_that_fails_is_reported_and_asked_again() -> None:
    """The loop outlives it."""
    async with house(ALPHA) as scene:
        errors: list[str] = []
        claim = scene.store.claim_due

        async def failing(*_: object, **__: object) -> list[object]:
            scene.store.claim_due = claim  # type: ignore[method-assign]
            raise StoreError("the disk is full")

        scene.store.claim_due = failing  # type: ignore[method-assign, assignment]
        loop = asyncio.create_task(reconcile(scene.store, scene.booker, scene.clock, lambda e: errors.append(str(e))))
        await scene.pass_time(1.0)
        alive = not loop.done()
        await stop(loop)

    assert (errors, alive) == (["the disk is full"], True)


async def test_housekeeping_runs_every_hour_whatever_fails() -> None:
    """One failure does not end it."""
    async with house(ALPHA) as scene:
        errors: list[Exception] = []
        runs: list[float] = []

        async def purge() -> None:
            runs.append(scene.clock.monotonic())
            if len(runs) == 1:
                raise StoreError("busy")

        loop = asyncio.create_task(housekeeping(purge, scene.clock, errors.append))
        await scene.pass_time(2 * 3600.0 + 1.0)
        await stop(loop)

    assert [b - a for a, b in pairwise(runs)] == [3600.0, 3600.0]
    assert len(errors) == 1


async def _throttled(scene: House) -> None:
    scene.network.script("alpha", "book", refuse(ErrorClass.RATE_LIMITED))
    await scene.create()


async def test_a_learned_limit_outlives_a_crash() -> None:
    """The next process goes on where the last one stood: no double burst."""
    async with house(ALPHA) as scene:
        keeping = asyncio.create_task(keep_rates(scene.store, scene.outbound, scene.clock, lambda e: None))
        await _throttled(scene)
        await scene.pass_time(1.0)
        learned = scene.outbound.rate_states()["alpha-1"]["book"].rate_per_s
        await stop(keeping)
        await scene.crash()
        await scene.start()
        await restore_rates(scene.store, scene.outbound, scene.clock)
        restored = scene.outbound.rate_states()["alpha-1"]["book"].rate_per_s

    assert learned is not None
    assert restored == learned


async def test_what_went_out_after_the_last_save_is_not_granted_again() -> None:
    """A burst of five, killed before it was written down: the next process does not send another."""
    bursts = manifest("alpha", limits={"book": Limit(rate_per_s=1.0, burst=5)})
    async with house(bursts) as scene:
        await _save_once(scene)
        await scene.run(asyncio.gather(*(_begun(scene, f"A{n}") for n in range(5))))
        await scene.crash()
        await scene.start()
        await restore_rates(scene.store, scene.outbound, scene.clock)
        ends = scene.clock.monotonic()
        await scene.run(asyncio.gather(*(_begun(scene, f"B{n}") for n in range(5))))
        took_s = scene.clock.monotonic() - ends

    assert took_s == pytest.approx(5.0)


async def _save_once(scene: House) -> None:
    keeping = asyncio.create_task(keep_rates(scene.store, scene.outbound, scene.clock, lambda e: None))
    await scene.pass_time(0.0)
    await stop(keeping)


def _begun(scene: House, reference: str) -> Awaitable[object]:
    return scene.orders.create(TENANT, draft(reference), request_id="", deadline_s=60.0)


async def test_limits_are_saved_only_when_they_changed() -> None:
    """An idle engine writes nothing."""
    async with house(ALPHA) as scene:
        await _throttled(scene)
        saved: list[str] = []
        put = scene.store.put_state

        async def counting(key: str, value: bytes) -> None:
            saved.append(key)
            await put(key, value)

        scene.store.put_state = counting  # type: ignore[method-assign]
        keeping = asyncio.create_task(keep_rates(scene.store, scene.outbound, scene.clock, lambda e: None))
        await scene.pass_time(30.0)
        while_recovering = len(saved)
        await scene.pass_time(60.0)
        await stop(keeping)

    assert set(saved) == {RATES_KEY}
    assert len(saved) == while_recovering


async def test_without_saved_limits_nothing_is_restored() -> None:
    """A first start."""
    async with house(ALPHA) as scene:
        await restore_rates(scene.store, scene.outbound, scene.clock)

    assert scene.outbound.rate_states() == {}
