"""Micro-batches, shared queries and results that do not fit their items."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
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
    Limit,
    SideEffect,
)
from engine.core.policy.breaker import BreakerRules
from engine.outbound import (
    Ambiguous,
    Answered,
    FaultKind,
    LaneRefused,
    LaneSettings,
    PluginFault,
)
from tests.unit.outbound.support import FakeCarrier, Yard, yard

pytestmark = pytest.mark.anyio
FIFTY = Limit(batch=50)


async def test_a_full_batch_leaves_at_once() -> None:
    """Fifty look-ups, one call, no waiting."""
    async with yard(find=FIFTY) as scene:
        tasks = [scene.start("find", f"R{n}") for n in range(50)]
        answers = await asyncio.gather(*tasks)

    assert len(scene.transport.sent) == 1
    assert [a.value for a in answers] == [Absent(f"R{n}") for n in range(50)]
    assert answers[0].batch == 50


async def test_a_lonely_item_waits_briefly_for_company() -> None:
    """It leaves after the batch wait, together with what came meanwhile."""
    async with yard(find=FIFTY) as scene:
        first = scene.start("find", "R1")
        await scene.clock.settle(0.01)
        second = scene.start("find", "R2")
        await scene.clock.settle()
        early = len(scene.transport.sent)
        await scene.clock.settle(0.011)
        await asyncio.gather(first, second)

    assert (early, scene.transport.sent) == (0, ["find:R1,R2"])


async def test_items_that_keep_coming_share_a_call() -> None:
    """Two hundredths of a second are for the lonely: more keep filling a call, for a tenth at most."""
    async with yard(find=FIFTY) as scene:
        tasks = []
        for n in range(24):
            tasks.append(scene.start("find", f"R{n}"))
            await scene.clock.settle(0.006)
        await scene.clock.settle(0.03)
        await asyncio.gather(*tasks)

    assert [len(sent.split(",")) for sent in scene.transport.sent] == [17, 7]


async def test_what_a_full_call_leaves_behind_waits_for_the_rest_of_its_crowd() -> None:
    """Sixty, and after a pause forty more: two full calls, not one full and two half empty."""
    async with yard(find=FIFTY) as scene:
        tasks = [scene.start("find", f"R{n}") for n in range(60)]
        await scene.clock.settle(0.05)
        tasks += [scene.start("find", f"S{n}") for n in range(40)]
        await scene.clock.settle()
        await asyncio.gather(*tasks)

    assert [len(sent.split(",")) for sent in scene.transport.sent] == [50, 50]


async def test_a_near_deadline_sends_a_batch_early() -> None:
    """Nobody waits for company past the time the call itself needs."""
    async with yard(find=FIFTY) as scene:
        task = scene.start("find", "R1", deadline_s=1.0)
        await scene.clock.settle()
        sent = list(scene.transport.sent)
        await task

    assert sent == ["find:R1"]


async def test_equal_queries_share_one_call() -> None:
    """Ten callers of one look-up under way cost one call."""
    async with yard() as scene:
        scene.transport.hold = True
        tasks = [scene.start("find", "R1") for _ in range(10)]
        await scene.clock.settle()
        scene.transport.release()
        answers = await asyncio.gather(*tasks)
        later = scene.start("find", "R1")
        await scene.clock.settle()
        scene.transport.release()
        await later

    assert {a.value for a in answers} == {Absent("R1")}
    assert scene.transport.sent == ["find:R1", "find:R1"]


async def test_ten_thousand_queries_over_five_hundred_numbers_cost_ten_calls() -> None:
    """Sharing and batching together: 500 distinct numbers at 50 a call."""
    async with yard(find=FIFTY) as scene:
        tasks = [scene.start("find", f"R{n % 500}") for n in range(10_000)]
        await asyncio.gather(*tasks)

    assert len(scene.transport.sent) == 10


async def test_bookings_are_never_shared() -> None:
    """Two equal bookings are two calls: only the core may decide that they are one."""
    async with yard() as scene:
        await asyncio.gather(scene.book("A1"), scene.book("A1"))

    assert scene.transport.sent == ["book:A1", "book:A1"]


async def test_one_of_several_callers_may_leave() -> None:
    """The others still get the answer."""
    async with yard() as scene:
        scene.transport.hold = True
        first, second = scene.start("find", "R1"), scene.start("find", "R1")
        await scene.clock.settle()
        first.cancel()
        await scene.clock.settle()
        scene.transport.release()
        answer = await second

    assert answer.value == Absent("R1")


async def test_a_question_with_an_earlier_deadline_is_told_at_it() -> None:
    """In a batch the call runs on for the others; the early caller's outcome is named ambiguous."""
    async with yard(find=Limit(batch=2)) as scene:
        scene.transport.hold = True
        early, patient = scene.start("find", "R1", deadline_s=2.0), scene.start("find", "R2", deadline_s=10.0)
        await scene.clock.settle(2.1)
        with pytest.raises(Ambiguous) as caught:
            await early
        scene.transport.release()
        answer = await patient

    assert caught.value.kind is FaultKind.TIMEOUT
    assert answer.value == Absent("R2")


async def test_a_booking_under_way_hears_its_answer_after_its_deadline() -> None:
    """Its batch-mates keep the call alive; the carrier's word is worth more than a doubt in time."""
    async with yard(book=Limit(batch=2)) as scene:
        scene.transport.hold = True
        tasks = [scene.book("old", deadline_s=3.0), scene.book("new", deadline_s=30.0)]
        await scene.clock.settle(5.0)
        scene.transport.release()
        answers = await asyncio.gather(*tasks)

    assert [answer.value for answer in answers] == [Booked("old", "Wold"), Booked("new", "Wnew")]


async def test_a_batch_that_fails_fails_each_item_with_an_error_of_its_own() -> None:
    """Two waiting tasks must not raise one exception object."""
    async with yard(book=Limit(batch=2)) as scene:
        scene.transport.script = [Ambiguous(FaultKind.CUT)]
        results = await asyncio.gather(scene.book("A1"), scene.book("A2"), return_exceptions=True)

    assert [type(r) for r in results] == [Ambiguous, Ambiguous]
    assert results[0] is not results[1]


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ([], "returned 0 outcomes for 1 items"),
        (None, "returned NoneType instead of a list"),
        ([None], "returned NoneType as an outcome"),
        ([Absent("A1")], "returned Absent as an outcome"),
        ([Booked("A2", "W2")], "returned another item's outcome"),
    ],
    ids=["too few", "nothing", "None", "wrong type", "mixed up"],
)
async def test_a_result_that_does_not_fit_its_items_is_a_fault(
    result: object, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in's answer is checked before anybody believes it.

    The request went out, so its effect is unknown.
    """
    real = FakeCarrier.book

    def book(self: FakeCarrier, ctx: CallContext, items: Sequence[Booking]) -> Flow[object]:
        yield from real(self, ctx, items)
        return result

    monkeypatch.setattr(FakeCarrier, "book", book)
    async with yard() as scene:
        with pytest.raises(PluginFault, match=problem) as caught:
            await scene.book("A1")

    assert caught.value.side_effect is SideEffect.UNKNOWN
    assert scene.observer.calls == [("book", "PLUGIN_FAULT", "", 1)]


async def test_a_failed_probe_sends_those_behind_it_away() -> None:
    """Items that gathered behind a probe learn at once that the carrier is still ill."""
    rules = BreakerRules(open_s=2.0, jitter=0.0)
    settings = LaneSettings(breaker=rules, drain_s=0.2)
    async with yard(find=FIFTY, book=Limit(), settings=settings) as scene:
        scene.transport.script = [500] * 6
        await asyncio.gather(*(scene.book(f"A{n}") for n in range(5)))
        scene.clock.advance(2.0)
        tasks = [scene.start("find", f"R{n}") for n in range(60)]
        await scene.clock.settle()
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(r) for r in results] == [Answered] * 50 + [LaneRefused] * 10
    assert scene.observer.breaker == ["OPEN", "OPEN"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(CarrierError(ErrorClass.TEMPORARY), "TEMPORARY"), (KeyError("张三"), "KeyError")],
    ids=["a refusal", "a mistake"],
)
async def test_an_operation_that_fails_before_its_flow_begins_has_no_effect(
    error: Exception, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in may check its items in a plain function; nothing can have been sent by then."""

    def book(self: FakeCarrier, ctx: CallContext, items: Sequence[Booking]) -> Flow[object]:
        raise error

    monkeypatch.setattr(FakeCarrier, "book", book)
    async with yard() as scene:
        try:
            failure: object = (await scene.book("A1")).value
        except PluginFault as fault:
            failure = fault

    assert isinstance(failure, CarrierError | PluginFault)
    assert failure.side_effect is SideEffect.NONE
    assert expected in str(failure)
    assert "张三" not in str(failure)


class Picky(FakeCarrier):
    """Refuses a call of bookings for one bad item, after as many requests as it is told to make."""

    error = CarrierError(ErrorClass.INVALID_REQUEST, message="row 3 is wrong")
    requests = 1

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[Any]]:
        body = ",".join(b.reference for b in bookings).encode()
        for _ in range(self.requests):
            yield HttpRequest("POST", "https://fake.invalid/book", body=body)
        if any(b.reference == "bad" for b in bookings):
            raise self.error
        return [Booked(b.reference, "W" + b.reference) for b in bookings]


def make_picky(scene: Yard, monkeypatch: pytest.MonkeyPatch, **features: object) -> None:
    """Let the yard's carrier be one."""
    picky = Picky(scene.carrier.manifest)
    for name, value in features.items():
        setattr(picky, name, value)
    monkeypatch.setattr(scene.carrier, "book", picky.book)


async def test_one_bad_item_does_not_fail_its_batch_mates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused as a whole, each goes once more by itself, without a wait for company, and has its own outcome."""
    async with yard(book=Limit(batch=3)) as scene:
        make_picky(scene, monkeypatch)
        answers = await asyncio.gather(*(scene.book(reference) for reference in ("1", "bad", "3")))

    assert [type(answer.value) for answer in answers] == [Booked, CarrierError, Booked]
    assert scene.transport.sent == ["book:1,bad,3", "book:1", "book:bad", "book:3"]
    assert [answer.batch for answer in answers] == [1, 1, 1]


async def test_items_sent_again_by_themselves_keep_the_rate_and_the_newcomers_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One call a second: nobody joins them, and those who come meanwhile share a call of their own."""
    async with yard(book=Limit(batch=2, rate_per_s=1.0, concurrency=1)) as scene:
        make_picky(scene, monkeypatch)
        tasks = [scene.book("1"), scene.book("bad")]
        await scene.clock.settle(0.5)
        tasks += [scene.book("3"), scene.book("4")]
        sent = []
        for _ in range(4):
            sent.append(len(scene.transport.sent))
            await scene.clock.settle(1.0)
        await asyncio.gather(*tasks)

    assert sent == [1, 2, 3, 4]
    assert scene.transport.sent[1:] == ["book:1", "book:bad", "book:3,4"]


@pytest.mark.parametrize(
    "features",
    [
        {"error": CarrierError(ErrorClass.BALANCE)},
        {"error": CarrierError(ErrorClass.DUPLICATE)},
        {"error": CarrierError(ErrorClass.INVALID_REQUEST, side_effect=SideEffect.UNKNOWN)},
        {"requests": 2},
    ],
    ids=["the account's", "a look-up's", "in doubt", "after an answered request"],
)
async def test_other_refusals_of_a_whole_call_are_everybodys(
    features: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent twice that would be refused again or may have had an effect."""
    async with yard(book=Limit(batch=2)) as scene:
        make_picky(scene, monkeypatch, **features)
        answers = await asyncio.gather(scene.book("1"), scene.book("bad"))

    assert [type(answer.value) for answer in answers] == [CarrierError] * 2
    assert set(scene.transport.sent) == {"book:1,bad"}


async def test_outcomes_of_each_item_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused first and last item with a booked one between them: nothing is sent again."""
    refused = CarrierError(ErrorClass.INVALID_REQUEST)

    def book(ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[Any]]:
        yield HttpRequest("POST", "https://fake.invalid/book")
        return [refused, Booked(bookings[1].reference, "W2"), refused]

    async with yard(book=Limit(batch=3)) as scene:
        monkeypatch.setattr(scene.carrier, "book", book)
        answers = await asyncio.gather(*(scene.book(f"A{n}") for n in range(3)))

    assert [type(answer.value) for answer in answers] == [CarrierError, Booked, CarrierError]
    assert len(scene.transport.sent) == 1


async def test_who_left_during_a_refused_call_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would hear of the booking."""
    async with yard(book=Limit(batch=2)) as scene:
        make_picky(scene, monkeypatch)
        scene.transport.hold = True
        gone, bad = scene.book("1"), scene.book("bad")
        await scene.clock.settle()
        gone.cancel()
        await scene.clock.settle()
        scene.transport.hold = False
        scene.transport.release()
        await bad

    assert scene.transport.sent == ["book:1,bad", "book:bad"]


async def test_a_lane_that_closes_sends_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is everybody's."""
    async with yard(book=Limit(batch=2)) as scene:
        make_picky(scene, monkeypatch)
        scene.transport.hold = True
        tasks = [scene.book("1"), scene.book("bad")]
        await scene.clock.settle()
        scene.outbound.lane("a", "book").close()
        scene.transport.release()
        answers = await asyncio.gather(*tasks)

    assert [type(answer.value) for answer in answers] == [CarrierError] * 2
    assert scene.transport.sent == ["book:1,bad"]
