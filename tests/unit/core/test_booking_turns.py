"""Orders that wait for their turn in a carrier's queue: whatever they waited, the carrier has its whole time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from crossdock_sdk import HttpRequest, HttpResponse, Limit, Repeat
from crossdock_sdk.manifest import BookingFacts
from engine.core.calls import ask
from engine.core.orders import Created
from engine.outbound import Ambiguous, FaultKind, Priority
from tests.fakes.carrier import manifest
from tests.fakes.house import TENANT, House, draft, house, states, turns

pytestmark = pytest.mark.anyio

Send = Callable[..., Awaitable[HttpResponse]]


def slow(scene: House, operation: str, seconds: float) -> Send:
    """A transport whose carriers need `seconds` for an operation and carry it out however early we hang up."""
    real = scene.network.send

    async def work(request: HttpRequest, max_body_bytes: int) -> HttpResponse:
        await scene.clock.sleep(seconds)
        return await real(request, timeout_s=seconds, max_body_bytes=max_body_bytes)

    async def send(request: HttpRequest, *, timeout_s: float, max_body_bytes: int) -> HttpResponse:
        if not request.url.endswith(operation):
            return await real(request, timeout_s=timeout_s, max_body_bytes=max_body_bytes)
        working = scene.group.create_task(work(request, max_body_bytes))
        await scene.clock.sleep(min(timeout_s, seconds))
        await turns(5)
        if not working.done():
            raise Ambiguous(FaultKind.TIMEOUT, "no complete answer within the total limit")
        return working.result()

    return send


def order(scene: House, number: int, deadline_s: float) -> asyncio.Task[Created]:
    """A caller that creates an order and waits."""
    made = scene.orders.create(TENANT, draft(f"A{number}"), request_id=f"r{number}", deadline_s=deadline_s)
    return asyncio.ensure_future(made)


async def test_a_booking_that_waited_long_for_its_turn_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn comes after 29.5 s and its answer 12 s later; cut after half a second, it would be booked twice."""
    facts = BookingFacts(repeat=Repeat.BOOKS_AGAIN, lookup_settles_s=10.0)
    limit = Limit(rate_per_s=1 / 29.5, burst=1, timeout_s=15.0)
    async with house(manifest("alpha", booking=facts, limits={"book": limit})) as scene:
        monkeypatch.setattr(scene.network, "send", slow(scene, "/book", 12.0))
        scene.reconcile()
        first = order(scene, 0, 60.0)
        await turns()
        second = order(scene, 1, 60.0)
        await scene.pass_time(100.0)
        created = [await first, await second]
        loaded = [await scene.get(c) for c in created]

    assert [states(one) for one in loaded] == [["alpha CONFIRMED"]] * 2
    assert len(scene.network.live) == 2


async def test_a_queue_of_ours_opens_no_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six orders a second for a carrier that allows five and needs a second: some wait in vain, none is in doubt."""
    limit = Limit(rate_per_s=5.0, burst=1, concurrency=50, timeout_s=10.0)
    async with house(manifest("alpha", limits={"book": limit}), max_open=10_000) as scene:
        monkeypatch.setattr(scene.network, "send", slow(scene, "/book", 1.0))
        # As a backlog of half a minute leaves it: every call that begins from now on has waited almost its turn.
        orders = [order(scene, n, 29.8) for n in range(200)]
        await turns()
        await scene.pass_time(45.0)
        for waiting in orders:
            waiting.cancel()
        await asyncio.gather(*orders, return_exceptions=True)

    assert scene.heard.attempts.count("alpha CONFIRMED") >= 145
    assert set(scene.heard.attempts) <= {"alpha CONFIRMED", "alpha NOT_SENT"}


async def test_a_question_nobody_waits_for_has_its_whole_time_after_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue as long as the turn leaves the second question all the time that the manifest allows."""
    limit = Limit(rate_per_s=1 / 29.5, burst=1, timeout_s=15.0)
    async with house(manifest("alpha", limits={"find": limit})) as scene:
        created = await scene.create()
        reference = created.order.attempts[0].reference
        monkeypatch.setattr(scene.network, "send", slow(scene, "/find", 12.0))
        asked = [
            ask(scene.outbound, "alpha-1", "find", item, priority=Priority.BOOK, tenant=TENANT)
            for item in (reference, "another")
        ]
        answers = await scene.run(asyncio.gather(*asked))

    assert [type(answer).__name__ for answer in answers] == ["Booked", "Absent"]
