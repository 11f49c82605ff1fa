"""What commands share: reading settings, printing tables or JSON, ending with a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec
from rich.console import Console
from rich.table import Table

FAILED, BAD_USAGE, UNREACHABLE = 1, 2, 3

HERE = Path("crossdock.toml")
"""The settings of whoever names no others."""

# In a file or a pipe nothing has to fit a window: ids stay in one piece, to be searched and copied.
PIPE_WIDTH = 200
output = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH)
errors = Console(stderr=True, highlight=False)


def _settings_file(_context: click.Context, _option: click.Parameter, named: Path | None) -> Path | None:
    return named or (HERE if HERE.is_file() else None)


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="CROSSDOCK_CONFIG",
    callback=_settings_file,
    help=f"Settings file; also CROSSDOCK_CONFIG. Default: a {HERE} in the current folder, if there is one.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
limit_option = click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)


def stop_with(problems: Sequence[str], code: int) -> NoReturn:
    """Print problems on standard error and end."""
    for problem in problems:
        errors.print(f"[red]error:[/red] {_plain(problem)}", soft_wrap=True)
    sys.exit(code)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*[_plain(cell) for cell in row])
    output.print(table)


def _plain(text: str) -> str:
    """Text in which square brackets are not rich's markup."""
    return text.replace("[", "\\[")
