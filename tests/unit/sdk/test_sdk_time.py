"""Time in a simulator: the server's tick, the speed parcels live at, and pushes that wait for an acknowledgement."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from acme.simulator import AcmeSimulator
from acme_wire import Run, book, until
from test_sdk_push_delivery import receiver

from crossdock_sdk import HttpRequest
from crossdock_sdk.simulator import Faults, Ledger
from crossdock_sdk.simulator.__main__ import parser
from crossdock_sdk.simulator.server import SimulatorServer
from crossdock_sdk.testing import FakeClock


class Ticking(AcmeSimulator):
    """Pushes a number with each tick, wants to be told OK, and remembers what was lost."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.ticks = 0
        self.pushes_left = 0
        self.wants = b"ok"
        self.lost: list[HttpRequest] = []

    def tick(self) -> None:
        self.ticks += 1
        if self.pushes_left:
            self.pushes_left -= 1
            self.outbox.append(HttpRequest("POST", self.push_url, {}, b"%d" % self.ticks))

    def is_acknowledged(self, status: int, body: bytes) -> bool:
        return status == 200 and body == self.wants

    def push_lost(self, push: HttpRequest) -> None:
        self.lost.append(push)


class Broken(Ticking):
    """Fails at every tick."""

    def tick(self) -> None:
        super().tick()
        raise RuntimeError("Zq-personal")


def make(kind: type[Ticking] = Ticking, push_url: str = "") -> Ticking:
    """A simulator on a clock that stands still."""
    return kind(Ledger(), clock=FakeClock(), push_url=push_url)


async def two_ticks() -> None:
    """Return once another server on the same loop has ticked twice: time enough for a tick of ours."""
    other = make()
    async with SimulatorServer(other):
        await until(lambda: other.ticks > 1)


def test_parcels_live_in_real_time_unless_told_otherwise() -> None:
    """The speed is 1, and doing nothing at a tick is allowed."""
    simulator = AcmeSimulator(Ledger(), clock=FakeClock())

    simulator.tick()

    assert simulator.speed == 1.0
    assert simulator.outbox == []
    assert simulator.is_acknowledged(204, b"")
    assert not simulator.is_acknowledged(302, b"")


def test_what_a_tick_queues_is_sent(run: Run[Any]) -> None:
    """Without any call, the pushes of two ticks arrive in their order."""

    async def work() -> list[bytes]:
        async with receiver(200) as (url, bodies):
            simulator = make(push_url=url)
            simulator.pushes_left = 2
            async with SimulatorServer(simulator):
                return [(await bodies.get()).rpartition(b"\r\n\r\n")[2] for _ in range(2)]

    assert run(work()) == [b"1", b"2"]


def test_carrier_that_is_down_does_not_tick(run: Run[Any]) -> None:
    """Time brings nothing while the port is closed, and goes on when it opens."""

    async def work() -> tuple[int, int]:
        simulator = make()
        simulator.faults = Faults(down=True)
        async with SimulatorServer(simulator) as server:
            await two_ticks()
            while_down = simulator.ticks
            await server.set_faults(Faults())
            await until(lambda: simulator.ticks)
            return while_down, simulator.ticks

    while_down, after = run(work())

    assert while_down == 0
    assert after > 0


def test_ticks_end_with_the_server(run: Run[Any]) -> None:
    """Nothing ticks after the server is gone."""

    async def work() -> tuple[int, int]:
        simulator = make()
        async with SimulatorServer(simulator):
            await until(lambda: simulator.ticks)
        at_end = simulator.ticks
        await two_ticks()
        return at_end, simulator.ticks

    at_end, later = run(work())

    assert at_end == later


def test_failing_tick_is_told_and_stops_neither_calls_nor_time(
    run: Run[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """A bug in a tick is counted and named without data; the carrier answers on."""

    async def work() -> tuple[int, int]:
        simulator = make(Broken)
        async with SimulatorServer(simulator) as server:
            await until(lambda: simulator.ticks > 1)
            return (await book(server)).status, server.stats.broken

    status, broken = run(work())

    shown = capfd.readouterr().err
    assert (status, broken >= 2) == (200, True)
    assert "acme: RuntimeError at " in shown
    assert "Zq-personal" not in shown


def test_carrier_judges_the_acknowledgement_itself(run: Run[Any]) -> None:
    """A body it does not want is repeated three times and then handed back; one it wants is sent once."""

    async def work(wants: bytes) -> tuple[int, int, int]:
        async with receiver(200) as (url, bodies):
            simulator = make(push_url=url)
            simulator.wants, simulator.pushes_left = wants, 1
            async with SimulatorServer(simulator, push_backoff_s=0.01) as server:
                await until(lambda: server.stats.pushes_sent or simulator.lost)
                return bodies.qsize(), server.stats.pushes_sent, len(simulator.lost)

    assert run(work(b"ok")) == (1, 1, 0)
    assert run(work(b"something else")) == (4, 0, 1)


def test_speed_is_taken_from_the_command_line() -> None:
    """--speed is a number; real time without it."""
    arguments = ["acme", "--ledger", "x"]

    assert parser().parse_args([*arguments, "--speed", "86400"]).speed == 86400.0
    assert parser().parse_args(arguments).speed == 1.0


def test_first_serial_is_taken_from_the_command_line() -> None:
    """--first-serial is a whole number; numbers begin at the beginning without it."""
    arguments = ["acme", "--ledger", "x"]

    assert parser().parse_args([*arguments, "--first-serial", "5000"]).first_serial == 5000
    assert parser().parse_args(arguments).first_serial == 0


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_impossible_speed_is_wrong_usage(speed: str, tmp_path: Path) -> None:
    """Zero, negative and endless speeds are refused with the remedy, code 2."""
    command = [sys.executable, "-m", "crossdock_sdk.simulator", "acme", "--ledger", str(tmp_path / "l")]

    ended = subprocess.run([*command, f"--speed={speed}"], capture_output=True, text=True, timeout=20)

    assert ended.returncode == 2
    assert "must be a number above 0" in ended.stderr
