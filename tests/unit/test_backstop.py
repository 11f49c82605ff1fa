"""The coarse limit: ends what outlives it, and mistakes nobody else's cancellation for its own."""

from __future__ import annotations

import asyncio

import pytest

from engine.backstop import Backstop

pytestmark = pytest.mark.anyio


async def held(backstop: Backstop, seconds: float) -> str:
    """Hang under a limit; say how it ended."""
    try:
        with backstop.limit(seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        return "timeout"
    return "never"


async def test_a_hanging_call_is_ended_and_its_task_lives_on() -> None:
    """The limit turns into TimeoutError; the task may go on afterwards."""
    ended = await asyncio.wait_for(held(Backstop(), 0.01), 1.0)

    assert ended == "timeout"


async def test_a_short_call_is_not_disturbed() -> None:
    """Leaving in time takes the limit off."""
    backstop = Backstop()
    with backstop.limit(10.0):
        await asyncio.sleep(0)
    under_limit = len(backstop._limits)
    backstop.close()

    assert under_limit == 0


async def test_a_foreign_cancellation_stays_a_cancellation() -> None:
    """Only its own firing becomes a TimeoutError."""
    backstop = Backstop()
    task = asyncio.ensure_future(held(backstop, 10.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    backstop.close()

    assert backstop._limits == set()


async def test_both_cancellations_at_once_stay_a_cancellation() -> None:
    """Who is cancelled from outside in the moment of the limit must not go on."""
    backstop = Backstop()
    task = asyncio.ensure_future(held(backstop, 10.0))
    await asyncio.sleep(0)
    next(iter(backstop._limits)).fire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    backstop.close()

    assert task.cancelled()


async def test_the_timer_stops_when_nothing_is_under_way() -> None:
    """An idle transport costs nothing."""
    backstop = Backstop()
    await held(backstop, 0.01)

    assert backstop._timer is None
