"""The only room where an HTTP library is imported. One protocol, two twins, one contract test
suite.

`PyreqwestTransport` serves the hot path, `HttpxTransport` whatever is rare or in-process. Both
raise nothing but `NotSent` and `Ambiguous` (and let a cancellation through). Neither retries,
follows redirects, keeps cookies, reads proxy variables or skips TLS verification.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from crossdock_sdk import HttpRequest, HttpResponse
from engine.outbound.errors import FaultKind, NotSent


class Transport(Protocol):
    """Sends one request and brings back one complete response."""

    async def send(self, request: HttpRequest, *, timeout_s: float, max_body_bytes: int) -> HttpResponse:
        """Send exactly once. `timeout_s` is the total, connect and body included.

        Raises NotSent when it is proved that no byte reached the peer, else Ambiguous; also for a
        body larger than `max_body_bytes` (after decompression).
        """

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""


class TransportSettings(msgspec.Struct, frozen=True):
    """How to connect.

    connect_timeout_s: name, TCP and TLS together. extra_ca_pem: certificates trusted beside the
    system's.
    allow_plaintext: permits http:// to other than loopback addresses; carriers' keys then travel
    readable.
    idle_s: how long a kept-alive connection is kept.
    """

    connect_timeout_s: float = 2.0
    allow_plaintext: bool = False
    extra_ca_pem: bytes = b""
    user_agent: str = "crossdock/1"
    idle_s: float = 30.0


# The total limit is enforced inside the library, and outside this much later should it ever hang.
BACKSTOP_S = 0.1


def check_url(url: str, settings: TransportSettings) -> None:
    """Refuse what must not be dialled: NotSent with the remedy."""
    if not url.startswith("https://"):
        _check_plaintext(url.split("?", 1)[0], settings.allow_plaintext)


@lru_cache(maxsize=256)
def _check_plaintext(url: str, allowed: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise NotSent(FaultKind.INVALID, "the URL cannot be read; check the account's base_url") from error
    if parts.scheme != "http" or not host:
        raise NotSent(FaultKind.INVALID, "the URL must be https://; check the account's base_url")
    if not allowed and not _is_loopback(host):
        raise NotSent(
            FaultKind.FORBIDDEN,
            f"http:// to {host} is not encrypted; use https:// or set allow_plaintext",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
