"""Watching orders: events read from the store in commit order, from any cursor that is still kept.

A watcher holds no queue: it reads pages from the store as fast as its reader takes them, so a stalled reader costs
one parked coroutine. Between events it sleeps until a commit wakes it, and sends a checkpoint now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import msgspec

from engine.core.errors import CursorExpired, CursorInvalid
from engine.core.policy.records import Event, NewEvent, OrderState
from engine.store.port import Store

PAGE = 256
CHECKPOINT_S = 10.0


class WatchFilter(msgspec.Struct, frozen=True):
    """Narrows a watch. Empty fields match everything."""

    states: frozenset[OrderState] = frozenset()
    carriers: frozenset[str] = frozenset()

    def matches(self, event: NewEvent) -> bool:
        """Whether a watcher wants this event."""
        return (not self.states or event.state in self.states) and (not self.carriers or event.carrier in self.carriers)


class Checkpoint(msgspec.Struct, frozen=True):
    """Nothing that matches happened up to and including `sequence`."""

    sequence: int


class Watch:
    """Wakes watchers on every commit. One per engine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Event()
        self._closing = False
        self.watcher_count = 0
        store.on_commit(self._wake)

    def close(self) -> None:
        """End every watch: the engine is going down; readers resume from their last cursor."""
        self._closing = True
        self._wake(())

    async def orders(
        self, tenant: str, cursor: str, wanted: WatchFilter, *, checkpoint_s: float = CHECKPOINT_S
    ) -> AsyncIterator[Event | Checkpoint]:
        """Events after `cursor` ("" = now), then as they come. Raises CursorInvalid, CursorExpired."""
        seen = await self._start(cursor)
        loop = asyncio.get_running_loop()
        due = loop.time() + checkpoint_s
        self.watcher_count += 1
        try:
            if not cursor:
                # "Now" must not move should the connection be cut before the first event.
                yield Checkpoint(seen)
            while not self._closing:
                changed = self._changed
                newest = await self._store.last_sequence()
                events = await self._store.events_after(tenant, seen, limit=PAGE)
                for event in events:
                    seen = event.sequence
                    if wanted.matches(event.event):
                        yield event
                        due = loop.time() + checkpoint_s
                if len(events) == PAGE:
                    continue
                # Other tenants' events move the cursor too, else a quiet tenant's cursor would expire.
                seen = max(seen, newest)
                # Counted from the last message: events that do not match must not put the checkpoint off.
                if await _unchanged_until(due, changed):
                    yield Checkpoint(seen)
                    due = loop.time() + checkpoint_s
        finally:
            self.watcher_count -= 1

    async def _start(self, cursor: str) -> int:
        newest = await self._store.last_sequence()
        if not cursor:
            return newest
        if not cursor.isascii() or not cursor.isdigit() or int(cursor) > newest:
            raise CursorInvalid
        # None may be left: all that ever happened has expired.
        oldest = await self._store.first_sequence() or newest + 1
        sequence = int(cursor)
        if sequence and sequence < oldest - 1:
            raise CursorExpired(oldest)
        return sequence

    def _wake(self, events: Collection[Event]) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _unchanged_until(due: float, changed: asyncio.Event) -> bool:
    """Wait for a change; True when `due` (loop time) came first."""
    if asyncio.get_running_loop().time() >= due:
        return True
    try:
        async with asyncio.timeout_at(due):
            await changed.wait()
    except TimeoutError:
        return True
    return False
