"""The HTTP port's connections on real sockets: who holds one without a request loses it, and keeps nobody else out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from crossdock_sdk import HttpResponse, PushRequest
from engine.ingress.protocol import MOST_CONNECTIONS
from engine.ingress.web import IngressServer, ingress
from engine.metrics import Metrics

pytestmark = pytest.mark.anyio

LONG_S = 60.0
CHUNK = 65_536
HEALTHZ = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
PUSH_HEAD = b"POST /push/zto-main HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"
HALF_HEAD = PUSH_HEAD[:40]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """`serve` runs uvloop, other tests the loop of asyncio; they accept and close in different ways."""
    return "asyncio", {"use_uvloop": request.param}


class Pushes:
    """Takes pushes when it may; what came is kept."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.came = asyncio.Event()
        self.may = asyncio.Event()
        self.may.set()

    async def handle(self, account_id: str, request: PushRequest) -> HttpResponse:
        """Take one."""
        self.bodies.append(request.body)
        self.came.set()
        await self.may.wait()
        return HttpResponse(200, {}, b"taken")


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes = HEALTHZ) -> bytes:
        """Send a whole request; the answer's status line, once its body has come too. b"" when there is none."""
        try:
            self.writer.write(request)
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            await self.reader.readexactly(int(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        return head.split(b"\r\n")[0]

    async def end(self) -> bytes:
        """Wait until the server closes; what it sent before."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


class Port:
    """A server, and the connections opened to it."""

    def __init__(self, server: IngressServer) -> None:
        self.server = server
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        """One more connection."""
        self.clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.server.port)))
        return self.clients[-1]

    async def idle(self, count: int) -> list[Client]:
        """Connections that say nothing, oldest first."""
        return [await self.connect() for _ in range(count)]


@asynccontextmanager
async def serving(
    app: ASGIApp | None = None, *, pushes: Pushes | None = None, head_s: float = LONG_S, most: int = MOST_CONNECTIONS
) -> AsyncIterator[Port]:
    """The server of the engine on a free port, for eight seconds at most."""
    taker: Any = pushes or Pushes()
    served_app = app or ingress(taker, Metrics(), lambda: "", max_body_bytes=100)
    server = IngressServer(served_app, "127.0.0.1", 0, head_s=head_s, most_connections=most)
    server.listen()
    served = asyncio.create_task(server.serve_port())
    port = Port(server)
    try:
        async with asyncio.timeout(8):
            yield port
    finally:
        for client in port.clients:
            client.writer.close()
        server.should_exit = True
        await served
    assert not server.server_state.connections


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, b"\r\n"], ids=["nothing", "half a head", "a blank line"])
async def test_a_connection_that_sends_no_whole_head_is_closed(sent: bytes) -> None:
    """Silence, or less than a head, holds a connection no longer than the time for a head."""
    async with serving(head_s=0.05) as port:
        client = await port.connect()
        client.writer.write(sent)

        assert await client.end() == b""


@pytest.mark.parametrize("sent", [HALF_HEAD, b"\r\n"], ids=["half a head", "a blank line"])
async def test_a_second_request_without_a_whole_head_is_closed(sent: bytes) -> None:
    """A kept connection whose next request never gets a head ends too, though the keep-alive timer was stopped."""
    async with serving(head_s=0.05) as port:
        client = await port.connect()
        answer = await client.ask()
        client.writer.write(sent)

        assert answer == b"HTTP/1.1 200 OK"
        assert await client.end() == b""


async def test_a_head_that_drips_is_closed_in_its_time() -> None:
    """Each further byte gains no time."""
    async with serving(head_s=0.05) as port:
        client = await port.connect()
        client.writer.write(HALF_HEAD)
        while not client.writer.is_closing():
            client.writer.write(b"x")
            await asyncio.sleep(0)

        assert await client.end() == b""


async def test_a_body_that_drips_after_its_answer_is_closed() -> None:
    """What was answered before its body came holds no connection by going on to send it."""
    async with serving(head_s=0.05) as port:
        client = await port.connect()
        answer = await client.ask(HEALTHZ.replace(b"host: x", b"content-length: 1000000000"))
        while not client.writer.is_closing():
            client.writer.write(b"x")
            await asyncio.sleep(0)

        assert answer == b"HTTP/1.1 200 OK"
        assert await client.end() == b""


async def test_a_slow_push_is_taken() -> None:
    """The time for a head is not the time for a body: one that takes longer is taken, also on a kept connection."""
    pushes = Pushes()
    async with serving(pushes=pushes, head_s=0.1) as port:
        sender = await port.connect()
        answers = []
        for _ in range(2):
            sender.writer.write(PUSH_HEAD + b"bo")
            [idle] = await port.idle(1)
            await idle.end()  # the time for a head is over
            answers.append(await sender.ask(b"dy"))

    assert answers == [b"HTTP/1.1 200 OK"] * 2
    assert pushes.bodies == [b"body"] * 2


async def test_a_kept_connection_outlives_the_time_for_a_head() -> None:
    """Between requests the keep-alive timer counts alone."""
    async with serving(head_s=0.1) as port:
        client = await port.connect()
        first = await client.ask()
        [idle] = await port.idle(1)
        await idle.end()

        assert (first, await client.ask()) == (b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK")


async def test_silent_connections_keep_nobody_out() -> None:
    """While strangers fill the port, health checks and pushes are answered: who was longest silent makes room."""
    async with serving(most=8) as port:
        silent = await port.idle(20)
        healthy = await (await port.connect()).ask()
        taken = await (await port.connect()).ask(PUSH_HEAD + b"body")

        assert (healthy, taken) == (b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK")
        assert [await client.end() for client in silent[:14]] == [b""] * 14
        assert len(port.server.server_state.connections) == 8


async def test_kept_connections_make_room_too() -> None:
    """One that was served and is idle gives way before one that came later."""
    async with serving(most=2) as port:
        served = await port.connect()
        await served.ask()
        newcomers = await port.idle(2)
        answers = [await client.ask() for client in newcomers]

        assert answers == [b"HTTP/1.1 200 OK"] * 2
        assert await served.ask() == b""


async def test_a_request_under_way_gives_way_to_nobody() -> None:
    """With nothing but requests under way the newcomer is closed, and the request is answered."""
    pushes = Pushes()
    pushes.may.clear()
    async with serving(pushes=pushes, most=1) as port:
        sender = await port.connect()
        answer = asyncio.create_task(sender.ask(PUSH_HEAD + b"body"))
        await pushes.came.wait()
        newcomer = await port.connect()
        turned_away = await newcomer.end()
        pushes.may.set()

        assert turned_away == b""
        assert await answer == b"HTTP/1.1 200 OK"


async def test_who_does_not_read_its_answer_makes_room() -> None:
    """An answer that nobody fetches holds no place for ever."""

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        chunks = 0 if scope["path"] == "/healthz" else 1000
        headers = [(b"content-length", b"%d" % (chunks * CHUNK))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(chunks):
            await send({"type": "http.response.body", "body": bytes(CHUNK), "more_body": True})
        await send({"type": "http.response.body"})

    async with serving(large, most=1) as port:
        unread = await port.connect()
        unread.writer.write(HEALTHZ.replace(b"/healthz", b"/large"))
        answer = b""
        while not answer:  # newcomers are turned away until the sockets are full
            answer = await (await port.connect()).ask()
        fetched = await unread.end()

        assert len(fetched) < 1000 * CHUNK
        assert answer == b"HTTP/1.1 200 OK"
