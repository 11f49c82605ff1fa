"""Streaming creations: orders go out as the engine takes them, results come back as they finish.

The gRPC library reports an exception of the caller's own iterable as a cancellation; `_Outgoing`
keeps the true one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING

import grpc

from crossdock.calls import Metadata
from crossdock.errors import CrossdockError, error_from_rpc, error_from_status, error_of
from crossdock.v1 import core_pb2 as core
from crossdock.v1 import order_service_pb2 as pb

if TYPE_CHECKING:  # the async stub is a type only; no such class exists at run time
    from crossdock.v1.order_service_pb2_grpc import OrderServiceAsyncStub


StreamItem = tuple[int, core.Order] | tuple[int, core.Order, str]
"""The caller's own number of the item, the order, and its request_id (default: a new UUID4)."""

Created = pb.CreateOrderResponse | CrossdockError
"""The order as far as it got, or why it was refused; one bad item never fails the others."""


def new_request_id() -> str:
    """A fresh idempotency key."""
    return str(uuid.uuid4())


def created_of(result: pb.OrderResult) -> Created:
    """One item's result."""
    match result.WhichOneof("result"):
        case "created":
            return result.created
        case "status":
            return error_from_status(result.status)
    return error_of(grpc.StatusCode.INTERNAL, "the item has neither order nor status")


async def stream_creations(
    stub: OrderServiceAsyncStub,
    items: AsyncIterable[StreamItem] | Iterable[StreamItem],
    metadata: Metadata,
    timeout_s: float | None,
) -> AsyncGenerator[tuple[int, Created], None]:
    """Results by the caller's index, as they finish. Raises CrossdockError when the call fails."""
    outgoing = _Outgoing(items)
    call = stub.StreamCreateOrders(outgoing.requests(), timeout=timeout_s, metadata=metadata)
    try:
        async for answer in call:
            yield answer.index, created_of(answer.result)
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if outgoing.failure is None or (task is not None and task.cancelling()):
            raise
        raise outgoing.failure from None
    finally:
        call.cancel()


class _Outgoing:
    """The requests of one stream, and what stopped them."""

    def __init__(self, items: AsyncIterable[StreamItem] | Iterable[StreamItem]) -> None:
        self._items = items
        self.failure: Exception | None = None

    async def requests(self) -> AsyncIterator[pb.StreamCreateOrdersRequest]:
        items = self._items if isinstance(self._items, AsyncIterable) else _walk(iter(self._items))
        try:
            async for item in items:
                yield _request(item)
        except Exception as error:
            self.failure = error
            raise


async def _walk(items: Iterator[StreamItem]) -> AsyncIterator[StreamItem]:
    for item in items:
        yield item


def _request(item: StreamItem) -> pb.StreamCreateOrdersRequest:
    request_id = item[2] if len(item) == 3 else new_request_id()
    return pb.StreamCreateOrdersRequest(index=item[0], order=item[1], request_id=request_id)
