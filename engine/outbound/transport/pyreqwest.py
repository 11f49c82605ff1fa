"""The hot path: pyreqwest (Rust's reqwest), about a hundredth of httpx's CPU at 64 connections.

Its exception classes do not tell what was sent: ConnectError is raised both for "refused" and for
"read the whole POST, then closed", ConnectTimeoutError also for a silent server. Only the cause
text `client error (Connect)` proves that no byte of the request left, so nothing else here becomes
NotSent.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BodyDecodeError,
    BuilderError,
    ClientClosedError,
    DetailedPyreqwestError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.http import HeaderMap
from pyreqwest.response import Response

from crossdock_sdk import HttpRequest, HttpResponse
from engine.backstop import Backstop
from engine.outbound.errors import Ambiguous, FaultKind, NotSent, TransportError
from engine.outbound.transport import BACKSTOP_S, TransportSettings, check_url

PROOF_OF_NOT_SENT = "client error (Connect)"

# Words of the innermost cause -> kind, for people only. First match wins.
_CONNECT_KINDS = (
    ("dns error", FaultKind.DNS),
    ("refused", FaultKind.REFUSED),
    ("certificate", FaultKind.TLS),
    ("tls", FaultKind.TLS),
    ("ssl", FaultKind.TLS),
    ("handshake", FaultKind.TLS),
    ("timed out", FaultKind.TIMEOUT),
)


class PyreqwestTransport:
    """One connection pool; build one per lane, so that a slow carrier exhausts only its own."""

    def __init__(self, settings: TransportSettings | None = None) -> None:
        self._settings = settings or TransportSettings()
        self._client = _build(self._settings)
        self._backstop = Backstop()
        self._closed = False

    async def send(self, request: HttpRequest, *, timeout_s: float, max_body_bytes: int) -> HttpResponse:
        """See `Transport.send`."""
        check_url(request.url, self._settings)
        if self._closed:
            raise NotSent(FaultKind.INVALID, "the transport is closed")
        try:
            builder = self._client.request(request.method, request.url).timeout(_span(timeout_s))
            if request.headers:
                builder = builder.headers(request.headers)
            if request.body or request.method not in ("GET", "HEAD"):
                builder = builder.body_bytes(request.body)
            ready = builder.build_streamed()
        except (BuilderError, ValueError, TypeError, OverflowError) as error:
            detail = "the plug-in's request has a bad URL, method or header"
            raise NotSent(FaultKind.INVALID, detail) from error
        try:
            with self._backstop.limit(timeout_s + BACKSTOP_S):
                async with ready as response:
                    headers = _lower(response.headers)
                    body = await _read(response, headers, max_body_bytes)
                    return HttpResponse(response.status, headers, body)
        except PyreqwestError as error:
            raise _translate(error) from error
        except TimeoutError as error:
            raise Ambiguous(FaultKind.TIMEOUT, "no complete answer within the total limit") from error

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        if not self._closed:
            self._closed = True
            self._backstop.close()
            await self._client.close()


def _build(settings: TransportSettings) -> Client:
    builder = (
        ClientBuilder()
        .follow_redirects(False)
        .no_proxy()
        .referer(False)
        .user_agent(settings.user_agent)
        .min_tls_version("TLSv1.2")
        .connect_timeout(timedelta(seconds=settings.connect_timeout_s))
        .pool_idle_timeout(timedelta(seconds=settings.idle_s))
    )
    if settings.extra_ca_pem:
        builder = builder.add_root_certificate_pem(settings.extra_ca_pem)
    return builder.build()


@lru_cache(maxsize=512)
def _milliseconds(count: int) -> timedelta:
    return timedelta(milliseconds=count)


def _span(timeout_s: float) -> timedelta:
    return _milliseconds(max(1, round(timeout_s * 1000)))


async def _read(response: Response, headers: dict[str, str], max_body_bytes: int) -> bytes:
    """The body, within the cap. A stated length is binding in HTTP, so the usual answer is read in
    one go.

    Without one (chunked, or compressed: the library then drops the header) it is read chunk by
    chunk, and a bomb is dropped when it exceeds the cap and not after.
    """
    length = headers.get("content-length", "")
    if length.isdecimal():
        if int(length) > max_body_bytes:
            raise Ambiguous(FaultKind.TOO_LARGE, f"the answer has more than {max_body_bytes} bytes")
        return (await response.bytes()).to_bytes()
    parts: list[bytes] = []
    size = 0
    while (chunk := await response.body_reader.read_chunk()) is not None:
        size += len(chunk)
        if size > max_body_bytes:
            raise Ambiguous(FaultKind.TOO_LARGE, f"the answer has more than {max_body_bytes} bytes")
        parts.append(chunk.to_bytes())
    return b"".join(parts)


def _lower(headers: HeaderMap) -> dict[str, str]:
    """Header names come lower case; repeated ones are joined as RFC 9110, 5.3 allows."""
    found = dict(headers)
    if len(found) == len(headers):
        return found
    return {name: ", ".join(headers.getall(name)) for name in found}


def _translate(error: PyreqwestError) -> TransportError:
    """The ambiguity table.

    `error`'s own text is not quoted: it may hold the URL with its signature.
    """
    causes = error.details.get("causes") or [] if isinstance(error, DetailedPyreqwestError) else []
    texts = [cause["message"] for cause in causes]
    if PROOF_OF_NOT_SENT in texts:
        return NotSent(_connect_kind(" ".join(texts).lower()), "no connection could be made")
    if isinstance(error, RequestTimeoutError):
        return Ambiguous(FaultKind.TIMEOUT, "no complete answer within the total limit")
    if isinstance(error, BodyDecodeError):
        return Ambiguous(FaultKind.BODY, "the answer broke off or cannot be decoded")
    if isinstance(error, ClientClosedError):
        return Ambiguous(FaultKind.CANCELLED, "the transport was closed during the call")
    return Ambiguous(FaultKind.CUT, "the connection ended before an answer")


def _connect_kind(text: str) -> FaultKind:
    return next((kind for words, kind in _CONNECT_KINDS if words in text), FaultKind.CONNECT)
