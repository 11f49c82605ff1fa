"""Measures the store against bare group commit: an accept and a commit an order, as bookings do.

    python benchmarks/store.py [--directory DIR] [--orders N]

Prints a table, then one JSON line, the ratio first. The bare program does what no store can avoid
on the same disk: the same bytes by one insert and one update, one thread, one COMMIT a batch.
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import apsw
import msgspec

from crossdock_sdk import Address, Contact, Item, Parcel, Party
from engine.core.policy.records import (
    AttemptRecord,
    AttemptState,
    BookingRecord,
    EventKind,
    NewEvent,
    OrderDraft,
    OrderRecord,
    OrderState,
)
from engine.store.codec import AesGcmCodec
from engine.store.port import Change, Idempotency, Store
from engine.store.sqlite import SqliteStore

NOW = datetime(2026, 11, 11, tzinfo=UTC)
CALLERS = (1, 16, 64)
PARTY = Party(
    Contact("欧阳小满", "13987654321"),
    Address("CN", "广东省", "深圳市", "福田区", street="建设街357号"),
)
WRITES_PER_ORDER = 2


class Figure(msgspec.Struct, frozen=True):
    """One line of the table. A row is one write: an accept or a commit."""

    store: str
    callers: int
    rows_per_s: float
    wall_us_per_row: float
    cpu_us_per_row: float


class BareGroupCommit:
    """APSW, one thread, one COMMIT a batch, two statements an order, and nothing else."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.pragma("journal_mode", "wal")
        self._connection.pragma("synchronous", "FULL")
        self._connection.execute("CREATE TABLE bare (id TEXT PRIMARY KEY, body BLOB) STRICT")
        self._queue: queue.SimpleQueue[tuple[str, tuple[object, ...], asyncio.Future[None]] | None]
        self._queue = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def write(self, sql: str, row: tuple[object, ...]) -> asyncio.Future[None]:
        """Queue one statement."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((sql, row, future))
        return future

    def close(self) -> None:
        """Stop the thread."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        cursor = self._connection.cursor()
        while (job := self._queue.get()) is not None:
            batch = [job]
            while not self._queue.empty() and len(batch) < 256:
                if (more := self._queue.get()) is None:
                    self._queue.put(None)
                    break
                batch.append(more)
            cursor.execute("BEGIN IMMEDIATE")
            for sql, row, _ in batch:
                cursor.execute(sql, row)
            cursor.execute("COMMIT")
            self._loop.call_soon_threadsafe(_resolve, [future for _, _, future in batch])


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


async def store_order(store: Store, number: int) -> None:
    """What a booking writes: the order with its first attempt, then the outcome."""
    order_id = f"0193{number:028x}"
    reference = f"SO{number:011}"
    parcel = Parcel(450, items=(Item("连衣裙 M码", 1, "sku-1"),))
    order = OrderRecord(
        order_id,
        "acme",
        OrderDraft(reference, PARTY, PARTY, (parcel,)),
        OrderState.BOOKING,
        NOW,
        NOW,
        due_time=NOW,
    )
    attempt = AttemptRecord(order_id, 1, "sf", "sf-main", "1", f"{order_id}-1", AttemptState.INTENT, NOW)
    event = NewEvent("acme", order_id, EventKind.ORDER_ACCEPTED, NOW, reference, order.state)
    await store.accept(order, [attempt], [event], Idempotency(order_id, b"h" * 32))
    booking = BookingRecord("sf", "sf-main", "1", "标快", f"SF{number:013}", NOW)
    booked = msgspec.structs.replace(order, state=OrderState.BOOKED, booking=booking, due_time=None)
    done = msgspec.structs.replace(attempt, state=AttemptState.CONFIRMED, end_time=NOW)
    event = msgspec.structs.replace(event, kind=EventKind.ORDER_BOOKED, state=booked.state)
    await store.commit(Change(booked, (done,), (event,)))


async def bare_order(bare: BareGroupCommit, number: int) -> None:
    """The same number of writes and about the same bytes."""
    row_id = f"0193{number:028x}"
    await bare.write("INSERT INTO bare VALUES (?, ?)", (row_id, bytes(1_500)))
    await bare.write("UPDATE bare SET body = ?2 WHERE id = ?1", (row_id, bytes(1_600)))


async def measure(name: str, callers: int, orders: int, one: Callable[[int], Awaitable[None]]) -> Figure:
    """Run `orders` orders by `callers` tasks."""
    numbers = iter(range(orders))

    async def work() -> None:
        for number in numbers:
            await one(number)

    wall, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(work())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rows = orders * WRITES_PER_ORDER
    return Figure(name, callers, rows / wall, wall / rows * 1e6, cpu / rows * 1e6)


async def measure_all(directory: Path, orders: int) -> list[Figure]:
    """Every kind of store at every number of callers, each in a fresh file."""
    figures = []
    for callers in CALLERS:
        count = orders if callers > 1 else orders // 4
        bare = BareGroupCommit(directory / f"bare{callers}.db")
        figures.append(await measure("bare", callers, count, partial(bare_order, bare)))
        bare.close()
        for name, codec in (("sqlite", None), ("sqlite+aes", AesGcmCodec(bytes(32)))):
            store = await SqliteStore.open(directory / f"{name}{callers}.db", codec=codec)
            figures.append(await measure(name, callers, count, partial(store_order, store)))
            await store.aclose()
    return figures


def report(figures: list[Figure]) -> None:
    """The table for people, the line for programs."""
    print(f"{'store':<12}{'callers':>8}{'rows/s':>10}{'wall us/row':>13}{'cpu us/row':>12}")
    for f in figures:
        print(f"{f.store:<12}{f.callers:>8}{f.rows_per_s:>10.0f}{f.wall_us_per_row:>13.1f}{f.cpu_us_per_row:>12.1f}")
    most = {f.store: f for f in figures if f.callers == max(CALLERS)}
    summary = {
        "ratio_cpu": round(most["sqlite"].cpu_us_per_row / most["bare"].cpu_us_per_row, 2),
        "ratio_cpu_aes": round(most["sqlite+aes"].cpu_us_per_row / most["bare"].cpu_us_per_row, 2),
        "benchmark": "store",
        "figures": [msgspec.to_builtins(f) for f in figures],
    }
    sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="a directory on the disk to measure")
    parser.add_argument("--orders", type=int, default=4_000)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix=".store-benchmark-", dir=arguments.directory))
    try:
        report(asyncio.run(measure_all(directory, arguments.orders)))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
