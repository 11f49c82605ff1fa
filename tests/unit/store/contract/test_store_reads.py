"""Reading, listing, labels, engine state, closing, for every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from engine.core.policy.records import OrderState, StoredLabel
from engine.store.port import Change, OrderFilter, StoreError

pytestmark = pytest.mark.anyio

ALL = OrderFilter()


async def test_tenant_cannot_read_anothers_order(store: Any, make: Any) -> None:
    """A guessed id reads like an absent one."""
    await make.accepted(store, "o1", reference="ref")

    assert await store.get_order("other", "o1") is None
    assert await store.get_order_by_reference("other", "ref") is None
    assert await store.list_orders("other", ALL, after="", limit=10) == []


async def test_reference_gives_the_newest_order(store: Any, make: Any) -> None:
    """Of several orders under a reference the one created last is meant."""
    old = await make.accepted(store, "o2", reference="ref")
    await store.commit(Change(make.booked(old, state=OrderState.CANCELLED)))
    young = make.order("o1", reference="ref", create_time=make.now + timedelta(seconds=1))
    await store.accept(young, [], [], make.keys("r2"))

    found = await store.get_order_by_reference("acme", "ref")

    assert found.order == young


async def test_times_with_offsets_come_back_as_the_same_instant(store: Any, make: Any) -> None:
    """A time of any zone is the same instant after the store, and aware."""
    beijing = timezone(timedelta(hours=8))
    time = datetime(2026, 11, 11, 8, 0, 0, 999999, tzinfo=beijing)
    await make.accepted(store, "o1", create_time=time, update_time=time, due_time=time)

    read = (await store.get_order("acme", "o1")).order

    assert (read.create_time, read.update_time, read.due_time) == (time, time, time)
    assert read.create_time.utcoffset() is not None


async def test_times_before_1970_are_exact(store: Any, make: Any) -> None:
    """A far-off time loses no microsecond."""
    time = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    await make.accepted(store, "o1", create_time=time)

    assert (await store.get_order("acme", "o1")).order.create_time == time


async def test_pages_join_without_overlap(store: Any, make: Any) -> None:
    """Pages taken with `after` give every order once, by ascending id, attempts included."""
    for i in (3, 1, 5, 2, 4):
        order = await make.accepted(store, f"o{i}")
        await store.commit(Change(order, (make.attempt(f"o{i}", 2),)))

    first = await store.list_orders("acme", ALL, after="", limit=2)
    rest = await store.list_orders("acme", ALL, after="o2", limit=10)

    assert [o.order.order_id for o in first] == ["o1", "o2"]
    assert [o.order.order_id for o in rest] == ["o3", "o4", "o5"]
    assert all(len(o.attempts) == 2 for o in first + rest)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["o1", "o2", "o3", "o4"]),
        ({"states": (OrderState.BOOKED,)}, ["o2", "o3"]),
        ({"states": (OrderState.BOOKED, OrderState.FAILED)}, ["o2", "o3", "o4"]),
        ({"carriers": ("sf",)}, ["o2"]),
        ({"carriers": ("sf", "zto")}, ["o2", "o3"]),
        ({"states": (OrderState.FAILED,), "carriers": ("sf",)}, []),
        ({"reference_prefix": "SO1"}, ["o1", "o2"]),
        ({"reference_prefix": "so"}, []),
        ({"reference_prefix": "SO%"}, ["o4"]),
        ({"reference_prefix": "SO1", "states": (OrderState.BOOKED,)}, ["o2"]),
        ({"created_after": 1}, ["o3", "o4"]),
        ({"created_before": 3}, ["o1", "o2"]),
        ({"created_after": 1, "created_before": 4}, ["o3"]),
    ],
)
async def test_filters_narrow_a_listing(store: Any, make: Any, fields: Any, expected: Any) -> None:
    """Each filter and their combinations match exactly; creation bounds are exclusive."""
    carriers = {"o2": "sf", "o3": "zto"}
    states = {"o2": OrderState.BOOKED, "o3": OrderState.BOOKED, "o4": OrderState.FAILED}
    references = {"o1": "SO1-a", "o2": "SO1", "o3": "SO2", "o4": "SO%"}
    for i, (order_id, reference) in enumerate(references.items(), start=0):
        seconds = {0: 0, 1: 1, 2: 3, 3: 4}[i]
        time = make.now + timedelta(seconds=seconds)
        order = await make.accepted(store, order_id, reference=reference, create_time=time)
        booking = make.booking(carriers[order_id]) if order_id in carriers else None
        state = states.get(order_id, OrderState.ACCEPTED)
        await store.commit(Change(make.booked(order, state=state, booking=booking)))
    for field in ("created_after", "created_before"):
        if field in fields:
            fields = {**fields, field: make.now + timedelta(seconds=fields[field])}

    found = await store.list_orders("acme", OrderFilter(**fields), after="", limit=10)

    assert [o.order.order_id for o in found] == expected


async def test_label_round_trip_and_replacement(store: Any, make: Any) -> None:
    """A label comes back byte for byte; a later one for the waybill takes its place."""
    first = StoredLabel("o1", "SF1", "application/pdf", bytes(range(256)), make.now)
    second = StoredLabel("o1", "SF1", "image/png", b"\x89PNG", make.now + timedelta(seconds=1))
    await store.put_label("acme", first)

    read = await store.get_label("acme", "o1", "SF1")
    await store.put_label("acme", second)

    assert read == first
    assert await store.get_label("acme", "o1", "SF1") == second


async def test_label_belongs_to_its_tenant(store: Any, make: Any) -> None:
    """Neither another tenant nor another waybill sees a label."""
    label = StoredLabel("o1", "SF1", "application/pdf", b"%PDF", make.now)
    await store.put_label("acme", label)

    assert await store.get_label("other", "o1", "SF1") is None
    assert await store.get_label("acme", "o1", "SF2") is None


async def test_state_is_kept_by_key(store: Any) -> None:
    """Engine state is read as last put, None before."""
    before = await store.get_state("limits")
    await store.put_state("limits", b"\x00one")
    await store.put_state("limits", b"two")

    assert before is None
    assert await store.get_state("limits") == b"two"


async def test_orders_are_counted_by_state(store: Any, make: Any) -> None:
    """The count runs over all tenants and follows every step."""
    order = await make.accepted(store, "o1")
    await make.accepted(store, "o2", tenant="other")
    await store.commit(Change(make.booked(order)))

    counts = await store.count_by_state()

    assert counts == {OrderState.BOOKED: 1, OrderState.ACCEPTED: 1}


async def test_closed_store_says_so(store: Any, make: Any) -> None:
    """After closing, reads and writes fail with a clear error; closing twice is harmless."""
    await store.aclose()
    await store.aclose()

    for call in (
        store.get_order("acme", "o1"),
        store.put_state("k", b"v"),
        store.list_orders("acme", ALL, after="", limit=1),
        store.accept(make.order("o1"), [], [], make.keys()),
    ):
        with pytest.raises(StoreError, match="the store is closed"):
            await call
