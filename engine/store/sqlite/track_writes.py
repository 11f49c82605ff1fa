"""What runs inside the writer's transaction for tracks; see `writes` for the rules."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.core.policy.track_records import TrackRecord
from engine.store.port import Stale
from engine.store.rules import repeat_text
from engine.store.sqlite.queries import SQL
from engine.store.sqlite.rows import Row
from engine.store.sqlite.together import Plan
from engine.store.sqlite.track_rows import NewsRow
from engine.store.sqlite.transaction import Transaction
from engine.store.sqlite.writes import PURGE_ROWS, Step, commit, leading_old, step_track


class TrackStep(msgspec.Struct, frozen=True):
    """A change of a track, encoded. `record` is for the text of a refusal."""

    record: TrackRecord
    track: Row
    events: list[tuple[bytes, int, bytes]]
    news: list[NewsRow]
    all_new: bool


def open_track(tx: Transaction, track: TrackRecord, row: Row) -> list[Any]:
    """Create, or the row of the track that is followed already."""
    found = tx.run(SQL.live_track, (track.tenant, track.carrier, track.waybill_number))
    if not found:
        tx.run(SQL.insert_track, row)
    return found


def commit_track(tx: Transaction, step: TrackStep) -> None:
    """Write one step. Raises Stale when the version moved on, or a repeat is among what was said to be new."""
    if not tx.count(SQL.move_track, step.track):
        step_track(tx, step.record, step.track)
    repeats = _add_events(tx, step.record.track_id, step.events) if step.events else set()
    if repeats and step.all_new:
        raise Stale(repeat_text(step.record))
    tx.add_news([row for row in step.news if row.fingerprint not in repeats])


def plan_track(step: TrackStep) -> Plan:
    """A step of a track that is as it was read, with events that are all new."""
    track_id = step.record.track_id
    events = [(track_id, place, *row) for place, row in enumerate(step.events, 1)]
    return Plan(None, track_steps=(step.track,), track_events=events, news=step.news)


def commit_with_tracks(tx: Transaction, step: Step, moved: list[TrackStep]) -> None:
    """Write one step of an order and those of its tracks, all or nothing. Raises Stale."""
    commit(tx, step)
    for each in moved:
        commit_track(tx, each)


def _add_events(tx: Transaction, track_id: str, events: list[tuple[bytes, int, bytes]]) -> set[bytes]:
    """Append what is new; the fingerprints of what is not."""
    return {row[0] for row in events if not tx.count(SQL.insert_track_event, (track_id, *row))}


def claim_due_tracks(tx: Transaction, now_us: int, lease_end_us: int, limit: int) -> list[Any]:
    """Rows of the tracks taken, oldest first, as they were before their time was put off."""
    rows = tx.run(SQL.due_tracks, (now_us, limit))
    for row in rows:
        tx.run(SQL.put_off_track, (row[0], lease_end_us))
    return rows


def claim_due_checks(tx: Transaction, now_us: int, lease_end_us: int, limit: int) -> list[Any]:
    """Rows of the tracks taken, oldest first, as they were before their time was put off."""
    rows = tx.run(SQL.due_checks, (now_us, limit))
    for row in rows:
        tx.run(SQL.put_off_check, (row[0], lease_end_us))
    return rows


def recheck_tracks(tx: Transaction, now_us: int, after: tuple[str, str, str]) -> tuple[int, tuple[str, str, str]]:
    """Make one slice of live tracks due: how many, and where the next slice begins."""
    rows = tx.run(SQL.live_tracks_after, (*after, PURGE_ROWS))
    for row in rows:
        tx.run(SQL.put_off_check, (row[0], now_us))
    return len(rows), (rows[-1][1], rows[-1][2], rows[-1][3]) if rows else after


def purge_news(tx: Transaction, before_us: int) -> tuple[int, bool]:
    """Drop the oldest news in one slice: how many, and whether there may be more."""
    old = leading_old(tx.run(SQL.oldest_news, (PURGE_ROWS,)), before_us)
    if old:
        tx.run(SQL.delete_news_through, (old[-1],))
        tx.run(SQL.put_meta, ("purged_news_sequence", old[-1]))
    return len(old), len(old) == PURGE_ROWS
