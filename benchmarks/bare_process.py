"""The bare programs as processes of their own, each for as long as a block lasts.

All tell their port in a line when they serve.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from crossdock.v1 import track_service_pb2
from engine.cli.sandbox import Sandbox


class BareProcess(NamedTuple):
    """One that serves."""

    port: int
    pid: int

    @property
    def address(self) -> str:
        """For a channel."""
        return f"127.0.0.1:{self.port}"


def bare_pipeline(sandbox: Sandbox, folder: Path) -> AbstractAsyncContextManager[BareProcess]:
    """Books with the sandbox's 顺丰 simulator; its file is put into `folder`."""
    carrier = sandbox.simulators["sf"].url
    return _running("benchmarks.bare", "--carrier", carrier, "--db", str(folder / "bare.db"))


def bare_ingress(folder: Path) -> AbstractAsyncContextManager[BareProcess]:
    """Takes pushes; its file is put into `folder`."""
    return _running("benchmarks.bare_pushes", "--db", str(folder / "bare.db"))


def bare_echo(answer: track_service_pb2.GetTrackResponse) -> AbstractAsyncContextManager[BareProcess]:
    """Answers every question with this."""
    return _running("benchmarks.bare_tracks", told=answer.SerializeToString().hex().encode() + b"\n")


@asynccontextmanager
async def _running(module: str, *arguments: str, told: bytes = b"") -> AsyncIterator[BareProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(told)
        (port,) = json.loads(await process.stdout.readline()).values()
        yield BareProcess(port, process.pid)
    finally:
        process.kill()
        await process.wait()
