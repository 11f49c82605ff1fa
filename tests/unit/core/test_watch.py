"""Watching orders: from any cursor without a gap, filtered, with checkpoints, and ended cleanly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from crossdock_sdk import ErrorClass
from engine.core.errors import CursorExpired, CursorInvalid
from engine.core.policy.records import Event, EventKind, NewEvent, OrderState
from engine.core.watch import PAGE, Checkpoint, EventFilter, Watch
from engine.store.memory import MemoryStore
from tests.fakes.carrier import manifest, refuse
from tests.fakes.house import TENANT, House, house
from tests.fakes.rows import NOW

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")
ALL = EventFilter()


async def take(stream: AsyncIterator[Event | Checkpoint], count: int) -> list[Event | Checkpoint]:
    """The next messages of a watch."""
    return [await asyncio.wait_for(anext(stream), 5.0) for _ in range(count)]


def kinds(messages: list[Event | Checkpoint]) -> list[EventKind]:
    """The kinds of events among them."""
    return [m.event.kind for m in messages if isinstance(m, Event)]


async def purge(scene: House) -> None:
    """All events are older than what is kept."""
    future = scene.clock.now() + timedelta(days=1)
    await scene.store.purge(keys_before=NOW, events_before=future)


async def test_a_watch_from_the_start_tells_everything() -> None:
    """In commit order, with the store's sequence as cursor."""
    async with house(ALPHA) as scene:
        await scene.create()
        seen = await take(scene.watch.orders(TENANT, "0", ALL), 2)

    assert kinds(seen) == [EventKind.ORDER_ACCEPTED, EventKind.ORDER_BOOKED]
    assert [m.sequence for m in seen] == [1, 2]


async def test_a_watch_resumes_after_its_cursor() -> None:
    """Nothing twice, nothing left out."""
    async with house(ALPHA) as scene:
        await scene.create("A1")
        await scene.create("A2")
        seen = await take(scene.watch.orders(TENANT, "1", ALL), 3)

    assert [m.sequence for m in seen] == [2, 3, 4]


async def test_a_watch_without_cursor_begins_now_and_is_woken_by_commits() -> None:
    """Former events are not told; the first message says where "now" is, to resume from."""
    async with house(ALPHA) as scene:
        await scene.create("A1")
        stream = scene.watch.orders(TENANT, "", ALL)
        began = await take(stream, 1)
        reading = asyncio.ensure_future(take(stream, 2))
        await scene.pass_time(0.0)
        watching = scene.watch.watcher_count
        await scene.create("A2")
        seen = await reading

    assert began == [Checkpoint(2)]
    assert [m.event.reference for m in seen if isinstance(m, Event)] == ["A2", "A2"]
    assert watching == 1


class Backlog(MemoryStore):
    """A long log that is read without a pause, as pages of a few rows are."""

    async def first_sequence(self) -> int:
        """See Store."""
        return 1

    async def last_sequence(self) -> int:
        """See Store."""
        return 100 * PAGE

    async def events_after(self, tenant: str, sequence: int, *, limit: int) -> list[Event]:
        """See Store."""
        event = NewEvent(tenant, "o1", EventKind.ORDER_ACCEPTED, NOW, "A1", OrderState.ACCEPTED)
        return [Event(number, event) for number in range(sequence + 1, min(sequence + limit, 100 * PAGE) + 1)]


async def test_a_backlog_that_holds_nothing_for_a_watcher_keeps_nobody_waiting() -> None:
    """After each page everybody else has a turn, and the watcher hears in time how far it is."""
    stream = Watch(Backlog()).orders(TENANT, "0", EventFilter(carriers=frozenset({"nobody"})), checkpoint_s=0.0)
    turns: list[object] = []

    async def others() -> None:
        while True:
            turns.append(None)
            await asyncio.sleep(0)

    working = asyncio.create_task(others())
    seen = await take(stream, 10)
    working.cancel()

    assert seen == [Checkpoint(page * PAGE) for page in range(1, 11)]
    assert len(turns) >= 10


@pytest.mark.parametrize("remembered", [1, 7, PAGE, 10_000])
async def test_a_backlog_of_several_pages_has_no_gap(remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, as fast as the reader takes them: out of the store, then out of what is remembered."""
    monkeypatch.setattr("engine.core.watch.RECENT", remembered)
    async with house(ALPHA) as scene:
        count = PAGE // 2 + 50
        for n in range(count):
            await scene.create(f"A{n}")
        seen = await take(scene.watch.orders(TENANT, "0", ALL), 2 * count)

    assert [m.sequence for m in seen] == list(range(1, 2 * count + 1))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EventFilter(states=frozenset({OrderState.BOOKED})), [EventKind.ORDER_BOOKED]),
        (EventFilter(carriers=frozenset({"beta"})), [EventKind.CARRIER_CHANGED, EventKind.ORDER_BOOKED]),
        (
            EventFilter(states=frozenset({OrderState.BOOKING}), carriers=frozenset({"beta"})),
            [EventKind.CARRIER_CHANGED],
        ),
    ],
)
async def test_a_filter_tells_only_what_is_wanted(wanted: EventFilter, expected: list[EventKind]) -> None:
    """By state, by carrier, or both."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.CAPACITY))
        await scene.create()
        seen = await take(scene.watch.orders(TENANT, "0", wanted, checkpoint_s=0.001), len(expected) + 1)

    assert kinds(seen) == expected
    assert seen[-1] == Checkpoint(3)


async def test_what_is_remembered_is_the_end_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that keeps up asks the store for nothing; one that is behind does."""
    monkeypatch.setattr("engine.core.watch.RECENT", 4)
    async with house(ALPHA) as scene:
        asked: list[int] = []
        real = scene.store.events_after

        async def counted(tenant: str, sequence: int, *, limit: int) -> list[Event]:
            asked.append(sequence)
            return await real(tenant, sequence, limit=limit)

        scene.watch._orders.after = counted
        for n in range(4):
            await scene.create(f"A{n}")
        near = await take(scene.watch.orders(TENANT, "4", ALL), 4)
        near_asked = list(asked)
        far = await take(scene.watch.orders(TENANT, "3", ALL), 5)

    assert [m.sequence for m in near] == [5, 6, 7, 8]
    assert near_asked == []
    assert [m.sequence for m in far] == [4, 5, 6, 7, 8]
    assert asked == [3]


async def test_another_tenants_events_move_the_cursor_and_are_never_told() -> None:
    """Else a quiet tenant's cursor would expire."""
    async with house(ALPHA) as scene:
        await scene.create()
        seen = await take(scene.watch.orders("other", "0", ALL, checkpoint_s=0.001), 1)

    assert seen == [Checkpoint(2)]


async def test_events_that_do_not_match_do_not_put_the_checkpoint_off() -> None:
    """A busy store with nothing for this watcher: its cursor still advances on time."""
    async with house(ALPHA) as scene:
        nothing = EventFilter(carriers=frozenset({"nobody"}))
        stream = scene.watch.orders(TENANT, "0", nothing, checkpoint_s=0.0)
        await scene.create()
        scene.watch._changed.set()
        seen = await take(stream, 2)

    assert seen == [Checkpoint(2), Checkpoint(2)]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "٣", "3", "99999999999999999999"])
async def test_a_cursor_that_was_not_given_is_refused(cursor: str) -> None:
    """No number of ours, or one of the future."""
    async with house(ALPHA) as scene:
        await scene.create()
        with pytest.raises(CursorInvalid):
            await anext(scene.watch.orders(TENANT, cursor, ALL))


async def test_a_cursor_whose_events_are_gone_is_refused() -> None:
    """Leaving events out silently would break the promise; the error names the oldest kept."""
    async with house(ALPHA) as scene:
        await scene.create("A1")
        await purge(scene)
        scene.clock.advance(3 * 86_400.0)
        await scene.create("A2")
        with pytest.raises(CursorExpired) as refusal:
            await anext(scene.watch.orders(TENANT, "1", ALL))
        seen = await take(scene.watch.orders(TENANT, "2", ALL), 1)

    assert refusal.value.oldest == 3
    assert seen[0].sequence == 3


async def test_a_cursor_is_refused_also_when_no_event_is_left_at_all() -> None:
    """The newest cursor is still good, older ones have lost events."""
    async with house(ALPHA) as scene:
        await scene.create()
        await purge(scene)
        with pytest.raises(CursorExpired):
            await anext(scene.watch.orders(TENANT, "1", ALL))
        seen = await take(scene.watch.orders(TENANT, "2", ALL, checkpoint_s=0.001), 1)

    assert seen == [Checkpoint(2)]


async def test_closing_ends_every_watch() -> None:
    """Readers resume from their last cursor elsewhere."""
    async with house(ALPHA) as scene:
        stream = scene.watch.orders(TENANT, "0", ALL)
        reading = asyncio.ensure_future(anext(stream, None))
        await scene.pass_time(0.0)
        scene.watch.close()
        ended = await reading

    assert ended is None
    assert scene.watch.watcher_count == 0
