"""How long calls wait at the door: the engine calls itself, the way callers do, and takes the time until it hears it.

gRPC takes every call in and keeps it until the event loop asks for the next one. What waits there is seen by no
counter of ours, and its age is told by nothing it brings; only a call of which we know when it was sent can tell.
The knocks come through a socket that nobody but this process's user can reach, since on it there is no TLS.

gRPC keeps one queue for the calls of each method that is registered with it, and one for all others: see `OWN_QUEUE`.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import grpc

from engine.clock import Clock
from engine.core.policy.pressure import Waits

BOOKINGS = "/crossdock.v1.OrderService/CreateOrder"
TRACKS = "/crossdock.v1.TrackService/GetTrack"
OWN_QUEUE = frozenset(
    {
        BOOKINGS,
        TRACKS,
        "/crossdock.v1.OrderService/CancelOrder",
        "/crossdock.v1.TrackService/IngestPush",
        "/grpc.health.v1.Health/Check",
    }
)
"""Methods whose calls do not wait behind others'. Each costs every call a little CPU, so these are only what must not
be held up by a flood of cheaper calls, and what such floods are made of."""
PERIOD_S = 0.15
FEW = 3
"""Calls since the last knock; where there are no more, and the event loop is in time, nobody waits."""
LATE_S = 0.03
"""An event loop that is later has been kept by calls so heavy that a few of them make a queue."""
HEADER = "crossdock-knock"
PREFIX = "crossdock-door-"
LOST_S = 10.0

Stub: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


async def _heard(request: bytes, context: object) -> bytes:
    return b""


HEARD: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_heard)


class Knock:
    """Knocks at the queues of what can be given up: bookings, tracks and all others, one knock at a time in each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls = 0
        self._token = secrets.token_hex(16)
        self._other = f"/crossdock.knock/{self._token}"
        self._queues = (BOOKINGS, TRACKS, self._other)
        self._sent_at: dict[str, float] = {}
        self._waited_s: dict[str, float] = {}
        self._folder: Path | None = None

    def open(self) -> str:
        """The address to listen on. Raises OSError where no folder can be made."""
        _sweep(Path(tempfile.gettempdir()))
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # for this user only
        return f"unix:{self._folder}/door"

    def hears(self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> bool:
        """Whether a call that came in is a knock; takes its time. Ask once for every call."""
        if method not in self._queues or (method != self._other and (HEADER, self._token) not in tuple(metadata or ())):
            self._calls += 1
            return False
        sent_at = self._sent_at.pop(method, None)
        if sent_at is not None:
            self._waited_s[method] = self._clock.monotonic() - sent_at
        return True

    def waits(self) -> Waits:
        """How long calls wait at the door now."""
        return Waits(self._wait_s(BOOKINGS), self._wait_s(TRACKS), self._wait_s(self._other))

    def _wait_s(self, queue: str) -> float:
        sent_at = self._sent_at.get(queue)
        under_way_s = 0.0 if sent_at is None else self._clock.monotonic() - sent_at
        return max(under_way_s, self._waited_s.get(queue, 0.0))

    async def run(self) -> None:
        """Knock until cancelled."""
        if self._folder is None:
            return
        try:
            async with grpc.aio.insecure_channel(f"unix:{self._folder}/door") as channel:
                stubs: dict[str, Stub] = {method: channel.unary_unary(method) for method in self._queues}

                async def send(method: str) -> None:
                    # One that is refused or lost has waited all the same.
                    with suppress(grpc.aio.AioRpcError):
                        await stubs[method](b"", metadata=((HEADER, self._token),), timeout=LOST_S)

                await self.keep_knocking(send)
        finally:
            self.close()

    async def keep_knocking(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Knock from time to time; `send` brings a knock to a queue and ends when it is over."""
        async with asyncio.TaskGroup() as group:
            while True:
                due = self._clock.monotonic() + PERIOD_S
                await self._clock.sleep(PERIOD_S)
                is_late = self._clock.monotonic() - due > LATE_S
                calls, self._calls = self._calls, 0
                if calls <= FEW and not is_late and not self._sent_at:
                    self._waited_s.clear()
                    continue
                for method in self._queues:
                    if method not in self._sent_at:
                        group.create_task(self._knock(method, send))

    def close(self) -> None:
        """Leave nothing behind."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _knock(self, method: str, send: Callable[[str], Awaitable[None]]) -> None:
        self._sent_at[method] = self._clock.monotonic()
        await send(method)
        self._sent_at.pop(method, None)


def _sweep(temporary: Path) -> None:
    """Remove what engines that were killed left behind: sockets at which nobody listens."""
    for door in temporary.glob(f"{PREFIX}*/door"):
        with socket.socket(socket.AF_UNIX) as asking, suppress(OSError):
            asking.settimeout(0.2)
            try:
                asking.connect(str(door))
            except ConnectionRefusedError:
                shutil.rmtree(door.parent, ignore_errors=True)
