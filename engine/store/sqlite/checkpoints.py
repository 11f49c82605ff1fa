"""When the log is moved into the file: the writer's thread alone does it, so that no commit waits for another's.

PASSIVE each 1,000 pages, TRUNCATE when nothing was written for a while, and at the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import apsw

from engine.crash import crash_point
from engine.store.sqlite.failures import cause_of

CHECKPOINT_PAGES = 1_000

_log = logging.getLogger("crossdock.store")


class Checkpoints:
    """The log's pages, counted at each commit. Its attributes are for the writer, which looks after every batch.

    wal_pages: in the log; 0 when there is nothing to move, or nothing to be done before the next commit. due: whether
    so many are new that some should be moved. wrote_at: when (monotonic) anything was last committed.
    """

    def __init__(self, connection: apsw.Connection, disk_failed: Callable[[apsw.IOError], None]) -> None:
        self._connection = connection
        self._disk_failed = disk_failed
        self._checked_pages = 0
        self.wal_pages = 0
        self.due = False
        self.wrote_at = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._connection.set_wal_hook(self._note_wal_pages)

    def move(self) -> None:
        """Move what readers allow, and keep the log's file."""
        self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def move_all(self) -> None:
        """Move everything, unless a reader is in the way, and empty the log's file."""
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _checkpoint(self, mode: int) -> None:
        """Move the log into the file as far as readers allow, without waiting for them."""
        crash_point("checkpoint_begun")
        self.due = False
        self._connection.set_busy_timeout(0)
        try:
            pages, _ = self._connection.wal_checkpoint(mode=mode)
            self._checked_pages = max(pages, 0)
            if mode == apsw.SQLITE_CHECKPOINT_TRUNCATE:
                self.wal_pages = 0
        except apsw.BusyError:
            self._checked_pages = self.wal_pages
            if mode == apsw.SQLITE_CHECKPOINT_TRUNCATE:
                self.wal_pages = 0  # a reader holds it: try again after the next commit
        except apsw.IOError as error:
            self._disk_failed(error)
        except apsw.FullError as error:
            # The rows are safe in the log; only the file cannot grow.
            _log.error("store: checkpoint failed: %s", cause_of(error))
            self._checked_pages = self.wal_pages
            self.wal_pages = 0
        finally:
            self._connection.set_busy_timeout(5_000)

    def _note_wal_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self.wal_pages:
            self._checked_pages = 0  # the log began anew
        self.wal_pages = pages
        self.due = pages - self._checked_pages >= CHECKPOINT_PAGES
        self.wrote_at = time.monotonic()
        return apsw.SQLITE_OK
