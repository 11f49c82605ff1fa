"""Orders that are cancelled, crash, meet other engines, or lose their worker."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from crossdock_sdk import ErrorClass
from engine.core.commits import WORKER_RETRY_S
from engine.core.errors import OrderNotCancellable, OrderNotFound
from engine.core.policy.records import EventKind, LoadedOrder, OrderState, RoutingWish
from engine.core.policy.transitions import Step
from engine.store.port import Change, Stale
from tests.fakes.carrier import Act, answer, lost, manifest, refuse, silent
from tests.fakes.house import RULES, TENANT, House, house, states

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")


async def cancelled(scene: House, loaded: LoadedOrder, deadline_s: float = 30.0) -> LoadedOrder:
    """The order as a caller gets it who cancels and waits."""
    return await scene.run(scene.orders.cancel(TENANT, loaded.order.order_id, deadline_s=deadline_s))


async def test_a_booked_order_is_cancelled_at_its_carrier() -> None:
    """Nothing stays live, and watchers hear of both steps."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        after = await cancelled(scene, created.order)

    assert (after.order.state, states(after)) == (OrderState.CANCELLED, ["alpha VOIDED"])
    assert scene.network.live == []
    assert [e.event.kind for e in await scene.events()][-2:] == [EventKind.ORDER_CANCELLING, EventKind.ORDER_CANCELLED]
    assert scene.heard.settled == [OrderState.BOOKED, OrderState.CANCELLED]


async def test_cancelling_twice_asks_the_carrier_once() -> None:
    """The second answer is the first one's."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        first = await cancelled(scene, created.order)
        second = await cancelled(scene, created.order)

    assert first == second
    assert scene.network.count("alpha", "cancel") == 1


async def test_a_booking_under_way_is_cancelled_as_soon_as_it_is_known() -> None:
    """The carrier books it, and is told at once to forget it."""
    async with house(ALPHA) as scene:
        scene.network.hold("alpha", "book")
        created = await scene.create(deadline_s=0.5)
        cancelling = asyncio.ensure_future(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=30.0))
        await scene.pass_time(1.0)
        scene.network.release()
        after = await scene.run(cancelling)

    assert (after.order.state, states(after)) == (OrderState.CANCELLED, ["alpha VOIDED"])
    assert len(scene.network.ledgers["alpha"].shipments) == 1


async def test_a_waiting_order_is_cancelled_without_asking_anybody() -> None:
    """Between two tries nothing is live: no carrier needs to hear of it, and none is asked again."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "book", *[refuse(ErrorClass.CAPACITY)] * 3)
        created = await scene.create()
        after = await cancelled(scene, created.order)

    assert after.order.state is OrderState.CANCELLED
    assert scene.network.count("alpha", "cancel") == 0


async def test_a_refused_cancel_leaves_the_order_booked_and_says_why() -> None:
    """The caller gets the carrier's words and a remedy."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "cancel", refuse(ErrorClass.PERMANENT, code="8", text="已揽收"))
        created = await scene.create()
        with pytest.raises(OrderNotCancellable, match=r"已揽收.*intercept") as refusal:
            await cancelled(scene, created.order)
        after = await scene.get(created)

    assert after.order.state is OrderState.BOOKED
    assert refusal.value.order.failure is not None
    assert len(scene.network.live) == 1


async def test_a_carrier_without_a_cancel_call_refuses_to_cancel() -> None:
    """The order does not hang in CANCELLING for an operation that the plug-in does not have."""
    async with house(manifest("alpha", ("book", "find"))) as scene:
        created = await scene.create()
        with pytest.raises(OrderNotCancellable, match="no cancel call"):
            await cancelled(scene, created.order)

    assert scene.heard.failed == []


async def test_a_cancel_without_an_answer_is_asked_again() -> None:
    """Cancels may repeat; the pauses grow, and the booking is void in the end."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "cancel", lost(), silent(), refuse(ErrorClass.TEMPORARY))
        scene.reconcile()
        created = await scene.create()
        first = await cancelled(scene, created.order, deadline_s=0.2)
        await scene.pass_time(30.0)
        after = await scene.get(created)

    assert first.order.state is OrderState.CANCELLING
    assert after.order.state is OrderState.CANCELLED
    assert scene.network.count("alpha", "cancel") == 4


@pytest.mark.parametrize(
    "act",
    [
        refuse(ErrorClass.AUTH, text="key revoked", executed=False),
        refuse(ErrorClass.BALANCE, executed=False),
        refuse(ErrorClass.TEMPORARY),
        answer(error_class="NONSENSE"),
        silent(),
    ],
    ids=["auth", "balance", "temporary", "plug-in's fault", "no answer"],
)
async def test_a_cancel_open_for_long_calls_a_person_and_ends_by_itself(act: Act) -> None:
    """In review it is asked for every two minutes; once the carrier does it, nobody is needed any more."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        scene.network.always("alpha", "cancel", act)
        scene.reconcile()
        await cancelled(scene, created.order, deadline_s=5.0)
        await scene.pass_time(RULES.review_after_s)
        reviewed = await scene.get(created)
        tried = scene.network.count("alpha", "cancel")
        await scene.pass_time(1200.0)
        tried_in_review = scene.network.count("alpha", "cancel") - tried
        scene.network.always("alpha", "cancel", None)
        await scene.pass_time(150.0)
        after = await scene.get(created)

    assert (reviewed.order.state, states(reviewed)) == (OrderState.NEEDS_REVIEW, ["alpha CONFIRMED"])
    assert reviewed.order.failure is not None
    assert tried_in_review == 10
    assert (after.order.state, after.order.failure, scene.network.live) == (OrderState.CANCELLED, None, [])
    told = [e.event.kind for e in await scene.events()]
    assert told[-3:] == [EventKind.ORDER_CANCELLING, EventKind.ORDER_NEEDS_REVIEW, EventKind.ORDER_CANCELLED]


async def test_a_local_cancel_is_marked_as_such() -> None:
    """A carrier that recycles unused numbers itself knows nothing of it."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "cancel", answer(local_only=True))
        created = await scene.create()
        after = await cancelled(scene, created.order)

    assert after.order.booking is not None
    assert after.order.booking.voided_locally


@pytest.mark.parametrize("state", [OrderState.FAILED, OrderState.NEEDS_REVIEW])
async def test_what_has_failed_or_needs_a_person_cannot_be_cancelled(state: OrderState) -> None:
    """The error carries what the order says about itself."""
    deaf = manifest("deaf", ("book", "cancel"))
    async with house(deaf) as scene:
        act = lost() if state is OrderState.NEEDS_REVIEW else refuse(ErrorClass.PERMANENT)
        scene.network.script("deaf", "book", act)
        created = await scene.create()
        with pytest.raises(OrderNotCancellable) as refusal:
            await cancelled(scene, created.order)

    assert refusal.value.order.state is state


async def test_an_unknown_order_cannot_be_cancelled() -> None:
    """Nor one of another tenant."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        with pytest.raises(OrderNotFound):
            await scene.run(scene.orders.cancel("other", created.order.order.order_id, deadline_s=1.0))


async def test_a_cancel_that_comes_while_the_worker_goes_to_rest_is_not_put_off() -> None:
    """The worker would write a later time over the cancel's; it sees the newer rows and goes on instead."""
    async with house(ALPHA) as scene:
        scene.network.always("alpha", "book", refuse(ErrorClass.CAPACITY))
        created = await scene.create()
        before = await scene.get(created)
        await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=0.0))
        late = scene.clock.now().replace(year=2027)
        after, goes_on = await scene.run(scene.booker.commits.rest_until(before, late))

    assert goes_on
    assert after.order.due_time != late
    assert after.order.cancel_requested


CRASHES = [("nothing went out", False), ("the carrier booked it", True)]


@pytest.mark.parametrize("booked", [booked for _, booked in CRASHES], ids=[name for name, _ in CRASHES])
async def test_an_intent_left_by_a_crash_is_looked_up(booked: bool) -> None:
    """Whether its bytes went out or not: booked once in the end, and never at two carriers."""
    async with house(ALPHA, BETA) as scene:
        scene.network.hold("alpha", "book")
        created = await scene.create(deadline_s=0.5)
        await scene.crash()
        if booked:
            scene.network.ledgers["alpha"].book(created.order.attempts[0].reference, scene.clock.now())
        await scene.start()
        scene.reconcile()
        await scene.pass_time(30.0)
        after = await scene.get(created)

    assert after.attempts[0].state == ("CONFIRMED" if booked else "ABSENT")
    assert after.order.state is OrderState.BOOKED
    assert len(scene.network.live) == 1
    assert EventKind.OUTCOME_UNKNOWN in [e.event.kind for e in await scene.events()]


async def test_orders_in_every_state_are_taken_up_after_a_crash() -> None:
    """Waiting, in doubt, being cancelled: each goes on from its rows, without any call repeated blindly."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "cancel", *[silent()] * 2)
        cancelling = await scene.create("C1")
        await cancelled(scene, cancelling.order, deadline_s=0.1)
        scene.network.script("alpha", "book", refuse(ErrorClass.CAPACITY), lost())
        waiting = await scene.create("W1", deadline_s=0.5)
        scene.network.always("alpha", "find", silent())
        doubtful = await scene.create("D1", deadline_s=0.5)
        await scene.crash()
        scene.network.always("alpha", "find", None)
        await scene.start()
        scene.reconcile()
        await scene.pass_time(60.0)
        ends = [(await scene.get(c)).order.state for c in (cancelling, waiting, doubtful)]

    assert ends == [OrderState.CANCELLED, OrderState.BOOKED, OrderState.BOOKED]
    assert scene.network.count("alpha", "book") == 4


async def test_a_worker_whose_rows_changed_reads_them_again() -> None:
    """Whoever wrote in between is not overwritten: the step is made anew from the rows as they are."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.CAPACITY))
        created = await scene.create()
        old = await scene.get(created)
        newer = replace(old.order, cancel_tries=7)
        await scene.store.commit(Change(newer))
        after = await scene.booker.commits.apply(old, lambda rows: Step(replace(rows.order, due_time=None)))

    assert (after.order.cancel_tries, after.order.due_time) == (7, None)


async def test_an_engine_that_lost_an_order_to_a_later_one_leaves_it_alone() -> None:
    """The fence: the older engine's write is refused, and it does not try again."""
    async with house(ALPHA) as scene:
        scene.network.always("alpha", "book", refuse(ErrorClass.CAPACITY))
        created = await scene.create()
        old = await scene.get(created)
        await scene.store.claim_due(scene.clock.now(), epoch=await scene.store.next_epoch(), limit=10)
        with pytest.raises(Stale):
            await scene.booker.commits.apply(old, lambda rows: Step(replace(rows.order, due_time=None)))


async def test_an_order_left_by_an_older_engine_belongs_to_the_one_that_writes_it() -> None:
    """After the restart a cancel is fenced against the old process too."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        await scene.crash()
        await scene.start()
        after = await cancelled(scene, created.order)

    assert after.order.lease_epoch == scene.booker.epoch == 2


async def test_a_worker_that_dies_is_reported_and_its_order_taken_up_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect is counted and retried at a pace, never in a busy loop; repaired, it heals by itself."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", lost())
        scene.network.always("alpha", "find", silent())
        created = await scene.create(deadline_s=0.5, routing=RoutingWish(allowed=("alpha",)))
        with monkeypatch.context() as defect:
            defect.setattr(scene.router, "facts", None)
            scene.reconcile()
            await scene.pass_time(3 * WORKER_RETRY_S)
            failed = len(scene.heard.failed)
        scene.network.always("alpha", "find", None)
        await scene.pass_time(2 * WORKER_RETRY_S)
        after = await scene.get(created)

    assert 1 <= failed <= 5
    assert (after.order.state, states(after)) == (OrderState.BOOKED, ["alpha CONFIRMED"])
