"""Rows the engine is still booking when all have been answered: asked for again until they settle or time is up."""

from __future__ import annotations

import asyncio

import grpc

from crossdock.v1 import order_service_pb2
from engine.cli.ship.channel import Endpoint, Stubs
from engine.cli.ship.desk import Desk
from engine.cli.ship.orders import OrderReader
from engine.cli.ship.problems import ShipError
from engine.cli.ship.results import OPEN_STATES, STILL_BOOKING, Result, of_order, with_problem
from engine.cli.ship.wire import final_error
from engine.clock import Clock

PATIENCE_S = 90.0
"""Lost answers are resolved within a minute once the carrier answers again."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
CONCURRENCY = 16


class Follower:
    """Polls the open rows of a desk."""

    def __init__(
        self,
        desk: Desk,
        reader: OrderReader,
        stubs: Stubs,
        to: Endpoint,
        clock: Clock,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._desk = desk
        self._reader = reader
        self._stubs = stubs
        self._to = to
        self._clock = clock
        self._patience_s = patience_s

    async def run(self) -> None:
        """Until nothing is open or time is up; what is still open then says so. Raises ShipError for a bad key."""
        ends_s = self._clock.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while (open_rows := self._open_rows()) and self._clock.monotonic() + pause_s < ends_s:
            await self._clock.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 1.5)
            await self._poll(open_rows)
        mark_open(self._desk)

    def _open_rows(self) -> list[Result]:
        return [result for result in self._desk.results.values() if result.state in OPEN_STATES]

    async def _poll(self, open_rows: list[Result]) -> None:
        limit = asyncio.Semaphore(CONCURRENCY)
        errors = await asyncio.gather(*(self._poll_one(result, limit) for result in open_rows))
        for error in filter(None, errors):
            raise error

    async def _poll_one(self, result: Result, limit: asyncio.Semaphore) -> ShipError | None:
        """None, or why asking again is of no use."""
        request = order_service_pb2.GetOrderRequest(order_id=result.order_id)
        async with limit:
            try:
                answer = await self._stubs.orders.GetOrder(request, metadata=self._to.metadata, timeout=10)
            except grpc.aio.AioRpcError as error:
                return final_error(self._to.server, error)  # None: asked again in the next round
        settled = of_order(result.line, result.reference, answer.order, self._reader)
        if settled.state not in OPEN_STATES:
            self._desk.settled_later(settled)
        return None


def mark_open(desk: Desk) -> None:
    """Rows still open say what to do about it."""
    for result in list(desk.results.values()):
        if result.state in OPEN_STATES and not result.error:
            desk.put(with_problem(result, STILL_BOOKING))
