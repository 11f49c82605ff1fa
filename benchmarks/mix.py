"""A day's mix of calls at an engine, sent whether or not answers come: an open loop, as callers in trouble are.

Each kind of call is something that callers do, with the share of a busy hour. Requests are made beforehand and
sent as bytes, so that the client costs little. Every call is sent, however long others take; times count from then,
and how late it was sent is told beside them: that is the client's own fault.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import grpc
import msgspec
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from benchmarks.open_load import connections
from benchmarks.orders import order
from benchmarks.pushes import Push
from benchmarks.sender import Sender
from crossdock.v1 import label_service_pb2, order_service_pb2, track_service_pb2

T = TypeVar("T")

CONNECTIONS = 32
"""The server lets 128 calls a connection through; so many connections never wait for that."""
DEADLINE_S = 10.0


class Kind(msgspec.Struct, frozen=True):
    """One kind of call: `share` of a hundred calls, its place in the order of sacrifice, 0 for what is kept."""

    name: str
    method: str
    share: int
    given_up: int = 0


KINDS = (
    Kind("lists", "crossdock.v1.OrderService/ListOrders", 4, 1),
    Kind("quotes", "crossdock.v1.OrderService/QuoteOrder", 8, 2),
    Kind("tracks", "crossdock.v1.TrackService/GetTrack", 24, 3),
    Kind("labels", "crossdock.v1.LabelService/GetLabel", 8, 4),
    Kind("bookings", "crossdock.v1.OrderService/CreateOrder", 36, 5),
    Kind("cancels", "crossdock.v1.OrderService/CancelOrder", 4),
    Kind("pushes", "", 14),
    Kind("health", "grpc.health.v1.Health/Check", 2),
)


class Call(msgspec.Struct):
    """How one call ended. `code` is "OK", a gRPC status or "REFUSED" for RESOURCE_EXHAUSTED with a RetryInfo."""

    kind: str
    late_s: float
    took_s: float
    code: str


class Caller:
    """Connections to one engine, and requests of every kind that never run out."""

    def __init__(self, server: str, pushes: Sequence[Push], http_port: int, order_ids: Sequence[str]) -> None:
        self._server = server
        self._http_port = http_port
        self._pushes = _round(push.request(http_port) for push in pushes)
        self._booked = deque(order_ids)
        self._ids = _round(order_ids)
        self._run = uuid.uuid4().hex
        self._count = self._asked = 0
        self._stack = AsyncExitStack()
        self._stubs: dict[str, list[Callable[..., Awaitable[bytes]]]] = {}

    async def __aenter__(self) -> Caller:
        channels = await self._stack.enter_async_context(connections(self._server, CONNECTIONS))
        await asyncio.gather(*[channel.channel_ready() for channel in channels])
        self._stubs = {k.name: [c.unary_unary(f"/{k.method}") for c in channels] for k in KINDS if k.method}
        self._sender = await self._stack.enter_async_context(Sender(self._http_port))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def call(self, kind: str, due_s: float, request: bytes = b"") -> Call:
        """One call of a kind, and how it ended."""
        self._count += 1
        started_s = time.perf_counter()
        code = "OK"
        try:
            if kind == "pushes":
                async with asyncio.timeout(DEADLINE_S):
                    await self._push(next(self._pushes))
            else:
                stub = self._stubs[kind][self._count % CONNECTIONS]
                if kind == "cancels":
                    request = order_service_pb2.CancelOrderRequest(order_id=self.new_id()).SerializeToString()
                answer = await stub(request, timeout=DEADLINE_S)
                if kind == "bookings":
                    self._remember(answer)
        except TimeoutError:
            code = "DEADLINE_EXCEEDED"
        except grpc.aio.AioRpcError as error:
            code = _refusal(error)
        return Call(kind, started_s - due_s, time.perf_counter() - started_s, code)

    async def _push(self, request: bytes) -> None:
        try:
            await self._sender.send(request)
        except (OSError, EOFError):  # the server hung up on an idle connection in this very moment
            await self._sender.send(request)

    def request(self, kind: str) -> bytes:
        """The next one of a kind; empty for a cancel, which is of an order that stands when it is due."""
        self._asked += 1
        return REQUESTS[kind](self) if kind in REQUESTS else b""

    def _remember(self, answer: bytes) -> None:
        order_id: str = order_service_pb2.CreateOrderResponse.FromString(answer).order.order_id
        self._booked.append(order_id)

    def fresh_order(self) -> Any:
        """An order nobody sent before."""
        return order(self._run, self._asked)

    def some_id(self) -> str:
        """Of an order that was booked before the load began."""
        return next(self._ids)

    def new_id(self) -> str:
        """Of an order that nobody has cancelled, as long as there is one."""
        return self._booked.popleft() if self._booked else self.some_id()


REQUESTS: dict[str, Callable[[Caller], bytes]] = {
    "lists": lambda c: order_service_pb2.ListOrdersRequest(page_size=50).SerializeToString(),
    "quotes": lambda c: order_service_pb2.QuoteOrderRequest(
        order=c.fresh_order(), live_prices=True
    ).SerializeToString(),
    "tracks": lambda c: track_service_pb2.GetTrackRequest(
        order_id=c.some_id(), max_age=Duration(seconds=1)
    ).SerializeToString(),
    "labels": lambda c: label_service_pb2.GetLabelRequest(order_id=c.some_id()).SerializeToString(),
    "bookings": lambda c: order_service_pb2.CreateOrderRequest(order=c.fresh_order()).SerializeToString(),
    "health": lambda c: health_pb2.HealthCheckRequest().SerializeToString(),
}


def schedule() -> Iterator[str]:
    """Kinds for ever, each hundred with the shares of the mix, evenly spread."""
    while True:
        ahead = Counter[str]()
        for place in range(1, 101):
            kind = max(KINDS, key=lambda k: k.share * place / 100 - ahead[k.name])
            ahead[kind.name] += 1
            yield kind.name


async def open_loop(caller: Caller, rate: float, seconds: float) -> list[Call]:
    """So many calls a second for so long; waits for the answers of all, or gives them up when it is cancelled."""
    kinds = [kind for kind, _ in zip(schedule(), range(int(rate * seconds)), strict=False)]
    requests = [caller.request(kind) for kind in kinds]
    tasks: list[asyncio.Task[Call]] = []
    started_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for index, (kind, request) in enumerate(zip(kinds, requests, strict=True)):
            due_s = started_s + index / rate
            wait_s = due_s - time.perf_counter()
            if wait_s > 0 or index % 8 == 0:
                await asyncio.sleep(max(wait_s, 0.0))
            tasks.append(group.create_task(caller.call(kind, due_s, request)))
    return [task.result() for task in tasks]


async def closed_loop(caller: Caller, in_flight: int, seconds: float) -> list[Call]:
    """The next call when one is answered, so many at a time: what the engine can do."""
    kinds, ends_s = schedule(), time.perf_counter() + seconds
    done: list[Call] = []

    async def work() -> None:
        while (now := time.perf_counter()) < ends_s:
            kind = next(kinds)
            done.append(await caller.call(kind, now, caller.request(kind)))

    await asyncio.gather(*[work() for _ in range(in_flight)])
    return done


def _round(values: Iterable[T]) -> Iterator[T]:
    kept = list(values)
    while True:
        yield from kept


def _refusal(error: grpc.aio.AioRpcError) -> str:
    """REFUSED when it is a proper refusal, else the status."""
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                details = status_pb2.Status.FromString(value).details
                if any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in details):
                    return "REFUSED"
    return error.code().name
