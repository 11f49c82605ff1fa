"""A watcher whose connection takes nothing is sent away with the cursor it can go on from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from crossdock.v1 import order_service_pb2, track_service_pb2
from engine.api.gate import Caller, current
from engine.api.orders import OrderServicer
from engine.api.tracks import TrackServicer
from engine.core.errors import WatcherTooSlow
from engine.core.watch import Checkpoint

pytestmark = pytest.mark.anyio


class Watch:
    """Tells that nothing happened, over and over."""

    async def orders(self, tenant: str, cursor: str, wanted: object) -> AsyncIterator[Checkpoint]:
        """Ascending checkpoints."""
        for sequence in range(1, 10):
            yield Checkpoint(sequence)

    tracks = orders


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


def watch_orders(connection: Connection) -> Any:
    """A watch of orders that this connection reads."""
    unused: Any = None
    servicer = OrderServicer(unused, cast(Any, Watch()), stream_window=1, slow_reader_s=0.05)
    return servicer.WatchOrders(order_service_pb2.WatchOrdersRequest(cursor="5"), cast(Any, connection))


def watch_tracks(connection: Connection) -> Any:
    """A watch of parcels that this connection reads."""
    unused: Any = None
    servicer = TrackServicer(unused, unused, cast(Any, Watch()), {}, slow_reader_s=0.05)
    return servicer.WatchTracks(track_service_pb2.WatchTracksRequest(cursor="5"), cast(Any, connection))


@pytest.mark.parametrize("watching", [watch_orders, watch_tracks])
@pytest.mark.parametrize(("takes", "cursor"), [(0, "5"), (3, "3")])
async def test_a_reader_that_takes_nothing_is_cut_with_its_cursor(
    takes: int, cursor: str, watching: Callable[[Connection], Any]
) -> None:
    """The error names the last cursor that was taken, or the one the watch began with."""
    connection = Connection(takes)
    current.set(Caller("amber", None, 1.0))

    call = watching(connection)
    with pytest.raises(WatcherTooSlow) as caught:
        await call

    assert len(connection.taken) == takes
    assert caught.value.cursor == cursor
