"""Measuring the load: the event loop's lag, the other signals, and who is told."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from crossdock_sdk.tracking import TrackStatus
from engine.core.errors import Overloaded
from engine.core.overload import Overload
from engine.core.policy.admission import Admission
from engine.core.policy.brownout import Brownout, Level, Reading, Signals
from engine.core.policy.pressure import Waits
from engine.core.tracks import TrackKey
from tests.fakes.carrier import manifest
from tests.fakes.clock import FakeClock
from tests.fakes.house import TENANT, draft, house

pytestmark = pytest.mark.anyio


class Told:
    """Remembers the changes."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []

    def brownout_changed(self, reading: Reading) -> None:
        """See OverloadObserver."""
        self.readings.append(reading)


async def test_a_late_loop_raises_the_level() -> None:
    """More than a second late, twice within a second: the second level, told once."""
    clock, told, brownout = FakeClock(), Told(), Brownout()
    running = asyncio.create_task(Overload(Admission(brownout), Signals, Waits, clock, told).run())
    for lag_s in (0.0, 0.0, 1.1, 1.1):
        await clock.settle()
        clock._move_to(clock.monotonic() + 0.05 + lag_s)  # the loop was busy elsewhere: the timer fires late
        await clock.settle()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    assert (brownout.level, told.readings) == (Level.QUESTIONS, [Reading(Level.QUESTIONS, "loop_lag")])


def test_one_pause_alone_is_no_overload() -> None:
    """A collection of garbage, a page fault: the second worst of a second counts."""
    brownout, told = Brownout(), Told()
    overload = Overload(Admission(brownout), Signals, Waits, FakeClock(), told)
    overload.sample(6.0)
    for _ in range(30):
        overload.sample(0.0)

    assert told.readings == []


def test_other_signals_count_at_once() -> None:
    """As many open bookings as may be."""
    brownout, told = Brownout(), Told()
    Overload(Admission(brownout), lambda: Signals(open_share=1.0), Waits, FakeClock(), told).sample(0.0)

    assert told.readings == [Reading(Level.BOOKINGS, "open_share")]


def test_a_standing_wait_at_the_door_is_told_and_over_again() -> None:
    """Calls that wait a second for a second raise the level; once they do not it falls by itself."""
    clock, brownout, told, wait_s = FakeClock(), Brownout(), Told(), 1.0
    overload = Overload(Admission(brownout), Signals, lambda: Waits(wait_s, wait_s, wait_s), clock, told)
    for tick in range(400):
        wait_s = 1.0 if tick < 30 else 0.0
        clock._move_to(clock.monotonic() + 0.05)
        overload.sample(0.0)

    levels = [(int(reading.level), reading.signal) for reading in told.readings]
    assert levels == [(1, "door_wait"), (0, "calm")]


async def test_switched_off_nothing_is_measured() -> None:
    """The job ends at once."""
    async with asyncio.timeout(5):
        await Overload(Admission(Brownout(enabled=False)), Signals, Waits, FakeClock(), Told()).run()


async def test_orders_of_an_open_stream_are_refused_too() -> None:
    """The stream was let in before; its next order is told to come back."""
    async with house(manifest("alpha")) as scene:
        scene.orders._brownout.level = Level.BOOKINGS
        with pytest.raises(Overloaded) as refusal:
            await scene.create()

    assert refusal.value.retry_after_s > 0
    assert scene.heard.refused == ["ENGINE_OVERLOADED"]


@pytest.mark.parametrize(("live", "refused"), [(True, True), (False, False)])
async def test_live_quotes_are_refused_first(live: bool, refused: bool) -> None:
    """What is known already can still be told."""
    async with house(manifest("alpha")) as scene:
        scene.orders._brownout.level = Level.EXPORTS
        asking = scene.orders.quote(TENANT, draft(), live=live, deadline_s=5.0)
        if refused:
            with pytest.raises(Overloaded):
                await asking
        else:
            assert (await asking)[1]

    assert scene.network.count("alpha", "quote") == 0


@pytest.mark.parametrize(("level", "asked"), [(Level.EXPORTS, 1), (Level.QUESTIONS, 0)])
async def test_parcels_are_answered_from_what_is_known(level: Level, asked: int) -> None:
    """Neither callers' questions nor our own go to carriers; the answer says how old it is."""
    async with house(manifest("alpha", ("book", "track"))) as scene:
        scene.tracks._brownout.level = level
        key = TrackKey("alpha", "W1")
        track = await scene.run(scene.tracks.get(TENANT, key, max_age_s=0.0, deadline_s=5.0))
        if level is Level.QUESTIONS:
            scene.follow()
            await scene.pass_time(30.0)

    assert scene.network.count("alpha", "track") == asked
    assert (track.track.observed_time is None) == (asked == 0)
    assert track.track.status in (None, *TrackStatus)
