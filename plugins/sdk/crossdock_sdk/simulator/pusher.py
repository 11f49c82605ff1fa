"""Sends a simulator's pushes: bounded queue, kept connections, three more tries until the carrier takes the answer
for an acknowledgement.

Pushes start in the order they were queued, over a few connections at once as carriers do; one that
is being retried holds up none of the others.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import httptools

from crossdock_sdk.flow import HttpRequest
from crossdock_sdk.simulator.stats import Stats

WORKERS = 4
TRIES = 4
MAX_QUEUED = 10_000
TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024

IsAcknowledged = Callable[[int, bytes], bool]


def is_2xx(status: int, body: bytes) -> bool:
    """What most carriers take for an acknowledgement."""
    return 200 <= status < 300


class Pusher:
    """An at-least-once sender without memory across restarts. `backoff_s` doubles with each try.

    is_acknowledged: judges an answer's status and body. on_lost: gets each push that was given up.
    """

    def __init__(
        self,
        stats: Stats,
        *,
        backoff_s: float = 0.2,
        is_acknowledged: IsAcknowledged = is_2xx,
        on_lost: Callable[[HttpRequest], None] | None = None,
    ) -> None:
        self._stats = stats
        self._backoff_s = backoff_s
        self._is_acknowledged = is_acknowledged
        self._on_lost = on_lost
        self._queue: asyncio.Queue[HttpRequest] = asyncio.Queue(MAX_QUEUED)
        self._retries: set[asyncio.Task[None]] = set()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers; needs a running loop."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]

    def put(self, pushes: list[HttpRequest]) -> None:
        """Queue pushes.

        What does not fit is lost and counted, as an overloaded carrier loses it.
        """
        for push in pushes:
            try:
                self._queue.put_nowait(push)
            except asyncio.QueueFull:
                self._lose(push)

    async def aclose(self) -> None:
        """Stop at once; what is still queued is lost."""
        tasks = [*self._workers, *self._retries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        link = _Link()
        try:
            while True:
                push = await self._queue.get()
                if await self._try(link, push):
                    self._stats.pushes_sent += 1
                elif len(self._retries) < MAX_QUEUED:
                    task = asyncio.create_task(self._retry(push))
                    self._retries.add(task)
                    task.add_done_callback(self._retries.discard)
                else:
                    self._lose(push)
        finally:
            link.close()

    async def _retry(self, push: HttpRequest) -> None:
        for attempt in range(TRIES - 1):
            await asyncio.sleep(self._backoff_s * 2**attempt)
            self._stats.pushes_retried += 1
            link = _Link()
            try:
                if await self._try(link, push):
                    self._stats.pushes_sent += 1
                    return
            finally:
                link.close()
        self._lose(push)

    def _lose(self, push: HttpRequest) -> None:
        self._stats.pushes_lost += 1
        if self._on_lost is not None:
            self._on_lost(push)

    async def _try(self, link: _Link, push: HttpRequest) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return self._is_acknowledged(*await link.send(push))
        except (OSError, EOFError, TimeoutError, httptools.HttpParserError):
            link.close()
            return False


class _Link:
    """One HTTP/1.1 client connection, opened when needed and kept while the server allows it."""

    def __init__(self) -> None:
        self._origin = ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: HttpRequest) -> tuple[int, bytes]:
        """Send one request and read the whole answer; returns its status and the start of its body."""
        url = urlsplit(request.url)
        reader, writer = await self._open(url.scheme, url.hostname or "", url.port)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        head = [f"{request.method} {target} HTTP/1.1", f"host: {url.netloc}"]
        head += [f"{name}: {value}" for name, value in request.headers.items()]
        head += [f"content-length: {len(request.body)}", "", ""]
        writer.write("\r\n".join(head).encode("latin-1") + request.body)
        answer = _Answer()
        while not answer.is_complete:
            data = await reader.read(65_536)
            if not data:
                raise EOFError("the receiver hung up in the middle of its answer")
            answer.parser.feed_data(data)
        if not answer.keep_alive:
            self.close()
        return answer.status, bytes(answer.body)

    async def _open(
        self, scheme: str, host: str, port: int | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        origin = f"{scheme}://{host}:{port}"
        stale = self._streams is not None and self._streams[0].at_eof()
        if self._streams is None or stale or self._origin != origin:
            self.close()
            tls = ssl.create_default_context() if scheme == "https" else None
            self._origin = origin
            port = port or (443 if tls else 80)
            self._streams = await asyncio.open_connection(host, port, ssl=tls)
        return self._streams

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class _Answer:
    """What matters of a response: that it is whole, status and body, whether to keep the link."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.is_complete = False
        self.keep_alive = False
        self.status = 0
        self.body = bytearray()

    def on_body(self, data: bytes) -> None:
        self.body += data[: MAX_ANSWER_BYTES - len(self.body)]

    def on_message_complete(self) -> None:
        self.status = self.parser.get_status_code()
        self.keep_alive = self.parser.should_keep_alive()
        self.is_complete = True
