"""Serves a carrier simulator over HTTP/1.1, with every fault of `Faults` under exact control.

An answer leaves only after the ledger is on disk. The answers of one loop turn are collected, the
ledger is synced once for all of them, then they are written: group commit, as the carrier's own
database does. Needs the extra `crossdock-sdk[simulator]` (httptools).

    async with SimulatorServer(simulator) as server:
        account = type(simulator).account(server.url)
"""

from __future__ import annotations

import asyncio
import socket
import sys
import traceback
from collections.abc import Callable
from random import Random
from types import TracebackType

import msgspec

from crossdock_sdk.flow import HttpRequest, HttpResponse
from crossdock_sdk.simulator.base import CarrierSimulator
from crossdock_sdk.simulator.chaos import Fate, Mishap, SlidingSecond, draw, is_hit
from crossdock_sdk.simulator.control import answer_control
from crossdock_sdk.simulator.faults import Faults
from crossdock_sdk.simulator.http import Connection
from crossdock_sdk.simulator.pusher import Pusher
from crossdock_sdk.simulator.stats import Stats

_BACKLOG = 1024
TICK_S = 0.1
_ODD_BODY = HttpResponse(
    200,
    {"content-type": "text/html; charset=utf-8"},
    "<!DOCTYPE html><html><body><h1>系统维护中</h1><p>请稍后再试</p></body></html>".encode(),
)
_BROKEN = HttpResponse(500, {"content-type": "text/plain"}, b"the simulator itself failed\n")


class _Due(msgspec.Struct, frozen=True):
    """An answer that waits for the ledger: whom it goes to, what it is, what happens to it."""

    connection: Connection
    response: HttpResponse
    fate: Fate
    pushes: list[HttpRequest]


class SimulatorServer:
    """One simulator on a port of its own, its control plane on another. Use as an async context
    manager.

    port, control_port: 0 takes free ones. seed: of the generator that draws mishaps; the same seed
    and the same order of calls give the same mishaps. push_backoff_s: wait before a push's first
    retry. After entering, `url` and `control_url` say where it listens; no trailing slash.
    """

    def __init__(
        self,
        simulator: CarrierSimulator,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
        seed: int = 0,
        push_backoff_s: float = 0.2,
    ) -> None:
        self.simulator = simulator
        self.stats = Stats()
        self.url = ""
        self.control_url = ""
        self.port = port
        self.control_port = control_port
        self._host = host
        self._random = Random(seed)
        self._pusher = Pusher(
            self.stats,
            backoff_s=push_backoff_s,
            is_acknowledged=simulator.is_acknowledged,
            on_lost=simulator.push_lost,
        )
        self._quota = SlidingSecond()
        self._connections: set[Connection] = set()
        self._control_connections: set[Connection] = set()
        self._due: list[_Due] = []
        self._ticking: asyncio.TimerHandle | None = None
        self._listener: asyncio.Server | None = None
        self._control: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._switching = asyncio.Lock()
        self._reserved: list[socket.socket] = []

    async def __aenter__(self) -> SimulatorServer:
        self._loop = asyncio.get_running_loop()
        try:
            self.port, self.url = self._reserve(self.port)
            self.control_port, self.control_url = self._reserve(self.control_port)
            self.simulator.base_url = self.url
            self._control = await self._listen(self.control_port, self._control_connection)
            if not self.simulator.faults.down:
                self._listener = await self._listen(self.port, self._carrier_connection)
        except BaseException:
            await self._shut()
            raise
        self._pusher.start()
        self._ticking = self._loop.call_later(TICK_S, self._tick)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._shut()

    async def set_faults(self, faults: Faults) -> None:
        """Replace the faults; returns once the port is closed or open as they say."""
        async with self._switching:
            self.simulator.faults = faults
            if faults.down and self._listener is not None:
                listener, self._listener = self._listener, None
                await self._close(listener, self._connections)
            elif not faults.down and self._listener is None:
                self._listener = await self._listen(self.port, self._carrier_connection)

    # lifecycle

    def _reserve(self, port: int) -> tuple[int, str]:
        """Bind without listening: callers are refused, yet nobody takes the port while down."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._reserved.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self._host, port))
        port = int(sock.getsockname()[1])
        host = f"[{self._host}]" if family is socket.AF_INET6 else self._host
        return port, f"http://{host}:{port}"

    async def _listen(self, port: int, make: Callable[[], Connection]) -> asyncio.Server:
        return await self._loop.create_server(make, self._host, port, backlog=_BACKLOG, reuse_address=True)

    async def _close(self, listener: asyncio.Server, connections: set[Connection]) -> None:
        listener.close()
        for connection in tuple(connections):
            connection.reset()
        await asyncio.gather(*(c.closed for c in tuple(connections)))

    async def _shut(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pusher.aclose()
        for listener, connections in (
            (self._listener, self._connections),
            (self._control, self._control_connections),
        ):
            if listener is not None:
                await self._close(listener, connections)
        for sock in self._reserved:
            sock.close()
        self.simulator.ledger.sync()

    # the carrier's side

    def _carrier_connection(self) -> Connection:
        return Connection(self.url, self._on_call, self._connections)

    def _on_call(self, connection: Connection, request: HttpRequest) -> None:
        """Decide and do one call; what is sent waits for the end of the loop turn."""
        if self._listener is None:  # accepted in the very turn the port was closed
            connection.reset()
            return
        if not self._due:
            self._loop.call_soon(self._flush)
        try:
            response, fate = self._do(request)
        except Exception as error:
            self._report(error)
            response, fate = _BROKEN, Fate()
        pushes, self.simulator.outbox = self.simulator.outbox, []
        self._due.append(_Due(connection, response, fate, pushes))

    def _do(self, request: HttpRequest) -> tuple[HttpResponse, Fate]:
        simulator = self.simulator
        faults = simulator.faults
        now_s = self._loop.time()
        operation = simulator.operation(request)
        self.stats.call(operation, now_s)
        if self._is_over_quota(faults, operation, now_s):
            self.stats.busy += 1
            return simulator.busy(), Fate(delay_s=faults.latency_s)
        fate = draw(faults, operation, self._random)
        self.stats.mishaps[fate.mishap] += 1
        response = simulator.handle(request) if fate.mishap.is_done else simulator.failing()
        return response, fate

    def _is_over_quota(self, faults: Faults, operation: str, now_s: float) -> bool:
        if faults.quota_per_s is None or not is_hit(faults, operation):
            return False
        return not self._quota.try_add(now_s, faults.quota_per_s)

    def _report(self, error: Exception) -> None:
        """Say where a simulator's own code failed, never with what data."""
        self.stats.broken += 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.filename}:{where.lineno}"
        print(f"{self.simulator.code}: {type(error).__name__} at {place}", file=sys.stderr)

    def _flush(self) -> None:
        due, self._due = self._due, []
        self.simulator.ledger.sync()
        for one in due:
            if one.fate.delay_s > 0:
                self._loop.call_later(one.fate.delay_s, self._send, one)
            else:
                self._send(one)

    def _send(self, one: _Due) -> None:
        connection, mishap = one.connection, one.fate.mishap
        if mishap in (Mishap.CUT, Mishap.ACCEPT_THEN_CUT):
            connection.close()
        elif mishap is Mishap.HALF_ANSWER:
            connection.half_answer(one.response)
        elif mishap is not Mishap.SILENCE and connection.is_open:
            self.stats.answered += 1
            connection.answer(_ODD_BODY if mishap is Mishap.ODD_BODY else one.response)
        self._pusher.put(one.pushes)

    # time

    def _tick(self) -> None:
        """Let the simulator say what time has brought; a carrier that is down says nothing."""
        self._ticking = self._loop.call_later(TICK_S, self._tick)
        if self._listener is None:
            return
        try:
            self.simulator.tick()
        except Exception as error:
            self._report(error)
        pushes, self.simulator.outbox = self.simulator.outbox, []
        if pushes:
            self.simulator.ledger.sync()  # a push never tells what a crash could take back
            self._pusher.put(pushes)

    # the control plane

    def _control_connection(self) -> Connection:
        return Connection(self.control_url, self._on_control, self._control_connections)

    def _on_control(self, connection: Connection, request: HttpRequest) -> None:
        task = asyncio.create_task(self._answer_control(connection, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_control(self, connection: Connection, request: HttpRequest) -> None:
        connection.answer(await answer_control(self, request))
