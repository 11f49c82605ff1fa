"""The one thread that writes: what has queued is committed together, then all are told at once.

- A batch is one transaction. Items that have a plan are written together, the others one after the other. Should one of
  them fail after it changed anything, the batch begins anew with a savepoint for each: one that fails spoils no other.
- While writers are many, writes gather in the event loop and are handed over together (`hand_over_at`).
- A future resolves only after COMMIT returned; a batch comes back to the event loop in one call.
- After a failed write or fsync nothing is known of the file's state: the process ends with code 75.
- The writer alone checkpoints: PASSIVE each 1,000 pages, TRUNCATE when idle and at the end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

import apsw

from engine.core.policy.records import Event
from engine.core.policy.track_records import NumberedNews
from engine.crash import crash_point
from engine.store.observe import StoreObserver
from engine.store.port import StoreError
from engine.store.sqlite.failures import cause_of, translate
from engine.store.sqlite.queries import SQL
from engine.store.sqlite.together import Plan, write_together
from engine.store.sqlite.transaction import Logs, Transaction

T = TypeVar("T")

BATCH_ITEMS = 256
QUEUE_ITEMS = 8_192
CHECKPOINT_PAGES = 1_000
IDLE_S = 1.0
GATHER_S = 0.008
"""Least time between two hand-overs while writers are many: else half of all commits under load held a single write."""
MANY_S = 0.1
"""For how long writers count as many after a commit was shared."""
EXIT_STORAGE_FAILED = 75

# Every SQL step lets go of the interpreter lock, and a loop that never sleeps can take lock and
# core back before the writer's thread runs, over and over. Measured beside a loop at 100 %: stalls
# of seconds. So a waiter makes the holder hand over sooner than at CPython's 5 ms, and a loop that
# saw no batch end for YIELD_AFTER_S sleeps for a moment, which leaves both to the writer.
SWITCH_INTERVAL_S = 0.0005
YIELD_AFTER_S = 0.01
YIELD_S = 0.0002

_log = logging.getLogger("crossdock.store")


def end_process(message: str) -> None:
    """Stop at once: a restart recovers from the log, going on could acknowledge what was lost."""
    _log.critical(message)
    logging.shutdown()
    os._exit(EXIT_STORAGE_FAILED)


def hand_over_at(now: float, handed_over_at: float, shared_at: float) -> float:
    """When a write that comes at `now` goes to the writer: at once for a caller who is alone.

    handed_over_at: the last hand-over. shared_at: when a commit of more than one write last ended.
    """
    many = now - shared_at <= MANY_S
    return max(now, handed_over_at + GATHER_S) if many else now


class _Item(Generic[T]):
    __slots__ = ("error", "future", "plan", "result", "work")

    def __init__(self, work: Callable[[Transaction], T], plan: Plan | None, future: asyncio.Future[T]) -> None:
        self.work = work
        self.plan = plan
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """Owns the writing connection. `run` and `aclose` belong to the event loop."""

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        observer: StoreObserver,
        deliver_events: Callable[[Collection[Event]], None],
        deliver_news: Callable[[Collection[NumberedNews]], None],
        fatal: Callable[[str], None] = end_process,
        idle_s: float = IDLE_S,
    ) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._observer = observer
        self._deliver_events = deliver_events
        self._deliver_news = deliver_news
        self._fatal = fatal
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._gathered: list[_Item[Any]] = []
        self._handed_over_at = self._shared_at = float("-inf")
        self._queue: queue.SimpleQueue[list[_Item[Any]] | None] = queue.SimpleQueue()
        self._closed = ""
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._pending = 0
        self._batches_ended = 0
        self._watch: asyncio.TimerHandle | None = None
        self._wal_pages = 0
        self._checked_pages = 0
        self._wrote_at = 0.0
        self._last = Logs(
            int(connection.execute(SQL.last_sequence).get), int(connection.execute(SQL.last_news_sequence).get)
        )
        self._thread = threading.Thread(target=self._live, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        self._connection.set_wal_hook(self._note_wal_pages)
        self._thread.start()

    def run(self, work: Callable[[Transaction], T], plan: Plan | None = None) -> asyncio.Future[T]:
        """Queue one item. The future fails with StoreError, or with whatever `work` raised.

        plan: what `work` comes to when nothing is in its way; then it is written instead of calling `work`.

        Cancelling the future does not take the item back: it may be committed already.
        """
        if self._closed:
            raise StoreError(self._closed)
        if self._pending >= QUEUE_ITEMS:
            raise StoreError(f"{QUEUE_ITEMS} writes wait for the disk: try again later")
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._gathered:
            due = hand_over_at(self._loop.time(), self._handed_over_at, self._shared_at)
            self._loop.call_at(due, self._hand_over)
        self._gathered.append(_Item(work, plan, future))
        self._pending += 1
        return future

    @property
    def load(self) -> float:
        """How much of the queue's room is taken, 0 to 1."""
        return self._queue.qsize() / QUEUE_ITEMS

    async def aclose(self) -> None:
        """Write what is queued, move the log into the file, close the connection."""
        if not self._closed:
            self._closed = "the store is closed: open it again"
            self._hand_over()
            self._queue.put(None)
        await asyncio.shield(self._ended)

    # --- in the writer's thread -------------------------------------------------------------

    def _live(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException:
            _log.exception("the store's writer stopped: restart the engine")
            self._closed = "the store's writer stopped after an error: restart the engine"
        finally:
            self._let_go()

    def _let_go(self) -> None:
        try:
            self._connection.close()
        except apsw.Error as error:
            _log.error("store: closing failed: %s", cause_of(error))
        finally:
            # Whoever waits for the end must hear of it, whatever the disk says.
            self._tell(self._end)

    def _turn(self) -> bool:
        """One batch, or one checkpoint when idle; False when it was the last."""
        try:
            first = self._queue.get(timeout=self._idle_s if self._wal_pages else None)
        except queue.Empty:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
            return True
        if first is None:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
            return False
        batch, last = self._fill(first)
        begun = time.perf_counter()
        events, news = self._write(batch)
        self._tell(self._deliver, batch, events, news, time.perf_counter() - begun)
        if self._wal_pages - self._checked_pages >= CHECKPOINT_PAGES:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        # Questions come many times a second, also to an engine at rest: only what was written counts as work.
        rests = self._wal_pages and time.monotonic() - self._wrote_at >= self._idle_s
        if last or rests:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return not (last or self._closed.startswith("the disk"))

    def _fill(self, first: list[_Item[Any]]) -> tuple[list[_Item[Any]], bool]:
        batch = first
        while len(batch) < BATCH_ITEMS:
            try:
                items = self._queue.get_nowait()
            except queue.Empty:
                break
            if items is None:
                return batch, True
            batch += items
        return batch, False

    def _write(self, batch: list[_Item[Any]]) -> tuple[list[Event], list[NumberedNews]]:
        transaction = Transaction(self._cursor, self._last)
        try:
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
        except Exception as error:
            self._fail(batch, error)
            return [], []
        self._last = transaction.last
        return transaction.events, transaction.news

    def _write_plainly(self, transaction: Transaction, batch: list[_Item[Any]]) -> bool:
        """Write the batch without savepoints; False when something failed that only a new beginning takes back."""
        try:
            write_together(transaction, [item.plan for item in batch if item.plan is not None])
        except (apsw.IOError, apsw.FullError, apsw.CorruptError):
            raise  # the whole transaction is lost, not only what was planned
        except Exception:
            return False
        for item in batch:
            if item.plan is not None:
                item.result = item.plan.result
            elif not self._write_alone(transaction, item):
                return False
        return True

    def _write_alone(self, transaction: Transaction, item: _Item[Any]) -> bool:
        """Write an item; False when it failed with changes that only a savepoint could take back."""
        changes = self._connection.total_changes()
        try:
            item.result = item.work(transaction)
        except (apsw.IOError, apsw.FullError, apsw.CorruptError):
            raise  # the whole transaction is lost, not only this item
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            item.error = translate(error)
            return self._connection.total_changes() == changes
        return True

    def _write_item(self, transaction: Transaction, item: _Item[Any]) -> None:
        """Write an item inside a savepoint."""
        item.error = None
        mark = transaction.mark()
        execute = self._cursor.execute
        execute("SAVEPOINT item")
        try:
            item.result = item.work(transaction)
        except (apsw.IOError, apsw.FullError, apsw.CorruptError):
            raise  # the whole transaction is lost, not only this item
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            execute("ROLLBACK TO item")
            transaction.back_to(mark)
            item.error = translate(error)
        execute("RELEASE item")

    def _fail(self, batch: list[_Item[Any]], error: Exception) -> None:
        """Nothing of the batch is durable: take it back and say so, or end the process."""
        text = cause_of(error)
        if isinstance(error, apsw.IOError):
            self._closed = f"the disk failed ({text}): check it, then restart the engine"
            self._fatal(f"store: {self._closed}; ending so that nothing false is acknowledged")
        for item in batch:
            item.error = StoreError(f"nothing was stored: {text}")
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error as rollback_error:
                _log.error("store: rollback failed: %s", rollback_error)

    def _checkpoint(self, mode: int) -> None:
        """Move the log into the file as far as readers allow, without waiting for them."""
        crash_point("checkpoint_begun")
        self._connection.set_busy_timeout(0)
        try:
            pages, _ = self._connection.wal_checkpoint(mode=mode)
            self._checked_pages = max(pages, 0)
            if mode == apsw.SQLITE_CHECKPOINT_TRUNCATE:
                self._wal_pages = 0
        except apsw.BusyError:
            self._checked_pages = self._wal_pages
            if mode == apsw.SQLITE_CHECKPOINT_TRUNCATE:
                self._wal_pages = 0  # a reader holds it: try again after the next commit
        except apsw.IOError as error:
            self._closed = f"the disk failed ({cause_of(error)}): check it, then restart the engine"
            self._fatal(f"store: {self._closed}")
        except apsw.FullError as error:
            # The rows are safe in the log; only the file cannot grow.
            _log.error("store: checkpoint failed: %s", cause_of(error))
            self._checked_pages = self._wal_pages
            self._wal_pages = 0
        finally:
            self._connection.set_busy_timeout(5_000)

    def _note_wal_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._wal_pages:
            self._checked_pages = 0  # the log began anew
        self._wal_pages = pages
        self._wrote_at = time.monotonic()
        return apsw.SQLITE_OK

    def _tell(self, call: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            _log.debug("store: the event loop is gone, nobody to tell")

    # --- in the event loop ------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Give the writer what has gathered, in batches it may take whole."""
        gathered, self._gathered = self._gathered, []
        self._handed_over_at = self._loop.time()
        for at in range(0, len(gathered), BATCH_ITEMS):
            self._queue.put(gathered[at : at + BATCH_ITEMS])
        if gathered and self._watch is None:
            self._watch_writer()

    def _watch_writer(self) -> None:
        self._watch = self._loop.call_later(YIELD_AFTER_S, self._yield_core, self._batches_ended)

    def _yield_core(self, batches_ended: int) -> None:
        """Leave the core to the writer for a moment when it got nowhere since `batches_ended`."""
        self._watch = None
        if not self._pending:
            return
        if self._batches_ended == batches_ended:
            time.sleep(YIELD_S)
        self._watch_writer()

    def _deliver(self, batch: list[_Item[Any]], events: list[Event], news: list[NumberedNews], seconds: float) -> None:
        self._pending -= len(batch)
        self._batches_ended += 1
        if len(batch) > 1:
            self._shared_at = self._loop.time()
        if events:
            self._deliver_events(events)
        if news:
            self._deliver_news(news)
        for item in batch:
            if item.future.done():
                continue
            if item.error is None:
                item.future.set_result(item.result)
            else:
                item.future.set_exception(item.error)
        committed = sum(item.error is None for item in batch)
        if committed:
            self._observer.committed(committed, seconds)
        self._observer.queue_depth(self._pending)

    def _end(self) -> None:
        """The thread is gone: what came after its last look will not be written."""
        self._pending = 0
        left, self._gathered = self._gathered, []
        while not self._queue.empty():
            left += self._queue.get_nowait() or []
        for item in left:
            if not item.future.done():
                item.future.set_exception(StoreError(self._closed))
        if not self._ended.done():
            self._ended.set_result(None)
