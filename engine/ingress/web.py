"""The HTTP side: carriers' pushes, /metrics, /healthz, /readyz, dead letters. Starlette on uvicorn, in the
engine's own loop.

A push is read with a size and time limit, verified by its plug-in before anything is believed, and acknowledged
only after the commit; see `door`.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.core.pushes import Pushes
from engine.ingress.door import MOST_PUSHES, PREFIX, push_door
from engine.ingress.letters import is_loopback, letter_routes
from engine.ingress.protocol import HEAD_S, MOST_CONNECTIONS, Connections, TimedProtocol
from engine.metrics import Metrics

BODY_TIMEOUT_S = 15.0
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def ingress(
    pushes: Pushes,
    metrics: Metrics,
    why_not_ready: Callable[[], str],
    *,
    max_body_bytes: int,
    public_metrics: bool = False,
    body_timeout_s: float = BODY_TIMEOUT_S,
    most_pushes: int = MOST_PUSHES,
) -> ASGIApp:
    """The application. `why_not_ready` gives "" when the engine takes work."""
    push = push_door(pushes, max_body_bytes=max_body_bytes, body_timeout_s=body_timeout_s, most=most_pushes)

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        problem = why_not_ready()
        return PlainTextResponse(f"{problem or 'ready'}\n", 503 if problem else 200)

    async def scrape(request: Request) -> Response:
        # Carriers reach this port from the internet; how much the shop ships is nobody's business there.
        if not public_metrics and not is_loopback(request):
            return PlainTextResponse("metrics are for loopback; see ingress.allow_public_metrics\n", 403)
        return Response(metrics.expose(), headers={"content-type": EXPOSITION})

    others = Starlette(
        routes=[
            Route("/metrics", scrape),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *letter_routes(pushes),
        ]
    )

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        is_push = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        await (push if is_push else others)(scope, receive, send)

    return application


class IngressServer(uvicorn.Server):
    """uvicorn without its own signal handlers, since the engine decides when to stop, and with bounded connections."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        head_s: float = HEAD_S,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                http=TimedProtocol,
                lifespan="off",
                ws="none",
                # Who asks is who is connected: forwarded addresses are never believed, see `is_loopback`.
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=5,
            )
        )
        self.server_state = Connections(head_s, most_connections)
        self._socket: socket.socket | None = None

    def listen(self) -> None:
        """Take the port. Raises OSError naming the setting."""
        host, port = self.config.host, self.config.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=512)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise OSError(
                f"ingress.listen: cannot listen on {host}:{port} ({reason}); is another engine running there?"
            ) from error
        # Connections inherit it. asyncio sets it itself only on sockets it knows to be TCP, and this one does not
        # say so; without it each answer's body waits some 40 ms for the acknowledgement of its head.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def unlisten(self) -> None:
        """Let go of a port that was taken and never served."""
        if self._socket is not None:
            self._socket.close()

    async def serve_port(self) -> None:
        """Serve the port until `should_exit`."""
        assert self._socket is not None, "listen first"
        await self.serve(sockets=[self._socket])

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # a generator there
        """Leave signals to the engine."""
        return contextlib.nullcontext()

    @property
    def port(self) -> int:
        """The port it listens on, also when 0 was asked for."""
        assert self._socket is not None, "listen first"
        return int(self._socket.getsockname()[1])
