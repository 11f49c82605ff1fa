"""The command line of `crossdock sandbox`."""

from __future__ import annotations

import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from engine.cli.common import FAILED, json_option, output, stop_with

if TYPE_CHECKING:
    from engine.cli.sandbox.running import Sandbox

SPEED = 5_000.0
"""Simulated parcels live a day in some 17 s: long enough to be looked at, short enough to be waited for."""


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep its data and ports here and go on from them; default: a temporary folder that is removed at the end.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=1),
    default=SPEED,
    show_default=True,
    help="How many times faster than the clock parcels live.",
)
@json_option
def sandbox(folder: Path | None, speed: float, as_json: bool) -> None:
    """Run an engine with simulated carriers to develop against, on this machine only, until Ctrl-C.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 it could not start or the engine ended by itself.
    """
    import asyncio

    place = nullcontext(str(folder)) if folder else tempfile.TemporaryDirectory(prefix="crossdock-sandbox-")
    with place as where:
        try:
            asyncio.run(_stay(Path(where).resolve(), speed, is_kept=folder is not None, as_json=as_json))
        except (RuntimeError, OSError) as error:
            stop_with([str(error)], FAILED)


async def _stay(folder: Path, speed: float, *, is_kept: bool, as_json: bool) -> None:
    from engine.cli.sandbox.running import running_sandbox
    from engine.cli.signals import stoppable

    async with stoppable(), running_sandbox(folder, speed=speed) as running:
        if as_json:
            facts = {"server": running.server, "http": running.http, "api_key": None, "accounts": running.accounts}
            click.echo(msgspec.json.encode(facts))
        else:
            _introduce(running, is_kept=is_kept)
        sys.stdout.flush()
        code = await running.engine_ended()
        raise RuntimeError(f"the engine ended by itself ({code}); its log is {running.folder / 'engine.log'}")


def _introduce(running: Sandbox, *, is_kept: bool) -> None:
    data = f"{running.folder}" + ("" if is_kept else " (removed at the end; --folder keeps it)")
    lines = (
        "An engine with simulated carriers, on this machine only:",
        f"  address   {running.server} (gRPC without TLS); metrics at {running.http}/metrics",
        "  API key   none is needed",
        f"  carriers  {', '.join(f'{code} (account {account})' for code, account in running.accounts.items())}",
        f"  data      {data}",
        "Its address for commands and clients in other shells:",
        f"  export CROSSDOCK_SERVER={running.server}",
        "It stays up until Ctrl-C.",
    )
    for line in lines:
        output.print(line, soft_wrap=True, markup=False)
