"""The SQLite store on a real disk: crashes, restarts, keys, files."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from crossdock_sdk import Address, Contact, Parcel, Party
from engine.core.policy.records import (
    AttemptRecord,
    AttemptState,
    Event,
    EventKind,
    NewEvent,
    OrderDraft,
    OrderRecord,
    OrderState,
    StoredLabel,
)
from engine.store.codec import AesGcmCodec
from engine.store.port import Idempotency, StoreError, StoreUnsafe
from engine.store.sqlite import SqliteStore
from tests.fakes import rows

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 11, tzinfo=UTC)
NAME, PHONE, LABEL = "欧阳小满", "13987654321", b"%PDF-canary"
KEY, OTHER_KEY = bytes(32), bytes([1]) * 32
KILLS = 10

CHILD = """
import asyncio, sys
from datetime import UTC, datetime
from crossdock_sdk import Address, Contact, Parcel, Party
from engine.core.policy.records import EventKind, NewEvent, OrderDraft, OrderRecord, OrderState
from engine.store.port import Idempotency
from engine.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1])
    run, now = sys.argv[2], datetime(2026, 11, 11, tzinfo=UTC)
    party = Party(Contact("n", "1"), Address())

    async def worker(w):
        i = 0
        while True:
            order_id, i = f"{run}-{w:02}-{i:06}", i + 1
            draft = OrderDraft(order_id, party, party, (Parcel(1),))
            order = OrderRecord(order_id, "acme", draft, OrderState.ACCEPTED, now, now)
            event = NewEvent("acme", order_id, EventKind.ORDER_ACCEPTED, now, order_id, order.state)
            await store.accept(order, [], [event], Idempotency(order_id, b"b"))
            sys.stdout.write(order_id + "\\n")
            sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for w in range(16):
            group.create_task(worker(w))

asyncio.run(main())
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def order(order_id: str = "o1") -> OrderRecord:
    party = Party(Contact(NAME, PHONE), Address("CN", "广东省", "深圳市", street="建设街357号"))
    draft = OrderDraft(order_id, party, party, (Parcel(450),))
    return OrderRecord(order_id, "acme", draft, OrderState.ACCEPTED, NOW, NOW, due_time=NOW)


def attempt(order_id: str = "o1") -> AttemptRecord:
    return AttemptRecord(
        order_id, 1, "sf", "main", "1", f"{order_id}-1", AttemptState.REJECTED, NOW,
        carrier_message=f"{NAME} {PHONE}",
    )  # fmt: skip


async def fill(store: SqliteStore, *order_ids: str) -> None:
    for order_id in order_ids:
        new = order(order_id)
        event = NewEvent("acme", order_id, EventKind.ORDER_ACCEPTED, NOW, order_id, new.state)
        await store.accept(new, [attempt(order_id)], [event], Idempotency("", b"b"))
        await store.put_label("acme", StoredLabel(order_id, "SF1", "application/pdf", LABEL, NOW))


def crash(path: Path, run: int, after_lines: int, delay_s: float) -> list[str]:
    """Let a child write, kill it at a random instant, return what it was told is durable."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(path), f"run{run}"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after_lines)]
        try:
            child.wait(delay_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


async def test_every_acknowledged_order_survives_kills(tmp_path: Path) -> None:
    """After kills at random instants every acknowledged order is there and events have no gap."""
    path = tmp_path / "store.db"
    dice = random.Random(20261111)
    told: list[str] = []

    for run in range(KILLS):
        told += await asyncio.to_thread(crash, path, run, dice.randint(1, 60), dice.random() / 20)
    store = await SqliteStore.open(path)
    missing = [order_id for order_id in told if await store.get_order("acme", order_id) is None]
    events: list[Event] = []
    while page := await store.events_after("acme", events[-1].sequence if events else 0, limit=5_000):
        events += page
    [count] = (await store.count_by_state()).values()
    await store.aclose()

    assert len(told) > KILLS
    assert missing == []
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    assert len(events) == count
    with apsw.Connection(str(path)) as connection:
        assert connection.pragma("integrity_check") == "ok"


async def test_reopened_store_has_everything(tmp_path: Path) -> None:
    """Orders, attempts, labels, state, sequence and epochs go on after a restart."""
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    await fill(store, "o1")
    await store.put_state("limits", b"x")
    epoch = await store.next_epoch()
    await store.aclose()

    store = await SqliteStore.open(path)
    read = await store.get_order("acme", "o1")
    label = await store.get_label("acme", "o1", "SF1")
    kept = (await store.last_sequence(), await store.get_state("limits"))
    later = await store.next_epoch()
    await store.aclose()

    assert read is not None
    assert (read.order, read.attempts) == (order(), (attempt(),))
    assert label is not None
    assert label.content == LABEL
    assert kept == (1, b"x")
    assert later > epoch


async def test_sequence_goes_on_after_purge_and_restart(tmp_path: Path) -> None:
    """A restart after a purge of all events does not hand out old numbers again."""
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    await fill(store, "o1", "o2")
    await store.purge(keys_before=NOW, events_before=datetime(2027, 1, 1, tzinfo=UTC))
    await store.aclose()

    store = await SqliteStore.open(path)
    await fill(store, "o3")
    last = await store.last_sequence()
    await store.aclose()

    assert last == 3


async def test_long_purge_goes_in_slices(tmp_path: Path) -> None:
    """A purge of more rows than one slice holds drops them all."""
    store = await SqliteStore.open(tmp_path / "store.db", synchronous="NORMAL")
    old = order()
    event = NewEvent("acme", "o1", EventKind.ORDER_ACCEPTED, NOW, "o1", old.state)
    await store.accept(old, [], [event] * 2_500, Idempotency("", b"b"))

    dropped = await store.purge(keys_before=NOW, events_before=datetime(2027, 1, 1, tzinfo=UTC))
    await store.aclose()

    assert dropped == (0, 2_500)


async def test_files_show_no_personal_data_when_a_key_is_set(tmp_path: Path) -> None:
    """Neither database nor log holds a name, a phone number or a label in clear."""
    store = await SqliteStore.open(tmp_path / "store.db", codec=AesGcmCodec(KEY))
    await fill(store, "o1")
    log = (tmp_path / "store.db-wal").read_bytes()
    await store.aclose()
    database = (tmp_path / "store.db").read_bytes()

    for canary in (NAME.encode(), PHONE.encode(), LABEL, "建设街".encode()):
        assert canary not in log + database
    assert b"o1-1" in log + database


async def test_canaries_are_visible_without_a_key(tmp_path: Path) -> None:
    """The search for canaries finds them where nothing is sealed."""
    store = await SqliteStore.open(tmp_path / "store.db")
    await fill(store, "o1")
    await store.aclose()

    assert PHONE.encode() in (tmp_path / "store.db").read_bytes()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE orders SET draft = (SELECT draft FROM orders WHERE order_id = 'o2')",
        "UPDATE orders SET live = (SELECT live FROM orders WHERE order_id = 'o2')",
        "UPDATE attempts SET body = (SELECT body FROM attempts WHERE order_id = 'o2')",
        "UPDATE orders SET live = zeroblob(length(live))",
        "UPDATE orders SET tenant = 'acme' WHERE order_id = 'o1'; UPDATE orders SET draft = live",
    ],
)
async def test_swapped_or_altered_rows_are_refused(tmp_path: Path, sql: Any) -> None:
    """A sealed value moved from another row or changed on disk is not shown as data."""
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path, codec=AesGcmCodec(KEY))
    await fill(store, "o1", "o2")
    await store.aclose()
    with apsw.Connection(str(path)) as connection:
        connection.execute(sql)

    store = await SqliteStore.open(path, codec=AesGcmCodec(KEY))
    with pytest.raises(StoreError, match="of o1") as caught:
        await store.get_order("acme", "o1")
    await store.aclose()

    assert NAME not in str(caught.value)


@pytest.mark.parametrize(("written", "opened"), [(KEY, OTHER_KEY), (KEY, None), (None, KEY), (OTHER_KEY, KEY)])
async def test_wrong_key_is_refused_at_the_start(tmp_path: Path, written: Any, opened: Any) -> None:
    """A store opens only with the key it was written with, and says so before the first order."""
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path, codec=AesGcmCodec(written) if written else None)
    await store.aclose()

    with pytest.raises(StoreUnsafe, match="another master key, or without one"):
        await SqliteStore.open(path, codec=AesGcmCodec(opened) if opened else None)


async def test_second_engine_is_refused(tmp_path: Path) -> None:
    """One engine per file: the second is told which process to stop; afterwards it may open."""
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)

    with pytest.raises(StoreUnsafe, match=f"process {os.getpid()}"):
        await SqliteStore.open(path)
    await store.aclose()
    again = await SqliteStore.open(path)
    await again.aclose()

    assert path.stat().st_mode & 0o777 == 0o600


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Some other file is named and left as it is, and its lock is let go."""
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)

    for _ in range(2):
        with pytest.raises(StoreUnsafe, match="check that it is a Crossdock store"):
            await SqliteStore.open(path)

    assert path.read_bytes().startswith(b"not a database")


async def test_log_is_moved_into_the_file_on_closing(tmp_path: Path) -> None:
    """A clean stop leaves one file to copy: the log is empty or gone."""
    store = await SqliteStore.open(tmp_path / "store.db")
    await fill(store, "o1")

    await store.aclose()

    log = tmp_path / "store.db-wal"
    assert not log.exists() or log.stat().st_size == 0


async def test_log_stays_bounded_under_load(tmp_path: Path) -> None:
    """The writer checkpoints while it works, so the log does not grow with the data."""
    store = await SqliteStore.open(tmp_path / "store.db", synchronous="NORMAL")
    for i in range(40):
        await store.put_state(f"k{i}", bytes(1_000_000))
    log_bytes = (tmp_path / "store.db-wal").stat().st_size
    await store.aclose()

    assert log_bytes < 12_000_000


async def test_an_order_that_cannot_be_read_holds_up_no_other(tmp_path: Path, caplog: Any) -> None:
    """The others are taken up; it is told in the log and looked at again in an hour, not five times a second."""
    path = tmp_path / "orders.db"
    store = await SqliteStore.open(path)
    epoch = await store.next_epoch()
    for reference in ("A1", "A2", "A3"):
        order = rows.loaded(due_time=NOW).order
        order = replace(order, order_id=f"o-{reference}", draft=rows.draft(reference=reference), lease_epoch=epoch)
        await store.accept(order, (), (), Idempotency(reference, b"x"))
    await store.aclose()
    with apsw.Connection(str(path)) as db:
        db.execute("UPDATE orders SET draft = x'00' WHERE reference = 'A1'")
    db.close()
    store = await SqliteStore.open(path)
    try:
        claimed = await store.claim_due(NOW, epoch=epoch, limit=256)
        again = await store.claim_due(NOW + timedelta(minutes=59), epoch=epoch, limit=256)
    finally:
        await store.aclose()

    assert [c.order.order_id for c in claimed] == [c.order.order_id for c in again] == ["o-A2", "o-A3"]
    assert caplog.text.count("o-A1") == 2  # named and, in the reason, as the row
