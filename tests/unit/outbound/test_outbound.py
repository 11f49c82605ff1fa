"""All lanes together: building, signing in, closing, surviving a restart."""

from __future__ import annotations

import asyncio

import pytest

from crossdock_sdk import Booked, CarrierError, ErrorClass, Limit, SideEffect
from engine.outbound import Ambiguous, FaultKind, LaneRefused, LaneSettings, NotSent, Priority, RefusalReason
from tests.unit.outbound.support import yard

pytestmark = pytest.mark.anyio
SIGNED = ("sign_in", "book", "find")


async def test_signing_in_happens_once_for_many_calls() -> None:
    """Five bookings at once share one token."""
    async with yard(SIGNED) as scene:
        await asyncio.gather(*(scene.book(f"A{n}") for n in range(5)))

    assert (scene.transport.sign_ins, scene.carrier.tokens) == (1, ["token1"] * 5)


async def test_a_refused_token_is_replaced_and_the_call_repeated_once() -> None:
    """AUTH proves that nothing was booked, so a new token and one more try are safe."""
    async with yard(SIGNED) as scene:
        scene.transport.script = [200, 401]
        answer = await scene.book("A1")

    assert answer.value == Booked("A1", "WA1")
    assert scene.carrier.tokens == ["token1", "token2"]


async def test_a_refused_account_is_not_tried_for_ever() -> None:
    """A new token refused as well is the answer; the next call does not sign in again."""
    async with yard(SIGNED) as scene:
        scene.transport.script = [200, 401, 200, 401, 401]
        first = await scene.book("A1")
        second = await scene.book("A2")

    assert [a.value.error_class for a in (first, second)] == [ErrorClass.AUTH] * 2
    assert scene.transport.sign_ins == 2


@pytest.mark.parametrize("fault", [Ambiguous(FaultKind.TIMEOUT), NotSent(FaultKind.REFUSED)])
async def test_a_failed_sign_in_leaves_the_booking_unsent(fault: Exception) -> None:
    """Whatever became of the token request, no booking was asked for."""
    async with yard(SIGNED) as scene:
        scene.transport.script = [fault]
        with pytest.raises(NotSent):
            await scene.book("A1")

    assert scene.transport.sent == ["sign_in:"]


async def test_a_carriers_refusal_to_sign_in_is_an_answer_without_effect() -> None:
    """TEMPORARY at the token desk is not an unknown booking."""
    async with yard(SIGNED) as scene:
        scene.transport.script = [500]
        answer = await scene.book("A1")

    assert isinstance(answer.value, CarrierError)
    assert (answer.value.error_class, answer.value.side_effect) == (
        ErrorClass.TEMPORARY,
        SideEffect.NONE,
    )


async def test_closing_refuses_what_waits_and_lets_running_calls_end() -> None:
    """The call under way is answered, the waiting one goes elsewhere, later ones are refused."""
    async with yard(book=Limit(concurrency=1)) as scene:
        scene.transport.hold = True
        running, waiting = scene.book("A0"), scene.book("A1")
        await scene.clock.settle()
        lane = scene.outbound.lane("a", "book")
        closing = asyncio.ensure_future(scene.outbound.aclose())
        with pytest.raises(LaneRefused) as refused:
            await waiting
        scene.transport.release()
        answer = await running
        await closing
        with pytest.raises(LaneRefused) as after:
            await lane.submit("book", None, deadline=scene.clock.monotonic() + 10, priority=Priority.BOOK)

    assert answer.value == Booked("A0", "WA0")
    assert [e.value.reason for e in (refused, after)] == [RefusalReason.CLOSED] * 2


async def test_closing_cuts_calls_that_outlast_the_drain() -> None:
    """Their outcome is ambiguous, and nothing is left running."""
    async with yard(settings=LaneSettings(drain_s=0.01)) as scene:
        scene.transport.hold = True
        task = scene.book("A0")
        await scene.clock.settle()
        await scene.outbound.aclose()
        with pytest.raises(Ambiguous) as caught:
            await task

    assert (caught.value.kind, scene.transport.running) == (FaultKind.CANCELLED, 0)


async def test_rates_survive_a_restart() -> None:
    """A new process goes on where the old one stopped: no second burst."""
    async with yard(book=Limit(rate_per_s=1.0, burst=2)) as old:
        await asyncio.gather(old.book("A0"), old.book("A1"))
        saved = old.outbound.rate_states()
    async with yard(book=Limit(rate_per_s=1.0, burst=2)) as new:
        new.outbound.restore_rates({**saved, "gone": saved["a"]}, elapsed_s=0.0)
        task = new.book("A2")
        await new.clock.settle(0.9)
        early = list(new.transport.sent)
        await new.clock.settle(0.2)
        await task

    assert (early, new.transport.sent) == ([], ["book:A2"])


async def test_mistakes_are_named_with_their_remedy() -> None:
    """Unknown accounts, operations a carrier lacks, and use outside the block."""
    async with yard() as scene:
        with pytest.raises(LookupError, match="'b' is not configured"):
            await scene.outbound.call("b", "book", None, deadline_s=5, priority=Priority.BOOK)
        with pytest.raises(ValueError, match="does not offer 'label'; it offers book, find, cancel"):
            await scene.outbound.call("a", "label", None, deadline_s=5, priority=Priority.LABEL)
    with pytest.raises(RuntimeError, match="async with"):
        scene.outbound.lane("a", "cancel")


async def test_an_engine_fault_inside_a_call_is_ambiguous_and_harms_no_other() -> None:
    """An unforeseen exception of ours must neither lose an outcome nor end the lanes."""
    async with yard() as scene:
        scene.transport.script = [RuntimeError("张三")]
        with pytest.raises(Ambiguous) as caught:
            await scene.book("A0")
        answer = await scene.book("A1")

    assert (str(caught.value), answer.value) == (
        "OTHER: engine fault RuntimeError",
        Booked("A1", "WA1"),
    )


async def test_a_call_cut_before_its_first_step_was_not_sent() -> None:
    """Closing in the very moment of a call leaves no caller without an outcome."""
    async with yard(settings=LaneSettings(drain_s=0.0)) as scene:
        lane = scene.outbound.lane("a", "book")
        task = scene.book("A0")
        await asyncio.sleep(0)
        for running in lane.close():
            running.cancel()
        with pytest.raises(NotSent) as caught:
            await task

    assert (caught.value.kind, scene.transport.sent) == (FaultKind.CANCELLED, [])


async def test_a_failing_observer_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in metrics is reported to the event loop; calls go on."""
    reports: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context["message"]))
    async with yard() as scene:
        monkeypatch.setattr(scene.observer, "finished", None)
        answers = [await scene.book("A0"), await scene.book("A1")]

    assert [a.value for a in answers] == [Booked("A0", "WA0"), Booked("A1", "WA1")]
    assert reports == ["fake/a/BOOKING: the lane's observer failed"] * 2
