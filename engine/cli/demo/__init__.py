"""`crossdock demo`: the main job on this machine, with carriers that fail on purpose, and everything checked."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from engine.cli.common import FAILED, json_option, output

__all__ = ["demo"]


@click.command()
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for labels, results and state; default a new one under the system's temporary folder.",
)
@click.option("--keep", is_flag=True, help="Stay up afterwards, until Ctrl-C. To develop: `crossdock sandbox`.")
@json_option
def demo(folder: Path | None, keep: bool, as_json: bool) -> None:
    """Book a sample of orders with simulated carriers, let one fail, lose answers, kill the engine, print labels.

    Exit code 0 only if everything it shows was checked: waybills against the carriers' own ledgers, barcodes read
    back from the printed labels.
    """
    import asyncio

    from engine.cli.demo.acts import play

    where = folder or Path(tempfile.mkdtemp(prefix="crossdock-demo-"))
    try:
        sound = asyncio.run(play(where, keep=keep, as_json=as_json))
    except KeyboardInterrupt:
        output.print("stopped")
        sound = False
    sys.exit(0 if sound else FAILED)
