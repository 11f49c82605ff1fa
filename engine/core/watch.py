"""Watching orders and parcels: what happened, read from the store in commit order, from any cursor that is still kept.

A watcher holds no queue: it reads pages as fast as its reader takes them, so a stalled reader costs one parked
coroutine. What was committed last is remembered for all of them together; who is further behind reads the store.
Between events a watcher sleeps until a commit wakes it, and sends a checkpoint now and then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from itertools import islice
from typing import Generic, Protocol, TypeVar

import msgspec

from crossdock_sdk.tracking import Milestone, TrackStatus
from engine.core.errors import CursorExpired, CursorInvalid
from engine.core.policy.records import Event, EventKind, NewEvent, OrderState
from engine.core.policy.track_records import NumberedNews, TrackNews
from engine.store.port import Store

PAGE = 32
"""Read at once for a watcher. It is all that a stalled one holds, and few enough to be read without a thread."""
CHECKPOINT_S = 10.0
RECENT = 512
"""Entries of each log that are remembered, so that watchers who keep up cost the store nothing."""


class EventFilter(msgspec.Struct, frozen=True):
    """Narrows a watch. Empty fields match everything."""

    states: frozenset[OrderState] = frozenset()
    carriers: frozenset[str] = frozenset()
    kinds: frozenset[EventKind] = frozenset()

    def matches(self, event: NewEvent) -> bool:
        """Whether a watcher wants this event."""
        # A state is reached by an order, never by a return of its goods: those have to be asked for by kind.
        in_state = bool(self.kinds) if event.return_id else event.state in self.states
        return (
            (not self.states or in_state)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.carriers or event.carrier in self.carriers)
        )


class TrackFilter(msgspec.Struct, frozen=True):
    """Narrows a watch of parcels. Empty fields match everything."""

    statuses: frozenset[TrackStatus] = frozenset()
    milestones: frozenset[Milestone] = frozenset()
    carriers: frozenset[str] = frozenset()
    waybill_numbers: frozenset[str] = frozenset()
    status_changes_only: bool = False
    alerts_only: bool = False

    def matches(self, news: TrackNews) -> bool:
        """Whether a watcher wants this news."""
        return (
            (news.status_changed or not self.status_changes_only)
            and (news.alert is not None or not self.alerts_only)
            and (not self.statuses or news.status in self.statuses)
            and (not self.milestones or (news.event is not None and news.event.milestone in self.milestones))
            and (not self.carriers or news.carrier in self.carriers)
            and (not self.waybill_numbers or news.waybill_number in self.waybill_numbers)
        )


class Checkpoint(msgspec.Struct, frozen=True):
    """Nothing that matches happened up to and including `sequence`."""

    sequence: int


class _Numbered(Protocol):
    """What both logs have in common."""

    @property
    def sequence(self) -> int:
        """Rises by one without gaps."""


N = TypeVar("N", bound=_Numbered)


class _Log(msgspec.Struct, Generic[N]):
    """One of the store's two logs. `recent`: its end, as commits told it, without a gap."""

    first: Callable[[], Awaitable[int]]
    last: Callable[[], Awaitable[int]]
    after: Callable[..., Awaitable[list[N]]]
    tenant_of: Callable[[N], str]
    recent: deque[N]

    async def page(self, tenant: str, seen: int) -> tuple[list[N], int]:
        """The tenant's next entries, and how far the log had been looked at."""
        recent = self.recent
        if recent and seen >= recent[0].sequence - 1:
            following = islice(recent, seen - recent[0].sequence + 1, None)
            ours = (entry for entry in following if self.tenant_of(entry) == tenant)
            return list(islice(ours, PAGE)), recent[-1].sequence
        # First how far, then what: else what is committed in between would be passed over.
        newest = await self.last()
        return await self.after(tenant, seen, limit=PAGE), newest


class Watch:
    """Wakes watchers on every commit. One per engine."""

    def __init__(self, store: Store) -> None:
        self._orders = _Log[Event](
            store.first_sequence, store.last_sequence, store.events_after, _event_tenant, deque(maxlen=RECENT)
        )
        self._tracks = _Log[NumberedNews](
            store.first_news_sequence, store.last_news_sequence, store.news_after, _news_tenant, deque(maxlen=RECENT)
        )
        self._changed = asyncio.Event()
        self._closing = False
        self.watcher_count = 0
        store.on_commit(partial(self._heard, self._orders))
        store.on_news(partial(self._heard, self._tracks))

    def close(self) -> None:
        """End every watch: the engine is going down; readers resume from their last cursor."""
        self._closing = True
        self._wake()

    def orders(
        self, tenant: str, cursor: str, wanted: EventFilter, *, checkpoint_s: float = CHECKPOINT_S
    ) -> AsyncIterator[Event | Checkpoint]:
        """Events of orders after `cursor` ("" = now), then as they come. Raises CursorInvalid, CursorExpired."""
        return self._read(self._orders, tenant, cursor, lambda event: wanted.matches(event.event), checkpoint_s)

    def tracks(
        self, tenant: str, cursor: str, wanted: TrackFilter, *, checkpoint_s: float = CHECKPOINT_S
    ) -> AsyncIterator[NumberedNews | Checkpoint]:
        """News of parcels after `cursor` ("" = now), then as they come. Raises CursorInvalid, CursorExpired."""
        return self._read(self._tracks, tenant, cursor, lambda news: wanted.matches(news.news), checkpoint_s)

    async def _read(
        self, log: _Log[N], tenant: str, cursor: str, wanted: Callable[[N], bool], checkpoint_s: float
    ) -> AsyncIterator[N | Checkpoint]:
        seen = await _start(log, cursor)
        loop = asyncio.get_running_loop()
        due = loop.time() + checkpoint_s
        self.watcher_count += 1
        try:
            if not cursor:
                # "Now" must not move should the connection be cut before the first event.
                yield Checkpoint(seen)
            while not self._closing:
                changed = self._changed
                entries, newest = await log.page(tenant, seen)
                for entry in entries:
                    seen = entry.sequence
                    if wanted(entry):
                        yield entry
                        due = loop.time() + checkpoint_s
                if len(entries) == PAGE:
                    # Pages are read without a pause: a backlog that holds nothing for this watcher would be read to
                    # its end before anybody else had a turn, and before the watcher heard how far it is.
                    await asyncio.sleep(0)
                    if loop.time() >= due:
                        yield Checkpoint(seen)
                        due = loop.time() + checkpoint_s
                    continue
                # Other tenants' entries move the cursor too, else a quiet tenant's cursor would expire.
                seen = max(seen, newest)
                # Counted from the last message: entries that do not match must not put the checkpoint off.
                if await _unchanged_until(due, changed):
                    yield Checkpoint(seen)
                    due = loop.time() + checkpoint_s
        finally:
            self.watcher_count -= 1

    def _heard(self, log: _Log[N], committed: Collection[N]) -> None:
        log.recent.extend(committed)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _event_tenant(event: Event) -> str:
    return event.event.tenant


def _news_tenant(news: NumberedNews) -> str:
    return news.news.tenant


async def _start(log: _Log[N], cursor: str) -> int:
    newest = await log.last()
    if not cursor:
        return newest
    if not cursor.isascii() or not cursor.isdigit() or int(cursor) > newest:
        raise CursorInvalid
    # None may be left: all that ever happened has expired.
    oldest = await log.first() or newest + 1
    sequence = int(cursor)
    if sequence and sequence < oldest - 1:
        raise CursorExpired(oldest)
    return sequence or oldest - 1


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
