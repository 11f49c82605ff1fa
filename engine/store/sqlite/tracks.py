"""The tracking half of `SqliteStore`: encode, queue, await, decode."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec

from engine.core.policy.track_records import DeadLetter, LoadedTrack, NumberedNews, TrackRecord
from engine.recent import Recent
from engine.store.rules import check_track_step, count_stalled, to_us
from engine.store.sqlite import track_writes
from engine.store.sqlite.broken import put_off_broken
from engine.store.sqlite.queries import SQL
from engine.store.sqlite.reading import Reads
from engine.store.sqlite.rows import Row, read_what_can_be
from engine.store.sqlite.track_rows import TrackRows
from engine.store.sqlite.transaction import Transaction
from engine.store.sqlite.writer import Writer
from engine.store.track_port import CLAIM_LEASE_S, TrackChange

KNOWN_TRACKS = 1024
"""Tracks that are not decoded again while their row stays the same: a shop's page asks about one parcel many times."""
KNOWN_EVENTS = 64
"""Longer ones are not kept: together they stay below some 20 MB."""


class KnownTrack(NamedTuple):
    """A track as it was read. Its version grows with every event, so that an equal row has the same events."""

    row: Sequence[Any]
    loaded: LoadedTrack


class SqliteTracks:
    """See `engine.store.track_port.TrackStore` for what every method promises.

    `SqliteStore` brings the writer, the readers and the rows.
    """

    _writer: Writer
    _reads: Reads
    _track_rows: TrackRows
    _known_tracks: Recent[str, KnownTrack]
    _news_listeners: list[Callable[[Collection[NumberedNews]], None]]

    async def open_track(self, track: TrackRecord) -> TrackRecord:
        """Begin to follow a number, unless the tenant does so already."""
        row = self._track_rows.new_track(track)
        found = await self._writer.run(lambda tx: track_writes.open_track(tx, track, row))
        return self._track_rows.read_track(found[0]) if found else track

    async def get_track(self, tenant: str, track_id: str) -> LoadedTrack | None:
        """One track with its events, None when this tenant has none by that id."""
        return self._track(SQL.get_track, (track_id, tenant))

    async def find_track(self, tenant: str, carrier: str, waybill_number: str) -> LoadedTrack | None:
        """The newest track of a number."""
        where = (tenant, carrier, waybill_number)
        rows = self._reads.short(SQL.tracks_of_number, where)
        if not rows:
            return None
        newest = _newest(rows)
        known = self._known_tracks.get(str(newest[0]))
        if known is not None and known.row == newest:
            return known.loaded
        # Two short reads instead of a join that sorts: most numbers have one track, and readers come in crowds.
        with self._reads.snapshot():
            newest = _newest(self._reads.short(SQL.tracks_of_number, where))  # tracks are never deleted
            events = self._reads.short(SQL.events_of_track, (newest[0],))
        loaded = self._track_rows.read_loaded(newest, events)
        if len(events) <= KNOWN_EVENTS:
            self._known_tracks.put(loaded.track.track_id, KnownTrack(newest, loaded))
        return loaded

    async def find_tracks_by_number(self, carrier: str, account_id: str, waybill_number: str) -> list[TrackRecord]:
        """The newest track of a number of every tenant that follows it at this account."""
        rows = self._reads.short(SQL.tracks_by_number, (carrier, waybill_number, account_id))
        newest = {row[1]: row for row in rows}  # by tenant; the later row wins
        return [self._track_rows.read_track(row) for row in newest.values()]

    async def track_of_order(self, tenant: str, order_id: str) -> LoadedTrack | None:
        """The newest track that belongs to an order."""
        return self._track(SQL.track_of_order, (tenant, order_id))

    async def commit_track(self, change: TrackChange) -> TrackRecord:
        """Write one step; returns the track with its new version. Raises Stale."""
        track = change.track
        step = self._track_step(change)
        await self._writer.run(lambda tx: track_writes.commit_track(tx, step), track_writes.plan_track(step))
        return msgspec.structs.replace(track, version=track.version + 1)

    def _track_step(self, change: TrackChange) -> track_writes.TrackStep:
        track = change.track
        marks = check_track_step(change)
        return track_writes.TrackStep(
            record=track,
            track=self._track_rows.step(track),
            events=self._track_rows.events(track, change.events),
            news=self._track_rows.news(change.news, marks),
            all_new=change.all_new,
        )

    async def claim_due_tracks(self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S) -> list[TrackRecord]:
        """Take due tracks, oldest first, and put their time off by `lease_s` from now."""
        lease_end = now + timedelta(seconds=lease_s)
        claim = partial(
            track_writes.claim_due_tracks,
            now_us=to_us(now, "now"),
            lease_end_us=to_us(lease_end, "now"),
            limit=max(limit, 0),
        )
        claimed = await self._claimed(claim, SQL.put_off_track, to_us(now, "now"))
        return [msgspec.structs.replace(track, next_poll_time=lease_end) for track in claimed]

    async def claim_due_checks(self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S) -> list[TrackRecord]:
        """Take tracks whose check is due, oldest first, and put their time off by `lease_s` from now."""
        lease_end = now + timedelta(seconds=lease_s)
        claim = partial(
            track_writes.claim_due_checks,
            now_us=to_us(now, "now"),
            lease_end_us=to_us(lease_end, "now"),
            limit=max(limit, 0),
        )
        claimed = await self._claimed(claim, SQL.put_off_check, to_us(now, "now"))
        return [msgspec.structs.replace(track, next_check_time=lease_end) for track in claimed]

    async def recheck_tracks(self, now: datetime) -> int:
        """Make every track that is not retired due for a check, in short slices."""
        now_us, after, count, slice_count = to_us(now, "now"), ("", "", ""), 0, 1
        while slice_count:
            step = partial(track_writes.recheck_tracks, now_us=now_us, after=after)
            slice_count, after = await self._writer.run(step)
            count += slice_count
        return count

    async def count_stalled(self) -> dict[str, int]:
        """Parcels with an open alert by rule."""
        return count_stalled(await self._reads.long(SQL.count_stalled))

    async def news_after(self, tenant: str, sequence: int, *, limit: int) -> list[NumberedNews]:
        """News of a tenant with a greater sequence, ascending."""
        found = await self._reads.page(SQL.news_after, (tenant, sequence, max(limit, 0)), limit)
        return [self._track_rows.read_news(tenant, row) for row in found]

    async def first_news_sequence(self) -> int:
        """Sequence of the oldest news still kept, 0 when none."""
        return int(self._reads.short(SQL.first_news_sequence)[0][0])

    async def last_news_sequence(self) -> int:
        """Sequence of the newest committed news, 0 when there never was any."""
        return int(self._reads.short(SQL.last_news_sequence)[0][0])

    async def purge_news(self, *, before: datetime) -> int:
        """Drop old news in short slices, between which everything else goes on."""
        before_us = to_us(before, "before")
        count, more = 0, True
        while more:
            dropped, more = await self._writer.run(lambda tx: track_writes.purge_news(tx, before_us))
            count += dropped
        return count

    def on_news(self, listener: Callable[[Collection[NumberedNews]], None]) -> None:
        """Call `listener` in the event loop with the news of every commit, in sequence order."""
        self._news_listeners.append(listener)

    async def put_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a push that could not be applied; the last one under a letter_id wins."""
        row = self._track_rows.dead_letter(letter)
        await self._writer.run(lambda tx: tx.run(SQL.put_dead_letter, row))

    async def get_dead_letter(self, letter_id: str) -> DeadLetter | None:
        """A kept push."""
        found = self._reads.short(SQL.get_dead_letter, (letter_id,))
        return self._track_rows.read_dead_letter(found[0]) if found else None

    async def list_dead_letters(self, *, after: str, limit: int) -> list[DeadLetter]:
        """Kept pushes by ascending letter_id, those greater than `after`."""
        found = await self._reads.page(SQL.list_dead_letters, (after, max(limit, 0)), limit)
        return [self._track_rows.read_dead_letter(row) for row in found]

    async def delete_dead_letter(self, letter_id: str) -> bool:
        """Drop one; False when there was none."""
        return bool(await self._writer.run(lambda tx: tx.count(SQL.delete_dead_letter, (letter_id,))))

    async def count_dead_letters(self) -> int:
        """How many wait for somebody."""
        return int(self._reads.short(SQL.count_dead_letters)[0][0])

    async def _claimed(self, claim: Callable[[Transaction], list[Any]], put_off: str, now_us: int) -> list[TrackRecord]:
        """The tracks of a claim; `put_off` puts off those that cannot be read."""
        found = await self._writer.run(claim)
        claimed, broken = read_what_can_be(self._track_rows.read_track, ((row[0], row) for row in found))
        await put_off_broken(self._writer, put_off, "track", broken, now_us)
        return claimed

    def _track(self, sql: str, row: Row) -> LoadedTrack | None:
        return next(self._track_rows.read_tracks(self._reads.short(sql, row)), None)


def _newest(rows: Sequence[Row]) -> Row:
    """Of the tracks of one number, which is never none."""
    return max(rows, key=_age) if len(rows) > 1 else rows[0]


def _age(row: Row) -> tuple[int, str]:
    """Orders tracks of one number by when they were first seen."""
    return int(row[6] or 0), str(row[0])
