"""The part of `SqliteStore` that keeps returns: encode, queue, await, decode; and what runs inside the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from engine.core.policy.records import NewEvent
from engine.core.policy.return_records import ReturnRecord, ReturnState, ReturnStep
from engine.store.codec import Codec
from engine.store.port import Stale
from engine.store.return_port import OpenedReturn, ReturnFilter, ReturnKey
from engine.store.rules import check_return_step, missing_return_text, more_returns_text, stale_return_text, to_us
from engine.store.sqlite.broken import put_off_broken, tell_left_out
from engine.store.sqlite.queries import SQL, json_list
from engine.store.sqlite.reading import Reads
from engine.store.sqlite.rows import Broken, EventRow, Row, Rows, from_us, read_body, read_what_can_be, read_word
from engine.store.sqlite.transaction import Transaction
from engine.store.sqlite.writer import Writer
from engine.store.track_port import CLAIM_LEASE_S

RETURN = "returns.body"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ReturnRecord).decode


class ReturnRows:
    """Encodes and decodes with one codec: notes and remarks are people's words."""

    def __init__(self, codec: Codec) -> None:
        self._seal = codec.seal
        self._open = codec.open

    def new(self, record: ReturnRecord, key: ReturnKey) -> Row:
        """Parameters of insert_return."""
        return (
            record.return_id,
            record.tenant,
            record.wish.order_id,
            key.request_id,
            key.body_hash,
            record.state.value,
            record.wish.reason.value,
            _due_us(record),
            record.version,
            self._body(record),
        )

    def step(self, record: ReturnRecord) -> Row:
        """Parameters of update_return."""
        head = (record.return_id, record.tenant, record.version, record.state.value, _due_us(record))
        return (*head, self._body(record))

    def read(self, rows: Iterable[Sequence[Any]]) -> Iterator[ReturnRecord]:
        """Returns out of rows of get_return and its kin. Columns win over the body, which claims do not rewrite."""
        return map(self._read_one, rows)

    def read_what_can_be(self, rows: Iterable[Sequence[Any]]) -> tuple[list[ReturnRecord], Broken]:
        """As `read`, and why what cannot be read cannot, by return id."""
        return read_what_can_be(self._read_one, ((row[0], row) for row in rows))

    def _read_one(self, row: Sequence[Any]) -> ReturnRecord:
        return_id, tenant, due_us, version, sealed = row[:5]
        record = read_body(_decode, self._open(tenant, RETURN, return_id, sealed), RETURN, return_id)
        due = None if due_us is None else from_us(due_us)
        return msgspec.structs.replace(record, version=version, due_time=due)

    def _body(self, record: ReturnRecord) -> bytes:
        return self._seal(record.tenant, RETURN, record.return_id, _encode(record))


class SqliteReturns:
    """See `engine.store.return_port.ReturnStore` for what every method promises.

    `SqliteStore` brings the writer, the readers and the rows.
    """

    _writer: Writer
    _reads: Reads
    _rows: Rows
    _return_rows: ReturnRows

    async def open_return(
        self, record: ReturnRecord, events: Sequence[NewEvent], key: ReturnKey, *, others: int
    ) -> OpenedReturn:
        """Create a return, unless its key is taken. Raises Stale."""
        check_return_step(record, events)
        row, event_rows = self._return_rows.new(record, key), self._rows.events(events)
        found = await self._writer.run(lambda tx: _open_return(tx, record, row, event_rows, key, others))
        return self._held(found, key) or OpenedReturn(record)

    async def return_by_key(self, tenant: str, key: ReturnKey) -> OpenedReturn | None:
        """The return that holds the key's request_id."""
        return self._held(self._reads.short(SQL.return_by_request, (tenant, key.request_id)), key)

    async def commit_return(self, step: ReturnStep) -> ReturnRecord:
        """Write one step; returns the record with its new version. Raises Stale."""
        record = step.record
        check_return_step(record, step.events)
        row, event_rows = self._return_rows.step(record), self._rows.events(step.events)
        await self._writer.run(lambda tx: _commit_return(tx, record, row, event_rows))
        return msgspec.structs.replace(record, version=record.version + 1)

    async def get_return(self, tenant: str, return_id: str) -> ReturnRecord | None:
        """One return, None when this tenant has none by that id."""
        return next(self._return_rows.read(self._reads.short(SQL.get_return, (return_id, tenant))), None)

    async def returns_of_order(self, tenant: str, order_id: str) -> list[ReturnRecord]:
        """All returns of an order, by ascending id."""
        return list(self._return_rows.read(self._reads.short(SQL.returns_of_order, (tenant, order_id))))

    async def list_returns(
        self, tenant: str, return_filter: ReturnFilter, *, after: str, limit: int, whole: bool = False
    ) -> list[ReturnRecord]:
        """Returns by ascending return_id, those greater than `after`."""
        wanted = return_filter
        states, reasons = json_list(wanted.states), json_list(wanted.reasons)
        listed: list[ReturnRecord] = []
        while (room := limit - len(listed)) > 0:  # goes on behind what is left out: only the last page is a short one
            found = await self._reads.long(SQL.list_returns, (tenant, after, states, reasons, wanted.order_id, room))
            if whole:
                return list(self._return_rows.read(found))
            readable, broken = self._return_rows.read_what_can_be(found)
            tell_left_out("return", broken)
            listed += readable
            if not broken:
                break
            after = found[-1][0]
        return listed

    async def claim_due_returns(
        self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S
    ) -> list[ReturnRecord]:
        """Take due returns, oldest first, and put their time off by `lease_s` from now."""
        lease_end = now + timedelta(seconds=lease_s)
        now_us, end_us = to_us(now, "now"), to_us(lease_end, "now")
        found = await self._writer.run(lambda tx: _claim_due(tx, now_us, end_us, max(limit, 0)))
        claimed, broken = self._return_rows.read_what_can_be(found)
        await put_off_broken(self._writer, SQL.put_off_return, "return", broken, now_us)
        return [msgspec.structs.replace(record, due_time=lease_end) for record in claimed]

    async def count_returns(self) -> dict[ReturnState, int]:
        """Returns per state over all tenants; states without returns are left out."""
        found = await self._reads.long(SQL.count_returns_by_state)
        return {read_word(ReturnState, state, "returns.state", "some returns"): int(count) for state, count in found}

    def _held(self, found: list[Any], key: ReturnKey) -> OpenedReturn | None:
        if not found:
            return None
        same = bytes(found[0][5]) == key.body_hash
        return OpenedReturn(next(self._return_rows.read(found)), replayed=same, key_reused=not same)


def _open_return(
    tx: Transaction, record: ReturnRecord, row: Row, events: list[EventRow], key: ReturnKey, others: int
) -> list[Any]:
    """Create, or the row of the return that holds the key."""
    held: list[Any] = tx.run(SQL.return_by_request, (record.tenant, key.request_id))
    if held:
        return held
    if tx.run(SQL.count_returns_of_order, (record.tenant, record.wish.order_id))[0][0] != others:
        raise Stale(more_returns_text(record))
    tx.run(SQL.insert_return, row)
    tx.add_events(events)
    return []


def _commit_return(tx: Transaction, record: ReturnRecord, row: Row, events: list[EventRow]) -> None:
    if not tx.count(SQL.update_return, row):
        found = tx.run(SQL.version_of_return, (record.return_id, record.tenant))
        raise Stale(stale_return_text(record, found[0][0]) if found else missing_return_text(record))
    tx.add_events(events)


def _claim_due(tx: Transaction, now_us: int, lease_end_us: int, limit: int) -> list[Any]:
    rows = tx.run(SQL.due_returns, (now_us, limit))
    for row in rows:
        tx.run(SQL.put_off_return, (row[0], lease_end_us))
    return rows


def _due_us(record: ReturnRecord) -> int | None:
    return None if record.due_time is None else to_us(record.due_time, "due_time")
