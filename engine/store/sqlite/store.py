"""SqliteStore: the port over one SQLite file. A thin async shell: encode, queue, await, decode.

Reads by key run in the event loop's thread (microseconds, indexed), long ones in reader threads. Tracks stand in
`tracks`, returns in `returns`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import apsw
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
from engine.core.policy.track_records import NumberedNews
from engine.recent import Recent
from engine.store.codec import Codec, PlainCodec, SealBroken
from engine.store.listeners import tell_all
from engine.store.observe import NullObserver, StoreObserver
from engine.store.port import (
    Accepted,
    AcceptKind,
    Change,
    Idempotency,
    OrderFilter,
    StoreUnsafe,
)
from engine.store.rules import check_step, decide_accept, first_id_of, to_us
from engine.store.sqlite import track_writes, writes
from engine.store.sqlite.broken import put_off_broken
from engine.store.sqlite.connection import CACHE_MIB, FileLock, check_version, open_writer
from engine.store.sqlite.migrations import load_migrations, migrate
from engine.store.sqlite.queries import SQL, json_list
from engine.store.sqlite.reading import Reads, fetch
from engine.store.sqlite.returns import ReturnRows, SqliteReturns
from engine.store.sqlite.rows import Row, Rows, read_word
from engine.store.sqlite.track_rows import TrackRows
from engine.store.sqlite.tracks import KNOWN_TRACKS, SqliteTracks
from engine.store.sqlite.writer import Writer, end_process

ID_MARGIN_US = 60_000_000
_CODEC_CHECK = b"crossdock codec check"


class SqliteStore(SqliteTracks, SqliteReturns):
    """See `engine.store.port.Store` for what every method promises."""

    def __init__(
        self,
        path: Path,
        lock: FileLock,
        connection: apsw.Connection,
        *,
        codec: Codec,
        observer: StoreObserver,
        fatal: Callable[[str], None],
    ) -> None:
        """Use `open`: it checks the file first."""
        self._lock = lock
        self._rows = Rows(codec)
        self._listeners: list[Callable[[Collection[Event]], None]] = []
        self._track_rows = TrackRows(codec)
        self._known_tracks = Recent(KNOWN_TRACKS)
        self._return_rows = ReturnRows(codec)
        self._news_listeners = []
        self._reads = Reads(path)
        self._writer = Writer(
            connection,
            observer=observer,
            deliver_events=self._deliver_events,
            deliver_news=self._deliver_news,
            fatal=fatal,
        )
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: str | Path,
        *,
        synchronous: str = "FULL",
        cache_mib: int = CACHE_MIB,
        codec: Codec | None = None,
        observer: StoreObserver | None = None,
        fatal: Callable[[str], None] = end_process,
    ) -> SqliteStore:
        """Open or create the file, update its schema, start the writer. Raises StoreUnsafe.

        `fatal` is called when the disk failed under a commit; it must not return in production.
        """
        check_version(apsw.sqlite_lib_version())
        chosen = codec or PlainCodec()
        file = Path(path)
        lock, connection = await asyncio.to_thread(_prepare, file, synchronous, cache_mib, chosen)
        try:
            store = cls(
                file,
                lock,
                connection,
                codec=chosen,
                observer=observer or NullObserver(),
                fatal=fatal,
            )
        except BaseException:
            connection.close()
            lock.release()
            raise
        store._writer.start()
        return store

    async def accept(
        self,
        order: OrderRecord,
        attempts: Sequence[AttemptRecord],
        events: Sequence[NewEvent],
        keys: Idempotency,
    ) -> Accepted:
        """Create an order unless one of its keys is taken."""
        check_step(order, attempts, events)
        rows = self._rows
        new = writes.NewOrder(
            order=rows.new_order(order),
            attempts=rows.attempts(order.tenant, attempts),
            events=rows.events(events),
            keys=keys,
            tenant=order.tenant,
            reference=order.draft.reference,
            create_us=to_us(order.create_time, "create_time"),
        )
        kind, holder = await self._writer.run(lambda tx: writes.accept(tx, new), writes.plan_accept(new))
        if kind is AcceptKind.CREATED:
            ordered = tuple(sorted(attempts, key=lambda attempt: attempt.number))
            return Accepted(kind, LoadedOrder(order, ordered))
        return Accepted(kind, next(rows.read_orders(holder)))

    async def is_taken(self, tenant: str, reference: str, keys: Idempotency) -> bool:
        """Whether a creation would be answered with an order that exists."""
        read = self._reads.short
        held = [
            writes.holder(read, tenant, *key) for key in (("request_id", keys.request_id), ("reference", reference))
        ]
        return decide_accept(keys, *held)[1] is not None

    async def commit(self, change: Change) -> OrderRecord:
        """Write one step; returns the order with its new version. Raises Stale."""
        order = change.order
        check_step(order, change.attempts, change.events, (*change.opened, *[each.track for each in change.tracks]))
        step = writes.Step(
            record=order,
            order=self._rows.step(order),
            attempts=self._rows.attempts(order.tenant, change.attempts),
            events=self._rows.events(change.events),
            opened=[(track, self._track_rows.new_track(track)) for track in change.opened],
        )
        if not change.tracks:
            await self._writer.run(lambda tx: writes.commit(tx, step), writes.plan_commit(step))
        else:  # each track has a fence of its own
            moved = [self._track_step(each) for each in change.tracks]
            await self._writer.run(lambda tx: track_writes.commit_with_tracks(tx, step, moved))
        return msgspec.structs.replace(order, version=order.version + 1)

    async def get_order(self, tenant: str, order_id: str) -> LoadedOrder | None:
        """One order, None when this tenant has none by that id."""
        return self._one(SQL.get_order, (order_id, tenant))

    async def get_order_by_reference(self, tenant: str, reference: str) -> LoadedOrder | None:
        """The newest order under the merchant's reference."""
        return self._one(SQL.get_order_by_reference, (tenant, reference))

    async def get_order_by_attempt(self, account_id: str, reference: str) -> LoadedOrder | None:
        """The order whose attempt at this account carries our carrier reference."""
        return self._one(SQL.get_order_by_attempt, (account_id, reference))

    async def list_orders(self, tenant: str, order_filter: OrderFilter, *, after: str, limit: int) -> list[LoadedOrder]:
        """Orders by ascending order_id, those greater than `after`."""
        wanted = order_filter
        row: Row = (
            tenant,
            after,
            json_list(wanted.states),
            json_list(wanted.carriers),
            to_us(wanted.created_after, "created_after") if wanted.created_after else None,
            to_us(wanted.created_before, "created_before") if wanted.created_before else None,
            max(limit, 0),
        )
        if wanted.reference_prefix:
            found = await self._reads.long(SQL.list_orders_by_prefix, (*row, wanted.reference_prefix))
        else:
            found = await self._reads.long(SQL.list_orders, row)
        return list(self._rows.read_orders(found))

    async def claim_due(
        self, now: datetime, *, epoch: int, limit: int, skip: Collection[str] = ()
    ) -> list[LoadedOrder]:
        """Take over and return due orders, oldest first; one that cannot be read holds up no other."""
        now_us, skipped = to_us(now, "now"), frozenset(skip)
        found = await self._writer.run(lambda tx: writes.claim_due(tx, now_us, epoch, max(limit, 0), skipped))
        claimed, broken = self._rows.read_what_can_be(found)
        await put_off_broken(self._writer, SQL.put_off_order, "order", broken, now_us)
        return claimed

    async def events_after(self, tenant: str, sequence: int, *, limit: int) -> list[Event]:
        """Events of a tenant with a greater sequence, ascending."""
        found = await self._reads.page(SQL.events_after, (tenant, sequence, max(limit, 0)), limit)
        return [self._rows.read_event(number, body) for number, body in found]

    async def first_sequence(self) -> int:
        """Sequence of the oldest event still kept, 0 when none."""
        return int(self._reads.short(SQL.first_sequence)[0][0])

    async def last_sequence(self) -> int:
        """Sequence of the newest committed event, 0 when there never was one."""
        return int(self._reads.short(SQL.last_sequence)[0][0])

    async def put_label(self, tenant: str, label: StoredLabel) -> None:
        """Keep a carrier-made label; the last one for a waybill wins."""
        row = self._rows.label(tenant, label)
        await self._writer.run(lambda tx: tx.run(SQL.put_label, row))

    async def get_label(self, tenant: str, order_id: str, waybill_number: str) -> StoredLabel | None:
        """A kept label."""
        found = self._reads.short(SQL.get_label, (tenant, order_id, waybill_number))
        if not found:
            return None
        return self._rows.read_label(tenant, order_id, waybill_number, found[0])

    async def count_by_state(self) -> dict[OrderState, int]:
        """Orders per state over all tenants; states without orders are left out."""
        found = await self._reads.long(SQL.count_by_state)
        return {read_word(OrderState, state, "orders.state", "some orders"): int(count) for state, count in found}

    async def count_attempts(
        self, account_id: str, states: Collection[AttemptState], *, since: datetime, created_after: datetime
    ) -> int:
        """Attempts of an account that began at or after `since`, over all tenants."""
        since_us, wanted = to_us(since, "since"), (account_id, json_list(sorted(states)))
        # What began after `since` is all that orders of after `since` have: only the others' attempts are opened,
        # and of those only where something has happened since. The margin is for ids made in the same moment.
        young = first_id_of(since_us + ID_MARGIN_US)
        old = first_id_of(to_us(created_after, "created_after") - ID_MARGIN_US)
        counted = await self._reads.long(SQL.count_attempts_of_younger, (*wanted, young))
        opened = await self._reads.long(SQL.attempts_of_older, (*wanted, old, young, since_us))
        return int(counted[0][0]) + sum(self._rows.read_attempt(*row).start_time >= since for row in opened)

    async def next_epoch(self) -> int:
        """A number greater than any given before."""
        found = await self._writer.run(lambda tx: tx.run(SQL.next_epoch))
        return int(found[0][0])

    async def put_state(self, key: str, value: bytes) -> None:
        """Keep a small piece of engine state across restarts."""
        await self._writer.run(lambda tx: tx.run(SQL.put_state, (key, value)))

    async def get_state(self, key: str) -> bytes | None:
        """What `put_state` kept."""
        found = self._reads.short(SQL.get_state, (key,))
        return bytes(found[0][0]) if found else None

    async def purge(self, *, keys_before: datetime, events_before: datetime) -> tuple[int, int]:
        """Drop old keys and events in short slices, between which bookings go on."""
        keys_us = to_us(keys_before, "keys_before")
        events_us = to_us(events_before, "events_before")
        key_count = 0
        next_rowid: int | None = 0
        while next_rowid is not None:
            dropped, next_rowid = await self._writer.run(
                partial(writes.purge_keys, after_rowid=next_rowid, before_us=keys_us)
            )
            key_count += dropped
        event_count, more = 0, True
        while more:
            dropped, more = await self._writer.run(lambda tx: writes.purge_events(tx, events_us))
            event_count += dropped
        return key_count, event_count

    def write_load(self) -> float:
        """How much of the room for writes that wait is taken."""
        return self._writer.load

    def on_commit(self, listener: Callable[[Collection[Event]], None]) -> None:
        """Call `listener` in the event loop with the events of every commit, in sequence order."""
        self._listeners.append(listener)

    async def aclose(self) -> None:
        """Finish what is queued, then let go."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._writer.aclose()
        finally:
            await self._reads.aclose()
            self._lock.release()

    def _one(self, sql: str, row: Row) -> LoadedOrder | None:
        return next(self._rows.read_orders(self._reads.short(sql, row)), None)

    def _deliver_events(self, events: Collection[Event]) -> None:
        tell_all(self._listeners, events)

    def _deliver_news(self, news: Collection[NumberedNews]) -> None:
        tell_all(self._news_listeners, news)


def _prepare(path: Path, synchronous: str, cache_mib: int, codec: Codec) -> tuple[FileLock, apsw.Connection]:
    """Lock, open, migrate, and check that the codec is the one the file was written with."""
    lock = FileLock(path)
    try:
        connection = open_writer(path, synchronous, cache_mib)
        try:
            migrate(connection, load_migrations())
            _check_codec(connection, codec)
        except BaseException:
            connection.close()
            raise
    except apsw.Error as error:
        lock.release()
        raise StoreUnsafe(
            f"cannot open {path.name} ({type(error).__name__}: {error}): "
            "check that it is a Crossdock store on a local, writable disk, or restore a backup"
        ) from error
    except BaseException:
        lock.release()
        raise
    return lock, connection


def _check_codec(connection: apsw.Connection, codec: Codec) -> None:
    found = fetch(connection, SQL.get_meta, ("codec_check",))
    if not found:
        sealed = codec.seal("", "meta.value", "codec_check", _CODEC_CHECK)
        connection.execute(SQL.put_meta, ("codec_check", sealed))
        return
    try:
        (sealed,) = found[0]
        same = codec.open("", "meta.value", "codec_check", sealed) == _CODEC_CHECK
    except SealBroken:
        same = False
    if not same:
        raise StoreUnsafe(
            "the store was written with another master key, or without one: configure the key it was written with"
        )
