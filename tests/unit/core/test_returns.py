"""Returns over the whole core: judged, booked back, followed, received, given up; through crashes and races."""

from __future__ import annotations

import asyncio

import pytest

from crossdock_sdk import ErrorClass
from engine.core.errors import KeyReused, OrderNotBooked, ReturnInvalid, ReturnNotFound, ReturnStateWrong
from engine.core.policy.records import EventKind, OrderState
from engine.core.policy.return_items import return_reference
from engine.core.policy.return_records import ReturnItem, ReturnReason, ReturnState, ReturnWish, Verdict
from engine.core.policy.returns import Facts
from engine.core.returning import DAY_S
from engine.core.returns import CreatedReturn
from tests.fakes.carrier import lost, refuse
from tests.fakes.house import OTHER_TENANT, TENANT, House, house
from tests.unit.core.return_scenes import ALPHA, COURIER, Always, ask, begin, now, restart_under, scan

pytestmark = pytest.mark.anyio
S = ReturnState


async def kinds(scene: House) -> list[EventKind]:
    """What watchers heard of returns."""
    return [e.event.kind for e in await scene.events() if e.event.return_id]


async def test_an_approved_return_has_its_waybill_at_once() -> None:
    """Booked with the carrier that brought it, as an order of its own, from the buyer to the shop."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        order = await scene.orders.get(TENANT, order_id=made.record.return_order_id)

    assert (made.record.state, made.record.carrier, made.replayed) == (S.BOOKED, "alpha", False)
    assert made.record.waybill_number == "ALPHA000000002"
    assert order.order.draft.reference == return_reference(made.record.return_id)
    assert made.record.items == (ReturnItem("TEA", "红茶", 2),)
    assert scene.heard.returns == ["DAMAGED APPROVE"]


async def test_a_return_runs_to_its_refund() -> None:
    """Scan by scan, and confirming twice makes one refund due."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        seen = [made.record.state]
        for code in ("got", "moved", "signed"):
            await scan(scene, made.record.waybill_number, code)
            seen.append((await now(scene, made)).state)
        confirming = [scene.returns.confirm_received(TENANT, made.record.return_id, "fine") for _ in range(5)]
        confirmed = await scene.run(asyncio.gather(*confirming))
        heard = await kinds(scene)

    assert seen == [S.BOOKED, S.IN_TRANSIT, S.IN_TRANSIT, S.ARRIVED]
    assert {(r.state, r.remark) for r in confirmed} == {(S.RECEIVED, "fine")}
    assert heard == [
        EventKind.RETURN_REQUESTED,
        EventKind.RETURN_APPROVED,
        EventKind.RETURN_BOOKED,
        EventKind.RETURN_IN_TRANSIT,
        EventKind.RETURN_ARRIVED,
        EventKind.REFUND_DUE,
    ]
    assert scene.heard.returns == ["DAMAGED APPROVE", "DAMAGED REFUND"]


async def test_what_a_rule_leaves_open_waits_for_a_person() -> None:
    """Nothing is booked before; approving twice books once."""
    async with house(ALPHA) as scene:
        created = await begin(scene, Verdict.REVIEW)
        made = await ask(scene, created)
        waiting, booked = made.record.state, scene.network.count("alpha", "book")
        both = [scene.returns.approve(TENANT, made.record.return_id, "ok", deadline_s=20.0) for _ in range(2)]
        approved = await scene.run(asyncio.gather(*both))

    assert (waiting, booked) == (S.UNDER_REVIEW, 1)
    assert [r.state for r in approved] == [S.BOOKED, S.BOOKED]
    assert scene.network.count("alpha", "book") == 2


async def test_what_is_rejected_is_free_to_be_asked_for_again() -> None:
    """By a rule or by a person, and it says so."""
    async with house(ALPHA) as scene:
        created = await begin(scene, Verdict.REJECT)
        made = await ask(scene, created)
        again = await ask(scene, created)
        rejected = await scene.returns.reject(TENANT, made.record.return_id, "too late")

    assert made.record.decision.explanation == "because"
    assert (again.record.state, rejected.state) == (S.REJECTED, S.REJECTED)
    assert rejected.decision == made.record.decision


async def test_rules_are_told_how_long_ago_it_was_delivered() -> None:
    """Not delivered is told as such, and the carrier's own time counts."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        rules = scene.return_rules
        assert isinstance(rules, Always)
        await ask(scene, created, 1)
        booking = created.order.order.booking
        assert booking is not None
        await scan(scene, booking.waybill_number, "signed")
        scene.clock.jump(2 * DAY_S)
        await ask(scene, created, 1)

    assert rules.facts[0] == Facts(None)
    days = rules.facts[1].days_since_delivery
    assert days is not None
    assert 2.0 <= days < 2.001


async def test_no_more_comes_back_than_was_sent() -> None:
    """Ten callers who all want the last two pieces: they get two."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        wish = ReturnWish(created.order.order.order_id, ReturnReason.LATE, (ReturnItem("TEA", "", 1),))
        calls = [scene.returns.create(TENANT, wish, request_id="", deadline_s=20.0) for _ in range(10)]
        made = await scene.run(asyncio.gather(*calls, return_exceptions=True))

    assert sum(isinstance(one, CreatedReturn) for one in made) == 2
    assert sum(isinstance(one, ReturnInvalid) for one in made) == 8


async def test_a_repeated_call_is_one_return() -> None:
    """Also when nothing is left to send back by then; another body under the key is refused."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        made = await ask(scene, created, request_id="k")
        again = await ask(scene, created, request_id="k")
        with pytest.raises(KeyReused) as refused:
            await ask(scene, created, 1, request_id="k")

    assert (again.replayed, again.record.return_id) == (True, made.record.return_id)
    assert (refused.value.what, refused.value.held_id) == ("return", made.record.return_id)
    assert scene.network.count("alpha", "book") == 2


async def test_only_what_was_booked_comes_back() -> None:
    """An order without a waybill has nothing to return, and a return is not returned."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        made = await ask(scene, created)
        order_id = made.record.return_order_id
        with pytest.raises(OrderNotBooked, match="returns need BOOKED"):
            await scene.returns.create(TENANT, ReturnWish(order_id, ReturnReason.LATE), request_id="", deadline_s=1.0)


async def test_a_return_is_its_tenants_own() -> None:
    """Another tenant finds nothing by any door."""
    async with house(ALPHA) as scene:
        return_id = (await ask(scene, await begin(scene))).record.return_id
        doors = (
            scene.returns.get(OTHER_TENANT, return_id),
            scene.returns.approve(OTHER_TENANT, return_id, "", deadline_s=1.0),
            scene.returns.reject(OTHER_TENANT, return_id, "no"),
            scene.returns.confirm_received(OTHER_TENANT, return_id, ""),
            scene.returns.cancel(OTHER_TENANT, return_id, deadline_s=1.0),
        )
        found = await asyncio.gather(*doors, return_exceptions=True)

    assert [type(one) for one in found] == [ReturnNotFound] * 5


async def test_a_courier_comes_where_the_carrier_offers_it() -> None:
    """The carrier that can fetch it takes it, though another brought it."""
    async with house(ALPHA, COURIER) as scene:
        made = await ask(scene, await begin(scene), pickup=True)

    assert (made.record.carrier, made.record.pickup_booked) == ("courier", True)


async def test_without_a_courier_the_buyer_hands_it_over() -> None:
    """Better a return without a pickup than none."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene), pickup=True)

    assert (made.record.state, made.record.pickup_booked) == (S.BOOKED, False)


async def test_a_lost_answer_books_the_way_back_once() -> None:
    """It is an order like any other: looked up, never booked twice."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        scene.network.script("alpha", "book", lost())
        made = await ask(scene, created)
        await scene.pass_time(60.0)
        found = await now(scene, made)

    assert found.state is S.BOOKED
    assert len(scene.network.live) == 2


async def test_a_return_no_carrier_takes_may_be_booked_again() -> None:
    """It fails with the carrier's words; approved again it gets a new order."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        scene.network.script("alpha", "book", refuse(ErrorClass.NO_SERVICE, text="not from there"))
        made = await ask(scene, created)
        again = await scene.run(scene.returns.approve(TENANT, made.record.return_id, "", deadline_s=20.0))

    assert made.record.state is S.FAILED
    assert made.record.failure is not None
    assert "not from there" in made.record.failure.message
    assert again.state is S.BOOKED
    assert len(scene.network.live) == 2


async def test_a_cancelled_return_voids_its_waybill() -> None:
    """At the carrier; what is cancelled is not received, but may be asked for again."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        made = await ask(scene, created)
        cancelled = await scene.run(scene.returns.cancel(TENANT, made.record.return_id, deadline_s=20.0))
        live = list(scene.network.live)
        with pytest.raises(ReturnStateWrong, match="cannot be received"):
            await scene.returns.confirm_received(TENANT, made.record.return_id, "")
        again = await ask(scene, created)

    assert (cancelled.state, cancelled.due_time) == (S.CANCELLED, None)
    assert live == ["ALPHA000000001"]
    assert again.record.state is S.BOOKED


async def test_a_return_on_its_way_is_not_cancelled() -> None:
    """The goods come; the error says where it stands and from where it could be."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        await scan(scene, made.record.waybill_number, "got")
        with pytest.raises(ReturnStateWrong, match="IN_TRANSIT and cannot be cancelled; that is possible while"):
            await scene.returns.cancel(TENANT, made.record.return_id, deadline_s=1.0)


async def test_a_return_that_is_not_handed_over_expires() -> None:
    """Its waybill is voided; goods that come all the same are received all the same."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        scene.clock.jump(14 * DAY_S + 1)
        await scene.pass_time(10.0)
        expired = await now(scene, made)
        live = list(scene.network.live)
        received = await scene.returns.confirm_received(TENANT, made.record.return_id, "came by hand")

    assert (expired.state, expired.due_time) == (S.EXPIRED, None)
    assert live == ["ALPHA000000001"]
    assert received.state is S.RECEIVED


async def test_a_waybill_cancelled_by_hand_fails_the_return() -> None:
    """Whoever cancels the order of the way back is heard."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        await scene.run(scene.orders.cancel(TENANT, made.record.return_order_id, deadline_s=20.0))
        await scene.pass_time(2.0)
        found = await now(scene, made)

    assert found.state is S.FAILED
    assert found.failure is not None


async def test_a_crash_before_the_way_back_is_booked_loses_nothing() -> None:
    """The next process books it from the row, once."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        scene.network.hold("alpha", "book")
        calling = asyncio.ensure_future(
            scene.returns.create(
                TENANT,
                ReturnWish(created.order.order.order_id, ReturnReason.LATE),
                request_id="k",
                deadline_s=20.0,
            )
        )
        await scene.pass_time(1.0)
        await restart_under(scene, calling)
        (found,) = await scene.store.returns_of_order(TENANT, created.order.order.order_id)

    assert found.state is S.BOOKED
    assert len(scene.network.live) == 2


async def test_a_delivery_while_we_were_down_is_seen_at_the_start() -> None:
    """Nobody woke us; the start looks at every return on its way."""
    async with house(ALPHA) as scene:
        made = await ask(scene, await begin(scene))
        await scene.pass_time(1.0)
        await scene.crash()
        await scene.start()  # without the loop that carries returns on
        await scan(scene, made.record.waybill_number, "signed")
        before = (await now(scene, made)).state
        scene.carry_returns()
        await scene.pass_time(2.0)
        after = (await now(scene, made)).state

    assert (before, after) == (S.BOOKED, S.ARRIVED)


async def test_an_order_given_up_by_its_carrier_stays_out_of_returns() -> None:
    """Events of ordinary orders wake nothing."""
    async with house(ALPHA) as scene:
        created = await begin(scene)
        await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=20.0))
        cancelled = await scene.get(created)
        await scene.pass_time(5.0)

    assert cancelled.order.state is OrderState.CANCELLED
    assert not scene.troubles
