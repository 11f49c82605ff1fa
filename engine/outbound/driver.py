"""Runs a plug-in's flow: the generator yields requests, somebody else's `send` brings responses.

Nothing of the transport is ever thrown into a plug-in: on a failure the flow is closed and the
error goes on upwards. Nothing of a plug-in but CarrierError comes out: whatever else escapes is a
PluginFault, even SystemExit and KeyboardInterrupt, since a plug-in must not be able to stop the
engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import TypeVar

from crossdock_sdk import CarrierError, Flow, HttpRequest, HttpResponse, SideEffect
from engine.outbound.errors import Ambiguous, NotSent, PluginFault
from engine.outbound.operations import CHANGES_THE_WORLD

T = TypeVar("T")
MAX_REQUESTS = 32

Send = Callable[[HttpRequest], Awaitable[HttpResponse]]


async def drive(flow: Flow[T], send: Send, *, carrier: str, operation: str) -> T:
    """Run `flow` to its return value.

    Raises CarrierError as the plug-in raised it (with side effect NONE when no request had gone
    out), PluginFault, or what `send` raised. A NotSent of a later request proves nothing about the
    earlier ones, so for operations that change the world it becomes Ambiguous.
    """
    if not isinstance(flow, Generator):
        raise PluginFault(carrier, operation, f"returned {type(flow).__name__} instead of a flow")
    sent = 0
    response: HttpResponse | None = None
    try:
        while True:
            try:
                request = next(flow) if response is None else flow.send(response)
            except StopIteration as stop:
                result: T = stop.value
                return result
            except CarrierError as error:
                if not sent:
                    error.side_effect = SideEffect.NONE
                raise
            except BaseException as error:  # the one place where a plug-in's code runs inside the engine
                problem = type(error).__name__
                raise PluginFault(carrier, operation, problem, requests_sent=sent) from error
            problem = _bad_request(request, sent)
            if problem:
                raise PluginFault(carrier, operation, problem, requests_sent=sent)
            response = await _send(send, request, sent, operation)
            sent += 1
    except BaseException:
        # A plug-in that resists closing changes nothing: the reason for closing is on its way up.
        with suppress(BaseException):
            flow.close()
        raise


def _bad_request(request: object, sent: int) -> str:
    if not isinstance(request, HttpRequest):
        return f"yielded {type(request).__name__} instead of HttpRequest"
    return f"wants more than {MAX_REQUESTS} requests in one call" if sent == MAX_REQUESTS else ""


async def _send(send: Send, request: HttpRequest, sent: int, operation: str) -> HttpResponse:
    try:
        return await send(request)
    except NotSent as error:
        if not sent or operation not in CHANGES_THE_WORLD:
            raise
        detail = f"request {sent + 1} of the call did not go out, an earlier one did"
        raise Ambiguous(error.kind, detail) from error
