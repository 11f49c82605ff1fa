"""What runs inside the writer's transaction: one function a write, SQL only, no encoding.

None is atomic by itself. A batch of them is written plainly; should one fail after it changed anything, the batch
begins anew with a savepoint for each (`batch`). They return rows; the caller decodes them in its own thread. The plans
say what the hot ones write when nothing is in their way, which the writer tries first (`together`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from engine.core.policy.records import FINAL_STATES, OrderRecord, OrderState
from engine.core.policy.track_records import TrackRecord
from engine.store.port import AcceptKind, Idempotency, Stale
from engine.store.rules import (
    KeyHolder,
    decide_accept,
    followed_text,
    missing_text,
    missing_track_text,
    stale_text,
    stale_track_text,
)
from engine.store.sqlite.queries import SQL
from engine.store.sqlite.rows import EventRow, Row
from engine.store.sqlite.together import Plan
from engine.store.sqlite.transaction import Transaction

PURGE_ROWS = 1_000
"""Rows a purge looks at in one item, so that bookings never wait long behind it."""


class NewOrder(msgspec.Struct, frozen=True):
    """A creation, encoded."""

    order: Row
    attempts: list[Row]
    events: list[EventRow]
    keys: Idempotency
    tenant: str
    reference: str
    create_us: int


class Step(msgspec.Struct, frozen=True):
    """A change, encoded. `record` is for the text of a refusal."""

    record: OrderRecord
    order: Row
    attempts: list[Row]
    events: list[EventRow]
    opened: list[tuple[TrackRecord, Row]]


def accept(tx: Transaction, new: NewOrder) -> tuple[AcceptKind, list[Any]]:
    """Create, or the rows of the order that holds a key."""
    keys = new.keys
    by_request = holder(tx.run, new.tenant, "request_id", keys.request_id)
    by_reference = holder(tx.run, new.tenant, "reference", new.reference)
    kind, held = decide_accept(keys, by_request, by_reference)
    if held is not None:
        if kind is AcceptKind.REPLAYED and keys.request_id and by_request is None:
            # The key is answered with this order from now on, even after its reference is free.
            _put_key(tx, new, "request_id", keys.request_id, held.order_id)
        return kind, tx.run(SQL.get_order, (held.order_id, new.tenant))
    tx.run(SQL.insert_order, new.order)
    order_id = str(new.order[0])
    if keys.request_id:
        _put_key(tx, new, "request_id", keys.request_id, order_id)
    if new.reference:
        _put_key(tx, new, "reference", new.reference, order_id)
    for row in new.attempts:
        tx.run(SQL.put_attempt, row)
    tx.add_events(new.events)
    return kind, []


def plan_accept(new: NewOrder) -> Plan:
    """A creation whose keys are free."""
    order_id = str(new.order[0])
    held = (("request_id", new.keys.request_id), ("reference", new.reference))
    return Plan(
        (AcceptKind.CREATED, []),
        orders=(new.order,),
        keys=tuple([_key_row(new, scope, key, order_id) for scope, key in held if key]),
        attempts=new.attempts,
        events=new.events,
    )


def plan_commit(step: Step) -> Plan:
    """A step whose fence is open."""
    tracks = [row for _, row in step.opened]
    return Plan(None, steps=(step.order,), attempts=step.attempts, tracks=tracks, events=step.events)


def holder(run: Callable[[str, Row], list[Any]], tenant: str, scope: str, key: str) -> KeyHolder | None:
    """The order that holds a key; `run` reads, within a transaction or beside it."""
    found = run(SQL.find_key, (tenant, scope, key)) if key else []
    if not found:
        return None
    order_id, body_hash, state = found[0]
    return KeyHolder(order_id, body_hash, OrderState(state))


def _put_key(tx: Transaction, new: NewOrder, scope: str, key: str, order_id: str) -> None:
    tx.run(SQL.put_key, _key_row(new, scope, key, order_id))


def _key_row(new: NewOrder, scope: str, key: str, order_id: str) -> Row:
    return (new.tenant, scope, key, order_id, new.keys.body_hash, new.create_us)


def commit(tx: Transaction, step: Step) -> None:
    """Write one step. Raises Stale when the fence is shut."""
    if not tx.count(SQL.update_order, step.order):
        record = step.record
        fence = tx.run(SQL.fence_of_order, (record.order_id, record.tenant))
        raise Stale(stale_text(record, *fence[0]) if fence else missing_text(record))
    for row in step.attempts:
        tx.run(SQL.put_attempt, row)
    for track, row in step.opened:
        if not tx.count(SQL.insert_new_track, row):
            raise Stale(followed_text(track))
    tx.add_events(step.events)


def step_track(tx: Transaction, track: TrackRecord, row: Row) -> None:
    """Write a track as it shall be. Raises Stale when its version moved on."""
    if not tx.count(SQL.update_track, row):
        found = tx.run(SQL.version_of_track, (track.track_id, track.tenant))
        raise Stale(stale_track_text(track, found[0][0]) if found else missing_track_text(track))


def claim_due(tx: Transaction, now_us: int, epoch: int, limit: int, skip: frozenset[str]) -> list[Any]:
    """Rows of the orders taken over, oldest due first, without those of `skip`.

    Each older epoch is asked by itself, as the index orders by epoch first; there are few of them.
    """
    asked = limit + len(skip)
    due: list[tuple[int, str, str]] = tx.run(SQL.due_of_epoch, (epoch, now_us, asked))
    older = tx.run(SQL.epoch_before, (epoch,))[0][0]
    taken: set[str] = set()
    while older is not None:
        # 2**63 - 1: whatever its due time, the engine that would have kept it is gone.
        found = tx.run(SQL.due_of_epoch, (older, (1 << 63) - 1, asked))
        taken.update(order_id for _, order_id, _ in found)
        due += found
        older = tx.run(SQL.epoch_before, (older,))[0][0]
    due = sorted(each for each in due if each[1] not in skip)
    rows: list[Any] = []
    for _, order_id, tenant in due[:limit]:
        if order_id in taken:
            tx.run(SQL.take_order, (order_id, epoch))
        rows += tx.run(SQL.get_order, (order_id, tenant))
    return rows


def put_off(tx: Transaction, sql: str, row_ids: Sequence[str], due_us: int) -> None:
    """Let rows be due then; nothing else of them changes. `sql`: `put_off_order` or one of its kin."""
    for row_id in row_ids:
        tx.run(sql, (row_id, due_us))


def purge_keys(tx: Transaction, after_rowid: int, before_us: int) -> tuple[int, int | None]:
    """Drop old keys of finished orders, one slice: how many, and where to go on (None: done)."""
    rows = tx.run(SQL.oldest_keys, (after_rowid, PURGE_ROWS))
    old = [row for row in rows if row[1] < before_us]
    dropped = [row[0] for row in old if row[2] in FINAL_STATES]
    for rowid in dropped:
        tx.run(SQL.delete_key, (rowid,))
    more = len(rows) == PURGE_ROWS and bool(old)
    return len(dropped), rows[-1][0] if more else None


def purge_events(tx: Transaction, before_us: int) -> tuple[int, bool]:
    """Drop the oldest events in one slice: how many, and whether there may be more.

    Stops at the first young one, so that what is left has no gap.
    """
    rows = tx.run(SQL.oldest_events, (PURGE_ROWS,))
    old = leading_old(rows, before_us)
    if old:
        tx.run(SQL.delete_events_through, (old[-1],))
        tx.run(SQL.put_meta, ("purged_sequence", old[-1]))
    return len(old), len(old) == PURGE_ROWS


def leading_old(rows: Sequence[tuple[int, int]], before_us: int) -> list[int]:
    """Sequences before the first event that is not older than `before_us`."""
    old: list[int] = []
    for sequence, time_us in rows:
        if time_us >= before_us:
            break
        old.append(sequence)
    return old
