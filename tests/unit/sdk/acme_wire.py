"""A bare HTTP client that shows what really came over the socket, and makers of servers to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from acme.simulator import KEY, AcmeSimulator, sign

from crossdock_sdk.simulator import Faults, Ledger
from crossdock_sdk.simulator.server import SimulatorServer
from crossdock_sdk.testing import FakeClock

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


class Reply(msgspec.Struct, frozen=True):
    """Everything that came back before the server hung up."""

    raw: bytes

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1]) if self.raw else 0

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def serve(faults: Faults | None = None, *, ledger: Path | None = None, **more: Any) -> SimulatorServer:
    """A server of Acme with faults, not yet started."""
    push_url = more.pop("push_url", "")
    simulator = AcmeSimulator(Ledger(ledger), clock=FakeClock(), push_url=push_url)
    simulator.faults = faults or Faults()
    return SimulatorServer(simulator, **more)


async def send(url: str, method: str, target: str, body: bytes = b"", **headers: str) -> Reply:
    """One request on a connection of its own; reads until the other side hangs up."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(request(method, target, body, connection="close", **headers))
        return Reply(await reader.read())
    finally:
        writer.close()


def request(method: str, target: str, body: bytes, **headers: str) -> bytes:
    """A request's bytes; underscores in header names become hyphens."""
    lines = [f"{method} {target} HTTP/1.1", "host: test", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def call(operation: str, **fields: str) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, target, body and headers of a signed call to Acme."""
    body = msgspec.json.encode(fields)
    return "POST", f"/v1/{operation}", body, {"x_sign": sign(body, KEY)}


async def ask(server: SimulatorServer, operation: str, **fields: str) -> Reply:
    """A signed call to a running Acme."""
    method, target, body, headers = call(operation, **fields)
    return await send(server.url, method, target, body, **headers)


async def book(server: SimulatorServer, reference: str = "R1") -> Reply:
    """Book one parcel."""
    return await ask(server, "book", reference=reference, to="somewhere")


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something holds; the `run` fixture bounds the time."""
    while not condition():
        await asyncio.sleep(0)
