"""Commands run as a person runs them: as processes of their own, until they end or Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.integration.world import API_KEYS, World


class Ran(msgspec.Struct):
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its JSON output."""
        return json.loads(self.out)


async def crossdock(
    world: World | None,
    *arguments: str,
    folder: Path | None = None,
    piped: bytes | None = None,
    api_key: str = API_KEYS["amber"],
) -> Ran:
    """Run `crossdock` with these arguments; a command that calls the engine gets its address."""
    command = [sys.executable, "-m", "engine", *arguments]
    if world is not None:
        command += ["--server", world.server]
    environment = {**os.environ, "CROSSDOCK_API_KEY": api_key, "COLUMNS": "200"}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if piped is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=folder,
    )
    out, err = await process.communicate(piped)
    assert "Traceback" not in err.decode(), err.decode()
    return Ran(process.returncode or 0, out.decode(), err.decode())


# Python ignores Ctrl-C where its parent did, as shells make their background jobs do.
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from engine.cli import main; main()"
)


async def interrupted(world: World, *arguments: str) -> Ran:
    """Run `crossdock` with these arguments and press Ctrl-C after its first line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", INTERRUPTIBLE, *arguments, "--server", world.server),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "CROSSDOCK_API_KEY": API_KEYS["amber"]},
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        first = await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, err = await process.communicate()
    assert "Traceback" not in err.decode(), err.decode()
    return Ran(process.returncode or 0, (first + rest).decode(), err.decode())
