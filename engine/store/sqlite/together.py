"""Writes the steps of many orders and tracks with a few statements, when nothing stands in the way of any of them.

Every statement makes the writer let go of the interpreter lock and win it back from a busy event loop, which was
measured at several times the statement itself. So what a batch inserts goes in by statements of many rows, what it
updates by one, all or nothing. Should anything be in the way (a key that is taken, a version that moved on), all of it
is taken back and the batch is written item by item, where each is decided for itself (`writes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol

import msgspec

from engine.store.sqlite.queries import SQL
from engine.store.sqlite.rows import Cell, EventRow, Row
from engine.store.sqlite.track_rows import NewsRow

MOST_ROWS = 32
"""Rows of one statement. Each number of rows is a statement of its own, prepared once and kept."""

_VALUES = re.compile(r"VALUES\s+\(([^)]*)\)")


class Hindered(Exception):
    """Something is in the way of a step: decide each for itself."""


class Plan(msgspec.Struct, frozen=True):
    """What a step writes when nothing is in its way, and its result then."""

    result: object
    orders: tuple[Row, ...] = ()
    steps: tuple[Row, ...] = ()
    keys: tuple[Row, ...] = ()
    attempts: Sequence[Row] = ()
    tracks: Sequence[Row] = ()
    track_steps: tuple[Row, ...] = ()
    track_events: Sequence[Row] = ()
    events: Sequence[EventRow] = ()
    news: Sequence[NewsRow] = ()


class Statements(Protocol):
    """What writing together needs of a transaction."""

    def run(self, sql: str, row: Sequence[Any]) -> list[Any]:
        """Run one statement; all its rows."""

    def count(self, sql: str, row: Sequence[Any]) -> int:
        """Run one statement; how many rows it changed."""

    def add_events(self, rows: Sequence[EventRow]) -> None:
        """Give events the next sequence numbers."""

    def add_news(self, rows: Sequence[NewsRow]) -> None:
        """Give news the next sequence numbers."""


def write_together(tx: Statements, plans: Sequence[Plan]) -> None:
    """Write all plans. Raises Hindered or a constraint's error; the caller takes everything back then."""
    # What others refer to comes first.
    insert_many(tx, SQL.insert_order, [row for plan in plans for row in plan.orders])
    _each_changed(tx, SQL.update_orders, [row for plan in plans for row in plan.steps])
    insert_many(tx, SQL.insert_key, [row for plan in plans for row in plan.keys])
    insert_many(tx, SQL.put_attempt, [row for plan in plans for row in plan.attempts])
    insert_many(tx, SQL.insert_track, [row for plan in plans for row in plan.tracks])
    _step_tracks(tx, [row for plan in plans for row in plan.track_steps])
    insert_many(tx, SQL.insert_new_track_event, [row for plan in plans for row in plan.track_events])
    tx.add_events([row for plan in plans for row in plan.events])
    tx.add_news([row for plan in plans for row in plan.news])


def insert_many(tx: Statements, sql: str, rows: Sequence[Sequence[Cell]]) -> None:
    """Run the INSERT of one row, `sql`, for many."""
    for at in range(0, len(rows), MOST_ROWS):
        part = rows[at : at + MOST_ROWS]
        tx.count(_of_rows(sql, len(part)), _flat(part))


def _each_changed(tx: Statements, sql: str, rows: Sequence[Row]) -> None:
    for at in range(0, len(rows), MOST_ROWS):
        part = rows[at : at + MOST_ROWS]
        if tx.count(_of_rows(sql, len(part)), _flat(part)) != len(part):
            raise Hindered


def _step_tracks(tx: Statements, rows: Sequence[Row]) -> None:
    """Most steps leave alone what other indexes hold; those that do not are written each by itself."""
    if len({row[0] for row in rows}) < len(rows):
        raise Hindered
    for at in range(0, len(rows), MOST_ROWS):
        part = rows[at : at + MOST_ROWS]
        moved = {track_id for (track_id,) in tx.run(_of_rows(SQL.move_tracks, len(part)), _flat(part))}
        for row in part:
            if row[0] not in moved and not tx.count(SQL.update_track, row):
                raise Hindered


def _flat(rows: Iterable[Sequence[Cell]]) -> tuple[Cell, ...]:
    return tuple(chain.from_iterable(rows))


@lru_cache(maxsize=512)
def _of_rows(sql: str, count: int) -> str:
    """The statement with `count` rows of values instead of one."""
    found = _VALUES.search(sql)
    assert found is not None, "only a statement with VALUES takes many rows"
    row = f"({', '.join('?' for _ in found[1].split(','))})"
    return f"{sql[: found.start()]}VALUES {', '.join([row] * count)}{sql[found.end() :]}"
