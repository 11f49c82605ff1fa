"""MemoryStore: the store's complete twin without a disk, for tests.

Every method does its work in one go in the event loop, so each is atomic by itself. Tracks stand in `memory_tracks`,
returns in `memory_returns`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from engine.core.policy.records import (
    FINAL_STATES,
    AttemptRecord,
    AttemptState,
    Event,
    LoadedOrder,
    NewEvent,
    OrderRecord,
    OrderState,
    StoredLabel,
)
from engine.core.policy.track_records import TrackRecord
from engine.store.listeners import tell_all
from engine.store.memory_returns import MemoryReturns
from engine.store.memory_tracks import check_track
from engine.store.port import (
    Accepted,
    AcceptKind,
    Change,
    Idempotency,
    OrderFilter,
    Stale,
    StoreError,
)
from engine.store.rules import (
    KeyHolder,
    check_step,
    decide_accept,
    due_us,
    missing_text,
    stale_text,
    to_us,
)


class _Key(NamedTuple):
    tenant: str
    scope: str
    key: str


class _HeldKey(NamedTuple):
    order_id: str
    body_hash: bytes
    create_time: datetime


class MemoryStore(MemoryReturns):
    """See `engine.store.port.Store` for what every method promises; dies with the process."""

    def __init__(self) -> None:
        super().__init__()
        self._orders: dict[str, OrderRecord] = {}
        self._attempts: dict[str, dict[int, AttemptRecord]] = {}
        self._by_reference: dict[tuple[str, str, int], str] = {}
        self._keys: dict[_Key, _HeldKey] = {}
        self._events: list[Event] = []
        self._last_sequence = 0
        self._labels: dict[tuple[str, str, str], StoredLabel] = {}
        self._state: dict[str, bytes] = {}
        self._epoch = 0
        self._listeners: list[Callable[[Collection[Event]], None]] = []

    async def accept(
        self,
        order: OrderRecord,
        attempts: Sequence[AttemptRecord],
        events: Sequence[NewEvent],
        keys: Idempotency,
    ) -> Accepted:
        """Create an order unless one of its keys is taken."""
        await self._turn()
        _check(order, attempts, events)
        request = _Key(order.tenant, "request_id", keys.request_id)
        reference = _Key(order.tenant, "reference", order.draft.reference)
        kind, holder = decide_accept(keys, self._holder(request), self._holder(reference))
        if holder is not None:
            if kind is AcceptKind.REPLAYED and keys.request_id and request not in self._keys:
                self._keys[request] = _HeldKey(holder.order_id, keys.body_hash, order.create_time)
            return Accepted(kind, self._load(holder.order_id))
        if order.order_id in self._orders:
            raise StoreError(f"order_id {order.order_id} is taken: give each order its own id")
        self._check_references(order.order_id, attempts)
        self._orders[order.order_id] = order
        self._put_attempts(order.order_id, attempts)
        for key in (request, reference):
            if key.key:
                self._keys[key] = _HeldKey(order.order_id, keys.body_hash, order.create_time)
        self._append(events)
        return Accepted(kind, self._load(order.order_id))

    async def is_taken(self, tenant: str, reference: str, keys: Idempotency) -> bool:
        """Whether a creation would be answered with an order that exists."""
        await self._turn()
        held = [self._holder(_Key(tenant, *key)) for key in (("request_id", keys.request_id), ("reference", reference))]
        return decide_accept(keys, *held)[1] is not None

    async def commit(self, change: Change) -> OrderRecord:
        """Write one step; returns the order with its new version. Raises Stale."""
        await self._turn()
        order = change.order
        _check(order, change.attempts, change.events, (*change.opened, *[each.track for each in change.tracks]))
        stored = self._orders.get(order.order_id)
        if stored is None or stored.tenant != order.tenant:
            raise Stale(missing_text(order))
        if stored.version != order.version or stored.lease_epoch > order.lease_epoch:
            raise Stale(stale_text(order, stored.version, stored.lease_epoch))
        self._check_references(order.order_id, change.attempts)
        self._check_tracks(change.opened, change.tracks)
        # What was ordered, and when, is written once.
        written = msgspec.structs.replace(
            order, version=order.version + 1, draft=stored.draft, create_time=stored.create_time
        )
        self._orders[order.order_id] = written
        self._put_attempts(order.order_id, change.attempts)
        self._put_tracks(change.opened, change.tracks)
        self._append(change.events)
        return msgspec.structs.replace(order, version=order.version + 1)

    async def get_order(self, tenant: str, order_id: str) -> LoadedOrder | None:
        """One order, None when this tenant has none by that id."""
        await self._turn()
        order = self._orders.get(order_id)
        return None if order is None or order.tenant != tenant else self._load(order_id)

    async def get_order_by_reference(self, tenant: str, reference: str) -> LoadedOrder | None:
        """The newest order under the merchant's reference."""
        await self._turn()
        found = [
            (order.create_time, order.order_id)
            for order in self._orders.values()
            if order.tenant == tenant and order.draft.reference == reference
        ]
        return self._load(max(found)[1]) if found else None

    async def get_order_by_attempt(self, account_id: str, reference: str) -> LoadedOrder | None:
        """The order whose attempt at this account carries our carrier reference."""
        await self._turn()
        found = [
            (number, order_id)
            for (account, ours, number), order_id in self._by_reference.items()
            if account == account_id and ours == reference
        ]
        return self._load(max(found)[1]) if found else None

    async def list_orders(self, tenant: str, order_filter: OrderFilter, *, after: str, limit: int) -> list[LoadedOrder]:
        """Orders by ascending order_id, those greater than `after`."""
        await self._turn()
        for field in ("created_after", "created_before"):
            if (time := getattr(order_filter, field)) is not None:
                to_us(time, field)
        found = sorted(
            order.order_id
            for order in self._orders.values()
            if order.tenant == tenant and order.order_id > after and _matches(order, order_filter)
        )
        return [self._load(order_id) for order_id in found[: max(limit, 0)]]

    async def claim_due(
        self, now: datetime, *, epoch: int, limit: int, skip: Collection[str] = ()
    ) -> list[LoadedOrder]:
        """Take over and return due orders, oldest first."""
        await self._turn()
        now_us = to_us(now, "now")
        due = []
        for order in self._orders.values():
            time_us = due_us(order)
            if time_us is None or order.order_id in skip:
                continue
            if order.lease_epoch < epoch or (order.lease_epoch == epoch and time_us <= now_us):
                due.append((time_us, order.order_id))
        taken = [order_id for _, order_id in sorted(due)[: max(limit, 0)]]
        for order_id in taken:
            self._orders[order_id] = msgspec.structs.replace(self._orders[order_id], lease_epoch=epoch)
        return [self._load(order_id) for order_id in taken]

    async def events_after(self, tenant: str, sequence: int, *, limit: int) -> list[Event]:
        """Events of a tenant with a greater sequence, ascending."""
        await self._turn()
        found = [e for e in self._events if e.sequence > sequence and e.event.tenant == tenant]
        return found[: max(limit, 0)]

    async def first_sequence(self) -> int:
        """Sequence of the oldest event still kept, 0 when none."""
        await self._turn()
        return self._events[0].sequence if self._events else 0

    async def last_sequence(self) -> int:
        """Sequence of the newest committed event, 0 when there never was one."""
        await self._turn()
        return self._last_sequence

    async def put_label(self, tenant: str, label: StoredLabel) -> None:
        """Keep a carrier-made label; the last one for a waybill wins."""
        await self._turn()
        to_us(label.create_time, "create_time")
        self._labels[tenant, label.order_id, label.waybill_number] = label

    async def get_label(self, tenant: str, order_id: str, waybill_number: str) -> StoredLabel | None:
        """A kept label."""
        await self._turn()
        return self._labels.get((tenant, order_id, waybill_number))

    async def count_by_state(self) -> dict[OrderState, int]:
        """Orders per state over all tenants; states without orders are left out."""
        await self._turn()
        counts: dict[OrderState, int] = {}
        for order in self._orders.values():
            counts[order.state] = counts.get(order.state, 0) + 1
        return counts

    async def count_attempts(
        self, account_id: str, states: Collection[AttemptState], *, since: datetime, created_after: datetime
    ) -> int:
        """Attempts of an account that began at or after `since`, over all tenants."""
        await self._turn()
        to_us(since, "since")
        to_us(created_after, "created_after")
        return sum(
            attempt.account_id == account_id and attempt.state in states and attempt.start_time >= since
            for order_id, attempts in self._attempts.items()
            if self._orders[order_id].create_time >= created_after
            for attempt in attempts.values()
        )

    async def next_epoch(self) -> int:
        """A number greater than any given before."""
        await self._turn()
        self._epoch += 1
        return self._epoch

    async def put_state(self, key: str, value: bytes) -> None:
        """Keep a small piece of engine state."""
        await self._turn()
        self._state[key] = value

    async def get_state(self, key: str) -> bytes | None:
        """What `put_state` kept."""
        await self._turn()
        return self._state.get(key)

    async def purge(self, *, keys_before: datetime, events_before: datetime) -> tuple[int, int]:
        """Drop old keys of finished orders, and events up to the first young one."""
        await self._turn()
        to_us(keys_before, "keys_before")
        to_us(events_before, "events_before")
        old_keys = [
            key
            for key, held in self._keys.items()
            if held.create_time < keys_before and self._orders[held.order_id].state in FINAL_STATES
        ]
        for key in old_keys:
            del self._keys[key]
        young = (i for i, e in enumerate(self._events) if e.event.time >= events_before)
        old_events = next(young, len(self._events))
        del self._events[:old_events]
        return len(old_keys), old_events

    def write_load(self) -> float:
        """Nothing ever waits."""
        return 0.0

    def on_commit(self, listener: Callable[[Collection[Event]], None]) -> None:
        """Call `listener` in the event loop with the events of every commit, in sequence order."""
        self._listeners.append(listener)

    async def aclose(self) -> None:
        """Let go; every later call raises StoreError."""
        self._closed = True

    def _holder(self, key: _Key) -> KeyHolder | None:
        held = self._keys.get(key) if key.key else None
        if held is None:
            return None
        return KeyHolder(held.order_id, held.body_hash, self._orders[held.order_id].state)

    def _load(self, order_id: str) -> LoadedOrder:
        attempts = self._attempts.get(order_id, {})
        return LoadedOrder(self._orders[order_id], tuple(attempts[number] for number in sorted(attempts)))

    def _check_references(self, order_id: str, attempts: Iterable[AttemptRecord]) -> None:
        for attempt in attempts:
            key = (attempt.account_id, attempt.reference, attempt.number)
            if self._by_reference.get(key, order_id) != order_id:
                raise StoreError(
                    f"attempts: reference {attempt.reference} at account {attempt.account_id} "
                    "belongs to another order: derive references from the order's id"
                )

    def _put_attempts(self, order_id: str, attempts: Iterable[AttemptRecord]) -> None:
        kept = self._attempts.setdefault(order_id, {})
        for attempt in attempts:
            before = kept.get(attempt.number)
            if before is not None:
                del self._by_reference[before.account_id, before.reference, before.number]
            kept[attempt.number] = attempt
            self._by_reference[attempt.account_id, attempt.reference, attempt.number] = order_id

    def _has_order(self, order_id: str) -> bool:
        return order_id in self._orders

    def _append(self, events: Sequence[NewEvent]) -> None:
        new = [Event(self._last_sequence + i, event) for i, event in enumerate(events, start=1)]
        if not new:
            return
        self._last_sequence = new[-1].sequence
        self._events += new
        tell_all(self._listeners, new)


def _check(
    order: OrderRecord,
    attempts: Sequence[AttemptRecord],
    events: Sequence[NewEvent],
    tracks: Sequence[TrackRecord] = (),
) -> None:
    check_step(order, attempts, events, tracks)
    for track in tracks:
        check_track(track)
    for field in ("create_time", "update_time"):
        to_us(getattr(order, field), field)
    due_us(order)
    for event in events:
        to_us(event.time, "time")


def _matches(order: OrderRecord, wanted: OrderFilter) -> bool:
    carrier = order.booking.carrier if order.booking else ""
    return (
        (not wanted.states or order.state in wanted.states)
        and (not wanted.carriers or carrier in wanted.carriers)
        and order.draft.reference.startswith(wanted.reference_prefix)
        and (wanted.created_after is None or order.create_time > wanted.created_after)
        and (wanted.created_before is None or order.create_time < wanted.created_before)
    )
