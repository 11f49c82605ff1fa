"""A lane under pressure: who goes first, how tenants share it, and what a carrier's "too many" does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from math import inf, nan
from typing import Any

import pytest

from crossdock_sdk import (
    Absent,
    Booked,
    Booking,
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    Limit,
)
from engine.core.policy.retry import MAX_RETRY_AFTER_S
from engine.outbound import Ambiguous, FaultKind, LaneSettings, NotSent, Priority, TransportError
from tests.unit.outbound.support import booking, yard

pytestmark = pytest.mark.anyio
ONE = Limit(concurrency=1)


async def test_a_flood_of_polls_costs_a_booking_no_more_than_the_call_in_flight() -> None:
    """One slot, a thousand polls waiting: the booking is the very next call."""
    async with yard(book=ONE, find=ONE, cancel=ONE) as scene:
        scene.transport.hold = True
        polls = [scene.start("find", f"F{n}", priority=Priority.POLL, deadline_s=100) for n in range(1000)]
        await scene.clock.settle()
        booked = scene.book("A1")
        await scene.clock.settle()
        in_the_way = len(scene.transport.sent)
        scene.transport.hold = False
        scene.transport.release(len(scene.transport.held))
        await asyncio.gather(booked, *polls)

    assert (in_the_way, scene.transport.sent[1]) == (1, "book:A1")


async def test_tenants_share_a_backlog_by_weight() -> None:
    """Three to one, whatever came first."""
    settings = LaneSettings(drain_s=0.2, tenant_weights={"big": 3})
    async with yard(settings=settings, book=ONE) as scene:
        scene.transport.hold = True
        tasks = [scene.book("first", tenant="small")]
        await scene.clock.settle()
        tasks += [scene.book(f"s{n}", tenant="small") for n in range(40)]
        tasks += [scene.book(f"b{n}", tenant="big") for n in range(40)]
        await scene.clock.settle()
        scene.transport.hold = False
        scene.transport.release()
        await asyncio.gather(*tasks)

    shared = [sent.removeprefix("book:")[0] for sent in scene.transport.sent[1:49]]
    assert (shared.count("b"), shared.count("s")) == (36, 12)


@pytest.mark.parametrize(
    ("status", "header", "blocked_s"),
    [
        (429, "7", 7.0),
        (503, "7", 7.0),
        (429, "Sat, 21 Nov 2026 08:00:30 GMT", 30.0),
        (429, "Sat, 21 Nov 2026 07:00:00 GMT", 0.0),
        (429, "in a while", 0.0),
        (429, "-5", 0.0),
        (429, "nan", 0.0),
        (429, "", 0.0),
        (500, "7", 0.0),
    ],
)
async def test_retry_after_blocks_to_the_second_and_nonsense_blocks_nothing(
    status: int, header: str, blocked_s: float
) -> None:
    """Seconds and dates of a carrier that is busy count; what cannot be read, and what is past, does not."""
    async with yard() as scene:
        scene.transport.script = [HttpResponse(status, {"retry-after": header})]
        with suppress(Exception):
            await scene.book("A0")
        state = scene.outbound.rate_states()["a"]["book"]

    assert state.blocked_s == pytest.approx(blocked_s)


@pytest.mark.parametrize(
    ("retry_after_s", "blocked_s"),
    [(4.0, 4.0), (1e12, MAX_RETRY_AFTER_S), (inf, MAX_RETRY_AFTER_S), (nan, 0.0), (-5.0, 0.0), ("60", 0.0)],
)
async def test_a_busy_code_in_an_answer_of_200_blocks_as_a_header_does(retry_after_s: Any, blocked_s: float) -> None:
    """Carriers that never say 429: their plug-ins read RATE_LIMITED and its wait from the body, nonsense included."""
    async with yard() as scene:
        busy = CarrierError(ErrorClass.RATE_LIMITED, code="A1099", retry_after_s=retry_after_s)

        def book(ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[object]]:
            yield HttpRequest("POST", "https://fake.invalid/book")
            return [busy] * len(bookings)

        scene.carrier.book = book  # type: ignore[method-assign]
        await scene.book("A0")
        state = scene.outbound.rate_states()["a"]["book"]
        snapshot = scene.outbound.lane("a", "book").snapshot()

    assert state.blocked_s == pytest.approx(blocked_s)
    assert snapshot.rates_per_s["book"] is not None
    assert snapshot.breaker == "CLOSED"


def two_requests(ctx: CallContext, items: Sequence[Any]) -> Flow[list[Any]]:
    """A flow whose operation takes two requests."""
    yield HttpRequest("POST", "https://fake.invalid/first")
    yield HttpRequest("POST", "https://fake.invalid/second")
    return [Absent(item) if isinstance(item, str) else Booked(item.reference, "W1") for item in items]


async def test_a_further_request_of_a_flow_waits_for_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in five seconds: the second request leaves five seconds after the first."""
    async with yard(book=Limit(rate_per_s=0.2)) as scene:
        monkeypatch.setattr(scene.carrier, "book", two_requests)
        task = scene.book("A0")
        await scene.clock.settle(4.9)
        early = len(scene.transport.sent)
        await scene.clock.settle(0.2)
        answer = await task

    assert (early, answer.value) == (1, Booked("A0", "W1"))


@pytest.mark.parametrize(("operation", "error"), [("book", Ambiguous), ("find", NotSent)])
async def test_a_further_request_that_the_rate_leaves_no_time_for_is_not_sent(
    operation: str, error: type[TransportError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in twenty seconds and fifteen for the call: the carrier's limit holds, and a booking begun is in doubt."""
    slow = Limit(rate_per_s=0.05, timeout_s=15.0)
    async with yard(book=slow, find=slow) as scene:
        monkeypatch.setattr(scene.carrier, operation, two_requests)
        with pytest.raises(TransportError) as caught:
            await scene.start(operation, booking("A0") if operation == "book" else "A0")
        state = scene.outbound.rate_states()["a"][operation]

    assert (type(caught.value), caught.value.kind) == (error, FaultKind.RATE)
    assert scene.transport.sent == ["first:"]
    assert state.owed_s == pytest.approx(20.0), "what did not go out is not charged"
