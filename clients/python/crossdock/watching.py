"""A watch that survives its connection: after a cut it goes on from the last cursor.

A watch ends for good only by an error that is not UNAVAILABLE, or when the engine stays out of
reach for `give_up_after_s`. An engine that shuts down ends its watches without an error; that too
is a cut.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from copy import deepcopy
from typing import Protocol, TypeVar

import grpc

from crossdock.calls import Calls, StreamMethod
from crossdock.errors import CrossdockError, Unavailable, error_from_rpc, error_of
from crossdock.retry import Backoff
from crossdock.v1 import order_service_pb2 as orders
from crossdock.v1 import track_service_pb2 as tracks

RESUME = Backoff(first_s=0.2, factor=2.0, longest_s=10.0)


class _Placed(Protocol):
    """A message that says where to go on after it."""

    @property
    def cursor(self) -> str:
        """Its place in the log."""


_Request = TypeVar("_Request", orders.WatchOrdersRequest, tracks.WatchTracksRequest)
_Answer = TypeVar("_Answer", bound=_Placed)


async def watch(
    method: StreamMethod[_Request, _Answer], first: _Request, calls: Calls, give_up_after_s: float
) -> AsyncGenerator[_Answer, None]:
    """News and checkpoints from `first.cursor` on. Raises CrossdockError."""
    request = deepcopy(first)
    failures = 0
    lost_s = 0.0
    while True:
        call = method(request, metadata=calls.metadata)
        cut = error_of(grpc.StatusCode.UNAVAILABLE, "the engine ended the watch")
        try:
            async for answer in call:
                failures = 0
                request.cursor = answer.cursor
                yield answer
        except grpc.aio.AioRpcError as error:
            cut = error_from_rpc(error)
            if not isinstance(cut, Unavailable):
                raise cut from error
        finally:
            call.cancel()
        failures += 1
        now_s = calls.pace.monotonic_s()
        if failures == 1:
            lost_s = now_s
        wait_s = _wait_s(cut, failures, calls.pace.chance())
        if now_s + wait_s - lost_s > give_up_after_s:
            raise cut
        await calls.pace.sleep(wait_s)


def _wait_s(cut: CrossdockError, failures: int, chance: float) -> float:
    asked_s = cut.retry_after_s if isinstance(cut, Unavailable) else None
    return (asked_s or 0.0) + RESUME.wait_s(failures, chance)
