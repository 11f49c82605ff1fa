"""A lane under pressure: who goes first, how tenants share it, and what a carrier's "too many" does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from math import inf, nan
from typing import Any

import pytest

from crossdock_sdk import (
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
from engine.outbound import LaneSettings, Priority
from tests.unit.outbound.support import yard

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
