"""Where commands find their settings, and what they say of them."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.terminal import crossdock

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

PORTS = "[server]\nlisten = '127.0.0.1:0'\n[ingress]\nlisten = '127.0.0.1:0'\n"
TENANT = "[[tenant]]\nname = 'shop'\n"


async def serving_log(folder: Path) -> list[dict[str, Any]]:
    """The log of an engine that is started in this folder without arguments, and stopped once it serves."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine", "serve", "--ready-json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    return [json.loads(line) for line in err.splitlines()]


async def test_a_settings_file_in_the_current_folder_is_used(tmp_path: Path) -> None:
    """By check and serve, which say so; without an account both warn that nothing can be booked."""
    (tmp_path / "crossdock.toml").write_text(PORTS + TENANT, "utf-8")

    checked = await crossdock(None, "config", "check", folder=tmp_path)
    as_json = await crossdock(None, "config", "check", "--json", folder=tmp_path)
    log = await serving_log(tmp_path)

    assert checked.code == as_json.code == 0
    assert "sound (crossdock.toml): no accounts, no rules, 1 tenant." in checked.out
    assert "warning: account: none is configured: nothing can be booked; see engine/README.md" in checked.out
    assert (as_json.json()["file"], len(as_json.json()["warnings"])) == ("crossdock.toml", 1)
    warned, served = log[0], next(line for line in log if line["event"] == "serving")
    assert (warned["level"], "nothing can be booked" in warned["event"]) == ("warning", True)
    assert served["settings"] == "crossdock.toml"


async def test_a_named_settings_file_comes_before_the_one_in_the_current_folder(tmp_path: Path) -> None:
    """Which may be anything then."""
    (tmp_path / "crossdock.toml").write_text("[nonsense]", "utf-8")
    (tmp_path / "mine.toml").write_text(TENANT, "utf-8")

    named = await crossdock(None, "config", "check", "--config", "mine.toml", folder=tmp_path)
    unnamed = await crossdock(None, "config", "check", folder=tmp_path)

    assert (named.code, "sound (mine.toml)" in named.out) == (0, True)
    assert (unnamed.code, "nonsense: no such section" in unnamed.err) == (2, True)
