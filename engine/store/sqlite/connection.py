"""Opens SQLite safely, or says why not: library version, file lock, pragmas.

One engine per file: a lock on `<path>.lock` keeps a second one out. One SQLite library per process:
never open the same file with the standard library's sqlite3, whose POSIX locks would break ours.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

import apsw

from engine.store.port import StoreUnsafe

MINIMUM_VERSION = (3, 51, 3)
"""Before, a commit that races a checkpoint can get lost silently (WAL-reset bug, from 3.7.0)."""

BUSY_TIMEOUT_MS = 5_000
SYNCHRONOUS = frozenset({"FULL", "EXTRA", "NORMAL"})
CACHE_MIB = 16
"""Pages of the file that the writer keeps, unless told otherwise: enough for the inner pages of gigabytes of rows and
for what was written last. It fills with the first rows and is then no larger; readers keep 2 MiB each."""
_STATEMENTS = 512
"""Prepared forms kept: writing together uses each of its statements in several lengths."""


def check_version(version: str) -> None:
    """Refuse a SQLite that can lose commits. `version` as in "3.51.3". Raises StoreUnsafe."""
    parts = tuple(int(part) for part in version.split("."))
    if parts < MINIMUM_VERSION:
        need = ".".join(map(str, MINIMUM_VERSION))
        raise StoreUnsafe(
            f"SQLite {version} can lose committed rows in WAL mode: install an apsw that bundles "
            f"SQLite {need} or newer (pip install --upgrade apsw)"
        )


class FileLock:
    """The exclusive right to one store file, until released or the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnsafe(
                f"cannot open {self._path.name} beside the store ({error.strerror}): "
                "create the store's directory and make it writable for the engine"
            ) from error
        try:
            # flock, not lockf: it also keeps out a second store of this very process.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise StoreUnsafe(
                f"{path.name} is in use by another engine (process {holder}): stop that one first, "
                "or give this engine a store file of its own"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let go. The lock file stays: removing it would let two engines lock different files."""
        os.close(self._fd)


def open_writer(path: Path, synchronous: str, cache_mib: int = CACHE_MIB) -> apsw.Connection:
    """The one connection that writes. The file is made readable for its owner only."""
    if synchronous not in SYNCHRONOUS:
        raise StoreUnsafe(f"synchronous is {synchronous!r}: choose FULL (safe) or NORMAL (tests)")
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=_STATEMENTS)
    try:
        _set_up_writer(connection, synchronous, cache_mib)
    except BaseException:
        # Now, and not whenever it is collected; a disk that failed may fail here again.
        with suppress(apsw.Error):
            connection.close()
        raise
    return connection


def _set_up_writer(connection: apsw.Connection, synchronous: str, cache_mib: int) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    mode = connection.pragma("journal_mode", "wal")
    if mode != "wal":
        raise StoreUnsafe(f"journal_mode is {mode}, not wal: keep the store on a local file system")
    connection.pragma("synchronous", synchronous)
    connection.pragma("foreign_keys", True)
    connection.pragma("trusted_schema", False)
    keep_plans(connection)
    connection.pragma("cache_size", -cache_mib * 1024)
    # What a savepoint must be able to take back: else each batch makes, fills and removes a file for it.
    connection.pragma("temp_store", "MEMORY")
    connection.wal_autocheckpoint(0)


def open_reader(path: Path) -> apsw.Connection:
    """A connection that cannot write."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("query_only", True)
    connection.pragma("trusted_schema", False)
    keep_plans(connection)
    return connection


def keep_plans(connection: apsw.Connection) -> None:
    """Prepare a statement once, whatever values it is given later.

    SQLite built with STAT4, as APSW's is, otherwise plans anew for every new value that an index is searched for:
    measured as an eighth of what a push costs. Every plan here is meant to be the same for all values.
    """
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
