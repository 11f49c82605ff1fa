"""The steps of the schema under SIGKILL: one that was cut off is out, and the next start goes on from there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from engine.store.sqlite import SqliteStore
from engine.store.sqlite.migrations import load_migrations

pytestmark = pytest.mark.anyio

STEPS = len(load_migrations())
OPENS = "import asyncio, sys; from engine.store.sqlite import SqliteStore as S; asyncio.run(S.open(sys.argv[1]))"


def applied(path: Path) -> list[int]:
    """The steps that the file has."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [int(number) for (number,) in connection.execute("SELECT number FROM schema_migrations ORDER BY number")]
    finally:
        connection.close()


@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_a_killed_upgrade_is_taken_up_again(step: int, tmp_path: Path) -> None:
    """Killed with a step written and not committed, it is not there; the next start applies it and the rest."""
    path = tmp_path / "store.db"
    environment = {**os.environ, "CROSSDOCK_CRASH_AT": f"migration_written:{step}"}

    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", OPENS, str(path)], env=environment, check=False, timeout=60
    )
    before = applied(path)
    store = await SqliteStore.open(path)
    sequence = await store.last_sequence()
    await store.aclose()

    assert ended.returncode == -signal.SIGKILL
    assert before == list(range(1, step))
    assert (applied(path), sequence) == (list(range(1, STEPS + 1)), 0)
