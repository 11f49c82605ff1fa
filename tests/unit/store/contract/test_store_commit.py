"""Steps of an order: fencing, attempts, claims, for every backend."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from engine.core.policy.records import AttemptState, EventKind, Failure, OrderState
from engine.store.port import Change, Stale, StoreError
from engine.store.track_port import TrackChange

pytestmark = pytest.mark.anyio


async def test_step_is_read_back_with_a_new_version(store: Any, make: Any) -> None:
    """A commit returns and stores the order one version on, with the attempt it changed."""
    order = await make.accepted(store, "o1")
    confirmed = make.attempt("o1", state=AttemptState.CONFIRMED, end_time=make.now)

    written = await store.commit(Change(make.booked(order), (confirmed,)))
    read = await store.get_order("acme", "o1")

    assert written == make.booked(order, version=1)
    assert read.order == written
    assert read.attempts == (confirmed,)


async def test_failure_and_cancel_fields_are_kept(store: Any, make: Any) -> None:
    """Every changing field of an order survives the store."""
    order = await make.accepted(store, "o1")
    changed = msgspec.structs.replace(
        order,
        state=OrderState.CANCELLING,
        failure=Failure("CARRIER_REJECTED", "no", "ask", carrier="sf", carrier_message="不支持"),
        cancel_requested=True,
        cancel_tries=3,
        update_time=make.now + timedelta(microseconds=1),
    )

    written = await store.commit(Change(changed))

    assert (await store.get_order("acme", "o1")).order == written


async def test_old_version_is_stale_and_changes_nothing(store: Any, make: Any) -> None:
    """A step from an outdated reading is refused whole: order, attempts and events."""
    order = await make.accepted(store, "o1")
    await store.commit(Change(make.booked(order)))
    late = Change(
        msgspec.structs.replace(order, state=OrderState.FAILED),
        (make.attempt("o1", 2),),
        (make.event(order, EventKind.ORDER_FAILED),),
    )

    with pytest.raises(Stale, match="version 1, not 0"):
        await store.commit(late)

    read = await store.get_order("acme", "o1")
    assert read.order.state is OrderState.BOOKED
    assert len(read.attempts) == 1
    assert await store.last_sequence() == 1


async def test_older_epoch_is_stale_after_a_takeover(store: Any, make: Any) -> None:
    """The engine that lost an order cannot write it, though the version never moved."""
    order = await make.accepted(store, "o1")
    [taken] = await store.claim_due(make.now, epoch=2, limit=10)

    with pytest.raises(Stale, match="held by epoch 2"):
        await store.commit(Change(make.booked(order)))
    written = await store.commit(Change(make.booked(taken.order)))

    assert taken.order.version == order.version
    assert written.lease_epoch == 2


async def test_later_epoch_may_write_what_an_older_one_left(store: Any, make: Any) -> None:
    """A new engine writes an order nobody had to claim, and holds it from then on."""
    order = await make.accepted(store, "o1")
    booked = await store.commit(Change(make.booked(order)))

    await store.commit(Change(msgspec.structs.replace(booked, lease_epoch=5)))

    assert (await store.get_order("acme", "o1")).order.lease_epoch == 5


async def test_racing_steps_from_one_reading_let_one_win(store: Any, make: Any) -> None:
    """Of steps that start from the same version exactly one is written."""
    order = await make.accepted(store, "o1")
    steps = [make.booked(order, cancel_tries=i) for i in range(10)]

    results = await asyncio.gather(
        *(store.commit(Change(s, (), (make.event(s),))) for s in steps), return_exceptions=True
    )

    assert sum(isinstance(r, Stale) for r in results) == 9
    assert await store.last_sequence() == 2


@pytest.mark.parametrize("fields", [{"tenant": "other"}, {"order_id": "o9"}])
async def test_unknown_order_cannot_be_stepped(store: Any, make: Any, fields: Any) -> None:
    """A tenant cannot write an order it does not have."""
    order = await make.accepted(store, "o1")

    with pytest.raises(Stale, match="not in the store for its tenant"):
        await store.commit(Change(msgspec.structs.replace(order, **fields)))


async def test_attempts_of_one_order_may_share_a_reference(store: Any, make: Any) -> None:
    """A repeat under the same reference at the same account is another row."""
    order = await make.accepted(store, "o1")
    repeat = make.attempt("o1", 2, reference="o1-1")

    await store.commit(Change(order, (repeat,)))
    found = await store.get_order_by_attempt("sf-main", "o1-1")

    assert found.attempts == (make.attempt("o1"), repeat)


async def test_foreign_reference_at_an_account_is_refused(store: Any, make: Any) -> None:
    """Two orders cannot go by one reference, or a push could not tell them apart."""
    await make.accepted(store, "o1")
    order = await make.accepted(store, "o2")

    with pytest.raises(StoreError):
        await store.commit(Change(order, (make.attempt("o2", 1, reference="o1-1"),)))

    assert (await store.get_order("acme", "o2")).attempts == (make.attempt("o2"),)


async def test_order_is_found_by_its_attempt(store: Any, make: Any) -> None:
    """A push finds its order by account and reference, and only by both."""
    await make.accepted(store, "o1")

    found = await store.get_order_by_attempt("sf-main", "o1-1")

    assert found.order.order_id == "o1"
    assert await store.get_order_by_attempt("zto-main", "o1-1") is None
    assert await store.get_order_by_attempt("sf-main", "o1-2") is None


async def test_claim_takes_due_orders_oldest_first(store: Any, make: Any) -> None:
    """Own orders are claimed when due, in the order of their due times, up to the limit."""
    for order_id, seconds in (("o1", 3), ("o2", 1), ("o3", 2), ("o4", 60)):
        await make.accepted(store, order_id, due_time=make.now + timedelta(seconds=seconds))
    now = make.now + timedelta(seconds=10)

    claimed = await store.claim_due(now, epoch=1, limit=10)
    first = await store.claim_due(now, epoch=1, limit=1)

    assert [c.order.order_id for c in claimed] == ["o2", "o3", "o1"]
    assert [c.order.order_id for c in first] == ["o2"]
    assert claimed[0].attempts == (make.attempt("o2"),)


async def test_claim_takes_over_whatever_older_engines_left(store: Any, make: Any) -> None:
    """A later engine takes its forerunners' unfinished orders, due or not, and no other."""
    await make.accepted(store, "o1", lease_epoch=1)
    await make.accepted(store, "o2", lease_epoch=2, due_time=None, state=OrderState.BOOKING)
    await make.accepted(store, "o3", lease_epoch=2, due_time=make.now)
    done = await make.accepted(store, "o4", lease_epoch=1)
    await store.commit(Change(make.booked(done)))

    claimed = await store.claim_due(make.now, epoch=3, limit=10)
    again = await store.claim_due(make.now, epoch=3, limit=10)

    assert [c.order.order_id for c in claimed] == ["o3", "o1", "o2"]
    assert {c.order.lease_epoch for c in claimed} == {3}
    assert claimed[2].order.due_time is None
    assert [c.order.order_id for c in again] == ["o3"]


async def test_claim_passes_over_what_is_in_work(store: Any, make: Any) -> None:
    """Orders that have a worker take no places from others that are due."""
    for order_id, seconds in (("o1", 1), ("o2", 2), ("o3", 3)):
        await make.accepted(store, order_id, due_time=make.now + timedelta(seconds=seconds))
    await make.accepted(store, "o4", lease_epoch=0)

    claimed = await store.claim_due(make.now + timedelta(seconds=10), epoch=1, limit=1, skip={"o1", "o2", "o4"})

    assert [c.order.order_id for c in claimed] == ["o3"]


async def test_claim_leaves_a_later_engine_alone(store: Any, make: Any) -> None:
    """An engine that was paused and lost its orders cannot claim them back."""
    await make.accepted(store, "o1", lease_epoch=2)

    claimed = await store.claim_due(make.now + timedelta(hours=1), epoch=1, limit=10)

    assert claimed == []


async def test_claim_in_pieces_reaches_every_order(store: Any, make: Any) -> None:
    """Repeated small claims take over all orders of several forerunners."""
    for i in range(12):
        await make.accepted(store, f"o{i:02}", lease_epoch=1 + i % 3)

    claimed: list[str] = []
    for _ in range(4):
        claimed += [c.order.order_id for c in await store.claim_due(make.now, epoch=9, limit=3)]

    assert sorted(claimed) == [f"o{i:02}" for i in range(12)]


async def test_epochs_rise(store: Any) -> None:
    """Every epoch is greater than any before."""
    epochs = [await store.next_epoch() for _ in range(3)]

    assert epochs == sorted(set(epochs))
    assert epochs[0] > 0


async def test_tracks_begin_with_their_booking(store: Any, make: Any) -> None:
    """A step may open tracks and change others; both are there with it."""
    order = await make.accepted(store, "o1")
    old = await store.open_track(make.track("t1"))
    new = make.track("t2", waybill_number="SF2", order_id="o1")

    await store.commit(Change(make.booked(order), opened=(new,), tracks=(TrackChange(replace(old, order_id="o1")),)))

    assert (await store.get_track("acme", "t2")).track == new
    assert (await store.get_track("acme", "t1")).track == replace(old, order_id="o1", version=1)


async def test_a_followed_number_stops_the_whole_step(store: Any, make: Any) -> None:
    """A track that cannot begin leaves order, attempts and events as they were; who was there is not touched."""
    order = await make.accepted(store, "o1")
    there = await store.open_track(make.track("t1"))
    step = Change(
        make.booked(order),
        (make.attempt("o1", state=AttemptState.CONFIRMED),),
        (make.event(order, EventKind.ORDER_BOOKED),),
        (make.track("t0", waybill_number="SF0"), make.track("t2", order_id="o1")),
    )

    with pytest.raises(Stale, match="sf/SF1 is followed already"):
        await store.commit(step)

    read = await store.get_order("acme", "o1")
    assert (read.order, read.attempts[0].state) == (order, AttemptState.INTENT)
    assert await store.last_sequence() == 1
    assert [await store.get_track("acme", track_id) for track_id in ("t0", "t2")] == [None, None]
    assert (await store.get_track("acme", "t1")).track == there


async def test_an_outdated_track_stops_the_whole_step(store: Any, make: Any) -> None:
    """The version of a track that a step changes is part of the fence."""
    order = await make.accepted(store, "o1")
    old = await store.open_track(make.track())
    await store.commit_track(make.step(old, make.kept()))

    with pytest.raises(Stale, match="track t1 is at version 1, not 0"):
        await store.commit(Change(make.booked(order), tracks=(TrackChange(replace(old, retired=True)),)))

    assert (await store.get_order("acme", "o1")).order == order


async def test_what_happens_to_a_track_is_told_with_its_order(store: Any, make: Any) -> None:
    """Events and news of a track's step are written with the order's, and heard together."""
    order = await make.accepted(store, "o1")
    old = await store.open_track(make.track())
    heard: list[int] = []
    store.on_news(lambda news: heard.extend(one.sequence for one in news))
    step = make.step(old, make.kept())

    await store.commit(Change(make.booked(order), (), (make.event(order, EventKind.ORDER_CANCELLED),), (), (step,)))

    read = await store.get_track("acme", "t1")
    assert (read.track, read.events) == (replace(step.track, version=1), step.events)
    assert [one.news for one in await store.news_after("acme", 0, limit=9)] == list(step.news)
    assert (heard, await store.last_sequence()) == ([1], 2)


async def test_a_step_that_is_refused_tells_nothing_of_its_tracks(store: Any, make: Any) -> None:
    """Order and news stand or fall together."""
    order = await make.accepted(store, "o1")
    old = await store.open_track(make.track())
    await store.commit(Change(make.booked(order)))

    with pytest.raises(Stale):
        await store.commit(Change(make.booked(order), tracks=(make.step(old, make.kept()),)))

    assert (await store.get_track("acme", "t1")).events == ()
    assert await store.last_news_sequence() == 0


async def test_an_outdated_order_opens_no_track(store: Any, make: Any) -> None:
    """Whoever comes late leaves nothing behind."""
    order = await make.accepted(store, "o1")
    await store.commit(Change(make.booked(order)))

    with pytest.raises(Stale, match="version 1, not 0"):
        await store.commit(Change(make.booked(order), opened=(make.track(),)))

    assert await store.get_track("acme", "t1") is None


async def test_a_number_given_twice_in_one_step_is_refused(store: Any, make: Any) -> None:
    """The second of them finds the first."""
    order = await make.accepted(store, "o1")

    with pytest.raises(Stale, match="followed already"):
        await store.commit(Change(make.booked(order), opened=(make.track("t1"), make.track("t2"))))

    assert await store.get_track("acme", "t1") is None


async def test_a_track_of_another_tenant_is_refused(store: Any, make: Any) -> None:
    """A step of an order writes for its own tenant only."""
    order = await make.accepted(store, "o1")

    with pytest.raises(StoreError, match="not of the tenant of order o1"):
        await store.commit(Change(make.booked(order), opened=(make.track(tenant="other"),)))

    assert (await store.get_order("acme", "o1")).order == order
