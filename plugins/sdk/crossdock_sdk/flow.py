"""Sans-I/O flows: a plug-in yields requests and is sent responses; somebody else owns the socket.

    def track(self, ctx, numbers):
        response = yield HttpRequest("POST", ctx.account.base_url, body=...)
        return parse(response)

Rules: a flow never sleeps, retries, reads a clock or draws randomness (take them from
`CallContext`). The idea is that of httpx's auth flows; the engine's driver fits on one screen.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

_NO_HEADERS: Mapping[str, str] = {}


class HttpRequest(msgspec.Struct, frozen=True):
    """One complete HTTP request; `body` goes out exactly as it stands (it may be signed)."""

    method: str
    url: str
    headers: Mapping[str, str] = _NO_HEADERS
    body: bytes = b""

    def __repr__(self) -> str:  # bodies and headers carry personal data and signatures
        return f"HttpRequest({self.method} {self.url.split('?', 1)[0]}, {len(self.body)} bytes)"


class HttpResponse(msgspec.Struct, frozen=True):
    """One complete HTTP response. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = _NO_HEADERS
    body: bytes = b""

    def __repr__(self) -> str:
        return f"HttpResponse({self.status}, {len(self.body)} bytes)"


Flow: TypeAlias = Generator[HttpRequest, HttpResponse, T]
"""A generator that yields requests, is sent responses and returns T."""
