"""Returns whose way back is tried again, over the whole core; and what an engine finds of them when it starts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from engine.core.policy import returns as policy
from engine.core.policy.records import EventKind, LoadedOrder, OrderDraft, OrderState
from engine.core.policy.return_items import return_reference
from engine.core.policy.return_records import ReturnItem, ReturnRecord, ReturnState
from engine.core.returning import RECALL_PAUSE_S
from engine.core.returns import CreatedReturn
from engine.store.port import Idempotency, StoreError
from engine.store.return_port import ReturnKey
from tests.fakes.house import TENANT, House, house
from tests.fakes.rows import a_return, booking, loaded
from tests.unit.core.return_scenes import ALPHA, COURIER, ask, begin, now, restart_under, scan

pytestmark = pytest.mark.anyio
S = ReturnState
WINDOW_S = 7_200.0


async def brought_back(scene: House, made: CreatedReturn, carrier: str = "alpha") -> ReturnRecord:
    """The return whose carrier fetched the goods and gave them back to the buyer."""
    number = (await now(scene, made)).waybill_number
    await scan(scene, number, "got", carrier)
    await scan(scene, number, "back", carrier)
    lost = await now(scene, made)
    assert (lost.state, lost.spent_order_id) == (S.FAILED, lost.return_order_id)
    return lost


async def approve(scene: House, made: CreatedReturn) -> ReturnRecord:
    """A person approves it, and waits for what comes of it."""
    return await scene.run(scene.returns.approve(TENANT, made.record.return_id, "", deadline_s=20.0))


async def approved_only(scene: House, lost: ReturnRecord, **fields: object) -> ReturnRecord:
    """Approved, and nothing done about it yet; keyword arguments replace fields."""
    step = policy.approved(lost, "", scene.clock.now())
    assert step is not None
    return await scene.store.commit_return(replace(step, record=replace(step.record, **fields)))


async def advanced(scene: House, record: ReturnRecord) -> ReturnRecord:
    """The return after the engine has done about it what there is to do."""
    found = await scene.run(scene.returning.begin(record.tenant, record.return_id, deadline_s=20.0))
    assert found is not None
    return found


async def order_of(scene: House, record: ReturnRecord) -> LoadedOrder:
    """The order that carries it back."""
    return await scene.orders.get(TENANT, order_id=record.return_order_id)


async def restart(scene: House) -> None:
    """The process dies, and another one carries on with its rows."""
    await scene.crash()
    await scene.start()
    scene.carry_returns()
    await scene.pass_time(30.0)


def books(scene: House) -> int:
    """How many bookings the carrier was asked for."""
    return scene.network.count("alpha", "book")


async def test_a_parcel_brought_back_gets_a_second_order_once() -> None:
    """Under a reference of its own, since the first stays booked; its scans move the return."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        await brought_back(scene, made)
        again = await approve(scene, made)
        repeated = await approve(scene, made)
        first, second = await order_of(scene, made.record), await order_of(scene, again)
        await scan(scene, again.waybill_number, "signed")
        arrived = await now(scene, made)

    assert (again.state, again.tries, repeated) == (S.BOOKED, 2, again)
    assert again.waybill_number == "ALPHA000000003"
    assert first.order.state is OrderState.BOOKED
    assert second.order.draft.reference == return_reference(made.record.return_id, 2)
    assert (books(scene), arrived.state, scene.troubles) == (3, S.ARRIVED, [])


async def test_a_parcel_may_be_brought_back_again_and_again() -> None:
    """Each approval books one more; none takes an older order for its own, though all of them are booked."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        orders = [made.record.return_order_id]
        for _ in range(3):
            await brought_back(scene, made)
            orders.append((await approve(scene, made)).return_order_id)

    assert len(set(orders)) == 4
    assert books(scene) == 5


async def test_a_return_rejected_after_its_parcel_was_brought_back_may_still_be_approved() -> None:
    """That is a further try as well."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        await brought_back(scene, made)
        await scene.returns.reject(TENANT, made.record.return_id, "keep it")
        again = await approve(scene, made)

    assert (again.state, again.tries, books(scene)) == (S.BOOKED, 2, 3)


async def test_a_further_try_survives_a_restart() -> None:
    """The process dies between the approval and the booking; the next one books once."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        lost = await brought_back(scene, made)
        await scene.crash()
        await approved_only(scene, lost)
        await scene.start()
        scene.carry_returns()
        await scene.pass_time(30.0)
        booked = await now(scene, made)
        await restart(scene)
        after = await now(scene, made)

    assert (booked.state, booked.waybill_number, after) == (S.BOOKED, "ALPHA000000003", after)
    assert (after.return_order_id, books(scene)) == (booked.return_order_id, 3)


async def test_a_further_try_that_dies_while_it_is_booked_is_found_again() -> None:
    """By its own reference, so that nothing is booked beside it."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        await brought_back(scene, made)
        scene.network.hold("alpha", "book")
        calling = asyncio.ensure_future(approve(scene, made))
        await scene.pass_time(1.0)
        await restart_under(scene, calling)
        found = await now(scene, made)
        order = await order_of(scene, found)

    assert found.state is S.BOOKED
    assert order.order.draft.reference == return_reference(found.return_id, 2)
    assert len(scene.network.live) == 3


async def test_a_pickup_window_that_ran_out_meanwhile_hinders_no_further_try() -> None:
    """The courier is still wanted, whenever one comes."""
    async with house(ALPHA, COURIER) as scene:
        created = await begin(scene)
        ends = scene.clock.now() + timedelta(seconds=WINDOW_S)
        made = await ask(scene, created, pickup=True, pickup_end_time=ends)
        scene.clock.jump(WINDOW_S)
        await brought_back(scene, made, "courier")
        again = await approve(scene, made)
        first, second = await order_of(scene, made.record), await order_of(scene, again)

    assert (again.state, again.pickup_booked) == (S.BOOKED, True)
    assert (first.order.draft.options.pickup_end_time, second.order.draft.options.pickup_end_time) == (ends, None)


async def test_a_try_that_an_earlier_version_could_not_end_is_booked_at_the_start() -> None:
    """It asked with the first reference again and again, and its key was answered with the spent order."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        lost = await brought_back(scene, made)
        spent = await order_of(scene, lost)
        key = f"{lost.return_id}-2"
        replayed = await scene.run(scene.orders.create(TENANT, spent.order.draft, request_id=key, deadline_s=20.0))
        await approved_only(scene, lost)
        await restart(scene)
        found = await now(scene, made)

    assert replayed.replayed
    assert (found.state, books(scene)) == (S.BOOKED, 3)


async def test_an_order_that_an_earlier_version_made_for_a_further_try_carries_it() -> None:
    """Under the first reference, which was free; no other is booked beside it."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        await scene.run(scene.orders.cancel(TENANT, made.record.return_order_id, deadline_s=20.0))
        await scene.pass_time(2.0)
        record = await approved_only(scene, await now(scene, made))
        draft, key = (await order_of(scene, made.record)).order.draft, f"{record.return_id}-2"
        other = await scene.run(scene.orders.create(TENANT, draft, request_id=key, deadline_s=20.0))
        found = await advanced(scene, record)

    assert (found.state, found.return_order_id) == (S.BOOKED, other.order.order.order_id)
    assert books(scene) == 3


@pytest.mark.parametrize("waited_s", [0.0, WINDOW_S])
async def test_a_try_that_only_gets_the_spent_order_fails_and_says_what_to_do(waited_s: float) -> None:
    """An earlier version approved it without counting the try: alike, or with a window that ran out since."""
    async with house(COURIER) as scene:
        created = await begin(scene)
        ends = scene.clock.now() + timedelta(seconds=WINDOW_S)
        made = await ask(scene, created, pickup=True, pickup_end_time=ends)
        lost = await brought_back(scene, made, "courier")
        scene.clock.jump(waited_s)
        failed = await advanced(scene, await approved_only(scene, lost, tries=1))
        again = await approve(scene, made)

    assert (failed.state, failed.due_time, failed.spent_order_id) == (S.FAILED, None, lost.return_order_id)
    assert failed.failure is not None
    assert failed.failure.reason == "IDEMPOTENCY_KEY_REUSED"
    assert f"order {lost.return_order_id} holds the reference or key" in failed.failure.message
    assert "approve the return again" in failed.failure.remedy
    assert (again.state, again.tries) == (S.BOOKED, 2)


async def test_a_key_that_another_order_holds_fails_the_try() -> None:
    """Its caller is told so in the return, and the next try has another key."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        await brought_back(scene, made)
        other = await scene.create("S1", request_id=return_reference(made.record.return_id, 2))
        failed = await approve(scene, made)
        again = await approve(scene, made)
        heard = [e.event.kind for e in await scene.events() if e.event.return_id]

    assert failed.state is S.FAILED
    assert failed.failure is not None
    assert f"order {other.order.order.order_id} holds the reference or key" in failed.failure.message
    assert (again.state, again.tries) == (S.BOOKED, 3)
    assert heard[-4:] == [
        EventKind.RETURN_APPROVED,
        EventKind.RETURN_FAILED,
        EventKind.RETURN_APPROVED,
        EventKind.RETURN_BOOKED,
    ]


async def stored_return(scene: House, record: ReturnRecord, draft: OrderDraft, state: OrderState | None) -> None:
    """A return as it may stand in the store, with the order of its way back where there is one."""
    if state is not None:
        made = booking() if state in (OrderState.BOOKED, OrderState.CANCELLED) else None
        order = loaded(
            order_id=f"way-back-{record.return_id}",
            state=state,
            booking=made,
            draft=replace(draft, reference=return_reference(record.return_id)),
            cancel_requested=state is OrderState.CANCELLING,
        ).order
        await scene.store.accept(order, (), (), Idempotency(f"{record.return_id}-1", b"first"))
    others = len(await scene.store.returns_of_order(TENANT, record.wish.order_id))
    await scene.store.open_return(record, (), ReturnKey("", b""), others=others)


@pytest.mark.parametrize("state", S)
async def test_advancing_ends_wherever_a_return_and_its_order_stand(state: ReturnState) -> None:
    """Whether the order is spent or not, and whether the try was counted; what is left has a time or nothing to do."""
    rows = [
        (order_state, spent, tries)
        for order_state in (None, *OrderState)
        for spent in (False, True)
        for tries in (1, 2, 3)
    ]
    async with house(ALPHA) as scene:
        created = await begin(scene)
        forward = created.order.order
        for number, (order_state, spent, tries) in enumerate(rows):
            return_id = f"r{number}"
            record = a_return(
                state,
                return_id=return_id,
                items=(ReturnItem("TEA", "红茶", 2),),
                wish=replace(a_return().wish, order_id=forward.order_id),
                spent_order_id=f"way-back-{return_id}" if spent else "",
                tries=tries,
            )
            await stored_return(scene, record, forward.draft, order_state)
            found = await advanced(scene, record)

            assert found.due_time is not None or found.state not in policy.OPEN_STATES


async def test_a_store_that_cannot_list_the_returns_at_the_start_is_asked_again() -> None:
    """The engine lives on meanwhile."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene), 1)
        await scene.crash()
        await scene.start()
        await scan(scene, made.record.waybill_number, "signed")
        scene.store.return_faults.append(StoreError("the disk is busy"))
        scene.carry_returns()
        await scene.pass_time(2.0)
        early = (await now(scene, made)).state
        await scene.pass_time(RECALL_PAUSE_S)
        late = (await now(scene, made)).state

    assert (early, late, scene.troubles) == (S.BOOKED, S.ARRIVED, ["StoreError"])
