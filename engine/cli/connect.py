"""How commands reach a server, and how its errors read for a person in a terminal."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from engine.cli.common import BAD_USAGE, FAILED, UNREACHABLE, errors, stop_with
from engine.config_checks import is_loopback

if TYPE_CHECKING:
    from crossdock import Client, CrossdockError
    from crossdock.v1.core_pb2 import Order

T = TypeVar("T")

# The client's arguments, as they are called here.
ARGUMENTS = {"server": "--server", "tls": "--tls-ca", "insecure": "--insecure", "api_key": "CROSSDOCK_API_KEY"}

_OPTIONS = (
    click.option(
        "--server",
        default="127.0.0.1:50051",
        envvar="CROSSDOCK_SERVER",
        show_default=True,
        help="HOST:PORT of the engine; also CROSSDOCK_SERVER. TLS off this machine. "
        "The API key is read from CROSSDOCK_API_KEY.",
    ),
    click.option(
        "--tls-ca",
        type=click.Path(exists=True, dir_okay=False),
        help="PEM file of the authority that signed the server's certificate, if the system does not know it.",
    ),
    click.option("--insecure", is_flag=True, help="Speak plaintext to an engine on another machine."),
)


class Where(msgspec.Struct, frozen=True):
    """Where the engine listens and how to speak to it."""

    server: str
    tls_ca: str | None = None
    insecure: bool = False

    @property
    def tls(self) -> str | bool:
        """The authority's file, True for the system's authorities, False for plaintext."""
        here = self.server.startswith("unix:") or is_loopback(self.server.removeprefix("dns:///"))
        return self.tls_ca or not (here or self.insecure)


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that name the engine; the command gets them as `where`."""

    @functools.wraps(command)
    def run(*args: Any, server: str, tls_ca: str | None, insecure: bool, **options: Any) -> Any:
        return command(*args, where=Where(server, tls_ca, insecure), **options)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def with_client(where: Where, use: Callable[[Client], Awaitable[T]]) -> T:
    """Run `use` with a connected client; ends the process with a plain message when that fails."""
    from crossdock import Client, ConfigurationError, CrossdockError, Unavailable

    async def run() -> T:
        async with Client(where.server, tls=where.tls, insecure=where.insecure) as client:
            return await use(client)

    try:
        return asyncio.run(run())
    except Unavailable as error:
        if error.reason:  # an engine did answer: it is stopping, or its store fails
            stop_with([str(error)], UNREACHABLE)
        text = f"no engine answers at {where.server} ({error.message}); "
        stop_with([text + "start one with `crossdock serve`, or name another with --server"], UNREACHABLE)
    except CrossdockError as error:
        stop_with(_lines(error), FAILED)
    except ConfigurationError as error:
        argument, _, text = str(error).partition(": ")
        stop_with([f"{ARGUMENTS.get(argument, argument)}: {text}"], BAD_USAGE)


class Cursor(msgspec.Struct):
    """How far a watch has come."""

    reached: str = ""


@contextmanager
def told_cursor(given: str) -> Iterator[Cursor]:
    """Around a watch from cursor `given`: Ctrl-C ends it with 0. However it ends, the cursor to go on from is said."""
    cursor = Cursor()
    try:
        yield cursor
    except KeyboardInterrupt:
        cursor.reached = cursor.reached or given
        sys.exit(0)
    finally:
        if cursor.reached:
            errors.print(f"go on with --cursor {cursor.reached}", soft_wrap=True, markup=False)


async def find_order(client: Client, key: str) -> Order:
    """The order with this id, else with this reference (which may look like an id). Raises NotFound."""
    from crossdock import NotFound

    if not key:
        raise click.UsageError("a KEY is empty; give an order's id or reference")
    if len(key) == 36 and key.count("-") == 4:
        try:
            return await client.get_order(order_id=key)
        except NotFound:
            pass
    return await client.get_order(reference=key)


def _lines(error: CrossdockError) -> list[str]:
    """One line a wrong field; other errors say all in their message, but for the way to give a key here."""
    if error.code.name == "UNAUTHENTICATED" and not os.environ.get("CROSSDOCK_API_KEY"):
        return [f"the engine asks for an API key; set CROSSDOCK_API_KEY to yours [{error.code.name}]"]
    fields = getattr(error, "violations", ()) if error.code.name == "INVALID_ARGUMENT" else ()
    return [f"{v.field}: {v.description}" for v in fields] or [str(error)]
