"""How commands reach a server, and how its errors read for a person in a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from engine.cli.common import FAILED, UNREACHABLE, stop_with

if TYPE_CHECKING:
    from crossdock import Client

T = TypeVar("T")

server_option = click.option(
    "--server",
    default="127.0.0.1:50051",
    envvar="CROSSDOCK_SERVER",
    show_default=True,
    help="HOST:PORT of the engine; also CROSSDOCK_SERVER.",
)
tls_option = click.option(
    "--tls-ca",
    type=click.Path(exists=True, dir_okay=False),
    help="PEM file of the authority that signed the server's certificate; needed off this machine.",
)


def with_client(server: str, tls_ca: str | None, use: Callable[[Client], Awaitable[T]]) -> T:
    """Run `use` with a connected client; ends the process with a plain message when that fails."""
    from crossdock import Client, ConfigurationError, CrossdockError, Unavailable

    async def run() -> T:
        async with Client(server, tls=tls_ca) as client:
            return await use(client)

    try:
        return asyncio.run(run())
    except Unavailable as error:
        stop_with([f"no engine answers at {server} ({error.message}); start one with `crossdock serve`"], UNREACHABLE)
    except CrossdockError as error:
        stop_with(_lines(error), FAILED)
    except ConfigurationError as error:
        stop_with([str(error)], UNREACHABLE)


def _lines(error: Exception) -> list[str]:
    """One line a violation where there are several."""
    violations = getattr(error, "violations", ())
    lines = [f"{getattr(v, 'field', '') or getattr(v, 'subject', '')}: {v.description}" for v in violations]
    return lines or [str(error)]
