"""A lane: order, rate, concurrency, breaker, deadlines, and callers who go away."""

from __future__ import annotations

import asyncio

import pytest

from crossdock_sdk import (
    Booked,
    CarrierError,
    ErrorClass,
    HttpResponse,
    Limit,
)
from engine.core.policy.breaker import BreakerRules
from engine.core.policy.retry import FLOOR
from engine.outbound import (
    Ambiguous,
    Answered,
    FaultKind,
    LaneRefused,
    LaneSettings,
    NotSent,
    Priority,
    RefusalReason,
    TransportError,
)
from tests.unit.outbound.support import cancellation, yard

pytestmark = pytest.mark.anyio
ONE = Limit(concurrency=1)


async def refusal(task: asyncio.Task[object]) -> tuple[RefusalReason, float]:
    """Why and for how long a lane refused."""
    with pytest.raises(LaneRefused) as caught:
        await task
    return caught.value.reason, round(caught.value.wait_s, 3)


async def test_a_free_lane_sends_at_once_and_answers() -> None:
    """The usual case: one item, one call, one outcome."""
    async with yard() as scene:
        answer = await scene.book("A1")

    assert (answer.value, answer.batch) == (Booked("A1", "WA1"), 1)
    assert scene.transport.sent == ["book:A1"]
    assert scene.observer.calls == [("book", "ANSWERED", "", 1)]


async def test_a_carriers_refusal_is_an_answer() -> None:
    """NO_SERVICE comes back as a value, not as a fault of the lane."""
    async with yard() as scene:
        scene.transport.script = [422]
        answer = await scene.book("A1")

    assert isinstance(answer.value, CarrierError)
    assert answer.value.error_class is ErrorClass.NO_SERVICE
    assert scene.observer.calls == [("book", "REFUSED", "NO_SERVICE", 1)]


async def test_waiting_items_go_by_priority() -> None:
    """With one slot, a cancel that came last goes before bookings that wait; polls go last."""
    async with yard(book=ONE, find=ONE, cancel=ONE) as scene:
        scene.transport.hold = True
        tasks = [scene.book("A0", deadline_s=100)]
        await scene.clock.settle()
        tasks += [scene.start("find", "F1", priority=Priority.POLL), scene.start("find", "F2")]
        tasks += [scene.book("A1"), scene.book("A2"), scene.start("cancel", cancellation("C1"))]
        await scene.clock.settle()
        for _ in range(6):
            scene.transport.release()
            await scene.clock.settle()
        await asyncio.gather(*tasks)

    assert scene.transport.sent == [
        "book:A0",
        "cancel:C1",
        "book:A1",
        "book:A2",
        "find:F2",
        "find:F1",
    ]


async def test_concurrency_stays_within_the_limit() -> None:
    """Fifty bookings at once, never more than the learned limit in flight."""
    async with yard(book=Limit(concurrency=3)) as scene:
        await asyncio.gather(*(scene.book(f"A{n}") for n in range(50)))

    assert (scene.transport.most, len(scene.transport.sent)) == (3, 50)


async def test_the_rate_holds_items_back_until_their_time() -> None:
    """At two a second the second booking leaves half a second after the first."""
    async with yard(book=Limit(rate_per_s=2.0)) as scene:
        tasks = [scene.book(f"A{n}") for n in range(3)]
        await scene.clock.settle(0.49)
        early = len(scene.transport.sent)
        await scene.clock.settle(0.02)
        later = len(scene.transport.sent)
        await scene.clock.settle(0.5)
        await asyncio.gather(*tasks)

    assert (early, later, len(scene.transport.sent)) == (1, 2, 3)


async def test_a_predicted_wait_beyond_the_deadline_is_refused_at_once() -> None:
    """The third booking would wait a second.

    With 0.9 s left it goes elsewhere before anything is sent.
    """
    async with yard(book=Limit(rate_per_s=2.0)) as scene:
        tasks = [scene.book("A0"), scene.book("A1")]
        await scene.clock.settle()
        refused = await refusal(scene.book("A2", deadline_s=0.9))
        await scene.clock.settle(1.0)
        await asyncio.gather(*tasks)

    assert refused == (RefusalReason.RATE, 1.0)
    assert "book:A2" not in scene.transport.sent


async def test_no_call_starts_with_too_little_time_left() -> None:
    """0.1 s is less than the least time.

    Refused; a waiting item is sent away in time to try elsewhere.
    """
    async with yard(book=ONE) as scene:
        hasty = await refusal(scene.book("A0", deadline_s=0.1))
        scene.transport.hold = True
        first = scene.book("A1")
        waiting = scene.book("A2", deadline_s=5.0)
        await scene.clock.settle(4.79)
        still = waiting.done()
        await scene.clock.settle(0.02)
        expired = await refusal(waiting)
        scene.transport.release()
        await first

    assert (hasty[0], still, expired[0]) == (RefusalReason.DEADLINE, False, RefusalReason.DEADLINE)
    assert scene.transport.sent == ["book:A1"]


@pytest.mark.parametrize(("deadline_s", "expected"), [(100.0, 15.0), (4.0, 4.0)])
async def test_a_call_may_last_as_long_as_the_manifest_and_the_caller_allow(deadline_s: float, expected: float) -> None:
    """The total limit given to the transport is the smaller of the two."""
    async with yard(book=Limit(timeout_s=15.0)) as scene:
        await scene.book("A0", deadline_s=deadline_s)

    assert scene.transport.timeouts_s == [pytest.approx(expected)]


async def test_the_call_of_a_question_has_the_carriers_time_whoever_is_in_a_hurry() -> None:
    """Its caller leaves in time; the answer that comes later is no failure of the carrier's."""
    async with yard(find=Limit(timeout_s=15.0)) as scene:
        scene.transport.hold = True
        asked = scene.start("find", "A0", deadline_s=4.0)
        await scene.clock.settle(4.1)
        with pytest.raises(Ambiguous, match="deadline"):
            asked.result()
        await scene.clock.settle(5.0)
        scene.transport.release()
        await scene.clock.settle()

    assert scene.transport.timeouts_s == [pytest.approx(15.0)]
    assert [call[:2] for call in scene.observer.calls] == [("find", "ANSWERED")]


async def test_a_full_queue_refuses() -> None:
    """Nothing is unbounded."""
    async with yard(book=ONE, settings=LaneSettings(queue_size=2, drain_s=0.2)) as scene:
        scene.transport.hold = True
        tasks = [scene.book(f"A{n}") for n in range(3)]
        await scene.clock.settle()
        reason, _ = await refusal(scene.book("A3"))
        for _ in range(3):
            scene.transport.release()
            await scene.clock.settle()
        await asyncio.gather(*tasks)

    assert reason is RefusalReason.QUEUE_FULL


async def test_five_failures_open_the_breaker_and_send_the_waiting_away() -> None:
    """Queued items learn of it at once and can go to the next carrier.

    Later ones are refused unsent.
    """
    async with yard(book=ONE) as scene:
        scene.transport.script = [500] * 5
        tasks = [scene.book(f"A{n}") for n in range(8)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        late = await refusal(scene.book("A9"))

    assert [type(r) for r in results] == [Answered] * 5 + [LaneRefused] * 3
    assert late[0] is RefusalReason.BREAKER_OPEN
    assert 4.5 <= late[1] <= 5.5
    assert scene.observer.breaker == ["OPEN"]
    assert len(scene.transport.sent) == 5


async def test_one_probe_goes_while_half_open_and_three_good_ones_close() -> None:
    """After the open time a second booking beside the probe is refused.

    Then the lane is whole again.
    """
    rules = BreakerRules(open_s=2.0, jitter=0.0)
    async with yard(settings=LaneSettings(breaker=rules, drain_s=0.2)) as scene:
        scene.transport.script = [Ambiguous(FaultKind.CUT)] * 5
        await asyncio.gather(*(scene.book(f"A{n}") for n in range(5)), return_exceptions=True)
        scene.clock.advance(2.0)
        scene.transport.hold = True
        probe = scene.book("P0")
        await scene.clock.settle()
        beside = await refusal(scene.book("P1"))
        scene.transport.release()
        await probe
        scene.transport.hold = False
        await scene.book("P2")
        await scene.book("P3")
        lane = scene.outbound.lane("a", "book")

    assert beside == (RefusalReason.BREAKER_OPEN, 0.0)
    assert scene.observer.breaker == ["OPEN", "HALF_OPEN", "CLOSED"]
    assert lane.snapshot().breaker == "CLOSED"


@pytest.mark.parametrize("status", [422, 429, 401])
async def test_business_refusals_and_throttling_open_nothing(status: int) -> None:
    """They show that the carrier works."""
    async with yard() as scene:
        scene.transport.script = [status] * 30
        for n in range(30):
            task = scene.book(f"A{n}", deadline_s=100.0)
            await scene.clock.settle(20.0)
            await task

    assert scene.observer.breaker == []


async def test_too_many_tightens_the_rate_and_honours_retry_after() -> None:
    """After a 429 with Retry-After 7 the next booking waits seven seconds, to the second."""
    async with yard() as scene:
        scene.transport.script = [HttpResponse(429, {"retry-after": "7"})]
        await scene.book("A0")
        next_one = scene.book("A1")
        await scene.clock.settle(6.9)
        early = len(scene.transport.sent)
        await scene.clock.settle(0.2)
        await next_one
        lane = scene.outbound.lane("a", "book")

    assert (early, len(scene.transport.sent)) == (1, 2)
    assert lane.snapshot().rates_per_s["book"] is not None
    assert lane.snapshot().rates_per_s["find"] is None


async def test_those_a_new_block_makes_hopeless_learn_it_at_once() -> None:
    """A Retry-After of a minute sends a booking with ten seconds left away now, not then."""
    async with yard(book=ONE) as scene:
        scene.transport.script = [HttpResponse(429, {"retry-after": "60"})]
        first = scene.book("A0")
        second = scene.book("A1", deadline_s=10.0)
        await first
        refused = await refusal(second)

    assert refused[0] is RefusalReason.RATE
    assert refused[1] >= 60.0


async def test_those_a_new_block_keeps_beyond_their_turn_learn_it_at_once() -> None:
    """Whose call must begin within ten seconds goes elsewhere now, however long the call itself might take."""
    async with yard(book=ONE) as scene:
        scene.transport.script = [HttpResponse(429, {"retry-after": "60"})]
        first = scene.book("A0")
        second = scene.book("A1", deadline_s=100.0, start_within_s=10.0)
        await first
        refused = await refusal(second)

    assert refused[0] is RefusalReason.RATE


async def test_a_caller_who_leaves_the_queue_takes_the_item_along() -> None:
    """Cancelled before it was sent: never sent."""
    async with yard(book=ONE) as scene:
        scene.transport.hold = True
        first, second, third = (scene.book(f"A{n}") for n in range(3))
        await scene.clock.settle()
        second.cancel()
        await scene.clock.settle()
        scene.transport.release()
        await scene.clock.settle()
        scene.transport.release()
        await asyncio.gather(first, third)

    assert scene.transport.sent == ["book:A0", "book:A2"]


async def test_a_caller_who_leaves_a_running_call_loses_nothing() -> None:
    """The booking runs to its end, and the lane learns from it."""
    async with yard() as scene:
        scene.transport.hold = True
        task = scene.book("A0")
        await scene.clock.settle()
        task.cancel()
        await scene.clock.settle()
        running = scene.transport.running
        scene.transport.release()
        await scene.clock.settle()

    assert (task.cancelled(), running) == (True, 1)
    assert scene.observer.calls == [("book", "ANSWERED", "", 1)]


@pytest.mark.parametrize("error", [NotSent(FaultKind.REFUSED), Ambiguous(FaultKind.CUT)])
async def test_transport_failures_come_out_as_they_are(error: TransportError) -> None:
    """What a failure proves is decided in the transport and only there."""
    async with yard() as scene:
        scene.transport.script = [error]
        with pytest.raises(TransportError) as caught:
            await scene.book("A0")

    assert (type(caught.value), caught.value.kind) == (type(error), error.kind)


async def test_retries_are_paid_from_the_budget() -> None:
    """Thirty retries that fail may go without traffic; the next is refused unsent."""
    async with yard() as scene:
        scene.transport.script = [422] * FLOOR
        for n in range(FLOOR):
            await scene.book(f"A{n}", is_retry=True)
        refused = await refusal(scene.book("B1", is_retry=True))

    assert (refused[0], len(scene.transport.sent)) == (RefusalReason.RETRY_BUDGET, FLOOR)


async def test_retries_that_succeed_cost_nothing() -> None:
    """A carrier that is well again gets all that waited for it."""
    async with yard() as scene:
        for n in range(FLOOR * 2):
            await scene.book(f"A{n}", is_retry=True)

    assert len(scene.transport.sent) == FLOOR * 2


async def test_retries_that_never_went_cost_nothing() -> None:
    """Sent away while they waited, by the breaker or because their caller left."""
    async with yard(book=ONE) as scene:
        scene.transport.hold = True
        first = scene.book("A0")
        waiting = [scene.book(f"B{n}", is_retry=True) for n in range(FLOOR)]
        await scene.clock.settle()
        lane, now = scene.outbound.lane("a", "book"), scene.clock.monotonic()
        before = lane.may_retry(now)
        waiting[0].cancel()
        await scene.clock.settle()
        after = lane.may_retry(now)
        scene.transport.hold = False
        scene.transport.release()
        await asyncio.gather(first, *waiting, return_exceptions=True)

    assert (before, after) == (False, True)


async def test_predictions_for_routing() -> None:
    """A router sees the wait and the breaker without sending anything."""
    async with yard(book=Limit(rate_per_s=2.0)) as scene:
        lane = scene.outbound.lane("a", "book")
        now = scene.clock.monotonic()
        idle = lane.predicted_wait_s(now, "book")
        tasks = [scene.book(f"A{n}") for n in range(3)]
        await scene.clock.settle()
        busy = lane.predicted_wait_s(now, "book")
        snapshot = lane.snapshot()
        await scene.clock.settle(1.0)
        await asyncio.gather(*tasks)

    assert idle == 0.0
    assert busy == pytest.approx(1.5)
    assert (snapshot.queued, lane.is_open(now)) == (2, True)
    assert scene.observer.rate_waits == pytest.approx([0.5, 0.5])


async def test_a_call_held_back_by_its_rate_is_told_once_however_often_others_go() -> None:
    """A timer set for another operation says nothing new about it."""
    async with yard(book=Limit(rate_per_s=0.5), find=Limit(rate_per_s=10.0)) as scene:
        tasks = [scene.book("A1"), scene.book("A2"), *(scene.start("find", f"R{n}") for n in range(11))]
        for _ in range(30):
            await scene.clock.settle(0.1)
        await asyncio.gather(*tasks)

    assert len(scene.observer.rate_waits) == 11
    assert max(scene.observer.rate_waits) == pytest.approx(2.0)
