"""HTTP/1.1 as a simulator needs it: a parsed request in, exact bytes out, the raw transport in
hand.

One `Connection` is one socket. It hands over one request at a time, so that answers never overtake
each other on a connection however long one of them is delayed. Nothing here knows carriers or
faults.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import cast

import httptools

from crossdock_sdk.flow import HttpRequest, HttpResponse

MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_PIPELINED = 64

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
# SO_LINGER with zero seconds: close() sends RST instead of FIN, as a dying host does.
_LINGER_ZERO = struct.pack("ii", 1, 0)
_OWN_HEADERS = frozenset({"content-length", "connection", "transfer-encoding"})


def encode_head(response: HttpResponse, *, keep_alive: bool) -> bytes:
    """Status line and headers.

    Length and connection headers are ours, whatever the response says.
    """
    status = response.status
    lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n".encode()]
    lines += [
        f"{name}: {value}\r\n".encode("latin-1", "replace")
        for name, value in response.headers.items()
        if name.lower() not in _OWN_HEADERS
    ]
    lines.append(b"content-length: %d\r\n" % len(response.body))
    lines.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    return b"".join(lines)


class Connection(asyncio.Protocol):
    """One client connection: parser callbacks on one side, whole requests on the other.

    on_request is called with (connection, request) once a request is complete. Exactly one of
    `answer`, `half_answer`, `close`, `reset` or nothing (silence) must follow. `closed` is done
    once the socket is gone.
    """

    def __init__(
        self,
        base_url: str,
        on_request: Callable[[Connection, HttpRequest], None],
        connections: set[Connection],
    ) -> None:
        self._base_url = base_url
        self._on_request = on_request
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[HttpRequest, bool]] = deque()
        self._busy = False
        self._keep_alive = True
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._start_message()

    @property
    def is_open(self) -> bool:
        """False once either side has gone."""
        return self._transport is not None and not self._transport.is_closing()

    def answer(self, response: HttpResponse) -> None:
        """Send a whole response; keeps the connection when the client wants it."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(encode_head(response, keep_alive=self._keep_alive) + response.body)
        if not self._keep_alive:
            self._transport.close()
            return
        self._busy = False
        self._hand_over()

    def half_answer(self, response: HttpResponse) -> None:
        """Send head and half the body (half the head if there is no body), then close."""
        head = encode_head(response, keep_alive=True)
        body = response.body
        self._send_and_close(head + body[: len(body) // 2] if body else head[: len(head) // 2])

    def close(self) -> None:
        """Close in an orderly way (FIN) without sending anything more."""
        self._send_and_close(b"")

    def reset(self) -> None:
        """Tear the connection down with RST."""
        if self._transport is None:
            return
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()

    def _send_and_close(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if data:
            self._transport.write(data)
        self._transport.close()

    def _refuse(self, status: int, why: str) -> None:
        """Answer a request that is not even HTTP, and hang up."""
        text = {"content-type": "text/plain; charset=utf-8"}
        response = HttpResponse(status, text, why.encode())
        self._send_and_close(encode_head(response, keep_alive=False) + response.body)

    def _hand_over(self) -> None:
        if self._busy or not self._waiting:
            return
        request, self._keep_alive = self._waiting.popleft()
        self._busy = True
        if self._transport is not None and len(self._waiting) < MAX_PIPELINED:
            self._transport.resume_reading()
        self._on_request(self, request)

    def _start_message(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        self._connections.discard(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(501, "protocol upgrades are not offered; speak HTTP/1.1\n")
        except httptools.HttpParserError:
            self._refuse(400, "this is not HTTP/1.1\n")
        if len(self._waiting) >= MAX_PIPELINED and self._transport is not None:
            self._transport.pause_reading()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._start_message()

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        # RFC 9110 section 5.2: repeated fields are one comma-separated list.
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        length = self._headers.get("content-length", "0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            self._refuse(413, f"the body must not exceed {MAX_BODY_BYTES} bytes\n")
        elif self._headers.get("expect", "").lower() == "100-continue" and self.is_open:
            assert self._transport is not None
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._body.clear()
            self._refuse(413, f"the body must not exceed {MAX_BODY_BYTES} bytes\n")
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if not self.is_open:
            return
        request = HttpRequest(
            self._parser.get_method().decode("latin-1"),
            self._base_url + self._target.decode("latin-1"),
            self._headers,
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._hand_over()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"headers must not exceed {MAX_HEAD_BYTES} bytes\n")


def json_response(status: int, body: bytes) -> HttpResponse:
    """A JSON answer."""
    return HttpResponse(status, _JSON, body)


_JSON: Mapping[str, str] = {"content-type": "application/json; charset=utf-8"}
