"""Creation and its idempotency keys, for every backend."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from engine.core.policy.records import LoadedOrder, OrderState
from engine.store.port import AcceptKind, Change, StoreError

pytestmark = pytest.mark.anyio


async def test_created_order_reads_back_whole(store: Any, make: Any) -> None:
    """What was accepted is what is read: draft, attempts by number, times to the microsecond."""
    order = make.order("o1")
    attempts = [make.attempt("o1", 2), make.attempt("o1", 1)]

    accepted = await store.accept(order, attempts, [make.event(order)], make.keys("r1"))
    read = await store.get_order("acme", "o1")

    assert accepted.kind is AcceptKind.CREATED
    assert read == accepted.order == LoadedOrder(order, (attempts[1], attempts[0]))


@pytest.mark.parametrize(
    ("request_id", "reference", "body", "kind"),
    [
        ("r1", "ref", b"same", AcceptKind.REPLAYED),
        ("r1", "ref", b"other", AcceptKind.REQUEST_ID_REUSED),
        ("r1", "ref2", b"other", AcceptKind.REQUEST_ID_REUSED),
        ("r2", "ref", b"same", AcceptKind.REPLAYED),
        ("r2", "ref", b"other", AcceptKind.REFERENCE_REUSED),
        ("", "ref", b"same", AcceptKind.REPLAYED),
        ("", "ref", b"other", AcceptKind.REFERENCE_REUSED),
        ("r2", "ref2", b"same", AcceptKind.CREATED),
        ("", "", b"same", AcceptKind.CREATED),
    ],
)
async def test_second_creation_by_its_keys(
    store: Any, make: Any, request_id: Any, reference: Any, body: Any, kind: Any
) -> None:
    """A taken key replays for the same body and refuses another one."""
    first = make.order("o1", reference="ref")
    await store.accept(first, [], [], make.keys("r1", b"same"))
    second = make.order("o2", reference=reference)

    accepted = await store.accept(second, [], [make.event(second)], make.keys(request_id, body))

    assert accepted.kind is kind
    assert accepted.order.order.order_id == ("o2" if kind is AcceptKind.CREATED else "o1")
    assert (await store.get_order("acme", "o2") is not None) == (kind is AcceptKind.CREATED)
    assert await store.last_sequence() == (1 if kind is AcceptKind.CREATED else 0)


async def test_orders_without_keys_never_meet(store: Any, make: Any) -> None:
    """An empty request_id and an empty reference are no keys."""
    for order_id in ("o1", "o2"):
        accepted = await store.accept(make.order(order_id, reference=""), [], [], make.keys("", b"same"))

        assert accepted.kind is AcceptKind.CREATED


@pytest.mark.parametrize("state", [OrderState.FAILED, OrderState.CANCELLED])
@pytest.mark.parametrize(
    ("request_id", "kind"),
    [("r2", AcceptKind.CREATED), ("r1", AcceptKind.REPLAYED), ("", AcceptKind.REPLAYED)],
)
async def test_dead_order_frees_its_reference(store: Any, make: Any, state: Any, request_id: Any, kind: Any) -> None:
    """Only a new, non-empty request_id may use the reference of a dead order again."""
    first = make.order("o1", reference="ref")
    await store.accept(first, [], [], make.keys("r1"))
    dead = msgspec.structs.replace(first, state=state, due_time=None)
    await store.commit(Change(dead))

    accepted = await store.accept(make.order("o2", reference="ref"), [], [], make.keys(request_id))

    assert accepted.kind is kind
    assert accepted.order.order.order_id == ("o2" if kind is AcceptKind.CREATED else "o1")


async def test_replayed_request_id_stays_with_its_order(store: Any, make: Any) -> None:
    """A request_id once answered by way of the reference is answered alike after the order died."""
    first = make.order("o1", reference="ref")
    await store.accept(first, [], [], make.keys("r1"))
    await store.accept(make.order("o2", reference="ref"), [], [], make.keys("r2"))
    await store.commit(Change(msgspec.structs.replace(first, state=OrderState.CANCELLED)))

    again = await store.accept(make.order("o3", reference="ref"), [], [], make.keys("r2"))

    assert again.kind is AcceptKind.REPLAYED
    assert again.order.order.order_id == "o1"


async def test_replay_shows_the_order_as_it_is_now(store: Any, make: Any) -> None:
    """A replay carries what happened since."""
    order = await make.accepted(store, "o1")
    await store.commit(Change(make.booked(order)))

    accepted = await store.accept(order, [], [], make.keys())

    assert accepted.kind is AcceptKind.REPLAYED
    assert accepted.order.order.booking == make.booking()
    assert accepted.order.attempts == (make.attempt("o1"),)


async def test_concurrent_twins_create_once(store: Any, make: Any) -> None:
    """Of many creations under one key at the same time one creates and the others replay it."""
    orders = [make.order(f"o{i:02}", reference="ref") for i in range(20)]

    accepted = await asyncio.gather(*(store.accept(o, [], [make.event(o)], make.keys("r1")) for o in orders))

    kinds = [a.kind for a in accepted]
    assert kinds.count(AcceptKind.CREATED) == 1
    assert kinds.count(AcceptKind.REPLAYED) == 19
    assert len({a.order.order.order_id for a in accepted}) == 1
    assert await store.last_sequence() == 1


async def test_keys_of_tenants_never_meet(store: Any, make: Any) -> None:
    """Two tenants may use the same request_id and reference."""
    mine = make.order("o1", reference="ref")
    theirs = make.order("o2", reference="ref", tenant="other")

    await store.accept(mine, [], [], make.keys("r1"))
    accepted = await store.accept(theirs, [], [], make.keys("r1", b"other"))

    assert accepted.kind is AcceptKind.CREATED
    assert (await store.get_order_by_reference("acme", "ref")).order.order_id == "o1"
    assert (await store.get_order_by_reference("other", "ref")).order.order_id == "o2"


@pytest.mark.parametrize(
    ("request_id", "reference", "taken"),
    [("r1", "new", True), ("r2", "ref", True), ("", "ref", True), ("r2", "new", False), ("", "", False)],
)
async def test_a_taken_key_is_known_before(store: Any, make: Any, request_id: str, reference: str, taken: bool) -> None:
    """Whatever the body: the keys alone say whether a creation would make an order."""
    await store.accept(make.order("o1", reference="ref"), [], [], make.keys("r1"))

    assert await store.is_taken("acme", reference, make.keys(request_id, b"another")) is taken
    assert not await store.is_taken("other", reference, make.keys(request_id))


@pytest.mark.parametrize(("request_id", "taken"), [("r1", True), ("r2", False), ("", True)])
async def test_a_free_reference_is_taken_for_those_without_a_new_key(
    store: Any, make: Any, request_id: str, taken: bool
) -> None:
    """As `accept` sees it: after a failure only a new request_id makes another order."""
    order = make.order("o1", reference="ref")
    await store.accept(order, [], [], make.keys("r1"))
    await store.commit(Change(msgspec.structs.replace(order, state=OrderState.FAILED)))

    assert await store.is_taken("acme", "ref", make.keys(request_id)) is taken


async def test_taken_order_id_is_refused_and_changes_nothing(store: Any, make: Any) -> None:
    """An order id that is in the store cannot be created again, not even by another tenant."""
    await make.accepted(store, "o1")
    twin = make.order("o1", tenant="other", reference="x")

    with pytest.raises(StoreError, match="order_id"):
        await store.accept(twin, [], [make.event(twin)], make.keys("r9"))
    after = await store.accept(make.order("o2"), [], [], make.keys("r9"))

    assert after.kind is AcceptKind.CREATED
    assert await store.last_sequence() == 1


async def test_naive_time_is_refused(store: Any, make: Any) -> None:
    """A time without a zone is named and nothing is stored."""
    order = make.order("o1", update_time=make.now.replace(tzinfo=None))

    with pytest.raises(StoreError, match="update_time has no time zone"):
        await store.accept(order, [], [], make.keys())

    assert await store.get_order("acme", "o1") is None


async def test_attempt_of_another_order_is_refused(store: Any, make: Any) -> None:
    """An attempt is written with its own order only."""
    with pytest.raises(StoreError, match="attempts: attempt 1 is of order o2"):
        await store.accept(make.order("o1"), [make.attempt("o2")], [], make.keys())


async def test_event_of_another_tenant_is_refused(store: Any, make: Any) -> None:
    """An event is written with its own order only."""
    event = make.event(make.order("o1", tenant="other"))

    with pytest.raises(StoreError, match="events: ORDER_ACCEPTED is not about order o1"):
        await store.accept(make.order("o1"), [], [event], make.keys())
