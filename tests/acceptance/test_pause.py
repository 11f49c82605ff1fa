"""An engine that is paused for longer than its calls may take: nobody takes its place, and it doubles nothing after."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.acceptance.checker import violations
from tests.acceptance.harness import World, eventually, parcel_order, state_of, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

PAUSE_S = 17.0
"""Above the fifteen seconds that a booking at SF may take: the answer waits in the socket of a sleeper."""
ORDERS = 4


def test_a_paused_engine_keeps_its_place_and_doubles_nothing(tmp_path: Path) -> None:
    """Stopped in the middle of bookings: a second engine refuses the store and names the holder; continued, the first
    one finds each booking that was answered while it slept, and ends each order once.
    """

    async def play() -> None:
        async with world(tmp_path) as w:
            await w.faults("sf", operations=["book"], latency_s=1.0)
            creating = [
                asyncio.create_task(w.create(parcel_order(f"paused-{n}", only=["sf"]), deadline_s=30.0))
                for n in range(ORDERS)
            ]
            await eventually(lambda: _have_booked(w, ORDERS), 20.0)
            holder = w.sandbox.engine_pid
            os.kill(holder, signal.SIGSTOP)
            try:
                refused, said = await asyncio.gather(_second_engine(w), eventually(_never, PAUSE_S))
                exit_code, text = refused
            finally:
                os.kill(holder, signal.SIGCONT)
            orders = await asyncio.gather(*creating)
            await w.heal()
            await w.at_rest()
            ended = [await w.get(order) for order in orders]
            evidence = await w.evidence()

        assert said is False
        assert exit_code == 1
        assert f"in use by another engine (process {holder})" in text
        assert [(state_of(order), len(order.attempts)) for order in ended] == [("BOOKED", 1)] * ORDERS
        assert len(evidence.ledgers["sf"]) == ORDERS
        assert violations(evidence) == []

    asyncio.run(play())


async def _never() -> bool:
    return False


async def _have_booked(w: World, count: int) -> bool:
    return len(w.ledgers()["sf"]) >= count


async def _second_engine(w: World) -> tuple[int, str]:
    """An engine on the same store, as an operator might start it: its exit code and what it says."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "engine",
        "serve",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**ours, "CROSSDOCK_CONFIG": str(w.sandbox.config_path)},
    )
    try:
        async with asyncio.timeout(60.0):
            _, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None, "communicate waits for the end"
    return process.returncode, stderr.decode("utf-8", "replace")
