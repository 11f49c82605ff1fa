"""How long calls wait at the door, told by knocks."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from engine.api.knock import BOOKINGS, HEADER, PERIOD_S, Knock
from engine.core.policy.pressure import NO_WAIT
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio


class Door:
    """Takes knocks; they are heard when the test says so."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.knock = Knock(clock)
        self.knocks: list[str] = []

    async def send(self, method: str) -> None:
        """Stays under way for ever."""
        self.knocks.append(method)
        await asyncio.Event().wait()

    async def after(self, calls: int, then_s: float, *, late_s: float = 0.0) -> None:
        """So many calls, a period for knocks that the event loop ends so late, and some time more."""
        task = asyncio.create_task(self.knock.keep_knocking(self.send))
        await self.clock.settle()
        for _ in range(calls):
            assert not self.knock.hears("/crossdock.v1.OrderService/GetOrder", ())
        self.clock._move_to(self.clock.monotonic() + PERIOD_S + late_s)
        await self.clock.settle()
        self.clock._move_to(self.clock.monotonic() + then_s)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_knock_that_is_not_heard_tells_how_long_it_has_waited() -> None:
    """Overload is seen while it begins, not when it is over; each queue has one knock at a time."""
    door = Door(FakeClock())
    await door.after(10, 0.7)

    waits = door.knock.waits()
    assert waits.bookings_s == waits.tracks_s == waits.others_s == pytest.approx(0.7)
    assert len(door.knocks) == len(set(door.knocks)) == 3


async def test_a_knock_that_is_heard_tells_how_long_it_waited() -> None:
    """Each queue has its own wait."""
    door = Door(FakeClock())
    await door.after(10, 0.4)
    for method in door.knocks:
        assert door.knock.hears(method, ((HEADER, door.knock._token),))
        door.clock._move_to(door.clock.monotonic() + 0.2)
    door.clock._move_to(door.clock.monotonic() + 9.0)

    waits = door.knock.waits()
    assert [waits.bookings_s, waits.tracks_s, waits.others_s] == pytest.approx([0.4, 0.6, 0.8])


async def test_while_hardly_anybody_calls_nobody_knocks() -> None:
    """At rest it costs nothing."""
    door = Door(FakeClock())
    await door.after(3, 0.7)

    assert door.knocks == []
    assert door.knock.waits() == NO_WAIT


async def test_a_few_calls_so_heavy_that_the_event_loop_is_late_are_a_queue() -> None:
    """Batches of hundreds of orders come one by one and wait for seconds."""
    door = Door(FakeClock())
    await door.after(1, 0.7, late_s=0.25)

    assert len(door.knocks) == 3
    assert door.knock.waits().others_s == pytest.approx(0.7)


def test_the_socket_is_for_this_user_only_and_goes_with_the_engine() -> None:
    """There is no TLS on it."""
    knock = Knock(FakeClock())
    folder = Path(knock.open().removeprefix("unix:")).parent
    mode = folder.stat().st_mode & 0o777
    knock.close()

    assert mode == 0o700
    assert not folder.exists()


def test_the_next_engine_removes_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not the socket of one that still listens."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folders = [Path(Knock(FakeClock()).open().removeprefix("unix:")).parent for _ in range(2)]
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as alive:
        dead.bind(f"{folders[0]}/door")
        alive.bind(f"{folders[1]}/door")
        alive.listen()
        Knock(FakeClock()).open()

    assert [folder.exists() for folder in folders] == [False, True]


@pytest.mark.parametrize("metadata", [(), ((HEADER, "guessed"),), None])
def test_a_booking_without_the_token_is_no_knock(metadata: tuple[tuple[str, str], ...] | None) -> None:
    """Nobody gets past the gate by saying that it only knocks."""
    assert not Knock(FakeClock()).hears(BOOKINGS, metadata)


def test_a_knock_that_comes_late_is_heard_and_not_counted() -> None:
    """Its caller gave it up long ago; the next one is measured."""
    knock = Knock(FakeClock())

    assert knock.hears(BOOKINGS, ((HEADER, knock._token),))
    assert knock.waits() == NO_WAIT
