"""The demo is the main job: it may end well only when everything it shows was checked."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.acceptance, pytest.mark.timeout(180)]


async def test_the_demo_ends_well_and_every_claim_was_checked(tmp_path: Path) -> None:
    """No problem behind any claim, labels and results where it says; kept up, it ends with Ctrl-C and exit code 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "engine",
        "demo",
        "--json",
        "--keep",
        "--out",
        str(tmp_path / "demo"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    out = await process.stdout.readuntil(b"\n}\n")
    process.send_signal(signal.SIGINT)
    await process.wait()

    told = json.loads(out)
    assert process.returncode == 0, told
    assert told["sound"]
    assert len(told["claims"]) == 12
    assert all(not claim["problems"] for claim in told["claims"])
    assert (tmp_path / "demo" / "labels.pdf").read_bytes().startswith(b"%PDF-")
    assert told["labels"] == str(tmp_path / "demo" / "labels.pdf")
