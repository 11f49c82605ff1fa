"""The nursery's children: begun by a fork, told by their pipes and their end, gone with whoever asked for them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from engine.cli.nursery import UNKNOWN_END, Child, nursery, spawn

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


async def born(entry: str, log: Path, *arguments: str) -> Child:
    """A child of this module's, in an environment of its own."""
    return await spawn(f"tests.fakes.children:{entry}", arguments, {"WORD": "hello", "PATH": ""}, log)


async def test_a_child_has_its_arguments_environment_folder_session_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process has that was executed, and one thread."""
    nursery()  # which looks for the entry where it was begun itself
    monkeypatch.chdir(tmp_path)
    child = await born("tells", tmp_path / "log", "one", "two")

    said = await child.first_line()
    child.close()
    code = await child.wait()

    assert said.decode().split() == ["one", "two", "hello", tmp_path.name, "True", "1"]
    assert code == 7
    assert (tmp_path / "log").read_text() == "a complaint\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_end_by_a_signal_is_told(tmp_path: Path, number: signal.Signals) -> None:
    """As minus its number, to whoever asks and however often; a further signal harms nobody."""
    child = await born("tells", tmp_path / "log")
    await child.first_line()

    end = child.kill if number is signal.SIGKILL else child.terminate
    end()
    both = await asyncio.gather(child.wait(), child.wait())
    again = await child.wait()
    end()

    assert (*both, again) == (-number, -number, -number)


async def test_an_entry_that_fails_leaves_its_reason_in_the_log(tmp_path: Path) -> None:
    """It prints nothing, so its first line is no line."""
    child = await born("fails", tmp_path / "log")

    said = await child.first_line()
    code = await child.wait()

    assert (said, code) == (b"", 1)
    assert "no such thing" in (tmp_path / "log").read_text()


async def test_a_nursery_that_is_gone_is_replaced(tmp_path: Path) -> None:
    """Whoever killed it is not told how its children end, and can have others."""
    before = nursery()
    orphan = await born("tells", tmp_path / "log")
    await orphan.first_line()
    os.kill(before.pid, signal.SIGKILL)
    before._process.wait()
    orphan.kill()

    child = await born("tells", tmp_path / "log")
    said = await child.first_line()
    child.kill()
    await child.wait()

    assert said
    assert await orphan.wait() == UNKNOWN_END
    assert nursery().pid != before.pid


async def test_many_children_at_once(tmp_path: Path) -> None:
    """Asked for from several threads at once, each gets its own."""
    children = await asyncio.gather(*[born("tells", tmp_path / f"log-{n}", str(n)) for n in range(12)])
    said = [(await child.first_line()).split()[0] for child in children]
    for child in children:
        child.kill()
    await asyncio.gather(*[child.wait() for child in children])

    assert said == [str(n).encode() for n in range(12)]
