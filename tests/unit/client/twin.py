"""A scripted engine on loopback: records what it is asked, answers what a test laid out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from crossdock.v1.label_service_pb2_grpc import (
    LabelServiceServicer,
    add_LabelServiceServicer_to_server,
)
from crossdock.v1.order_service_pb2_grpc import (
    OrderServiceServicer,
    add_OrderServiceServicer_to_server,
)
from crossdock.v1.return_service_pb2_grpc import (
    ReturnServiceServicer,
    add_ReturnServiceServicer_to_server,
)
from crossdock.v1.track_service_pb2_grpc import (
    TrackServiceServicer,
    add_TrackServiceServicer_to_server,
)

CODES = {code.value[0]: code for code in grpc.StatusCode}


def status(
    code: grpc.StatusCode,
    reason: str,
    *details: Message,
    message: str = "refused",
    **facts: str,
) -> status_pb2.Status:
    """A status as the engine writes it: ErrorInfo first, then the other details."""
    info = error_details_pb2.ErrorInfo(domain="crossdock", reason=reason, metadata={"source": "ENGINE", **facts})
    answer = status_pb2.Status(code=code.value[0], message=message)
    for detail in (info, *details):
        packed = Packed()
        packed.Pack(detail)
        answer.details.append(packed)
    return answer


def retry_after(delay_s: float) -> error_details_pb2.RetryInfo:
    """The detail that asks for a wait."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromNanoseconds(int(delay_s * 1e9))
    return info


UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE, "ENGINE_DRAINING")


@dataclass
class Seen:
    """One call as the engine saw it."""

    method: str
    request: Any
    metadata: dict[str, Any]
    remaining_s: float | None


@dataclass
class Twin(OrderServiceServicer, LabelServiceServicer, TrackServiceServicer, ReturnServiceServicer):
    """Answers each call with the next step of `script`: a message, a status, or a list of both."""

    script: deque[Any] = field(default_factory=deque)
    calls: list[Seen] = field(default_factory=list)

    def will(self, *steps: Any) -> None:
        """Lay out the answers of the next calls."""
        self.script.extend(steps)

    def requests(self) -> list[Any]:
        """What was asked, in order."""
        return [seen.request for seen in self.calls]

    def _see(self, method: str, request: Any, context: Any) -> None:
        metadata = dict(context.invocation_metadata() or ())
        self.calls.append(Seen(method, request, metadata, context.time_remaining()))

    async def _unary(self, method: str, request: Any, context: Any) -> Any:
        self._see(method, request, context)
        step = self.script.popleft()
        if isinstance(step, status_pb2.Status):
            await abort(context, step)
        return step(request) if callable(step) else step

    async def _answers(self, method: str, request: Any, context: Any) -> AsyncIterator[Any]:
        self._see(method, request, context)
        for step in self.script.popleft():
            if isinstance(step, status_pb2.Status):
                await abort(context, step)
            elif isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step

    async def CreateOrder(self, request: Any, context: Any) -> Any:
        return await self._unary("CreateOrder", request, context)

    async def BatchCreateOrders(self, request: Any, context: Any) -> Any:
        return await self._unary("BatchCreateOrders", request, context)

    async def GetOrder(self, request: Any, context: Any) -> Any:
        return await self._unary("GetOrder", request, context)

    async def ListOrders(self, request: Any, context: Any) -> Any:
        return await self._unary("ListOrders", request, context)

    async def CancelOrder(self, request: Any, context: Any) -> Any:
        return await self._unary("CancelOrder", request, context)

    async def QuoteOrder(self, request: Any, context: Any) -> Any:
        return await self._unary("QuoteOrder", request, context)

    async def GetLabel(self, request: Any, context: Any) -> Any:
        return await self._unary("GetLabel", request, context)

    async def GetTrack(self, request: Any, context: Any) -> Any:
        return await self._unary("GetTrack", request, context)

    async def BatchGetTracks(self, request: Any, context: Any) -> Any:
        return await self._unary("BatchGetTracks", request, context)

    async def SubscribeTracks(self, request: Any, context: Any) -> Any:
        return await self._unary("SubscribeTracks", request, context)

    async def UnsubscribeTracks(self, request: Any, context: Any) -> Any:
        return await self._unary("UnsubscribeTracks", request, context)

    async def RecognizeCarrier(self, request: Any, context: Any) -> Any:
        return await self._unary("RecognizeCarrier", request, context)

    async def IngestPush(self, request: Any, context: Any) -> Any:
        return await self._unary("IngestPush", request, context)

    async def CreateReturn(self, request: Any, context: Any) -> Any:
        return await self._unary("CreateReturn", request, context)

    async def GetReturn(self, request: Any, context: Any) -> Any:
        return await self._unary("GetReturn", request, context)

    async def ListReturns(self, request: Any, context: Any) -> Any:
        return await self._unary("ListReturns", request, context)

    async def ApproveReturn(self, request: Any, context: Any) -> Any:
        return await self._unary("ApproveReturn", request, context)

    async def RejectReturn(self, request: Any, context: Any) -> Any:
        return await self._unary("RejectReturn", request, context)

    async def ConfirmReturnReceived(self, request: Any, context: Any) -> Any:
        return await self._unary("ConfirmReturnReceived", request, context)

    async def CancelReturn(self, request: Any, context: Any) -> Any:
        return await self._unary("CancelReturn", request, context)

    async def WatchTracks(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._answers("WatchTracks", request, context):
            yield answer

    async def WatchOrders(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._answers("WatchOrders", request, context):
            yield answer

    async def MergeLabels(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._answers("MergeLabels", request, context):
            yield answer

    async def StreamCreateOrders(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """Takes all items and gives them to the step, which says what to answer, in which order."""
        items = [request async for request in requests]
        self._see("StreamCreateOrders", items, context)
        answer: Callable[[list[Any]], list[Any]] = self.script.popleft()
        for step in answer(items):
            if isinstance(step, status_pb2.Status):
                await abort(context, step)
            yield step


async def abort(context: Any, answer: status_pb2.Status) -> None:
    """End the call as the engine does: the whole status in the trailing metadata."""
    context.set_trailing_metadata((("grpc-status-details-bin", answer.SerializeToString()),))
    await context.abort(CODES[answer.code], answer.message)


class FakeTime:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waits_s: list[float] = []

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)
        self.now_s += wait_s


async def start(twin: Twin, address: str = "127.0.0.1:0") -> tuple[grpc.aio.Server, str]:
    """Listen on loopback; answers the server and its address."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    add_OrderServiceServicer_to_server(twin, server)
    add_LabelServiceServicer_to_server(twin, server)
    add_TrackServiceServicer_to_server(twin, server)
    add_ReturnServiceServicer_to_server(twin, server)
    port = server.add_insecure_port(address)
    await server.start()
    return server, f"127.0.0.1:{port}"
