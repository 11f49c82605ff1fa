"""The door that carriers push through, as a bare ASGI application.

Starlette's middleware, routing and request objects cost as much as all the rest of taking a push, so the one busy
route goes round them. What is refused gets 4xx, what cannot be applied yet 503 so that the carrier sends it again.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from crossdock_sdk import HttpResponse, PushRefused, PushRequest
from engine.backstop import Backstop
from engine.core.pushes import Pushes, PushUndecided, UnknownPushAccount
from engine.log import logger
from engine.store.port import StoreError

PREFIX = "/push/"
MOST_PUSHES = 512
_TEXT = {"content-type": "text/plain; charset=utf-8"}


class BodyTooLarge(Exception):
    """The push is larger than allowed; the rest of it was not read."""


class SenderGone(Exception):
    """The sender hung up before its push was whole."""


def push_door(pushes: Pushes, *, max_body_bytes: int, body_timeout_s: float, most: int = MOST_PUSHES) -> ASGIApp:
    """Takes one push: read within its limits, handled, answered with what its outcome deserves.

    Pushes under way are counted, not connections: idle ones must not keep a push out.
    """

    backstop = Backstop()
    under_way = 0

    async def outcome(scope: Scope, receive: Receive) -> HttpResponse:
        account_id, _, path = scope["path"].removeprefix(PREFIX).partition("/")
        if not account_id:
            return _text(404, "no such account\n")
        if scope["method"] != "POST":
            return _text(405, "pushes come by POST\n", {"allow": "POST"})
        try:
            with backstop.limit(body_timeout_s):
                body = await _body(receive, max_body_bytes)
        except TimeoutError:
            return _text(408, "the body took too long\n")
        except SenderGone:
            return HttpResponse(400)
        except BodyTooLarge:
            return _text(413, f"the body is larger than {max_body_bytes} bytes\n")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        try:
            return await pushes.handle(account_id, PushRequest(headers, body, path=path, query=query))
        except UnknownPushAccount:
            return _text(404, "no such account\n")
        except PushRefused as error:
            logger().warning("push refused", account=account_id, reason=error.reason)
            return _text(403, "refused\n")
        except (PushUndecided, StoreError):
            return _text(503, "not yet\n")

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal under_way
        if under_way >= most:
            logger().warning("push refused", reason="too many at once")
            answer = _text(503, "too many at once\n", {"connection": "close"})
        else:
            under_way += 1
            try:
                answer = await outcome(scope, receive)
            finally:
                under_way -= 1
        headers = [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in answer.headers.items()]
        headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return door


async def _body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge, SenderGone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGone
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return bytes(body)


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(status, {**_TEXT, **(headers or {})}, text.encode())
