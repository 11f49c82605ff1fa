"""The sandbox keeps its house: state survives, children do not outlive whoever started them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from crossdock import Client
from tests.acceptance.harness import eventually, parcel_order, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(90)]

HOLDER = """
import asyncio, sys
from pathlib import Path
from engine.cli.nursery import nursery
from engine.cli.sandbox import running_sandbox

async def hold():
    async with running_sandbox(Path(sys.argv[1])) as sandbox:
        pids = [s.process.pid for s in sandbox.simulators.values()]
        print(sandbox.engine_pid, nursery().pid, *pids, flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """SIGKILL of the process that holds the sandbox: engine, nursery and simulators end too."""

    async def play() -> None:
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert holder.stdout is not None
            async with asyncio.timeout(40.0):
                pids = [int(pid) for pid in (await holder.stdout.readline()).split()]
        finally:
            holder.kill()
            await holder.wait()

        async def all_gone() -> bool:
            return not any(_runs(pid) for pid in pids)

        assert len(pids) == 4
        assert await eventually(all_gone, 20.0)

    asyncio.run(play())


def test_state_survives_the_sandbox(tmp_path: Path) -> None:
    """Started again in the same folder, engine and simulators remember what was booked."""

    async def play() -> None:
        async with world(tmp_path) as w:
            before = await w.create(parcel_order("kept"))
        async with world(tmp_path) as w:
            after = await w.get(before)
            again = await w.create(parcel_order("new"))

        assert after.booking.waybill_number == before.booking.waybill_number
        assert again.booking.waybill_number != before.booking.waybill_number

    asyncio.run(play())


def test_the_command_runs_until_ctrl_c(tmp_path: Path) -> None:
    """It says where it listens, books by the simulated carriers, ends with 0, and is for its owner only."""
    folder = tmp_path / "kept"

    async def play() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine", "sandbox", "--json", "--folder", str(folder)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(60.0):
            told = json.loads(await process.stdout.readline())
            async with Client(told["server"]) as client:
                booked = (await client.create_order(parcel_order("developed"))).order
            process.send_signal(signal.SIGINT)
            await process.wait()

        assert process.returncode == 0
        assert (told["accounts"], told["api_key"]) == ({"sf": "sf-sandbox", "zto": "zto-sandbox"}, None)
        assert booked.booking.waybill_number in (folder / f"{booked.booking.carrier}-ledger.jsonl").read_text()
        assert [file.name for file in folder.glob("*.log") if file.stat().st_mode & 0o077] == []

    asyncio.run(play())


def test_a_carrier_may_have_several_accounts(tmp_path: Path) -> None:
    """Each has its own simulator, settings and numbers, and the shares say who gets what."""
    names = ("sf", "sf-second")
    shares = {"account": {name: {"share_percent": 50} for name in names}}

    async def play() -> None:
        async with world(tmp_path, carriers=names, settings=shares) as w:
            made = [await w.create(parcel_order(f"shared-{n}")) for n in range(4)]
            live = {name: simulator.live_waybills() for name, simulator in w.sandbox.simulators.items()}

        assert {order.booking.carrier for order in made} == {"sf"}
        assert sorted(order.booking.account_id for order in made) == ["sf-sandbox"] * 2 + ["sf-second-sandbox"] * 2
        assert [len(waybills) for waybills in live.values()] == [2, 2]
        assert not live["sf"].keys() & live["sf-second"].keys()

    asyncio.run(play())


def _runs(pid: int) -> bool:
    """Whether it is there and no zombie of ours."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
