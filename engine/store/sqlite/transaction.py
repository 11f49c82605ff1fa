"""What a write may do inside the batch's transaction: run statements, and give log entries their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw

from engine.core.policy.records import Event
from engine.core.policy.track_records import NumberedNews
from engine.store.sqlite.queries import SQL
from engine.store.sqlite.rows import EventRow
from engine.store.sqlite.together import insert_many
from engine.store.sqlite.track_rows import NewsRow


class Logs(NamedTuple):
    """Sequence numbers last given: to an event of an order, to news of a track."""

    event: int
    news: int


class Transaction:
    """What an item may do inside the batch's transaction."""

    def __init__(self, cursor: apsw.Cursor, last: Logs) -> None:
        self._cursor = cursor
        self.last = last
        self.events: list[Event] = []
        self.news: list[NumberedNews] = []

    def run(self, sql: str, row: Sequence[Any] = ()) -> list[Any]:
        """Run one statement; all its rows."""
        return self._cursor.execute(sql, row).fetchall()

    def count(self, sql: str, row: Sequence[Any]) -> int:
        """Run one statement; how many rows it changed."""
        self._cursor.execute(sql, row)
        return self._cursor.connection.changes()

    def add_events(self, rows: Sequence[EventRow]) -> None:
        """Give events the next sequence numbers. A failing item gives its numbers back."""
        first = self.last.event + 1
        insert_many(self, SQL.insert_event, [(number, *new.row) for number, new in enumerate(rows, first)])
        self.last = self.last._replace(event=self.last.event + len(rows))
        self.events += [Event(number, new.event) for number, new in enumerate(rows, first)]

    def add_news(self, rows: Sequence[NewsRow]) -> None:
        """Give news the next sequence numbers, as events get theirs."""
        first = self.last.news + 1
        insert_many(self, SQL.insert_news, [(number, *new.row) for number, new in enumerate(rows, first)])
        self.last = self.last._replace(news=self.last.news + len(rows))
        self.news += [NumberedNews(number, new.news) for number, new in enumerate(rows, first)]

    def mark(self) -> tuple[Logs, int, int]:
        """Where the logs stand."""
        return self.last, len(self.events), len(self.news)

    def back_to(self, mark: tuple[Logs, int, int]) -> None:
        """Forget what was given since."""
        self.last, event_count, news_count = mark
        del self.events[event_count:]
        del self.news[news_count:]
