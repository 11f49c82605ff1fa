"""A TCP proxy between the engine and a carrier, with every trouble of a wire under exact control.

    async with Proxy(port) as proxy:
        proxy.trouble = Trouble(response_bytes=40, then=Then.RESET)
        ...

Rules of this file
- A trouble holds for connections that begin, or carry their next byte, after it was set. Limits count per connection.
- `reached` is set once a limit was hit: what the engine does then can be interrupted at that very byte.
- Loopback only; a bounded number of connections; all of them end with the block.
"""

from __future__ import annotations

import asyncio
import enum
import struct
from socket import SO_LINGER, SOL_SOCKET, socket
from types import TracebackType

import msgspec

CONNECTIONS = 256
CHUNK_BYTES = 16 * 1024


class Then(enum.Enum):
    """What happens when a limit is hit."""

    CUT = "both sides are closed"
    RESET = "both sides are reset"
    HOLD = "nothing more passes, the connection stays"


class Trouble(msgspec.Struct, frozen=True):
    """What the wire does to a connection.

    request_bytes, response_bytes: only so many pass, then `then` happens; None: all. latency_s: added to each chunk.
    dribble_s: answers come one byte at a time, this far apart. refuse: connections are closed as they come.
    """

    request_bytes: int | None = None
    response_bytes: int | None = None
    then: Then = Then.CUT
    latency_s: float = 0.0
    dribble_s: float = 0.0
    refuse: bool = False


class Proxy:
    """Passes bytes between whoever connects and `port`, as `trouble` says. An async context manager."""

    def __init__(self, port: int) -> None:
        self.trouble = Trouble()
        self.port = 0
        self.connections = 0
        self.reached = asyncio.Event()
        self._upstream = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens; no trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None, "entered before"
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio runs it as one"
        self._tasks.add(task)
        self.connections += 1
        try:
            if self.trouble.refuse or len(self._tasks) > CONNECTIONS:
                _reset(writer)
                return
            await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either side is gone, or the block ends
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        ways = [
            asyncio.ensure_future(self._way(reader, up_writer, is_request=True)),
            asyncio.ensure_future(self._way(up_reader, writer, is_request=False)),
        ]
        try:
            # Whichever ends first ends both: HTTP/1.1 has no half-closed calls.
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if any(way.exception() is None and way.result() is Then.RESET for way in done):
                _reset(writer)
                _reset(up_writer)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.close()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_request: bool) -> Then:
        passed = 0
        while chunk := await reader.read(CHUNK_BYTES):
            trouble = self.trouble
            limit = trouble.request_bytes if is_request else trouble.response_bytes
            room = len(chunk) if limit is None else max(0, limit - passed)
            await _send(writer, chunk[:room], trouble, dribbles=not is_request)
            passed += min(room, len(chunk))
            if limit is not None and (room < len(chunk) or passed >= limit):
                self.reached.set()
                if trouble.then is Then.HOLD:
                    await asyncio.Event().wait()
                return trouble.then
        return Then.CUT


async def _send(writer: asyncio.StreamWriter, chunk: bytes, trouble: Trouble, *, dribbles: bool) -> None:
    if trouble.latency_s:
        await asyncio.sleep(trouble.latency_s)
    if not (dribbles and trouble.dribble_s):
        writer.write(chunk)
        await writer.drain()
        return
    for byte in chunk:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(trouble.dribble_s)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket = writer.get_extra_info("socket")
    raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
