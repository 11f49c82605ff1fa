"""Returns, for every backend: opening once, steps, listings, claims."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from engine.core.policy.records import EventKind, Failure, NewEvent, OrderState
from engine.core.policy.return_records import (
    Decision,
    ReturnItem,
    ReturnReason,
    ReturnRecord,
    ReturnState,
    ReturnStep,
    ReturnWish,
    Verdict,
)
from engine.store.port import Stale, StoreError
from engine.store.return_port import ReturnFilter, ReturnKey

pytestmark = pytest.mark.anyio
ALL = ReturnFilter()
NO_KEY = ReturnKey("", b"body")


def a_return(make: Any, return_id: str = "r1", **fields: Any) -> ReturnRecord:
    """A return of order o1; keyword arguments replace fields."""
    values: dict[str, Any] = {
        "tenant": "acme",
        "wish": ReturnWish("o1", ReturnReason.DAMAGED, note="欧阳小满 13987654321"),
        "items": (ReturnItem("TEA", "红茶", 2),),
        "order_reference": "ref-o1",
        "state": ReturnState.UNDER_REVIEW,
        "decision": Decision(Verdict.REVIEW),
        "create_time": make.now,
        "update_time": make.now,
        **fields,
    }
    return ReturnRecord(return_id, **values)


def told(record: ReturnRecord, kind: EventKind = EventKind.RETURN_REQUESTED) -> NewEvent:
    """An event about it."""
    return NewEvent(
        record.tenant,
        record.wish.order_id,
        kind,
        record.update_time,
        record.order_reference,
        OrderState.BOOKED,
        return_id=record.return_id,
    )


async def opened(store: Any, make: Any, return_id: str = "r1", *, others: int = 0, **fields: Any) -> ReturnRecord:
    """A return of order o1, in the store."""
    if await store.get_order("acme", "o1") is None:
        await make.accepted(store, "o1")
    record = a_return(make, return_id, **fields)
    made = await store.open_return(record, (told(record),), NO_KEY, others=others)
    assert isinstance(made.record, ReturnRecord)
    return made.record


async def test_opened_return_is_read_back(store: Any, make: Any) -> None:
    """By its id, for its tenant only, with its event in the log."""
    record = await opened(store, make)

    assert await store.get_return("acme", "r1") == record
    assert await store.get_return("birch", "r1") is None
    assert await store.get_return("acme", "r2") is None
    events = await store.events_after("acme", 0, limit=10)
    assert [(e.event.kind, e.event.return_id) for e in events][-1] == (EventKind.RETURN_REQUESTED, "r1")


async def test_every_field_survives_a_step(store: Any, make: Any) -> None:
    """But what was asked for, which is written once."""
    record = await opened(store, make)
    now: datetime = make.now
    full = msgspec.structs.replace(
        record,
        state=ReturnState.FAILED,
        decision=Decision(Verdict.APPROVE, "seven days", "ok", now),
        update_time=now + timedelta(seconds=1),
        return_order_id="o2",
        spent_order_id="o3",
        carrier="sf",
        waybill_number="SF1",
        pickup_booked=True,
        failure=Failure("R", "m", "remedy", "f", "sf", "1", "text"),
        remark="ok",
        expire_time=now + timedelta(days=1),
        due_time=now + timedelta(hours=1),
        tries=2,
    )

    written = await store.commit_return(ReturnStep(full, (told(full, EventKind.RETURN_FAILED),)))

    assert written == msgspec.structs.replace(full, version=1)
    assert await store.get_return("acme", "r1") == written


async def test_a_key_is_one_return(store: Any, make: Any) -> None:
    """The same body replays it, another is refused, and both change nothing; keys of tenants never meet."""
    await make.accepted(store, "o1")
    await make.accepted(store, "o2", tenant="birch")
    first, second = a_return(make), a_return(make, "r2")
    foreign = a_return(make, "r3", tenant="birch", wish=ReturnWish("o2", ReturnReason.LATE))
    key = ReturnKey("k", b"body")

    made = await store.open_return(first, (told(first),), key, others=0)
    again = await store.open_return(second, (told(second),), key, others=1)
    reused = await store.open_return(second, (told(second),), ReturnKey("k", b"other"), others=1)
    of_birch = await store.open_return(foreign, (told(foreign),), key, others=0)

    assert (made.record, made.replayed, made.key_reused) == (first, False, False)
    assert (again.record, again.replayed, again.key_reused) == (first, True, False)
    assert (reused.record, reused.replayed, reused.key_reused) == (first, False, True)
    assert of_birch.record == foreign
    assert await store.return_by_key("acme", key) == again
    assert await store.return_by_key("acme", NO_KEY) is None
    assert await store.get_return("acme", "r2") is None
    assert [e.event.return_id for e in await store.events_after("acme", 1, limit=10)] == ["r1"]


async def test_one_who_saw_too_little_is_refused(store: Any, make: Any) -> None:
    """Of many who would send back the last piece at once, one does."""
    await make.accepted(store, "o1")
    records = [a_return(make, f"r{i}") for i in range(20)]

    made = await asyncio.gather(
        *(store.open_return(r, (told(r),), NO_KEY, others=0) for r in records), return_exceptions=True
    )

    assert sum(isinstance(one, Stale) for one in made) == 19
    assert len(await store.returns_of_order("acme", "o1")) == 1


async def test_a_return_belongs_to_an_order_that_is_there(store: Any, make: Any) -> None:
    """Nothing is stored for an order nobody knows."""
    record = a_return(make, wish=ReturnWish("o9", ReturnReason.LATE))

    with pytest.raises(StoreError):
        await store.open_return(record, (told(record),), NO_KEY, others=0)

    assert await store.get_return("acme", "r1") is None


async def test_an_outdated_step_changes_nothing(store: Any, make: Any) -> None:
    """Two who read the same version: one writes."""
    record = await opened(store, make)
    steps = [ReturnStep(msgspec.structs.replace(record, remark=f"{i}"), (told(record),)) for i in range(2)]

    done = await asyncio.gather(*map(store.commit_return, steps), return_exceptions=True)

    assert sum(isinstance(one, Stale) for one in done) == 1
    assert len(await store.events_after("acme", 0, limit=10)) == 3


async def test_a_step_of_an_unknown_return_is_refused(store: Any, make: Any) -> None:
    """Also when another tenant has it."""
    await opened(store, make)

    for record in (a_return(make, "r9"), a_return(make, tenant="birch")):
        with pytest.raises(Stale, match="not in the store"):
            await store.commit_return(ReturnStep(record))


async def test_events_of_another_return_are_refused(store: Any, make: Any) -> None:
    """A step and its events belong together."""
    record = await opened(store, make)

    with pytest.raises(StoreError, match="not about return r1"):
        await store.commit_return(ReturnStep(record, (told(a_return(make, "r2")),)))


async def test_listings_are_narrowed_and_paged(store: Any, make: Any) -> None:
    """By state, reason and order, ascending by id, each tenant its own."""
    for index in range(4):
        reason = ReturnReason.LATE if index % 2 else ReturnReason.DAMAGED
        state = ReturnState.RECEIVED if index == 3 else ReturnState.BOOKED
        await opened(store, make, f"r{index}", others=index, wish=ReturnWish("o1", reason), state=state)

    async def ids(wanted: ReturnFilter, after: str = "", limit: int = 10, tenant: str = "acme") -> list[str]:
        found = await store.list_returns(tenant, wanted, after=after, limit=limit)
        return [record.return_id for record in found]

    assert await ids(ALL) == ["r0", "r1", "r2", "r3"]
    assert await ids(ALL, after="r1", limit=1) == ["r2"]
    assert await ids(ReturnFilter(states=(ReturnState.BOOKED,))) == ["r0", "r1", "r2"]
    assert await ids(ReturnFilter(reasons=(ReturnReason.LATE,))) == ["r1", "r3"]
    assert await ids(ReturnFilter(order_id="o1", states=(ReturnState.RECEIVED,))) == ["r3"]
    assert await ids(ReturnFilter(order_id="o2")) == []
    assert await ids(ALL, tenant="birch") == []
    assert await store.count_returns() == {ReturnState.BOOKED: 3, ReturnState.RECEIVED: 1}


async def test_due_returns_are_claimed_once(store: Any, make: Any) -> None:
    """Oldest first; a claim that is never answered is due again after its lease."""
    now: datetime = make.now
    for index, due in enumerate((2, 1, 30, None)):
        time = None if due is None else now + timedelta(seconds=due)
        await opened(store, make, f"r{index}", others=index, due_time=time)

    later = now + timedelta(seconds=10)
    first = await store.claim_due_returns(later, limit=10, lease_s=60.0)
    none = await store.claim_due_returns(later, limit=10, lease_s=60.0)
    again = await store.claim_due_returns(later + timedelta(seconds=60), limit=1, lease_s=60.0)

    assert [record.return_id for record in first] == ["r1", "r0"]
    assert {record.due_time for record in first} == {later + timedelta(seconds=60)}
    assert none == []
    assert [record.return_id for record in again] == ["r2"]
    assert (await store.get_return("acme", "r1")).version == 0
