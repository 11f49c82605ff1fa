"""The HTTP side: carriers' pushes, /metrics, /healthz, /readyz. Starlette on uvicorn, in the engine's own loop.

A push is read with a size and time limit, verified by its plug-in before anything is believed, and acknowledged
only after the commit. What is refused gets 4xx, what cannot be applied yet 503 so that the carrier sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import uvicorn
from crossdock_sdk import PushRefused, PushRequest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.core.pushes import Pushes, PushUndecided, UnknownPushAccount
from engine.log import logger
from engine.metrics import Metrics

BODY_TIMEOUT_S = 15.0
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def ingress(
    pushes: Pushes,
    metrics: Metrics,
    is_ready: Callable[[], str],
    *,
    max_body_bytes: int,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> Starlette:
    """The application. `is_ready` gives "" when the engine takes work, else why not."""

    async def push(request: Request) -> Response:
        try:
            async with asyncio.timeout(body_timeout_s):
                body = await _body(request, max_body_bytes)
        except TimeoutError:
            return PlainTextResponse("the body took too long\n", 408)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return PlainTextResponse(f"the body is larger than {max_body_bytes} bytes\n", 413)
        account_id = request.path_params["account"]
        wrapped = PushRequest(
            headers={k.lower(): v for k, v in request.headers.items()},
            body=body,
            path=request.path_params.get("path", ""),
            query=request.url.query,
        )
        try:
            answer = await pushes.handle(account_id, wrapped)
        except UnknownPushAccount:
            return PlainTextResponse("no such account\n", 404)
        except PushRefused as error:
            logger().warning("push refused", account=account_id, reason=error.reason)
            return PlainTextResponse("refused\n", 403)
        except PushUndecided:
            return PlainTextResponse("not yet\n", 503)
        return Response(answer.body, answer.status, dict(answer.headers))

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        problem = is_ready()
        return PlainTextResponse(f"{problem or 'ready'}\n", 503 if problem else 200)

    async def scrape(request: Request) -> Response:
        return Response(metrics.expose(), headers={"content-type": EXPOSITION})

    return Starlette(
        routes=[
            Route("/push/{account}", push, methods=["POST"]),
            Route("/push/{account}/{path:path}", push, methods=["POST"]),
            Route("/metrics", scrape),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
        ]
    )


async def _body(request: Request, limit: int) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


class IngressServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the engine decides when to stop."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                http="httptools",
                lifespan="off",
                timeout_keep_alive=5,
                limit_concurrency=512,
            )
        )

    def capture_signals(self):  # type: ignore[no-untyped-def]  # uvicorn's own is a context manager too
        """Leave signals to the engine."""
        return contextlib.nullcontext()

    @property
    def port(self) -> int:
        """The port it listens on, also when 0 was asked for."""
        return int(self.servers[0].sockets[0].getsockname()[1])
