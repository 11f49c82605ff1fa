"""Peaks over the whole core: daily caps, shares, diversion, deadlines shared among candidates, coming back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from crossdock_sdk import ErrorClass, Limit
from engine.core.errors import NoEligibleCarrier
from engine.core.orders import Created
from engine.core.policy.failback import draw
from engine.core.policy.records import EventKind, OrderState
from engine.core.policy.tallies import DailyCap
from engine.core.reconcile import keep_rates, restore_rates
from engine.outbound import Priority
from engine.store.port import StoreError
from tests.fakes.carrier import lost, manifest, refuse, unreachable
from tests.fakes.house import TENANT, House, draft, house

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")
SHANGHAI = ZoneInfo("Asia/Shanghai")
SLOW = manifest("alpha", limits={"book": Limit(rate_per_s=1.0)})


def capped(cap: int, account_id: str = "alpha-1") -> DailyCap:
    """So many orders a day in Shanghai."""
    return DailyCap(account_id, cap, SHANGHAI)


def carriers_of(scene: House) -> list[str]:
    """Where the bookings are."""
    return [code for code in ("alpha", "beta") for _ in range(len(scene.network.ledgers[code].live))]


def begin(scene: House, reference: str, deadline_s: float = 60.0) -> asyncio.Task[Created]:
    """Create in a task of its own, without moving the clock."""
    made = scene.orders.create(TENANT, draft(reference), request_id="", deadline_s=deadline_s)
    return asyncio.ensure_future(made)


async def at_once(scene: House, count: int) -> list[Created]:
    """So many orders in one moment; time passes as they need it."""
    return list(await scene.run(asyncio.gather(*(begin(scene, f"A{n}") for n in range(count)))))


async def test_a_full_account_is_excluded_and_the_quote_says_why() -> None:
    """The next candidate takes over; the reason has both numbers."""
    async with house(ALPHA, BETA, caps=[capped(2)]) as scene:
        for n in range(3):
            await scene.create(f"A{n}")
        _, considered = await scene.orders.quote(TENANT, draft("A9"), live=False, deadline_s=5.0)

    assert carriers_of(scene) == ["alpha", "alpha", "beta"]
    assert [(c.candidate.carrier, c.exclusions) for c in considered] == [
        ("beta", ()),
        ("alpha", ("daily cap of 2 reached, 2 booked today",)),
    ]


async def test_orders_at_the_same_moment_do_not_exceed_a_cap_together() -> None:
    """Fifty at once for five places: places are held from the decision on, not from the answer."""
    async with house(ALPHA, BETA, caps=[capped(5)]) as scene:
        await at_once(scene, 50)

    assert carriers_of(scene).count("alpha") == 5
    assert carriers_of(scene).count("beta") == 45


async def test_a_refusal_gives_its_place_back() -> None:
    """Whoever was refused has booked nothing."""
    async with house(ALPHA, BETA, caps=[capped(1)]) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.NO_SERVICE))
        await scene.create("A1")
        await scene.create("A2")

    assert carriers_of(scene) == ["alpha", "beta"]
    assert scene.capacity.is_full("alpha-1")


async def test_a_lost_answer_holds_its_place() -> None:
    """It may be a booking, and is one as soon as it is found."""
    async with house(ALPHA, BETA, caps=[capped(1)]) as scene:
        scene.network.script("alpha", "book", lost())
        await scene.create("A1")
        await scene.create("A2")

    assert carriers_of(scene) == ["alpha", "beta"]


async def test_a_creation_that_is_not_stored_gives_its_place_back() -> None:
    """A failing store, and a repeat of a known order, book nothing more."""
    async with house(ALPHA, BETA, caps=[capped(2)]) as scene:
        await scene.create("A1")
        await scene.create("A1")
        accept = scene.store.accept

        async def failing(*_: object, **__: object) -> object:
            raise StoreError("the disk is full")

        scene.store.accept = failing  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreError):
            await scene.create("A2")
        scene.store.accept = accept  # type: ignore[method-assign]
        await scene.create("A3")
        await scene.create("A4")

    assert carriers_of(scene) == ["alpha", "alpha", "beta"]


async def test_a_creation_that_is_cut_off_leaves_no_ghost_in_the_queue() -> None:
    """Its place in the lane is free again, its place of the day is not: it may have been stored."""
    async with house(ALPHA, BETA, caps=[capped(9)]) as scene:
        accept = scene.store.accept

        async def never(*_: object, **__: object) -> object:
            return await asyncio.get_running_loop().create_future()

        scene.store.accept = never  # type: ignore[method-assign, assignment]
        cut = begin(scene, "A1")
        await scene.pass_time(0.0)
        queue = scene.outbound.lane("alpha-1", "book")._queues["book"]
        promised = queue.promised
        cut.cancel()
        await scene.pass_time(0.0)
        scene.store.accept = accept  # type: ignore[method-assign]
        left = queue.promised
        await at_once(scene, 20)

    assert (promised, left, queue.promised) == (1, 0, 0)


async def test_a_cap_survives_a_crash_to_the_unit() -> None:
    """Bookings, one that is still open and one that was refused: the next process counts what the last one did."""
    async with house(ALPHA, BETA, caps=[capped(4)]) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.NO_SERVICE))
        for n in range(3):
            await scene.create(f"A{n}")
        scene.network.hold("alpha", "book")
        waiting = begin(scene, "A3")
        await scene.pass_time(0.0)
        before = scene.capacity._tallies.booked("alpha-1", scene.clock.now())
        waiting.cancel()
        await scene.crash()
        scene.network.release()
        await scene.start()
        after = scene.capacity._tallies.booked("alpha-1", scene.clock.now())

    assert (before, after) == (3, 3)


async def test_when_every_account_is_full_the_order_is_refused_with_the_reasons() -> None:
    """Nothing is stored; tomorrow is another day."""
    async with house(ALPHA, caps=[capped(1)]) as scene:
        await scene.create("A1")
        with pytest.raises(NoEligibleCarrier, match="daily cap of 1 reached, 1 booked today"):
            await scene.create("A2")
        scene.clock.advance(timedelta(hours=10).total_seconds())
        tomorrow = await scene.create("A2")

    assert tomorrow.order.order.state is OrderState.BOOKED


async def test_an_accepted_order_waits_for_the_next_day_of_a_full_account() -> None:
    """It was acknowledged: a cap reached meanwhile makes it wait, not fail."""
    async with house(ALPHA, BETA, caps=[capped(1), capped(1, "beta-1")]) as scene:
        scene.network.script("beta", "book", refuse(ErrorClass.NO_SERVICE))
        scene.network.hold("beta", "book")
        await scene.create("A1")
        waiting = begin(scene, "A2", 2.0)
        await scene.pass_time(0.5)
        scene.network.release()
        created = await scene.run(waiting)
        rested = await scene.get(created)

    assert (rested.order.state, [a.carrier for a in rested.attempts]) == (OrderState.BOOKING, ["beta"])


async def test_shares_decide_between_accounts_before_their_priority() -> None:
    """One in four goes to the one that would never be first."""
    async with house(ALPHA, BETA, targets={"alpha-1": 75, "beta-1": 25}) as scene:
        for n in range(40):
            await scene.create(f"A{n}")

    assert (carriers_of(scene).count("alpha"), carriers_of(scene).count("beta")) == (30, 10)


async def test_a_quote_moves_no_share() -> None:
    """Asking is not sending."""
    async with house(ALPHA, BETA, targets={"alpha-1": 50, "beta-1": 50}) as scene:
        _, considered = await scene.orders.quote(TENANT, draft("Q"), live=False, deadline_s=5.0)
        for _ in range(7):
            _, considered = await scene.orders.quote(TENANT, draft("Q"), live=False, deadline_s=5.0)

    assert considered[0].candidate.carrier == "alpha"
    assert "share of 50 % among those that could take it" in considered[0].reasons


async def test_a_long_queue_moves_orders_on_before_anything_is_sent() -> None:
    """One a second and three seconds tolerated: the fifth goes to the next candidate, and says why."""
    async with house(SLOW, BETA, divert_wait_s=3.0) as scene:
        created = await at_once(scene, 8)

    moved = [c.order for c in created if c.order.attempts[0].carrier == "beta"]
    assert carriers_of(scene) == ["alpha"] * 4 + ["beta"] * 4
    assert {o.attempts[0].cause for o in moved} == {"not alpha (alpha-1): its queue is too long"}
    assert scene.heard.diversions == [("alpha", "beta", "QUEUE_WAIT")] * 4
    assert scene.network.count("alpha", "book") == 4
    told = [e.event.reason for e in await scene.events() if e.event.kind is EventKind.ORDER_ACCEPTED]
    assert told.count("not alpha (alpha-1): its queue is too long") == 4


async def test_a_wait_beyond_the_deadline_moves_orders_on() -> None:
    """With a second left, an account that is two behind is no candidate."""
    async with house(SLOW, BETA) as scene:
        first = [begin(scene, f"A{n}") for n in range(4)]
        await scene.pass_time(0.0)
        hasty = await begin(scene, "A9", 1.5)
        await scene.run(asyncio.gather(*first))

    assert hasty.order.attempts[0].carrier == "beta"
    assert scene.heard.diversions == [("alpha", "beta", "DEADLINE")]


async def test_with_nobody_free_an_order_waits_at_its_first_candidate() -> None:
    """A long queue is better than none."""
    slow_too = manifest("beta", limits={"book": Limit(rate_per_s=1.0)})
    async with house(SLOW, slow_too, divert_wait_s=1.0) as scene:
        await at_once(scene, 12)

    assert len(carriers_of(scene)) == 12


async def test_the_first_candidate_cannot_eat_the_time_of_the_second() -> None:
    """The queue stands still: after half of its time the order leaves it unsent and is booked in the other half."""
    busy = manifest("alpha", limits={name: Limit(concurrency=1) for name in ALPHA.operations})
    async with house(busy, BETA) as scene:
        scene.network.hold("alpha", "book")
        first = begin(scene, "A0")
        await scene.pass_time(0.0)
        second = begin(scene, "A1", 8.0)
        await scene.pass_time(3.9)
        early = len(carriers_of(scene))
        await scene.pass_time(0.3)
        created = await second
        scene.network.release()
        await first

    assert early == 0
    assert [f"{a.carrier} {a.state}" for a in created.order.attempts] == ["alpha NOT_SENT", "beta CONFIRMED"]


async def test_without_a_backup_an_order_keeps_its_place_in_the_queue() -> None:
    """There is nobody to leave time for."""
    busy = manifest("alpha", limits={name: Limit(concurrency=1) for name in ALPHA.operations})
    async with house(busy) as scene:
        scene.network.hold("alpha", "book")
        first = begin(scene, "A0")
        await scene.pass_time(0.0)
        second = begin(scene, "A1", 4.0)
        await scene.pass_time(5.0)
        answered = await second
        scene.network.release()
        await first
        await scene.pass_time(0.5)
        booked = await scene.get(answered)

    assert [str(a.state) for a in booked.attempts] == ["CONFIRMED"]


async def _down_and_up(scene: House) -> None:
    """Alpha's breaker opens, its time passes, and three probes close it."""
    scene.network.script("alpha", "book", *[unreachable()] * 5)
    for n in range(5):
        await scene.create(f"D{n}")
    await scene.pass_time(31.0)
    for n in range(3):
        await scene.run(scene.outbound.call("alpha-1", "find", f"P{n}", deadline_s=5.0, priority=Priority.QUERY))


async def _where(scene: House, prefix: str, count: int = 200) -> tuple[float, set[int]]:
    """The share of new orders that alpha gets, and what those drew that it got."""
    created = [await scene.create(f"{prefix}{n}") for n in range(count)]
    drawn = {draw(c.order.order.order_id) for c in created if c.order.attempts[0].carrier == "alpha"}
    return sum(c.order.attempts[0].carrier == "alpha" for c in created) / count, drawn


async def test_an_account_that_failed_comes_back_in_steps() -> None:
    """A tenth of the orders, then a quarter, half, all; which ones their ids decide."""
    async with house(ALPHA, BETA) as scene:
        await _down_and_up(scene)
        shares = []
        for step in range(4):
            share, drawn = await _where(scene, f"S{step}-")
            shares.append(share)
            assert max(drawn) < (10, 25, 50, 100)[step]
            await scene.pass_time(60.0)
            await scene.run(scene.outbound.call("alpha-1", "find", f"F{step}", deadline_s=5.0, priority=Priority.QUERY))
        moved = [d for d in scene.heard.diversions if d[2] == "FAILBACK"]

    assert shares == [pytest.approx(s, abs=0.1) for s in (0.1, 0.25, 0.5)] + [1.0]
    assert len(moved) == sum(round(200 * (1 - share)) for share in shares)


async def test_faults_on_the_way_back_start_it_again() -> None:
    """From a quarter to a tenth."""
    async with house(ALPHA, BETA) as scene:
        await _down_and_up(scene)
        await scene.pass_time(60.0)
        await scene.run(scene.outbound.call("alpha-1", "find", "F1", deadline_s=5.0, priority=Priority.QUERY))
        before = scene.outbound.ramp_percent("alpha-1", "book")
        scene.network.script("alpha", "book", *[unreachable()] * 3)
        await _where(scene, "S", 30)
        after = scene.outbound.ramp_percent("alpha-1", "book")

    assert (before, after) == (25, 10)


async def test_alone_an_account_gets_everything_back_at_once() -> None:
    """Holding orders back helps nobody when no other carrier could take them."""
    async with house(ALPHA) as scene:
        await _down_and_up(scene)
        share, _ = await _where(scene, "S", 20)

    assert share == 1.0


async def test_a_restart_goes_on_with_the_way_back() -> None:
    """Neither forgotten nor started again."""
    async with house(ALPHA, BETA) as scene:
        await _down_and_up(scene)
        await scene.pass_time(60.0)
        await scene.run(scene.outbound.call("alpha-1", "find", "F1", deadline_s=5.0, priority=Priority.QUERY))
        keeping = asyncio.create_task(keep_rates(scene.store, scene.outbound, scene.clock, lambda e: None))
        await scene.pass_time(1.0)
        keeping.cancel()
        await scene.crash()
        await scene.start()
        await restore_rates(scene.store, scene.outbound, scene.clock)

    assert scene.outbound.failback_steps() == {"alpha-1": 1}
