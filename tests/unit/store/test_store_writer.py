"""The writer when the disk fails: nothing false is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from engine.core.policy.records import EventKind, NewEvent, OrderState
from engine.store.port import StoreError
from engine.store.sqlite.connection import open_reader, open_writer
from engine.store.sqlite.migrations import load_migrations, migrate
from engine.store.sqlite.queries import SQL
from engine.store.sqlite.rows import EventRow
from engine.store.sqlite.together import MOST_ROWS, Plan
from engine.store.sqlite.transaction import Transaction
from engine.store.sqlite.writer import QUEUE_ITEMS, Writer, hand_over_at

pytestmark = pytest.mark.anyio


class FailingConnection(apsw.Connection):
    """Fails the next COMMIT with `failure`, as SQLite does when the disk refuses."""

    failure: Exception | None = None

    def execute(self, statements: Any, *args: Any, **kwargs: Any) -> Any:
        if statements == "COMMIT" and self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return super().execute(statements, *args, **kwargs)


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.depths: list[int] = []

    def committed(self, items: Any, seconds: Any) -> None:
        assert seconds > 0
        self.batches.append(items)

    def queue_depth(self, n: Any) -> None:
        self.depths.append(n)


class Rig(NamedTuple):
    """A writer, and what it was given and told."""

    writer: Writer
    connection: FailingConnection
    heard: Heard
    fatal: list[str]
    delivered: list[int]
    log: Path


EVENT = NewEvent(
    "acme",
    "o1",
    EventKind.ORDER_ACCEPTED,
    datetime(2026, 11, 11, tzinfo=UTC),
    "ref",
    OrderState.ACCEPTED,
)


@pytest.fixture
async def rig(tmp_path: Path) -> Any:
    """A writer on a connection that can be made to fail, its observer, and the fatal messages."""
    open_writer(tmp_path / "store.db", "FULL").close()
    connection = FailingConnection(str(tmp_path / "store.db"))
    migrate(connection, load_migrations())
    heard = Heard()
    fatal: list[str] = []
    delivered: list[int] = []
    writer = Writer(
        connection,
        observer=heard,
        deliver_events=lambda events: delivered.extend(e.sequence for e in events),
        deliver_news=lambda news: None,
        fatal=fatal.append,
        idle_s=0.01,
    )
    writer.start()
    yield Rig(writer, connection, heard, fatal, delivered, tmp_path / "store.db-wal")
    await writer.aclose()


def put(key: Any) -> Any:
    return lambda tx: tx.run(SQL.put_state, (key, b"v"))


def get(key: Any) -> Any:
    return lambda tx: tx.run(SQL.get_state, (key,))


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (apsw.FullError("database or disk is full"), "the disk is full: free space"),
        (apsw.ReadOnlyError("attempt to write"), "read-only: give the engine write permission"),
        (apsw.BusyError("database is locked"), "another program holds"),
        (apsw.CorruptError("malformed"), "restore the last backup"),
    ],
)
async def test_failed_commit_is_told_and_the_writer_goes_on(rig: Any, failure: Any, text: Any) -> None:
    """Every caller of the batch learns why, nothing is stored, and the next write succeeds."""
    writer, connection, _, fatal, *_ = rig
    connection.failure = failure

    with pytest.raises(StoreError, match=f"nothing was stored: .*{text}"):
        await writer.run(put("a"))
    await writer.run(put("b"))

    assert await writer.run(get("a")) == []
    assert await writer.run(get("b")) == [(b"v",)]
    assert fatal == []


async def test_failed_fsync_ends_the_process(rig: Any) -> None:
    """After an I/O error at COMMIT the process is ended and no further write is taken."""
    writer, connection, heard, fatal, *_ = rig
    connection.failure = apsw.IOError("disk I/O error")

    with pytest.raises(StoreError, match="nothing was stored"):
        await writer.run(put("a"))
    with pytest.raises(StoreError, match="the disk failed"):
        await writer.run(put("b"))

    assert len(fatal) == 1
    assert "nothing false is acknowledged" in fatal[0]
    assert heard.batches == []


async def test_the_load_counts_what_waits_and_not_in_how_many_portions(rig: Any) -> None:
    """A queue that refuses is full; overload is seen before."""
    writer, *_ = rig
    waiting = [writer.run(put(str(n))) for n in range(QUEUE_ITEMS)]

    writer._hand_over()
    load = writer.load

    with pytest.raises(StoreError, match="writes wait for the disk"):
        writer.run(put("more"))
    await asyncio.gather(*waiting)
    assert load > 0.9
    assert writer.load == 0.0


async def test_a_writer_that_cannot_go_on_ends_the_process(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was: an engine that can write nothing would look well and refuse everybody."""
    writer, _, _, fatal, *_ = rig

    def damaged() -> None:
        raise apsw.CorruptError("database disk image is malformed")

    monkeypatch.setattr(writer._checkpoints, "move_all", damaged)
    await writer.run(put("a"))
    async with asyncio.timeout(10.0):
        await asyncio.shield(writer._ended)

    with pytest.raises(StoreError, match="restart the engine"):
        writer.run(put("b"))
    assert len(fatal) == 1


async def test_full_file_fails_its_callers_only(rig: Any) -> None:
    """A file that cannot grow gives StoreError; with room again writes go on."""
    writer, connection, *_ = rig
    pages = await writer.run(lambda _: connection.pragma("page_count"))
    await writer.run(lambda _: connection.pragma("max_page_count", pages))

    with pytest.raises(StoreError, match="the disk is full"):
        await writer.run(lambda tx: tx.run(SQL.put_state, ("big", bytes(100_000))))
    await writer.run(lambda _: connection.pragma("max_page_count", pages + 1_000))
    await writer.run(lambda tx: tx.run(SQL.put_state, ("big", bytes(100_000))))

    assert await writer.run(get("big")) == [(bytes(100_000),)]


async def test_one_failing_item_spoils_no_other(rig: Any) -> None:
    """Items beside a failing one are stored; the failing one leaves nothing."""
    writer, _, heard, *_ = rig

    def fail(tx: Any) -> None:
        put("half")(tx)
        raise LookupError("mine")

    results = await asyncio.gather(writer.run(put("a")), writer.run(fail), writer.run(put("b")), return_exceptions=True)

    assert isinstance(results[1], LookupError)
    assert await writer.run(get("half")) == []
    assert await writer.run(get("a")) == await writer.run(get("b")) == [(b"v",)]
    assert sum(heard.batches) == 5


async def test_failing_item_gives_its_event_numbers_back(rig: Any) -> None:
    """An item that fails after it wrote events burns no number and nobody hears of them."""
    writer, *_ = rig
    row = EventRow(EVENT, ("acme", "o1", 0, b"body"))

    def fail(tx: Transaction) -> None:
        tx.add_events([row, row])
        raise LookupError("mine")

    works = [lambda tx: tx.add_events([row]), fail, lambda tx: tx.add_events([row])]
    results = await asyncio.gather(*(writer.run(w) for w in works), return_exceptions=True)
    kept = await writer.run(lambda tx: tx.run("SELECT sequence FROM events"))

    assert isinstance(results[1], LookupError)
    assert kept == [(1,), (2,)]
    assert rig.delivered == [1, 2]


async def test_idle_writer_empties_the_log(rig: Any) -> None:
    """A moment after the last write the log file is empty, so a copy of the store is small."""
    writer, *_ = rig
    await writer.run(put("a"))

    async with asyncio.timeout(5):
        while (await asyncio.to_thread(rig.log.stat)).st_size:
            pass

    assert await writer.run(get("a")) == [(b"v",)]


async def test_questions_do_not_keep_the_log_full(rig: Any) -> None:
    """An engine at rest still asks for what is due many times a second: that is no reason to keep the log."""
    writer, *_ = rig
    writer._idle_s = 0.5
    await writer.run(put("a"))

    async with asyncio.timeout(10):
        while (await asyncio.to_thread(rig.log.stat)).st_size:
            await writer.run(get("a"))

    assert await writer.run(get("a")) == [(b"v",)]


async def test_queued_writes_are_finished_on_closing(rig: Any) -> None:
    """What was queued before closing is written, what comes after is refused."""
    writer, _, heard, *_ = rig
    queued = [writer.run(put(str(i))) for i in range(300)]

    await writer.aclose()

    assert all(future.done() and future.exception() is None for future in queued)
    assert sum(heard.batches) == 300
    assert heard.depths[-1] == 0
    with pytest.raises(StoreError, match="the store is closed"):
        writer.run(put("late"))


async def test_cancelled_caller_harms_nobody(rig: Any) -> None:
    """A caller that goes away neither stops the writer nor takes its write back."""
    writer, *_ = rig
    gone = writer.run(put("a"))

    gone.cancel()

    assert await writer.run(get("a")) == [(b"v",)]


def key_row(key: str) -> Any:
    """A row of insert_key for the order `o1`, which the test creates first."""
    return ("acme", "request_id", key, "o1", b"hash", 0)


def planned(rig: Any, key: str) -> Any:
    """An item that takes a key by its plan, and says so; by its work it only says what it was hindered by."""
    return rig.writer.run(lambda tx: f"{key} by itself", Plan(f"{key} together", keys=(key_row(key),)))


@pytest.fixture
async def order(rig: Any) -> None:
    """The order that keys refer to."""
    row = ("o1", "acme", "ref", "ACCEPTED", "", "", 0, 0, None, 1, 0, b"", b"")
    await rig.writer.run(lambda tx: tx.run(SQL.insert_order, row))


async def test_what_meets_nothing_is_written_together(rig: Any, order: None) -> None:
    """By its plan, however many there are, beside items that have none, and each gets its own result."""
    keys = [f"k{i}" for i in range(MOST_ROWS * 2 + 3)]

    results = await asyncio.gather(*[planned(rig, key) for key in keys], rig.writer.run(put("a")))
    kept = await rig.writer.run(lambda tx: tx.run("SELECT key FROM idempotency_keys ORDER BY rowid"))

    assert results[:-1] == [f"{key} together" for key in keys]
    assert kept == [(key,) for key in keys]
    assert await rig.writer.run(get("a")) == [(b"v",)]


async def test_one_that_is_hindered_has_each_decided_for_itself(rig: Any, order: None) -> None:
    """Nothing of any plan stays when one of them cannot be written."""
    await planned(rig, "taken")
    event = EventRow(EVENT, ("acme", "o1", 0, b"body"))
    plan = Plan("with an event", events=[event])

    results = await asyncio.gather(
        planned(rig, "free"),
        rig.writer.run(lambda tx: tx.add_events([event]), plan),
        planned(rig, "taken"),
    )
    kept = await rig.writer.run(lambda tx: tx.run("SELECT key FROM idempotency_keys"))

    assert results == ["free by itself", None, "taken by itself"]
    assert kept == [("taken",)]
    assert rig.delivered == [1]


async def test_a_step_whose_order_moved_on_hinders(rig: Any, order: None) -> None:
    """A plan's fence is shut by one order that is not as it was read."""
    steps = [("o1", "acme", version, 1, "BOOKED", "sf", "SF1", 1, None, b"live") for version in (1, 0)]

    late = await rig.writer.run(lambda tx: "decided for itself", Plan("written", steps=(steps[0],)))
    now = await rig.writer.run(lambda tx: "decided for itself", Plan("written", steps=(steps[1],)))
    again = await asyncio.gather(*[rig.writer.run(lambda tx: "one", Plan("both", steps=(steps[0],))) for _ in "ab"])

    assert (late, now, again) == ("decided for itself", "written", ["one", "one"])
    assert await rig.writer.run(lambda tx: tx.run("SELECT state, version FROM orders")) == [("BOOKED", 1)]


async def test_a_step_of_a_track_that_moved_on_hinders(rig: Any) -> None:
    """Also when two of one moment were worked out from the same row."""
    opened = ("t1", "acme", "sf", "main", "SF1", "", 0, None, None, 0, None, "", 0, b"")
    await rig.writer.run(lambda tx: tx.run(SQL.insert_track, opened))
    steps = [("t1", "acme", version, "main", "", "IN_TRANSIT", 1, 0, 2, "", b"live") for version in (1, 0)]

    def planned_step(step: Any, *events: Any) -> Any:
        plan = Plan("written", track_steps=(step,), track_events=events)
        return rig.writer.run(lambda tx: "decided for itself", plan)

    late = await planned_step(steps[0])
    both = await asyncio.gather(planned_step(steps[1]), planned_step(steps[1]))
    now = await planned_step(steps[1], ("t1", 1, b"mark", 0, b"body"))
    known = await planned_step(steps[0], ("t1", 1, b"mark", 0, b"body"))

    assert (late, now, known) == ("decided for itself", "written", "decided for itself")
    assert both == ["decided for itself"] * 2
    assert await rig.writer.run(lambda tx: tx.run("SELECT status, version FROM tracks")) == [("IN_TRANSIT", 1)]
    assert await rig.writer.run(lambda tx: tx.run("SELECT number FROM track_events")) == [(1,)]


@pytest.mark.parametrize(
    ("handed_over_at", "shared_at", "due"),
    [
        (float("-inf"), float("-inf"), 10.0),
        (9.999, float("-inf"), 10.0),
        (9.999, 9.8, 10.0),
        (9.999, 9.95, 10.007),
        (9.99, 9.95, 10.0),
    ],
    ids=["the first", "alone", "alone again", "among many", "among many, after a pause"],
)
def test_only_those_among_many_wait_for_company(handed_over_at: float, shared_at: float, due: float) -> None:
    """Whoever is alone never waits, and nobody for longer than a moment."""
    assert hand_over_at(10.0, handed_over_at, shared_at) == pytest.approx(due)


async def test_writes_of_one_moment_share_a_commit(rig: Any) -> None:
    """The writer is given them together, not woken by the first."""
    await asyncio.gather(*[rig.writer.run(put(f"k{i}")) for i in range(50)])

    assert rig.heard.batches == [50]


@pytest.mark.parametrize("open_connection", [lambda path: open_writer(path, "FULL"), open_reader])
def test_statements_keep_their_plans(tmp_path: Path, open_connection: Callable[[Path], apsw.Connection]) -> None:
    """A statement is prepared once, whatever values it gets: planning anew for each was an eighth of a push's cost."""
    open_writer(tmp_path / "store.db", "FULL").close()

    connection = open_connection(tmp_path / "store.db")

    assert connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, -1)
    connection.close()
