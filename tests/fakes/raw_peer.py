"""A raw TCP server for tests of what happens below HTTP: silence, resets, half answers.

`Peer.saw` counts the requests it has read completely: the truth that NotSent and Ambiguous speak
about.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from socket import SO_LINGER, SOL_SOCKET, socket

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Behaviour = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A raw server.

    `saw` holds (head, body) of every request read to its end, `connections` counts accepts.
    """

    def __init__(self) -> None:
        self.saw: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.port = 0
        self.bytes_read = 0
        self.gone = asyncio.Event()
        self.read = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/book"

    async def request(self, reader: asyncio.StreamReader) -> bool:
        """Read one request; False when the client has closed."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")]
            body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        self.saw.append((head, body))
        self.read.set()
        return True


@asynccontextmanager
async def serving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Run a raw server whose every connection is handled by `behaviour`."""
    peer = Peer()
    handlers: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        writers.append(writer)
        peer.connections += 1
        try:
            await behaviour(peer, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            peer.gone.set()
            writer.close()
            handlers.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        for _ in range(3):  # a transport closes in a later turn of the loop
            await asyncio.sleep(0)


def answering(raw: bytes) -> Behaviour:
    """Answer every request of a connection with `raw`."""

    async def behave(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await peer.request(reader):
            writer.write(raw)
            await writer.drain()

    return behave


async def silent(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    await reader.read()


async def closing(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)


async def resetting(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    raw: socket = writer.get_extra_info("socket")
    raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))


async def half(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def dribbling(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.1)


async def kept_then_dropped(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    writer.write(OK)
    await writer.drain()
    await peer.request(reader)
