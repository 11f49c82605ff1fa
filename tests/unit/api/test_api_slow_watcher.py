"""A watcher whose connection takes nothing is sent away with the cursor it can go on from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from crossdock.v1 import order_service_pb2
from engine.api.gate import Caller, current
from engine.api.orders import OrderServicer
from engine.core.errors import WatcherTooSlow
from engine.core.watch import Checkpoint

pytestmark = pytest.mark.anyio


class Watch:
    """Tells that nothing happened, over and over."""

    async def orders(self, tenant: str, cursor: str, wanted: object) -> AsyncIterator[Checkpoint]:
        """Ascending checkpoints."""
        for sequence in range(1, 10):
            yield Checkpoint(sequence)


class Connection:
    """Takes some messages, then nothing any more."""

    def __init__(self, takes: int) -> None:
        self.left = takes
        self.taken: list[str] = []

    async def write(self, message: order_service_pb2.WatchOrdersResponse) -> None:
        """As gRPC does: waits while the reader's window is full."""
        if not self.left:
            await asyncio.Event().wait()
        self.left -= 1
        self.taken.append(message.cursor)


@pytest.mark.parametrize(("takes", "cursor"), [(0, "5"), (3, "3")])
async def test_a_reader_that_takes_nothing_is_cut_with_its_cursor(takes: int, cursor: str) -> None:
    """The error names the last cursor that was taken, or the one the watch began with."""
    watch, connection, orders = Watch(), Connection(takes), object()
    servicer = OrderServicer(orders, watch, stream_window=1, slow_reader_s=0.05)  # type: ignore[arg-type]
    current.set(Caller("amber", None, 1.0))
    request = order_service_pb2.WatchOrdersRequest(cursor="5")

    call: Any = servicer.WatchOrders(request, connection)  # type: ignore[arg-type]
    with pytest.raises(WatcherTooSlow) as caught:
        await call

    assert len(connection.taken) == takes
    assert caught.value.cursor == cursor
