"""The `crossdock` command. Each command is its own module, imported when it is used: `--help` stays quick.

Exit codes: 0 done, 1 something was refused or failed (the output says what), 2 wrong usage or configuration,
3 the server cannot be reached, 75 the store cannot write any more, 130 ended by Ctrl-C where the command gives that no
other meaning.
"""

from __future__ import annotations

import importlib
import keyword
import signal
import sys

import click

STOPPED = 128 + signal.SIGINT
"""As shells tell of a process that the signal ended."""

COMMANDS = {
    "serve": "Run the engine.",
    "demo": "Show the main job on this machine: book, fall back, recover, print.",
    "sandbox": "Run an engine with simulated carriers to develop against.",
    "ship": "Turn a merchant's order file into waybills and labels.",
    "order": "Look at, create, quote, cancel or watch orders.",
    "label": "Fetch labels of booked orders.",
    "track": "Show where a parcel is.",
    "watch": "Print what happens to parcels, as it happens.",
    "return": "Ask for, look at and decide returns.",
    "pushes": "List and replay carriers' pushes that could not be applied.",
    "plugins": "Show which carriers are loaded, and why one is not.",
    "config": "Check settings, hash API keys.",
}


class LazyGroup(click.Group):
    """Imports a command's module only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command `engine.cli.<name>.<name>`, with a `_` behind a name that is a word of Python's."""
        if cmd_name not in COMMANDS:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(importlib.import_module(f"engine.cli.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Ctrl-C that it does not take itself ends it with a code of its own: nothing was refused."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            sys.exit(STOPPED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List without importing."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="crossdock-engine", prog_name="crossdock")
def main() -> None:
    """Crossdock books parcels with express carriers, prints waybill labels and never loses or doubles a booking.

    Commands that call an engine read its address from CROSSDOCK_SERVER and your API key from CROSSDOCK_API_KEY.
    """
