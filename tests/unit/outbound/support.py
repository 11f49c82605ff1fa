"""A scripted carrier, a scripted transport and a recording observer for the outbound room's tests.

The fake carrier sends one request a call, body = the references joined by commas, and reads the
status as carriers mean it: 200 books, 429 is RATE_LIMITED, 401 AUTH, 422 NO_SERVICE, 5xx TEMPORARY.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from crossdock_sdk import (
    Absent,
    Account,
    Address,
    Booked,
    Booking,
    CallContext,
    Cancellation,
    Cancelled,
    Carrier,
    CarrierError,
    Contact,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    Limit,
    Manifest,
    Parcel,
    Party,
    Secret,
    Session,
)
from crossdock_sdk.manifest import Names, Service
from engine.outbound import LaneKey, LaneSettings, NullObserver, Outbound, Priority
from tests.fakes.clock import FakeClock

PARTY = Party(Contact("张三", "13800000000"), Address(province="广东省", city="深圳市"))
CLASSES = {
    401: ErrorClass.AUTH,
    422: ErrorClass.NO_SERVICE,
    429: ErrorClass.RATE_LIMITED,
    500: ErrorClass.TEMPORARY,
}
PRIORITIES = {"book": Priority.BOOK, "find": Priority.QUERY, "cancel": Priority.CANCEL}


def booking(reference: str) -> Booking:
    """A booking that differs by its reference only."""
    return Booking(reference, PARTY, PARTY, (Parcel(500),), "S")


def cancellation(reference: str) -> Cancellation:
    """A cancellation that differs by its reference only."""
    return Cancellation(reference, f"W{reference}")


def manifest(operations: tuple[str, ...] = ("book", "find", "cancel"), **limits: Limit) -> Manifest:
    """A manifest with the given operations and limits."""
    return Manifest(
        code="fake",
        sdk=1,
        names=Names("Fake", "假"),
        operations=operations,  # type: ignore[arg-type]  # names from the tests
        base_url="https://fake.invalid",
        service=(Service("S", "Standard"),),
        limits=limits,
    )


class FakeCarrier(Carrier):
    """See the module. `sessions` lists the tokens that calls were made with."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.tokens: list[str] = []

    def sign_in(self, ctx: CallContext) -> Flow[Session]:
        response = yield HttpRequest("POST", "https://fake.invalid/sign_in")
        if response.status != 200:
            raise CarrierError(CLASSES[response.status])
        return Session(Secret(response.body.decode()), 1000.0)

    def _call(
        self,
        ctx: CallContext,
        operation: str,
        references: Sequence[str],
        make: Callable[[str], Any],
    ) -> Flow[list[Any]]:
        if ctx.session is not None:
            self.tokens.append(ctx.session.token.reveal())
        body = ",".join(references).encode()
        response = yield HttpRequest("POST", f"https://fake.invalid/{operation}", body=body)
        if response.status != 200:
            raise CarrierError(CLASSES[response.status])
        return [make(reference) for reference in references]

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[Any]]:
        return (yield from self._call(
            ctx, "book", [b.reference for b in bookings], lambda r: Booked(r, f"W{r}")
        ))  # fmt: skip

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[Any]]:
        return (yield from self._call(ctx, "find", references, Absent))

    def cancel(self, ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[Any]]:
        return (yield from self._call(
            ctx, "cancel", [c.reference for c in cancellations], Cancelled
        ))  # fmt: skip


class FakeTransport:
    """Answers 200 at once unless told otherwise.

    script: statuses or errors for the next requests, in order. hold: answers only when released.
    """

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.script: list[int | BaseException | HttpResponse] = []
        self.hold = False
        self.held: list[asyncio.Future[None]] = []
        self.timeouts_s: list[float] = []
        self.running = self.most = 0
        self.closed = False
        self.sign_ins = 0

    async def send(self, request: HttpRequest, *, timeout_s: float, max_body_bytes: int) -> HttpResponse:
        path = request.url.rsplit("/", 1)[1]
        self.sent.append(f"{path}:{request.body.decode()}")
        self.timeouts_s.append(timeout_s)
        answer = self.script.pop(0) if self.script else 200
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.hold:
                self.held.append(asyncio.get_running_loop().create_future())
                await self.held[-1]
            else:
                await asyncio.sleep(0)
        finally:
            self.running -= 1
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, HttpResponse):
            return answer
        if path == "sign_in":
            self.sign_ins += 1
            return HttpResponse(answer, body=f"token{self.sign_ins}".encode())
        return HttpResponse(answer)

    def release(self, count: int = 1) -> None:
        """Let the oldest held requests be answered."""
        for _ in range(count):
            self.held.pop(0).set_result(None)

    async def aclose(self) -> None:
        self.closed = True


class Recorder(NullObserver):
    """Remembers refusals, finished calls and breaker changes."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.calls: list[tuple[str, str, str, int]] = []
        self.breaker: list[str] = []
        self.rate_waits: list[float] = []

    def refused(self, lane: LaneKey, operation: str, reason: str) -> None:
        self.refusals.append(reason)

    def finished(
        self,
        lane: LaneKey,
        operation: str,
        outcome: str,
        error_class: str,
        seconds: float,
        batch: int,
    ) -> None:
        self.calls.append((operation, outcome, error_class, batch))

    def breaker_changed(self, lane: LaneKey, state: str) -> None:
        self.breaker.append(state)

    def rate_wait(self, lane: LaneKey, operation: str, seconds: float) -> None:
        self.rate_waits.append(seconds)


class Yard:
    """One carrier account under test, with everything around it scripted."""

    def __init__(self, manifest: Manifest, settings: LaneSettings | None) -> None:
        self.clock = FakeClock()
        self.transport = FakeTransport()
        self.observer = Recorder()
        self.carrier = FakeCarrier(manifest)
        self.outbound = Outbound(
            {"a": Account("a", "fake", "https://fake.invalid")},
            {"fake": self.carrier},
            lambda: self.transport,
            self.clock,
            self.observer,
            settings or LaneSettings(drain_s=0.2),
        )

    def start(self, operation: str, item: object, **options: Any) -> asyncio.Task[Any]:
        """Call in a task of its own."""
        options = {"deadline_s": 15.0, "priority": PRIORITIES[operation], **options}
        return asyncio.ensure_future(self.outbound.call("a", operation, item, **options))

    def book(self, reference: str, **options: Any) -> asyncio.Task[Any]:
        """Book in a task of its own."""
        return self.start("book", booking(reference), **options)


@asynccontextmanager
async def yard(
    operations: tuple[str, ...] = ("book", "find", "cancel"),
    *,
    settings: LaneSettings | None = None,
    **limits: Limit,
) -> AsyncIterator[Yard]:
    """A running Outbound; afterwards no task and no timer may be left."""
    before = asyncio.all_tasks()
    scene = Yard(manifest(operations, **limits), settings)
    async with scene.outbound:
        yield scene
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() - before == set()
    assert scene.clock.pending == 0
    assert scene.transport.closed or not scene.transport.sent
