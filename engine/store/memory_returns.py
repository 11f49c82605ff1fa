"""The part of `MemoryStore` that keeps returns, without a disk."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from engine.core.policy.records import NewEvent
from engine.core.policy.return_records import ReturnRecord, ReturnState, ReturnStep
from engine.store.memory_tracks import MemoryTracks
from engine.store.port import Stale, StoreError
from engine.store.return_port import OpenedReturn, ReturnFilter, ReturnKey
from engine.store.rules import check_return_step, missing_return_text, more_returns_text, stale_return_text, to_us
from engine.store.track_port import CLAIM_LEASE_S


class MemoryReturns(MemoryTracks):
    """See `engine.store.return_port.ReturnStore` for what every method promises."""

    def __init__(self) -> None:
        super().__init__()
        self._returns: dict[str, ReturnRecord] = {}
        self._return_keys: dict[tuple[str, str], tuple[str, bytes]] = {}

    async def open_return(
        self, record: ReturnRecord, events: Sequence[NewEvent], key: ReturnKey, *, others: int
    ) -> OpenedReturn:
        """Create a return, unless its key is taken. Raises Stale."""
        await self._turn()
        check_return_step(record, events)
        held = self._held(record.tenant, key)
        if held is not None:
            return held
        if len(self._of_order(record.tenant, record.wish.order_id)) != others:
            raise Stale(more_returns_text(record))
        if record.return_id in self._returns:
            raise StoreError(f"return_id {record.return_id} is taken: give each return its own id")
        if not self._has_order(record.wish.order_id):
            raise StoreError(f"nothing was stored: there is no order {record.wish.order_id}")
        self._returns[record.return_id] = record
        if key.request_id:
            self._return_keys[record.tenant, key.request_id] = (record.return_id, key.body_hash)
        self._append(events)
        return OpenedReturn(record)

    async def return_by_key(self, tenant: str, key: ReturnKey) -> OpenedReturn | None:
        """The return that holds the key's request_id."""
        await self._turn()
        return self._held(tenant, key)

    async def commit_return(self, step: ReturnStep) -> ReturnRecord:
        """Write one step; returns the record with its new version. Raises Stale."""
        await self._turn()
        record = step.record
        check_return_step(record, step.events)
        stored = self._returns.get(record.return_id)
        if stored is None or stored.tenant != record.tenant:
            raise Stale(missing_return_text(record))
        if stored.version != record.version:
            raise Stale(stale_return_text(record, stored.version))
        written = msgspec.structs.replace(
            record, version=record.version + 1, wish=stored.wish, items=stored.items, create_time=stored.create_time
        )
        self._returns[record.return_id] = written
        self._append(step.events)
        return written

    async def get_return(self, tenant: str, return_id: str) -> ReturnRecord | None:
        """One return, None when this tenant has none by that id."""
        await self._turn()
        record = self._returns.get(return_id)
        return None if record is None or record.tenant != tenant else record

    async def returns_of_order(self, tenant: str, order_id: str) -> list[ReturnRecord]:
        """All returns of an order, by ascending id."""
        await self._turn()
        return self._of_order(tenant, order_id)

    async def list_returns(
        self, tenant: str, return_filter: ReturnFilter, *, after: str, limit: int, whole: bool = False
    ) -> list[ReturnRecord]:
        """Returns by ascending return_id, those greater than `after`."""
        await self._turn()
        wanted = return_filter
        found = [
            r
            for r in self._sorted()
            if r.tenant == tenant
            and r.return_id > after
            and (not wanted.states or r.state in wanted.states)
            and (not wanted.reasons or r.wish.reason in wanted.reasons)
            and (not wanted.order_id or r.wish.order_id == wanted.order_id)
        ]
        return found[: max(limit, 0)]

    async def claim_due_returns(
        self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S
    ) -> list[ReturnRecord]:
        """Take due returns, oldest first, and put their time off by `lease_s` from now."""
        await self._turn()
        to_us(now, "now")
        due = sorted(
            (r.due_time, r.return_id) for r in self._returns.values() if r.due_time is not None and r.due_time <= now
        )
        taken = [return_id for _, return_id in due[: max(limit, 0)]]
        for return_id in taken:
            put_off = now + timedelta(seconds=lease_s)
            self._returns[return_id] = msgspec.structs.replace(self._returns[return_id], due_time=put_off)
        return [self._returns[return_id] for return_id in taken]

    async def count_returns(self) -> dict[ReturnState, int]:
        """Returns per state over all tenants; states without returns are left out."""
        await self._turn()
        counts: dict[ReturnState, int] = {}
        for record in self._returns.values():
            counts[record.state] = counts.get(record.state, 0) + 1
        return counts

    def _held(self, tenant: str, key: ReturnKey) -> OpenedReturn | None:
        held = self._return_keys.get((tenant, key.request_id)) if key.request_id else None
        if held is None:
            return None
        return_id, body_hash = held
        same = body_hash == key.body_hash
        return OpenedReturn(self._returns[return_id], replayed=same, key_reused=not same)

    def _sorted(self) -> list[ReturnRecord]:
        return [self._returns[return_id] for return_id in sorted(self._returns)]

    def _of_order(self, tenant: str, order_id: str) -> list[ReturnRecord]:
        return [r for r in self._sorted() if (r.tenant, r.wish.order_id) == (tenant, order_id)]

    def _has_order(self, order_id: str) -> bool:
        """Whether there is such an order; `MemoryStore` knows."""
        raise NotImplementedError

    def _append(self, events: Sequence[NewEvent]) -> None:
        """Give events their numbers; `MemoryStore` keeps them."""
        raise NotImplementedError
