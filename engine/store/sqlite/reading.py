"""Reads beside the writer: short ones in the event loop's thread, long ones in two threads of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from engine.store.port import StoreError
from engine.store.sqlite.connection import open_reader
from engine.store.sqlite.rows import Row

READER_THREADS = 2
SHORT_READ_ROWS = 64
"""Listings up to this many rows are read in the event loop's thread."""

_CLOSED = "the store is closed: open it again"


class Reads:
    """Connections that cannot write. Belongs to the event loop."""

    def __init__(self, path: Path) -> None:
        self._connection = open_reader(path)
        self._pool = _ReaderPool(path)
        self._closed = False

    def short(self, sql: str, row: Row = ()) -> list[Any]:
        """Run one query here and now: by key, microseconds."""
        return fetch(self._connection, sql, row)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Short reads inside the block see one state of the store."""
        fetch(self._connection, "BEGIN", ())
        try:
            yield
        finally:
            fetch(self._connection, "END", ())

    async def long(self, sql: str, row: Row = ()) -> list[Any]:
        """Run one query in a thread, however long it takes."""
        if self._closed:
            raise StoreError(_CLOSED)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool.threads, self._pool.fetch, sql, row)

    async def page(self, sql: str, row: Row, limit: int) -> list[Any]:
        """Run a listing where it fits best."""
        return self.short(sql, row) if limit <= SHORT_READ_ROWS else await self.long(sql, row)

    async def aclose(self) -> None:
        """Wait for running reads, then close every connection."""
        self._closed = True
        self._connection.close()
        await asyncio.to_thread(self._pool.close)


class _ReaderPool:
    """Threads for long reads, each with a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = threading.local()
        self._all: list[apsw.Connection] = []
        self.threads = ThreadPoolExecutor(READER_THREADS, "store-reader", self._start)

    def fetch(self, sql: str, row: Row) -> list[Any]:
        """Run one query in a pool thread; all its rows."""
        return fetch(self._mine.connection, sql, row)

    def close(self) -> None:
        """Wait for running reads, then close every connection."""
        self.threads.shutdown()
        for connection in self._all:
            connection.close()

    def _start(self) -> None:
        self._mine.connection = open_reader(self._path)
        self._all.append(self._mine.connection)


def fetch(connection: apsw.Connection, sql: str, row: Row) -> list[Any]:
    """All rows of one query. Raises StoreError."""
    try:
        return connection.execute(sql, row).fetchall()
    except apsw.ConnectionClosedError as error:
        raise StoreError(_CLOSED) from error
    except apsw.Error as error:
        raise StoreError(
            f"the store cannot be read ({type(error).__name__}: {error}): check the disk, then try again"
        ) from error
