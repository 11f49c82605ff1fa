"""The one thread that writes: what has queued is committed together, then all are told at once.

- A batch is one transaction (`batch`); a future resolves only after COMMIT returned.
- While writers are many, writes gather in the event loop and are handed over together (`hand_over_at`).
- A batch comes back to the event loop in one call.
- After a failed write or fsync nothing is known of the file's state: the process ends with code 75.
- The writer's thread alone checkpoints (`checkpoints`), between batches.
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
from typing import Any, TypeVar

import apsw

from engine.core.policy.records import Event
from engine.core.policy.track_records import NumberedNews
from engine.store.observe import StoreObserver
from engine.store.port import StoreError
from engine.store.sqlite.batch import Batches, Item
from engine.store.sqlite.checkpoints import Checkpoints
from engine.store.sqlite.failures import cause_of
from engine.store.sqlite.together import Plan
from engine.store.sqlite.transaction import Transaction

T = TypeVar("T")

BATCH_ITEMS = 256
QUEUE_ITEMS = 8_192
IDLE_S = 1.0
GATHER_S = 0.008
"""Least time between two hand-overs while writers are many: else half of all commits under load held a single write."""
MANY_S = 0.1
"""For how long writers count as many after a commit was shared."""
EXIT_STORAGE_FAILED = 75

# Every SQL step lets go of the interpreter lock, and a loop that never sleeps can take lock and
# core back before the writer's thread runs, over and over. Measured beside a loop at 100 %: stalls
# of seconds. So a waiter makes the holder hand over sooner than at CPython's 5 ms, and a loop that
# saw no batch end for YIELD_AFTER_S sleeps for a moment, which leaves both to the writer. Sooner
# still costs bookings: each hand-over is two switches of threads, at 0.5 ms 5 % of an order's CPU.
SWITCH_INTERVAL_S = 0.002
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
        self._batches = Batches(connection)
        self._checkpoints = Checkpoints(connection, self._disk_failed)
        self._observer = observer
        self._deliver_events = deliver_events
        self._deliver_news = deliver_news
        self._fatal = fatal
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._gathered: list[Item[Any]] = []
        self._handed_over_at = self._shared_at = float("-inf")
        self._queue: queue.SimpleQueue[list[Item[Any]] | None] = queue.SimpleQueue()
        self._closed = ""
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._pending = 0
        self._batches_ended = 0
        self._watch: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._live, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        self._checkpoints.start()
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
        self._gathered.append(Item(work, plan, future))
        self._pending += 1
        return future

    @property
    def load(self) -> float:
        """How much of the queue's room is taken, 0 to 1."""
        return self._pending / QUEUE_ITEMS

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
            _log.exception("the store's writer stopped")
            self._closed = "the store's writer stopped after an error: restart the engine"
            # An engine that can write nothing any more would refuse everybody and look well.
            self._fatal(f"store: {self._closed}")
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
        checkpoints = self._checkpoints
        try:
            first = self._queue.get(timeout=self._idle_s if checkpoints.wal_pages else None)
        except queue.Empty:
            checkpoints.move_all()
            return True
        if first is None:
            checkpoints.move_all()
            return False
        batch, last = self._fill(first)
        begun = time.perf_counter()
        try:
            events, news = self._batches.write(batch)
        except Exception as error:
            self._fail(batch, error)
            events, news = [], []
        self._tell(self._deliver, batch, events, news, time.perf_counter() - begun)
        if checkpoints.due:
            checkpoints.move()
        # Questions come many times a second, also to an engine at rest: only what was written counts as work.
        rests = checkpoints.wal_pages and time.monotonic() - checkpoints.wrote_at >= self._idle_s
        if last or rests:
            checkpoints.move_all()
        return not (last or self._closed.startswith("the disk"))

    def _fill(self, first: list[Item[Any]]) -> tuple[list[Item[Any]], bool]:
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

    def _fail(self, batch: list[Item[Any]], error: Exception) -> None:
        """Nothing of the batch is durable: take it back and say so, or end the process."""
        if isinstance(error, apsw.IOError):
            self._disk_failed(error)
        text = cause_of(error)
        for item in batch:
            item.error = StoreError(f"nothing was stored: {text}")
        self._batches.take_back()

    def _disk_failed(self, error: apsw.IOError) -> None:
        self._closed = f"the disk failed ({cause_of(error)}): check it, then restart the engine"
        self._fatal(f"store: {self._closed}; ending so that nothing false is acknowledged")

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

    def _deliver(self, batch: list[Item[Any]], events: list[Event], news: list[NumberedNews], seconds: float) -> None:
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
