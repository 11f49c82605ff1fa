"""The control plane of a running simulator: faults, ledger, counters and health over HTTP.

It has its own port, so it answers while the carrier itself is down.

    GET  /healthz            200 {"status": "ok", "code": …, "down": …}
    GET  /faults             the faults in force, all keys
    PUT  /faults             replaces them; a JSON object, left-out keys take their defaults
    GET  /ledger[?after=N]   JSON lines, entries with a sequence above N
    GET  /stats              counters, see `Stats.as_dict`
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import msgspec

from crossdock_sdk.flow import HttpRequest, HttpResponse
from crossdock_sdk.simulator.faults import Faults
from crossdock_sdk.simulator.http import json_response

if TYPE_CHECKING:
    from crossdock_sdk.simulator.server import SimulatorServer

_encode = msgspec.json.encode


def parse_faults(text: bytes | str) -> Faults:
    """Faults from JSON. Raises ValueError naming the key that is wrong and the keys there are."""
    try:
        return msgspec.json.decode(text, type=Faults)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        known = ", ".join(Faults.__struct_fields__)
        raise ValueError(f"faults: {error}; the keys are {known}") from error


async def answer_control(server: SimulatorServer, request: HttpRequest) -> HttpResponse:
    """Answer one request of the control plane."""
    url = urlsplit(request.url)
    routes = _ROUTES.get(url.path)
    if routes is None:
        return _error(404, f"there is no {url.path}; there are {', '.join(_ROUTES)}")
    route = routes.get(request.method)
    if route is None:
        return _error(405, f"{url.path} takes {' and '.join(routes)}, not {request.method}")
    return await route(server, request)


async def _health(server: SimulatorServer, request: HttpRequest) -> HttpResponse:
    simulator = server.simulator
    down = simulator.faults.down
    return json_response(200, _encode({"status": "ok", "code": simulator.code, "down": down}))


async def _get_faults(server: SimulatorServer, request: HttpRequest) -> HttpResponse:
    return json_response(200, _encode(server.simulator.faults))


async def _put_faults(server: SimulatorServer, request: HttpRequest) -> HttpResponse:
    try:
        faults = parse_faults(request.body)
    except ValueError as error:
        return _error(400, str(error))
    await server.set_faults(faults)
    return json_response(200, _encode(faults))


async def _ledger(server: SimulatorServer, request: HttpRequest) -> HttpResponse:
    after = parse_qs(urlsplit(request.url).query).get("after", ["0"])[-1]
    if not after.isdecimal():
        return _error(400, f"after={after!r} must be the sequence number of an entry, or 0")
    server.simulator.ledger.sync()
    entries = [e for e in server.simulator.ledger.entries if e.sequence > int(after)]
    body = b"".join(_encode(entry) + b"\n" for entry in entries)
    return HttpResponse(200, {"content-type": "application/x-ndjson"}, body)


async def _stats(server: SimulatorServer, request: HttpRequest) -> HttpResponse:
    return json_response(200, _encode(server.stats.as_dict(server.simulator.ledger)))


def _error(status: int, message: str) -> HttpResponse:
    return json_response(status, _encode({"error": message}))


_Route = Callable[["SimulatorServer", HttpRequest], Awaitable[HttpResponse]]
_ROUTES: dict[str, dict[str, _Route]] = {
    "/healthz": {"GET": _health},
    "/faults": {"GET": _get_faults, "PUT": _put_faults},
    "/ledger": {"GET": _ledger},
    "/stats": {"GET": _stats},
}
