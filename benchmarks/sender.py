"""Sends prepared HTTP/1.1 requests over kept connections, as cheaply as asyncio can, so that it never is the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

LINES = 64


class Line(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer = bytearray()
        self._waiting: asyncio.Future[int] | None = None

    def send(self, request: bytes) -> asyncio.Future[int]:
        """Send it; the status of the answer."""
        assert self._transport is not None
        assert self._waiting is None, "one request at a time"
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio's: a whole answer ends the wait."""
        self._answer += data
        head_end = self._answer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._answer[:head_end]).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(self._answer) >= head_end + 4 + length and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._answer.clear()
            if not waiting.done():  # else its caller has given up, and closes this
                waiting.set_result(int(head.split(b" ", 2)[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or EOFError("the server hung up"))


class Sender:
    """A pool of connections to one address."""

    def __init__(self, port: int) -> None:
        self._port = port
        # In turn, so that none is idle for so long that the server hangs up.
        self._free: asyncio.Queue[Line] = asyncio.Queue()
        self._all: list[Line] = []

    async def __aenter__(self) -> Sender:
        loop = asyncio.get_running_loop()
        for _ in range(LINES):
            _, line = await loop.create_connection(Line, "127.0.0.1", self._port)
            self._all.append(line)
            self._free.put_nowait(line)
        return self

    async def __aexit__(self, *error: object) -> None:
        for line in self._all:
            line.close()

    async def send(self, request: bytes) -> None:
        """Send one; fails unless it is answered with 200."""
        line = await self._free.get()
        try:
            if line.is_closed:  # idle for so long that the server hung up
                _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", self._port)
                self._all.append(line)
            status = await line.send(request)
        except BaseException:
            line.close()  # what is still to come is no answer to the next
            raise
        finally:
            self._free.put_nowait(line)
        assert status == 200, status

    async def send_all(self, requests: Sequence[bytes]) -> None:
        """Send all, as many at once as there are connections, in this order."""
        pending = iter(requests)

        async def work() -> None:
            for request in pending:
                await self.send(request)

        await asyncio.gather(*[work() for _ in range(LINES)])


def post(path: str, port: int, content_type: str, body: bytes) -> bytes:
    """A request's bytes."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: {content_type}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
