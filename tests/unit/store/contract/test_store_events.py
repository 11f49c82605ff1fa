"""Events, their gap-free sequence, and the purge, for every backend."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.core.policy.records import Event, EventKind, OrderState
from engine.store.port import AcceptKind, Change, Stale

pytestmark = pytest.mark.anyio


async def test_new_store_has_no_events(store: Any) -> None:
    """Both ends of the sequence are 0 before the first event."""
    ends = (await store.first_sequence(), await store.last_sequence())

    assert ends == (0, 0)
    assert await store.events_after("acme", 0, limit=10) == []


async def test_events_come_back_in_sequence(store: Any, make: Any) -> None:
    """Events are read as written, ascending, after a cursor and up to a limit."""
    order = await make.accepted(store, "o1")
    booked = make.booked(order)
    events = (
        make.event(booked, EventKind.ORDER_BOOKED),
        make.event(booked, EventKind.CARRIER_CHANGED),
    )
    await store.commit(Change(booked, (), events))

    found = await store.events_after("acme", 1, limit=10)
    limited = await store.events_after("acme", 0, limit=2)

    assert [(e.sequence, e.event) for e in found] == [(2, events[0]), (3, events[1])]
    assert [e.sequence for e in limited] == [1, 2]


async def test_long_and_short_reads_agree(store: Any, make: Any) -> None:
    """A large page holds the same events as small ones."""
    for i in range(5):
        await make.accepted(store, f"o{i}")

    large = await store.events_after("acme", 0, limit=1_000)

    assert large == await store.events_after("acme", 0, limit=5)
    assert [e.sequence for e in large] == [1, 2, 3, 4, 5]


async def test_tenant_sees_its_own_events_only(store: Any, make: Any) -> None:
    """Sequence numbers run over all tenants; each reads its own."""
    await make.accepted(store, "o1")
    await make.accepted(store, "o2", tenant="other")
    await make.accepted(store, "o3")

    found = await store.events_after("acme", 0, limit=10)

    assert [e.sequence for e in found] == [1, 3]


async def test_failing_items_burn_no_numbers(store: Any, make: Any) -> None:
    """Steps that fail among others that succeed leave no gap in the sequence."""
    orders = [await make.accepted(store, f"o{i:02}") for i in range(30)]
    wrong = [msgspec.structs.replace(o, version=7) if i % 3 == 0 else o for i, o in enumerate(orders)]

    results = await asyncio.gather(
        *(store.commit(Change(o, (), (make.event(o), make.event(o)))) for o in wrong),
        return_exceptions=True,
    )
    found = await store.events_after("acme", 0, limit=1_000)

    assert sum(isinstance(r, Stale) for r in results) == 10
    assert [e.sequence for e in found] == list(range(1, 30 + 2 * 20 + 1))


async def test_listeners_hear_every_event_in_order(store: Any, make: Any) -> None:
    """A listener hears committed events in sequence before the writer's caller goes on."""
    heard: list[int] = []
    store.on_commit(lambda events: heard.extend(e.sequence for e in events))

    await asyncio.gather(*(make.accepted(store, f"o{i:02}") for i in range(40)))

    assert heard == list(range(1, 41))


async def test_heard_event_can_be_read_at_once(store: Any, make: Any) -> None:
    """What a listener hears is durable and readable, the same value."""
    heard: list[Event] = []
    store.on_commit(heard.extend)

    await make.accepted(store, "o1")

    assert heard == await store.events_after("acme", 0, limit=10)


async def test_failing_listener_harms_nobody(store: Any, make: Any) -> None:
    """A listener that raises keeps neither the caller nor the other listeners from their due."""
    heard: list[int] = []

    def fail(_events: object) -> None:
        raise RuntimeError("deaf")

    store.on_commit(fail)
    store.on_commit(lambda events: heard.extend(e.sequence for e in events))

    order = await make.accepted(store, "o1")

    assert order.order_id == "o1"
    assert heard == [1]


async def test_many_tasks_at_once_all_get_their_own(store: Any, make: Any) -> None:
    """200 tasks create and step their orders concurrently: none is lost, none mixed up."""

    async def book(i: int) -> None:
        order = await make.accepted(store, f"o{i:03}")
        await store.commit(Change(make.booked(order), (), (make.event(order),)))

    await asyncio.gather(*(book(i) for i in range(200)))
    events = await store.events_after("acme", 0, limit=1_000)

    assert await store.count_by_state() == {OrderState.BOOKED: 200}
    assert [e.sequence for e in events] == list(range(1, 401))
    assert len({e.event.order_id for e in events}) == 200


async def test_purge_drops_old_events_and_keeps_the_count(store: Any, make: Any) -> None:
    """After a purge of everything the sequence goes on where it stood."""
    for i in range(3):
        await make.accepted(store, f"o{i}")

    dropped = await store.purge(keys_before=make.now, events_before=make.now + timedelta(seconds=1))
    ends = (await store.first_sequence(), await store.last_sequence())
    await make.accepted(store, "o9")

    assert dropped == (0, 3)
    assert ends == (0, 3)
    assert (await store.first_sequence(), await store.last_sequence()) == (4, 4)


async def test_purge_stops_at_the_first_young_event(store: Any, make: Any) -> None:
    """What is left is one run without gaps, even when an old event stands behind a young one."""
    for order_id, days in (("o1", -9), ("o2", 0), ("o3", -9)):
        order = make.order(order_id)
        event = msgspec.structs.replace(make.event(order), time=make.now + timedelta(days=days))
        await store.accept(order, [], [event], make.keys())

    _, dropped = await store.purge(keys_before=make.now, events_before=make.now - timedelta(days=1))

    assert dropped == 1
    assert [e.sequence for e in await store.events_after("acme", 0, limit=9)] == [2, 3]


async def test_purge_frees_keys_of_finished_orders_only(store: Any, make: Any) -> None:
    """An old key goes with a finished order and stays with an open one."""
    open_order = make.order("o1", reference="open")
    done_order = make.order("o2", reference="done")
    young_order = make.order("o3", reference="young", create_time=make.now + timedelta(days=9))
    for order in (open_order, done_order, young_order):
        await store.accept(order, [], [], make.keys(f"r-{order.order_id}"))
    for order in (done_order, young_order):
        await store.commit(Change(make.booked(order)))

    dropped, _ = await store.purge(keys_before=make.now + timedelta(days=1), events_before=make.now)
    kinds = [
        (await store.accept(make.order(f"n-{name}", reference=name), [], [], make.keys())).kind
        for name in ("open", "done", "young")
    ]

    assert dropped == 2
    assert kinds == [AcceptKind.REPLAYED, AcceptKind.CREATED, AcceptKind.REPLAYED]
