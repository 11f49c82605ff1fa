"""What the store keeps in memory is bounded, and what it refused is let go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.store.port import Stale
from engine.store.sqlite import SqliteStore
from engine.store.sqlite.connection import open_writer
from tests.fakes.rings import Rings

pytestmark = pytest.mark.anyio
MIB = 2**20


def test_written_pages_are_kept_within_the_bound(tmp_path: Path) -> None:
    """The writer's cache is no larger than asked for, however much is written."""
    connection = open_writer(tmp_path / "store.db", "NORMAL", cache_mib=1)
    connection.execute("CREATE TABLE filler (body BLOB)")
    for _ in range(8):
        connection.execute("INSERT INTO filler VALUES (randomblob(?))", (MIB,))
    kept, _ = connection.status(apsw.SQLITE_DBSTATUS_CACHE_USED)
    connection.close()

    assert MIB // 2 < kept < 1.25 * MIB


async def test_the_stores_cache_is_the_one_asked_for(tmp_path: Path) -> None:
    """The setting reaches the connection that writes."""
    store = await SqliteStore.open(tmp_path / "store.db", cache_mib=3)
    [(kib,)] = await store._writer.run(lambda tx: tx.run("PRAGMA cache_size"))
    await store.aclose()

    assert kib == -3 * 1024


async def test_refused_steps_leave_nothing_to_the_collector(tmp_path: Path, make: Any) -> None:
    """A track that somebody else wrote meanwhile: the refusals are freed with their last user."""
    store = await SqliteStore.open(tmp_path / "store.db")
    track = await store.open_track(make.track())
    await store.commit_track(make.step(track, make.kept(1)))
    with Rings() as rings:
        for hours in range(2, 5):
            with pytest.raises(Stale):
                await store.commit_track(make.step(track, make.kept(hours)))
        racing = [store.commit_track(make.step(track, make.kept(hours))) for hours in range(5, 9)]
        refused = await asyncio.gather(*racing, return_exceptions=True)
        assert [type(one) for one in refused] == [Stale] * 4
        del refused, racing

        assert rings.errors() == []
    await store.aclose()
