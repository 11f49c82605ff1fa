"""The command line of `crossdock ship`. What is slow to import is imported when it is needed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.ship.problems import ShipError

if TYPE_CHECKING:
    from engine.cli.ship.run import Settings
    from engine.cli.ship.summary import Summary

API_KEY_VARIABLE = "CROSSDOCK_API_KEY"
DEFAULT_SERVER = "127.0.0.1:50051"
_EPILOG = (
    "The API key is read from the environment variable CROSSDOCK_API_KEY. Exit codes: 0 every row is shipped, "
    "1 some rows are not (results.csv says which and why), 2 wrong use, file or configuration, 3 the engine cannot be "
    "reached or the run was stopped, 130 Ctrl-C before the run or after its summary. Run the same command again at any "
    "time: nothing is booked twice."
)
_PATH = click.Path(path_type=Path)


@click.command(epilog=_EPILOG)
@click.argument("file", type=_PATH)
@click.option(
    "--server", envvar="CROSSDOCK_SERVER", help=f"Engine as HOST:PORT; also CROSSDOCK_SERVER; default {DEFAULT_SERVER}."
)
@click.option("--sandbox", is_flag=True, help="Start an engine with simulated carriers for this run.")
@click.option("--map", "map_file", type=_PATH, help="TOML file that tells which column is which.")
@click.option("--encoding", help="Encoding of the file; found out when not given.")
@click.option(
    "--out",
    "folder",
    type=_PATH,
    default=Path("crossdock-out"),
    show_default=True,
    help="Folder of results and labels.",
)
@click.option(
    "--label-size", type=click.Choice(["100x150", "100x180", "76x130", "4x6in"]), default="100x150", show_default=True
)
@click.option("--label-format", type=click.Choice(["pdf", "zpl"]), default="pdf", show_default=True)
@click.option("--retry-failed", is_flag=True, help="Try rows again that an earlier run left FAILED.")
@click.option("--tls-ca", "ca_file", type=_PATH, help="PEM file of the authority that signed the engine's certificate.")
@click.option("--insecure", is_flag=True, help="Speak plaintext to an engine on another machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the summary.")
def ship(
    file: Path,
    server: str | None,
    sandbox: bool,
    map_file: Path | None,
    encoding: str | None,
    folder: Path,
    label_size: str,
    label_format: str,
    retry_failed: bool,
    ca_file: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Turn an order file (CSV) into waybills and one file of labels."""
    from engine.cli.ship.channel import endpoint
    from engine.cli.ship.run import Settings

    try:
        if sandbox and _named_on_command_line("server"):
            raise ShipError("--sandbox and --server exclude each other; give one of them")
        to = None
        if not sandbox:
            key = os.environ.get(API_KEY_VARIABLE, "")
            to = endpoint(server or DEFAULT_SERVER, api_key=key, ca_file=ca_file, insecure=insecure)
        settings = Settings(folder, to, retry_failed, label_size, label_format)
        summary = _ship(file, map_file, encoding or "", settings)
    except ShipError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    _print(summary, as_json)
    sys.exit(summary.exit_code)


def _named_on_command_line(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def _ship(file: Path, map_file: Path | None, encoding: str, settings: Settings) -> Summary:
    import asyncio

    from engine.cli.ship.channel import run_loop_factory
    from engine.cli.ship.columns import DEFAULT_MAPPING
    from engine.cli.ship.mapping import known_encoding, read_mapping
    from engine.cli.ship.progress import SANDBOX_OWNER, Progress, locked
    from engine.cli.ship.run import Run, open_file
    from engine.cli.ship.screen import Screen
    from engine.clock import SystemClock

    if encoding and not known_encoding(encoding):
        raise ShipError(f"--encoding {encoding}: is unknown; write utf-8 or gb18030, or leave it out")
    mapping = read_mapping(map_file) if map_file else DEFAULT_MAPPING
    orders = open_file(file, mapping, encoding)
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            owner = settings.endpoint.server if settings.endpoint else SANDBOX_OWNER
            progress = Progress.open(folder, owner)
            try:
                with asyncio.Runner(loop_factory=run_loop_factory()) as runner:
                    return runner.run(Run(orders, settings, progress, SystemClock(), Screen()).run())
            finally:
                progress.close()
    except OSError as error:
        raise ShipError(f"--out {folder}: {error.strerror or error}; name a folder that can be written") from error


def _print(summary: Summary, as_json: bool) -> None:
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(summary).decode())
    else:
        from rich.console import Console

        from engine.cli.ship.summary import show

        show(summary, Console())
    if summary.stopped:
        click.echo(f"Error: {summary.stopped}", err=True)
