"""How long a connection of the HTTP port may be without a request, and how many there may be.

uvicorn times a connection only between the end of an answer and the next byte. One that never says anything, sends
half a head, or drips the body of a request that was answered already would be held for ever. Here a connection that
neither has a request under way nor stands under uvicorn's keep-alive timer has HEAD_S to send a whole head.

File descriptors are the carriers' and callers' too, so connections are bounded. A newcomer beyond MOST_CONNECTIONS
takes the place of the one that has been longest without a request. So nobody can keep others out by holding
connections, and health checks from this machine need no places kept for them: pushes under way never fill the port
(`door` refuses them beyond MOST_PUSHES, which is less), and everything else is answered at once. Who has a request
under way and reads its answer is never cut off for a newcomer; when all do, it is the newcomer that is closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_S = 10.0
MOST_CONNECTIONS = 640
"""More than MOST_PUSHES, and well below the 1,024 files that a process often may open. uvloop accepts few at a time, so
that a flood holds hardly more files than this; asyncio's own loop would accept the whole backlog first."""


class Connections(ServerState):
    """The connections of a server, and its limits for them."""

    def __init__(self, head_s: float, most: int) -> None:
        super().__init__()
        self.head_s = head_s
        self.most = most
        self.waiting: dict[TimedProtocol, None] = {}
        """Those without a request under way, or that do not read its answer: longest first."""

    def make_room(self) -> None:
        """End one connection for the one that has just come, if there are too many."""
        if len(self.connections) > self.most:
            next(iter(self.waiting)).end()


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's connection, which does not wait for a head for ever.

    One timer a connection and none a request: it looks whether a head is due when it fires.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(server_state, Connections), "served by IngressServer only"
        self._all = server_state
        self._head_due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A head is due from now on."""
        super().connection_made(transport)
        self._all.waiting[self] = None
        self._await_head()
        self._all.make_room()

    def data_received(self, data: bytes) -> None:
        """Pass it on, then see whether that was a whole head."""
        super().data_received(data)
        if self._has_request():
            self._head_due = None
            if not self.flow.write_paused:
                self._all.waiting.pop(self, None)
        elif self._head_due is None and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._await_head()

    def on_response_complete(self) -> None:
        """The connection is kept, and idle, when uvicorn times it."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._all.waiting[self] = None

    def pause_writing(self) -> None:
        """Its peer does not read."""
        super().pause_writing()
        self._all.waiting[self] = None

    def resume_writing(self) -> None:
        """Its peer reads again."""
        super().resume_writing()
        if self._has_request():
            self._all.waiting.pop(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._all.waiting.pop(self, None)
        self._head_due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def end(self) -> None:
        """Close the connection now, without waiting for its peer to read."""
        self._all.waiting.pop(self, None)
        self.transport.abort()

    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_due = self.loop.time() + self._all.head_s
        if self._timer is None:
            self._timer = self.loop.call_at(self._head_due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._head_due is None:
            return
        if self._head_due <= self.loop.time():
            self.end()
        else:
            self._timer = self.loop.call_at(self._head_due, self._look)
