"""The store's port: everything the engine keeps, and the guarantees every backend gives.

- A call that returns has been committed durably; a call that raises StoreError has changed nothing.
- `accept` and `commit` are atomic: order, attempts, keys, events and tracks together or not at all.
- Event sequence numbers rise by one without gaps in commit order.
- `commit` is fenced: it raises Stale when another epoch holds the order or its version moved on.
- Reads see every write that returned before they began.
- Every read of a caller's data takes the tenant and never shows another's. What the engine asks for
  itself (pushes, polls, dead letters) goes over all tenants, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from engine.core.policy.records import (
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
from engine.store.return_port import ReturnStore
from engine.store.track_port import TrackChange, TrackStore


class StoreError(Exception):
    """The store could not do it; nothing was changed. The message names cause and remedy."""


class Stale(StoreError):
    """Somebody else wrote this order since it was read, or holds its lease: read it again."""


class StoreUnsafe(StoreError):
    """The store refuses to open: wrong SQLite version, newer schema, second engine on one file…"""


class Idempotency(msgspec.Struct, frozen=True):
    """Keys of one creation. `body_hash` digests the normalised request without its request_id.

    An empty request_id, like an empty reference in the draft, is no key.
    """

    request_id: str
    body_hash: bytes


class AcceptKind(StrEnum):
    """How a creation ended."""

    CREATED = "CREATED"
    REPLAYED = "REPLAYED"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    REFERENCE_REUSED = "REFERENCE_REUSED"


class Accepted(msgspec.Struct, frozen=True):
    """`order` is the new order, or the one that already holds the key."""

    kind: AcceptKind
    order: LoadedOrder


class Change(msgspec.Struct, frozen=True):
    """One step of an order: the order as it shall be, attempts written, events, and what its tracks do beside it.

    `order.version` is the one that was read; draft and create_time never change. opened: tracks that begin with this
    step. tracks: steps of tracks, as in `TrackStore.commit_track`.
    """

    order: OrderRecord
    attempts: tuple[AttemptRecord, ...] = ()
    events: tuple[NewEvent, ...] = ()
    opened: tuple[TrackRecord, ...] = ()
    tracks: tuple[TrackChange, ...] = ()


class OrderFilter(msgspec.Struct, frozen=True):
    """Narrows a listing. Empty fields match everything."""

    states: tuple[OrderState, ...] = ()
    carriers: tuple[str, ...] = ()
    reference_prefix: str = ""
    created_after: datetime | None = None
    created_before: datetime | None = None


class Store(TrackStore, ReturnStore, Protocol):
    """See the module's docstring for what every method promises.

    Tracks stand in `engine.store.track_port`, returns in `engine.store.return_port`.
    """

    async def accept(
        self,
        order: OrderRecord,
        attempts: Sequence[AttemptRecord],
        events: Sequence[NewEvent],
        keys: Idempotency,
    ) -> Accepted:
        """Create an order unless one of its keys (request_id, reference) is taken.

        Same key and body_hash: REPLAYED with the order as it is now. Another body:
        REQUEST_ID_REUSED or REFERENCE_REUSED. A reference whose order is FAILED or CANCELLED is
        free again for a request with a new, non-empty request_id. A new request_id answered by way
        of the reference is kept with that order. Keys of a tenant never meet those of another.
        """
        ...

    async def is_taken(self, tenant: str, reference: str, keys: Idempotency) -> bool:
        """Whether `accept` would answer a creation with an order that exists, replayed or refused for it."""
        ...

    async def commit(self, change: Change) -> OrderRecord:
        """Write one step; returns the order with its new version. Raises Stale.

        The fence: the stored version must be the one that was read, and the stored lease_epoch
        not greater than `order.lease_epoch`, which is stored. So a later engine may write what an
        earlier one left, never the other way round. A track's version is part of the fence, and so is a
        number that shall be opened: the tenant must have no track of it that is not retired.
        """
        ...

    async def get_order(self, tenant: str, order_id: str) -> LoadedOrder | None:
        """One order, None when this tenant has none by that id."""
        ...

    async def get_order_by_reference(self, tenant: str, reference: str) -> LoadedOrder | None:
        """The newest order under the merchant's reference."""
        ...

    async def get_order_by_attempt(self, account_id: str, reference: str) -> LoadedOrder | None:
        """The order whose attempt at this account carries our carrier reference (for pushes)."""
        ...

    async def list_orders(self, tenant: str, order_filter: OrderFilter, *, after: str, limit: int) -> list[LoadedOrder]:
        """Orders by ascending order_id, those greater than `after` ("" = from the start)."""
        ...

    async def claim_due(
        self, now: datetime, *, epoch: int, limit: int, skip: Collection[str] = ()
    ) -> list[LoadedOrder]:
        """Take over (set lease_epoch to `epoch`) and return due orders, oldest due_time first, without those of `skip`.

        Orders that this epoch holds are due when due_time <= now. Those of an older epoch are due
        whatever their due_time, and unfinished ones (ACCEPTED, BOOKING, CANCELLING) even without
        one: the engine that held them is gone. A later epoch's are left alone. Versions stay.
        An order that cannot be read is told in the log and looked at again in an hour; it holds up no other.
        """
        ...

    async def events_after(self, tenant: str, sequence: int, *, limit: int) -> list[Event]:
        """Events of a tenant with a greater sequence, ascending."""
        ...

    async def first_sequence(self) -> int:
        """Sequence of the oldest event still kept (0 when none): older cursors have expired."""
        ...

    async def last_sequence(self) -> int:
        """Sequence of the newest event ever committed, purged or not; 0 when none."""
        ...

    async def put_label(self, tenant: str, label: StoredLabel) -> None:
        """Keep a carrier-made label; the last one for a waybill wins."""
        ...

    async def get_label(self, tenant: str, order_id: str, waybill_number: str) -> StoredLabel | None:
        """A kept label."""
        ...

    async def count_by_state(self) -> dict[OrderState, int]:
        """Orders per state over all tenants (for metrics); states without orders are left out."""
        ...

    async def count_attempts(
        self, account_id: str, states: Collection[AttemptState], *, since: datetime, created_after: datetime
    ) -> int:
        """Attempts of an account that began at or after `since`, in any of `states`, over all tenants.

        Orders that were created before `created_after` need not be looked at. Goes by order ids being UUIDv7.
        """
        ...

    async def next_epoch(self) -> int:
        """A number greater than any given before: this engine process's identity for leases."""
        ...

    async def put_state(self, key: str, value: bytes) -> None:
        """Keep a small piece of engine state (limiter positions) across restarts."""
        ...

    async def get_state(self, key: str) -> bytes | None:
        """What `put_state` kept."""
        ...

    async def purge(self, *, keys_before: datetime, events_before: datetime) -> tuple[int, int]:
        """Drop old idempotency keys of finished orders and old events; returns how many of each.

        Goes in slices, between which bookings go on: after an error call it again. Events go from
        the oldest to the first young one: what is left has no gap, and numbers never come back.
        """
        ...

    def write_load(self) -> float:
        """How much of the room for writes that wait is taken, 0 to 1."""
        ...

    def on_commit(self, listener: Callable[[Collection[Event]], None]) -> None:
        """Call `listener` in the event loop with the events of every commit, in sequence order.

        It hears them before the callers of that commit go on. What it raises is only logged.
        """
        ...

    async def aclose(self) -> None:
        """Finish what is queued, then let go."""
        ...
