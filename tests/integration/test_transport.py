"""The ambiguity table on real sockets: both transports answer every row alike, and the server
counts what it saw.

`saw` is the number of requests the server has read completely: the truth that NotSent and Ambiguous
speak about.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from socket import socket

import pytest
import trustme

from crossdock_sdk import HttpRequest, HttpResponse
from engine.outbound.errors import Ambiguous, FaultKind, NotSent, TransportError
from engine.outbound.transport import Transport, TransportSettings
from engine.outbound.transport.httpx_twin import HttpxTransport
from engine.outbound.transport.pyreqwest import PyreqwestTransport
from tests.fakes.raw_peer import (
    OK,
    Behaviour,
    Peer,
    answering,
    closing,
    dribbling,
    half,
    kept_then_dropped,
    resetting,
    serving,
    silent,
)

pytestmark = pytest.mark.anyio
TWINS = {"pyreqwest": PyreqwestTransport, "httpx": HttpxTransport}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=sorted(TWINS))
def twin(request: pytest.FixtureRequest) -> Callable[..., Transport]:
    """Each of the two transports in turn."""
    return TWINS[request.param]


@asynccontextmanager
async def opened(
    twin: Callable[..., Transport], **settings: object
) -> AsyncIterator[Callable[..., Awaitable[HttpResponse]]]:
    """A transport as a function of (url, method, …) with short limits."""
    transport = twin(TransportSettings(**settings))  # type: ignore[arg-type]  # a table's values

    async def send(
        url: str, body: bytes = b"{}", *, method: str = "POST", timeout_s: float = 2.0,
        max_body_bytes: int = 10_000, headers: dict[str, str] | None = None,
    ) -> HttpResponse:  # fmt: skip
        request = HttpRequest(method, url, headers or {}, body)
        return await transport.send(request, timeout_s=timeout_s, max_body_bytes=max_body_bytes)

    try:
        yield send
    finally:
        await transport.aclose()


async def failure(call: Awaitable[HttpResponse]) -> TransportError:
    """The transport error a call ends with."""
    with pytest.raises(TransportError) as caught:
        await call
    return caught.value


def unused_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_refused_connection_is_proved_not_sent(twin: Callable[..., Transport]) -> None:
    """Nobody listens, so no byte of the request can have arrived."""
    async with opened(twin) as send:
        error = await failure(send(f"http://127.0.0.1:{unused_port()}/"))

    assert (type(error), error.kind) == (NotSent, FaultKind.REFUSED)


async def test_an_unknown_host_is_proved_not_sent(twin: Callable[..., Transport]) -> None:
    """A name that cannot exist (RFC 6761) fails before anything is dialled."""
    async with opened(twin) as send:
        error = await failure(send("https://carrier.invalid/", timeout_s=5))

    assert (type(error), error.kind) == (NotSent, FaultKind.DNS)


async def test_an_untrusted_certificate_is_proved_not_sent(twin: Callable[..., Transport]) -> None:
    """A failed handshake ends the call before the request, and the server reads nothing."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with serving(answering(OK), tls) as peer, opened(twin) as send:
        error = await failure(send(f"https://127.0.0.1:{peer.port}/"))

    assert (type(error), error.kind, len(peer.saw)) == (NotSent, FaultKind.TLS, 0)


async def test_a_certificate_of_an_added_ca_is_trusted(twin: Callable[..., Transport]) -> None:
    """A private CA is added by setting; verification stays on."""
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(tls)
    async with (
        serving(answering(OK), tls) as peer,
        opened(twin, extra_ca_pem=ca.cert_pem.bytes()) as send,
    ):
        good = await send(f"https://localhost:{peer.port}/")
        error = await failure(send(f"https://127.0.0.1:{peer.port}/"))

    assert (good.status, type(error), error.kind) == (200, NotSent, FaultKind.TLS)


async def test_a_hanging_handshake_is_proved_not_sent(twin: Callable[..., Transport]) -> None:
    """The peer accepts and says nothing.

    The connect limit proves that the request had not begun.
    """

    async def mute(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(mute) as peer, opened(twin, connect_timeout_s=0.3) as send:
        error = await failure(send(f"https://127.0.0.1:{peer.port}/", timeout_s=10.0))

    assert (type(error), error.kind) == (NotSent, FaultKind.TIMEOUT)


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (silent, FaultKind.TIMEOUT),
        (closing, FaultKind.CUT),
        (resetting, FaultKind.CUT),
        (half, FaultKind.BODY),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), FaultKind.CUT),
    ],
    ids=["silence", "closed after reading", "reset after reading", "half an answer", "not HTTP"],
)
async def test_a_request_that_was_read_is_ambiguous(
    twin: Callable[..., Transport], behaviour: Behaviour, kind: FaultKind
) -> None:
    """The server read the whole request once and did not answer it properly: it may have booked."""
    async with serving(behaviour) as peer, opened(twin) as send:
        error = await failure(send(peer.url, timeout_s=0.5))

    assert (type(error), error.kind, len(peer.saw)) == (Ambiguous, kind, 1)


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])
async def test_a_kept_connection_dropped_after_the_request_is_ambiguous_and_not_resent(
    twin: Callable[..., Transport], method: str
) -> None:
    """A second request on a kept-alive connection is read, then cut.

    No method is sent again behind our back.
    """
    async with serving(kept_then_dropped) as peer, opened(twin) as send:
        await send(peer.url, method=method)
        error = await failure(send(peer.url, method=method))

    assert (type(error), error.kind) == (Ambiguous, FaultKind.CUT)
    assert (len(peer.saw), peer.connections) == (2, 1)


async def test_a_kept_connection_closed_while_idle_is_replaced(
    twin: Callable[..., Transport],
) -> None:
    """The server closes an idle connection; the next request goes out once, over a new one."""

    async def once(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.request(reader)
        writer.write(OK)
        await writer.drain()

    async with serving(once) as peer, opened(twin) as send:
        await send(peer.url)
        await peer.gone.wait()
        for _ in range(20):  # lets the closing arrive at the client's pool; no fixed time is relied on
            await asyncio.sleep(0.005)
        answer = await send(peer.url)

    assert (answer.status, len(peer.saw), peer.connections) == (200, 2, 2)


async def test_a_dribbling_answer_is_cut_at_the_total_limit(twin: Callable[..., Transport]) -> None:
    """One byte each 0.1 s defeats limits per read; the total limit holds: 250 ms, and slack for a busy machine."""
    async with serving(dribbling) as peer, opened(twin) as send:
        before = time.monotonic()
        error = await failure(send(peer.url, timeout_s=0.5))
        took_s = time.monotonic() - before

    assert (type(error), error.kind, len(peer.saw)) == (Ambiguous, FaultKind.TIMEOUT, 1)
    assert 0.45 <= took_s <= 1.5


async def test_a_cancelled_call_ends_at_once_and_its_connection_by_the_total_limit(
    twin: Callable[..., Transport],
) -> None:
    """A cancellation comes through though the server has read the request.

    Nothing lingers longer.
    """
    async with serving(silent) as peer, opened(twin) as send:
        task = asyncio.ensure_future(send(peer.url, timeout_s=1.0))
        await asyncio.wait_for(peer.read.wait(), 2)
        task.cancel()
        before = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        took_s = time.monotonic() - before
        await asyncio.wait_for(peer.gone.wait(), 2.5)

    assert (len(peer.saw), took_s < 0.5) == (1, True)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_answer_over_the_cap_is_ambiguous_and_not_read_to_its_end(
    twin: Callable[..., Transport], framing: str
) -> None:
    """A 50 MB answer costs the cap, not its size."""
    written = 0

    async def flood(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await peer.request(reader)
        size = b"Content-Length: 51200000" if framing == "length" else b"Transfer-Encoding: chunked"
        writer.write(b"HTTP/1.1 200 OK\r\n" + size + b"\r\n\r\n")
        block = b"x" * 51_200 if framing == "length" else b"c800\r\n" + b"x" * 51_200 + b"\r\n"
        for _ in range(1000):
            writer.write(block)
            await writer.drain()
            written += 51_200

    async with serving(flood) as peer, opened(twin) as send:
        error = await failure(send(peer.url, max_body_bytes=100_000))
        await asyncio.wait_for(peer.gone.wait(), 2)

    assert (type(error), error.kind, len(peer.saw)) == (Ambiguous, FaultKind.TOO_LARGE, 1)
    assert written < 25_000_000


async def test_a_redirect_is_an_answer_and_not_followed(twin: Callable[..., Transport]) -> None:
    """Following a 3xx could send a signed booking somewhere else, or twice."""
    raw = b"HTTP/1.1 307 Go\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(raw)) as peer, opened(twin) as send:
        answer = await send(peer.url)

    assert (answer.status, answer.headers["location"], len(peer.saw)) == (307, "/other", 1)


async def test_bytes_go_out_and_come_back_exactly(twin: Callable[..., Transport]) -> None:
    """Signed bodies, queries and header values arrive as given.

    Chinese text and NUL bytes survive.
    """
    body = '{"收件人":"张三","备注":"易碎\\u0000"}'.encode() + b"\x00\xff"
    raw = b"HTTP/1.1 200 OK\r\nX-Name: a\r\nX-NAME: b\r\nContent-Length: %d\r\n\r\n%s"
    async with serving(answering(raw % (len(body), body))) as peer, opened(twin) as send:
        answer = await send(peer.url + "?sign=a%2Fb%3D&x=%E5%BC%A0", body, headers={"X-Sign": "q/+==; v"})

    head, seen = peer.saw[0]
    assert (answer.body, seen) == (body, body)
    assert head.startswith(b"POST /book?sign=a%2Fb%3D&x=%E5%BC%A0 HTTP/1.1\r\n")
    assert b"x-sign: q/+==; v\r\n" in head.replace(b"X-Sign", b"x-sign")
    assert answer.headers["x-name"] == "a, b"


async def test_sequential_requests_share_one_connection(twin: Callable[..., Transport]) -> None:
    """Keep-alive saves a TLS handshake on every call."""
    async with serving(answering(OK)) as peer, opened(twin) as send:
        for _ in range(10):
            await send(peer.url)

    assert (len(peer.saw), peer.connections) == (10, 1)


async def test_cookies_are_not_kept(twin: Callable[..., Transport]) -> None:
    """A cookie of one account's call must not ride on the next."""
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(raw)) as peer, opened(twin) as send:
        await send(peer.url)
        await send(peer.url)

    assert not any(b"cookie:" in head.lower() for head, _ in peer.saw)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://carrier.example/book", FaultKind.FORBIDDEN),
        ("http://127.0.0.1.carrier.example/", FaultKind.FORBIDDEN),
        ("ftp://127.0.0.1/", FaultKind.INVALID),
        ("nonsense", FaultKind.INVALID),
        ("http://[broken/", FaultKind.INVALID),
    ],
)
async def test_urls_that_must_not_be_dialled_are_not_sent(
    twin: Callable[..., Transport], url: str, kind: FaultKind
) -> None:
    """Plain http is for loopback only, and what is no URL of ours is refused with a remedy."""
    async with opened(twin) as send:
        error = await failure(send(url))

    assert (type(error), error.kind) == (NotSent, kind)


async def test_a_header_that_would_split_the_request_is_not_sent(
    twin: Callable[..., Transport],
) -> None:
    """A line break in a header value never reaches the wire."""
    async with serving(answering(OK)) as peer, opened(twin) as send:
        error = await failure(send(peer.url, headers={"x-a": "1\r\nx-b: 2"}))

    assert (type(error), error.kind, len(peer.saw)) == (NotSent, FaultKind.INVALID, 0)


async def test_a_closed_transport_sends_nothing(twin: Callable[..., Transport]) -> None:
    """After aclose every call is refused; closing twice is harmless."""
    transport = twin(TransportSettings())
    await transport.aclose()
    await transport.aclose()
    request = HttpRequest("POST", f"http://127.0.0.1:{unused_port()}/")
    error = await failure(transport.send(request, timeout_s=1, max_body_bytes=10))

    assert type(error) is NotSent
