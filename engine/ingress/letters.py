"""Pushes that were set aside, for operations on this machine: list them, try them again.

Loopback only, like /metrics: the port is open to carriers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from engine.core.policy.track_records import DeadLetter
from engine.core.pushes import Pushes

PAGE = 500
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
"""A request with one of these came through a proxy: loopback is then only where the proxy stands."""


def is_loopback(request: Request) -> bool:
    """Whether the request was made on this machine."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    return ip_address(request.client.host).is_loopback


def letter_routes(pushes: Pushes) -> list[Route]:
    """GET /dead-letters, POST /dead-letters/{id}/replay."""

    async def listed(request: Request) -> Response:
        after = request.query_params.get("after", "")
        return JSONResponse([_shown(letter) for letter in await pushes.letters(after=after, limit=PAGE)])

    async def replayed(request: Request) -> Response:
        letter_id = request.path_params["letter"]
        letter = await pushes.letter(letter_id)
        if letter is None:
            return PlainTextResponse("no such letter\n", 404)
        return JSONResponse({"letter_id": letter_id, "problem": await pushes.replay(letter)})

    return [
        Route("/dead-letters", _here_only(listed)),
        Route("/dead-letters/{letter}/replay", _here_only(replayed), methods=["POST"]),
    ]


def _here_only(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        if not is_loopback(request):
            return PlainTextResponse("dead letters are for this machine only\n", 403)
        return await endpoint(request)

    return guarded


def _shown(letter: DeadLetter) -> dict[str, object]:
    """What may be seen of a letter: never its body, which is personal data."""
    return {
        "letter_id": letter.letter_id,
        "account_id": letter.account_id,
        "received_time": letter.received_time.isoformat(),
        "cause": letter.cause,
        "attempts": letter.attempts,
        "bytes": len(letter.body),
    }
