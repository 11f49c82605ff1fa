"""Tracks in the SQLite file: what the disk may see, restarts, upgrades, and commits that fail."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from engine.store.codec import AesGcmCodec, Codec, PlainCodec, SealBroken
from engine.store.port import StoreError
from engine.store.sqlite import SqliteStore
from engine.store.sqlite.connection import open_writer
from engine.store.sqlite.migrations import load_migrations, migrate
from engine.store.sqlite.transaction import Transaction

pytestmark = pytest.mark.anyio

SECRETS = ("欧阳师傅", "13987654321", "小满", "4321", "opCode", "s3cret", "欧阳小满")


async def fill(path: Path, make: Any, codec: Codec) -> None:
    store = await SqliteStore.open(path, codec=codec)
    track = await store.open_track(make.track())
    await store.commit_track(make.step(track, make.kept(1), make.kept(2)))
    await store.put_dead_letter(make.letter())
    await store.aclose()


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


async def test_disk_sees_no_personal_data(tmp_path: Path, make: Any) -> None:
    """With a master key none of the names, phones, raw events and headers can be found in the files."""
    (tmp_path / "sealed").mkdir()
    (tmp_path / "plain").mkdir()

    await fill(tmp_path / "sealed/store.db", make, AesGcmCodec(make.master_key))
    await fill(tmp_path / "plain/store.db", make, PlainCodec())
    sealed, plain = on_disk(tmp_path / "sealed/store.db"), on_disk(tmp_path / "plain/store.db")

    assert [secret for secret in SECRETS if secret.encode() in sealed] == []
    assert [secret for secret in SECRETS if secret.encode() not in plain] == []


async def test_swapped_events_do_not_open(tmp_path: Path, make: Any) -> None:
    """A sealed event that was moved to another event's row is refused."""
    path = tmp_path / "store.db"
    await fill(path, make, AesGcmCodec(make.master_key))
    with apsw.Connection(str(path)) as connection:
        connection.execute(
            "UPDATE track_events SET body = (SELECT body FROM track_events WHERE number = 2) WHERE number = 1"
        )

    store = await SqliteStore.open(path, codec=AesGcmCodec(make.master_key))
    with pytest.raises(SealBroken, match=r"track_events\.body of t1/31 was altered, moved"):
        await store.get_track("acme", "t1")
    await store.aclose()


async def test_reopened_store_goes_on(tmp_path: Path, make: Any) -> None:
    """Tracks, events, letters and the sequence of news survive a restart, purged news included."""
    path = tmp_path / "store.db"
    await fill(path, make, PlainCodec())

    store = await SqliteStore.open(path)
    read = await store.get_track("acme", "t1")
    await store.purge_news(before=make.now + timedelta(seconds=1))
    await store.aclose()
    store = await SqliteStore.open(path)
    track = await store.commit_track(make.step(read.track, make.kept(3))) if read else None
    news = await store.news_after("acme", 0, limit=10)
    letters = await store.list_dead_letters(after="", limit=10)
    await store.aclose()

    assert track is not None
    assert track.version == 2
    assert [one.sequence for one in news] == [3]
    assert letters == [make.letter()]


async def test_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path, make: Any) -> None:
    """A store written before there were tracks opens, keeps its orders, and takes tracks."""
    path = tmp_path / "store.db"
    connection = open_writer(path, "FULL")
    migrate(connection, load_migrations()[:1])
    connection.execute(
        "INSERT INTO events (sequence, tenant, order_id, time_us, body) VALUES (7, 'acme', 'o1', 0, x'80')"
    )
    connection.close()

    store = await SqliteStore.open(path)
    await store.open_track(make.track())
    ends = (await store.last_sequence(), await store.last_news_sequence())
    await store.aclose()

    assert ends == (7, 0)


def fill_before_stall_rules(path: Path, make: Any) -> None:
    """A file as it was before alerts: t1 followed, with a told event; t2 let go."""
    connection = open_writer(path, "FULL")
    migrate(connection, load_migrations()[:2])
    kept, codec = make.kept(1), PlainCodec()
    event = {"event": kept.event, "received_time": make.now, "source": "PUSH", "mapping_version": 3}
    news: dict[str, Any] = {
        "carrier": "sf",
        "waybill_number": "SF1",
        "order_id": "",
        "source": "PUSH",
        "status": "OUT_FOR_DELIVERY",
    }
    news |= {"milestone": "OUT_FOR_DELIVERY", "status_changed": True, "received_time": make.now}
    for track_id, number, retired in (("t1", "SF1", 0), ("t2", "SF2", 1)):
        live = codec.seal("acme", "tracks.live", track_id, msgspec.msgpack.encode({"event_count": 1}))
        connection.execute(
            "INSERT INTO tracks VALUES (?, 'acme', 'sf', 'sf-main', ?, '', 0, NULL, NULL, ?, 4, ?)",
            (track_id, number, retired, live),
        )
    body = codec.seal("acme", "track_events.body", "t1/31", msgspec.msgpack.encode(event))
    connection.execute("INSERT INTO track_events VALUES ('t1', 1, x'31', 0, ?)", (body,))
    connection.execute("INSERT INTO track_news VALUES (7, 'acme', 't1', x'31', 0, ?)", (msgspec.msgpack.encode(news),))
    connection.close()


async def test_file_of_before_the_stall_rules_is_brought_up_to_date(tmp_path: Path, make: Any) -> None:
    """News keep their numbers and events, what is followed is due for its first check, what was let go is not."""
    path = tmp_path / "store.db"
    fill_before_stall_rules(path, make)

    store = await SqliteStore.open(path)
    [told] = await store.news_after("acme", 0, limit=10)
    due = await store.claim_due_checks(make.now, limit=10)
    await store.commit_track(make.raised(due[0], "slow"))
    news = await store.news_after("acme", 7, limit=10)
    await store.aclose()

    assert (told.sequence, told.news.event) == (7, make.kept(1).event)
    assert [(track.track_id, track.event_count, track.version) for track in due] == [("t1", 1, 4)]
    assert [(one.sequence, one.news.alert) for one in news] == [(8, make.alert())]


async def test_news_of_a_failed_commit_are_never_heard(tmp_path: Path, make: Any) -> None:
    """What was not committed is not told, and its numbers go to what comes next."""
    store = await SqliteStore.open(tmp_path / "store.db")
    heard: list[int] = []
    store.on_news(lambda news: heard.extend(one.sequence for one in news))
    track = await store.open_track(make.track())
    connection = store._writer._connection
    connection.set_commit_hook(lambda: True)  # SQLite turns this commit into a rollback

    with pytest.raises(StoreError, match="nothing was stored"):
        await store.commit_track(make.step(track, make.kept(1)))
    connection.set_commit_hook(None)
    silent = list(heard)
    await store.commit_track(make.step(track, make.kept(2)))
    await store.aclose()

    assert silent == []
    assert heard == [1]


async def test_news_of_a_failed_item_are_never_heard(tmp_path: Path, make: Any) -> None:
    """An item that fails after it gave news gives the numbers back, while the others of its batch are told."""
    store = await SqliteStore.open(tmp_path / "store.db")
    heard: list[Any] = []
    store.on_news(heard.extend)
    track = await store.open_track(make.track())
    other = await store.open_track(make.track("t2", waybill_number="SF2"))
    change = make.step(track, make.kept(1))
    rows = store._track_rows.news(change.news, [b"1"])

    def fail(tx: Transaction) -> None:
        tx.run("INSERT INTO track_events VALUES ('t1', 1, x'31', 0, x'')")
        tx.add_news(rows)
        raise RuntimeError("after the news")

    failing = store._writer.run(fail)
    await store.commit_track(make.step(other, make.kept(2)))
    with pytest.raises(RuntimeError, match="after the news"):
        await failing
    await store.aclose()

    assert [(one.sequence, one.news.track_id) for one in heard] == [(1, "t2")]
