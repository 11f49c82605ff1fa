"""Sends the rows through one stream and takes the answers: the thin shell around the desk.

Rules: at most WINDOW rows are unanswered at any time. A broken connection is opened again and what was not answered is
sent again, which is safe since every row keeps its request id. A row on which the engine itself fails is found by
sending the unanswered rows one by one, so that it cannot hold up the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import grpc

from crossdock.v1 import order_service_pb2
from engine.cli.ship.channel import Endpoint, Stubs
from engine.cli.ship.desk import Desk, Job
from engine.cli.ship.patience import Patience
from engine.cli.ship.problems import Problem, ShipError, reason_of
from engine.cli.ship.wire import final_error, gave_up, is_defect, needs_single_calls, status_of
from engine.clock import Clock

if TYPE_CHECKING:
    Call: TypeAlias = grpc.aio.StreamStreamCall[
        order_service_pb2.StreamCreateOrdersRequest, order_service_pb2.StreamCreateOrdersResponse
    ]

WINDOW = 512
RECONNECT_S = 60.0
FIRST_CONNECT_S = 10.0
"""A server that never answered is more likely a wrong address than a restart."""

SILENCE_S = 150.0
"""The engine answers every row within its longest deadline (120 s); after this the connection is taken for dead."""

SINGLE_TIMEOUT_S = 120.0
SINGLE_CONCURRENCY = 16


class Shipper:
    """Ships the rows of one desk. `run` once."""

    def __init__(
        self,
        desk: Desk,
        stubs: Stubs,
        to: Endpoint,
        clock: Clock,
        *,
        window: int = WINDOW,
        reconnect_s: float = RECONNECT_S,
        first_connect_s: float = FIRST_CONNECT_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._desk = desk
        self._stubs = stubs
        self._to = to
        self._clock = clock
        self._window = window
        self._reconnect_s = reconnect_s
        self._silence_s = silence_s
        self._patience = Patience(first_connect_s)
        self._was_connected = False
        self._heard_s = 0.0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Send until every row has a result. Raises ShipError, Interrupted when the engine stays away."""
        while not self._desk.is_finished:
            error = await self._session()
            if self._desk.is_finished:
                return
            if error is not None and (final := final_error(self._to.server, error)) is not None:
                raise final
            if error is not None and needs_single_calls(error):
                await self._one_by_one()
            self._desk.send_again()
            await self._pause(error)

    async def _session(self) -> grpc.aio.AioRpcError | None:
        """One stream from opening to end: None when it ended well, else the error that broke it."""
        call = self._stubs.orders.StreamCreateOrders(metadata=self._to.metadata)
        self._heard_s = self._clock.monotonic()
        helpers = [asyncio.create_task(self._write(call)), asyncio.create_task(self._watch_silence(call))]
        try:
            return await self._read(call)
        finally:
            call.cancel()
            for helper in helpers:
                helper.cancel()
            for outcome in await asyncio.gather(*helpers, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    async def _read(self, call: Call) -> grpc.aio.AioRpcError | None:
        try:
            while isinstance(answer := await call.read(), order_service_pb2.StreamCreateOrdersResponse):
                self._take(answer)
            code = await call.code()
            if code is grpc.StatusCode.OK:
                return None
            return _error(code, await call.details(), await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            return error
        except asyncio.CancelledError:
            # A cancel of the call by one of the helpers ends the read in the same way as a cancel of this task.
            if not call.cancelled() or _is_being_cancelled():
                raise
            return None

    def _take(self, answer: order_service_pb2.StreamCreateOrdersResponse) -> None:
        now_s = self._heard_s = self._clock.monotonic()
        if self._desk.answered(answer.index, answer.result, now_s):
            self._succeeded()
        # Half a window at a time: waking the writer for every answer costs more than the writing.
        if self._desk.in_flight_count <= self._window // 2 or self._desk.has_ready:
            self._changed.set()

    def _succeeded(self) -> None:
        if not self._was_connected:
            self._was_connected = True
            self._patience = Patience(self._reconnect_s)
        self._patience.succeeded()

    async def _write(self, call: Call) -> None:
        """Write rows as the window allows; a broken call is the reader's to report."""
        desk = self._desk
        try:
            while not desk.is_finished:
                job = desk.next_job(self._clock.monotonic()) if desk.in_flight_count < self._window else None
                if job is not None:
                    await call.write(_message(job))
                elif not desk.is_finished:
                    await self._wait_for_change()
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            return
        except Exception:
            call.cancel()  # else the reader would wait for answers to rows that nobody sends
            raise

    async def _wait_for_change(self) -> None:
        """Until an answer came or a delayed row is due."""
        self._changed.clear()
        wait_s = self._desk.wait_s(self._clock.monotonic())
        timer = None if wait_s is None else self._clock.call_later(wait_s, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _watch_silence(self, call: Call) -> None:
        while True:
            silent_s = self._clock.monotonic() - self._heard_s
            if self._desk.in_flight_count == 0:
                silent_s, self._heard_s = 0.0, self._clock.monotonic()
            if silent_s >= self._silence_s:
                call.cancel()
                return
            await self._clock.sleep(self._silence_s - silent_s)

    async def _pause(self, error: grpc.aio.AioRpcError | None) -> None:
        delay_s = self._patience.failed(self._clock.monotonic())
        if delay_s is None:
            what = "the connection was lost and did not come back" if self._was_connected else "cannot be reached"
            raise gave_up(self._to.server, what, error)
        await self._clock.sleep(delay_s)

    async def _one_by_one(self) -> None:
        """Send every unanswered row in a call of its own; those the engine fails on get that as their result."""
        jobs = iter(self._desk.in_flight())
        finals = await asyncio.gather(*(self._singles(jobs) for _ in range(SINGLE_CONCURRENCY)))
        for final in filter(None, finals):
            raise final

    async def _singles(self, jobs: Iterator[Job]) -> ShipError | None:
        """Take jobs one after the other; why no further call is of use, None when all were tried."""
        for job in jobs:
            try:
                await self._single(job)
            except grpc.aio.AioRpcError as error:
                if (final := final_error(self._to.server, error)) is not None:
                    return final
                self._take_single_error(job, error)
        return None

    def _take_single_error(self, job: Job, error: grpc.aio.AioRpcError) -> None:
        """A defect or a refusal is the row's result; anything else is about the way there and leaves it unanswered."""
        status = status_of(error)
        if is_defect(error):
            self._desk.failed_by(job.line, _defect(error))
            self._succeeded()
        elif reason_of(status):
            answer = order_service_pb2.OrderResult(status=status)
            if self._desk.answered(job.line, answer, self._clock.monotonic()):
                self._succeeded()

    async def _single(self, job: Job) -> None:
        request = order_service_pb2.CreateOrderRequest(request_id=job.request_id, order=job.order)
        call = self._stubs.orders.CreateOrder(request, metadata=self._to.metadata, timeout=SINGLE_TIMEOUT_S)
        answer = order_service_pb2.OrderResult(created=await call)
        if self._desk.answered(job.line, answer, self._clock.monotonic()):
            self._succeeded()


def _defect(error: grpc.aio.AioRpcError) -> Problem:
    return Problem(
        "",
        f"the engine failed on this row: {(error.details() or error.code().name)[:200]}",
        "show this to whoever runs the engine, then run the same command again",
    )


def _message(job: Job) -> order_service_pb2.StreamCreateOrdersRequest:
    return order_service_pb2.StreamCreateOrdersRequest(index=job.line, request_id=job.request_id, order=job.order)


def _error(code: grpc.StatusCode, details: str, trailing: Iterable[tuple[str, str | bytes]]) -> grpc.aio.AioRpcError:
    """The error a read would have raised; some ends of a stream are told by its code alone."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details=details)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
