"""The twin on httpx: for rare calls, and through its ASGI transport for simulators in the same
process.

httpx names the phase faithfully: ConnectError, ConnectTimeout and PoolTimeout lie before the first
byte of a request, all else may lie after it. Its pool costs CPU that grows with the square of the
connections, so it is not for the hot path.
"""

from __future__ import annotations

import asyncio
import re
import ssl

import httpx

from crossdock_sdk import HttpRequest, HttpResponse
from engine.outbound.errors import Ambiguous, FaultKind, NotSent, TransportError
from engine.outbound.transport import BACKSTOP_S, TransportSettings, check_url

# h11 finds these too, but only after connecting, and with an error that proves nothing.
_UNSAFE = re.compile(r"[\r\n\0]")


class HttpxTransport:
    """One httpx client. `inner` replaces the network, for example by `httpx.ASGITransport(app)`."""

    def __init__(
        self,
        settings: TransportSettings | None = None,
        *,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings or TransportSettings()
        self._in_process = inner is not None
        self._client = httpx.AsyncClient(
            verify=_trust(self._settings),
            transport=inner,
            trust_env=False,
            follow_redirects=False,
            headers={"user-agent": self._settings.user_agent},
            limits=httpx.Limits(max_connections=100, keepalive_expiry=self._settings.idle_s),
        )

    async def send(self, request: HttpRequest, *, timeout_s: float, max_body_bytes: int) -> HttpResponse:
        """See `Transport.send`."""
        if not self._in_process:
            check_url(request.url, self._settings)
        if self._client.is_closed:
            raise NotSent(FaultKind.INVALID, "the transport is closed")
        if any(_UNSAFE.search(f"{name}{value}") for name, value in request.headers.items()):
            raise NotSent(FaultKind.INVALID, "a header of the plug-in's request has a line break")
        connect_s = min(self._settings.connect_timeout_s, timeout_s)
        self._client.cookies.clear()  # else a cookie of one call would ride on the next
        try:
            built = self._client.build_request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.body,
                timeout=httpx.Timeout(timeout_s + BACKSTOP_S, connect=connect_s, pool=connect_s),
            )
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise NotSent(FaultKind.INVALID, "the plug-in's request has a bad URL, method or header") from error
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(built, max_body_bytes)
        except httpx.HTTPError as error:
            raise _translate(error) from error
        except TimeoutError as error:
            raise Ambiguous(FaultKind.TIMEOUT, "no complete answer within the total limit") from error

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._client.aclose()

    async def _exchange(self, built: httpx.Request, max_body_bytes: int) -> HttpResponse:
        response = await self._client.send(built, stream=True)
        try:
            parts: list[bytes] = []
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > max_body_bytes:
                    raise Ambiguous(FaultKind.TOO_LARGE, f"the answer has more than {max_body_bytes} bytes")
                parts.append(chunk)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status_code, headers, b"".join(parts))
        finally:
            await response.aclose()


def _trust(settings: TransportSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.extra_ca_pem:
        context.load_verify_locations(cadata=settings.extra_ca_pem.decode("ascii"))
    return context


def _translate(error: httpx.HTTPError) -> TransportError:
    """The ambiguity table.

    `error`'s own text is not quoted: it may hold the URL with its signature.
    """
    match error:
        case httpx.ConnectTimeout():
            return NotSent(FaultKind.TIMEOUT, "no connection could be made")
        case httpx.ConnectError():
            return NotSent(_connect_kind(error), "no connection could be made")
        case httpx.PoolTimeout():
            return NotSent(FaultKind.POOL, "all connections are in use")
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return Ambiguous(FaultKind.INVALID, "the request is not valid HTTP")
        case httpx.TimeoutException():
            return Ambiguous(FaultKind.TIMEOUT, "no complete answer within the total limit")
        case httpx.DecodingError():
            return Ambiguous(FaultKind.BODY, "the answer broke off or cannot be decoded")
        case httpx.RemoteProtocolError() if "message body" in str(error):
            return Ambiguous(FaultKind.BODY, "the answer broke off or cannot be decoded")
        case _:
            return Ambiguous(FaultKind.CUT, "the connection ended before an answer")


def _connect_kind(error: BaseException) -> FaultKind:
    """What lies under a ConnectError, down its chain of causes."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return FaultKind.TLS
        if isinstance(seen, ConnectionRefusedError):
            return FaultKind.REFUSED
        if type(seen).__name__ == "gaierror":
            return FaultKind.DNS
        seen = seen.__cause__ or seen.__context__
    return FaultKind.CONNECT
