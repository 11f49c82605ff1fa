"""`python -m crossdock_sdk.simulator CODE`: one installed carrier's simulator as a process of its
own.

Prints one JSON line {"code", "url", "control_url", "pid"} once it listens, then runs until SIGTERM
or SIGINT, or, with --exit-with-parent, until its standard input closes. Exit codes: 0 stopped, 2
wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import pluggy

from crossdock_sdk import hookspecs
from crossdock_sdk.simulator.base import CarrierSimulator
from crossdock_sdk.simulator.control import parse_faults
from crossdock_sdk.simulator.faults import Faults
from crossdock_sdk.simulator.ledger import Ledger
from crossdock_sdk.simulator.server import SimulatorServer

GROUP = "crossdock.carriers"


def find_simulator(code: str) -> type[CarrierSimulator]:
    """The simulator class of an installed carrier; loads that plug-in and no other.

    Raises LookupError saying which carriers are installed, or that this one ships no simulator.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    if not manager.load_setuptools_entrypoints(GROUP, name=code):
        installed = ", ".join(sorted(e.name for e in entry_points(group=GROUP))) or "none"
        raise LookupError(f"no carrier {code!r} is installed; installed are: {installed}")
    manager.check_pending()
    found: list[type[CarrierSimulator]] = manager.hook.crossdock_simulator()
    if not found:
        raise LookupError(f"carrier {code!r} ships no simulator; implement crossdock_simulator()")
    return found[0]


async def serve(simulator: CarrierSimulator, options: argparse.Namespace) -> None:
    """Run until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_parent:
        watch_stdin(lambda: loop.call_soon_threadsafe(stop.set))
    server = SimulatorServer(
        simulator,
        host=options.host,
        port=options.port,
        control_port=options.control_port,
        seed=options.seed,
    )
    async with server:
        line = {
            "code": simulator.code,
            "url": server.url,
            "control_url": server.control_url,
            "pid": os.getpid(),
        }
        print(msgspec.json.encode(line).decode(), flush=True)
        await stop.wait()


def watch_stdin(on_end: Callable[[], object]) -> None:
    """Call `on_end` when standard input closes, from a thread: loops cannot watch every file."""

    def read() -> None:
        while os.read(0, 4096):
            pass
        on_end()

    threading.Thread(target=read, name="stdin", daemon=True).start()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser("python -m crossdock_sdk.simulator", description=__doc__)
    add = command.add_argument
    add("code", metavar="CODE", help="code of an installed carrier")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=0, help="port of the carrier, 0 takes a free one")
    add("--control-port", type=int, default=0, help="port of the control plane, 0 takes a free one")
    add("--ledger", type=Path, required=True, help="append-only file of what the carrier believes")
    add("--push-url", default="", help="where pushes go; empty sends none")
    add("--faults", default="{}", metavar="JSON", help="the faults to start with")
    add("--seed", type=int, default=0, help="seed of the mishaps drawn")
    add("--speed", type=_speed, default=1.0, help="how many times faster than the clock parcels live (%(default)s)")
    add("--first-serial", type=int, default=0, metavar="N", help="waybill numbers begin after it (%(default)s)")
    add("--exit-with-parent", action="store_true", help="stop when standard input closes")
    return command


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not (math.isfinite(speed) and speed > 0):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0; 1 is real time, 86400 a day a second")
    return speed


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        faults: Faults = parse_faults(options.faults)
        simulator_cls = find_simulator(options.code)
        ledger = Ledger(options.ledger)
    except (LookupError, ValueError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    simulator = simulator_cls(ledger, clock=lambda: datetime.now(UTC), push_url=options.push_url)
    simulator.faults = faults
    simulator.speed = options.speed
    simulator.first_serial = options.first_serial
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(simulator, options))
    except OSError as error:
        print(f"simulator: cannot listen: {error}", file=sys.stderr)
        return 2
    finally:
        ledger.close()
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # optional: it only saves processor time
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
