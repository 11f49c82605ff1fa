"""One batch, one transaction: all of it is committed together, and one item that fails spoils no other.

Items that have a plan are written together, the others one after the other. Should one of them fail after it changed
anything, the batch begins anew with a savepoint for each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import apsw

from engine.core.policy.records import Event
from engine.core.policy.track_records import NumberedNews
from engine.crash import crash_point
from engine.store.sqlite.failures import translate
from engine.store.sqlite.queries import SQL
from engine.store.sqlite.together import Plan, write_together
from engine.store.sqlite.transaction import Logs, Transaction

T = TypeVar("T")

ALL_IS_LOST = (apsw.IOError, apsw.FullError, apsw.CorruptError)
"""Errors that lose the whole transaction, not only what was written when they came."""

_log = logging.getLogger("crossdock.store")


class Item(Generic[T]):
    """What one caller wants written, and how that went."""

    __slots__ = ("error", "future", "plan", "result", "work")

    def __init__(self, work: Callable[[Transaction], T], plan: Plan | None, future: asyncio.Future[T]) -> None:
        self.work = work
        self.plan = plan
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None


class Batches:
    """Writes batches through the writing connection, in the writer's thread."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._last = Logs(
            int(connection.execute(SQL.last_sequence).get), int(connection.execute(SQL.last_news_sequence).get)
        )

    def write(self, batch: list[Item[Any]]) -> tuple[list[Event], list[NumberedNews]]:
        """Write a batch; what it adds to the logs. After an error the caller has to `take_back`."""
        transaction = Transaction(self._cursor, self._last)
        self._cursor.execute("BEGIN IMMEDIATE")
        if not self._write_plainly(transaction, batch):
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
            self._cursor.execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._cursor, self._last)
            for item in batch:
                self._write_item(transaction, item)
        if transaction.events:
            crash_point("batch_written")
        self._connection.execute("COMMIT")
        self._last = transaction.last
        return transaction.events, transaction.news

    def take_back(self) -> None:
        """Undo what is left of a batch that failed."""
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error as error:
                _log.error("store: rollback failed: %s", error)

    def _write_plainly(self, transaction: Transaction, batch: list[Item[Any]]) -> bool:
        """Write the batch without savepoints; False when something failed that only a new beginning takes back."""
        try:
            write_together(transaction, [item.plan for item in batch if item.plan is not None])
        except ALL_IS_LOST:
            raise
        except Exception:
            return False
        for item in batch:
            if item.plan is not None:
                item.result = item.plan.result
            elif not self._write_alone(transaction, item):
                return False
        return True

    def _write_alone(self, transaction: Transaction, item: Item[Any]) -> bool:
        """Write an item; False when it failed with changes that only a savepoint could take back."""
        changes = self._connection.total_changes()
        try:
            item.result = item.work(transaction)
        except ALL_IS_LOST:
            raise
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            item.error = translate(error)
            return self._connection.total_changes() == changes
        return True

    def _write_item(self, transaction: Transaction, item: Item[Any]) -> None:
        """Write an item inside a savepoint."""
        item.error = None
        mark = transaction.mark()
        execute = self._cursor.execute
        execute("SAVEPOINT item")
        try:
            item.result = item.work(transaction)
        except ALL_IS_LOST:
            raise
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            execute("ROLLBACK TO item")
            transaction.back_to(mark)
            item.error = translate(error)
        execute("RELEASE item")
