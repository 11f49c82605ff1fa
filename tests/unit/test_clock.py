"""What a clock knows of having been set; the fake one knows the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import pytest

from engine.clock import MOST_STEPS, Clock, SystemClock
from tests.fakes.clock import START, FakeClock


class Hands(Protocol):
    """A clock and the hands that move it."""

    clock: Clock

    def pass_time(self, seconds: float) -> None:
        """Time passes."""

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""


class SystemHands:
    """The machine's clock over readings that a test gives."""

    def __init__(self) -> None:
        self.wall_s, self.elapsed_s = START.timestamp(), 1000.0
        self.clock: Clock = SystemClock(lambda: self.wall_s, lambda: self.elapsed_s)

    def pass_time(self, seconds: float) -> None:
        """See Hands."""
        self.wall_s += seconds
        self.elapsed_s += seconds

    def jump(self, seconds: float) -> None:
        """See Hands."""
        self.wall_s += seconds
        self.clock.now()


class FakeHands:
    """The fake."""

    def __init__(self) -> None:
        self._fake = FakeClock()
        self.clock: Clock = self._fake

    def pass_time(self, seconds: float) -> None:
        """See Hands."""
        self._fake.advance(seconds)

    def jump(self, seconds: float) -> None:
        """See Hands."""
        self._fake.jump(seconds)


@pytest.fixture(params=[SystemHands, FakeHands])
def hands(request: pytest.FixtureRequest) -> Hands:
    """Both clocks."""
    made: Hands = request.param()
    return made


def test_time_that_passes_is_no_step(hands: Hands) -> None:
    """However long nobody looks at the clock."""
    since = hands.clock.now()
    hands.pass_time(86_400.0)

    assert hands.clock.stepped_s(since) == 0.0
    assert hands.clock.now() - since == timedelta(days=1)


def test_a_step_forward_is_known_to_times_before_it_alone(hands: Hands) -> None:
    """What was noted afterwards is as long ago as it looks."""
    before = hands.clock.now()
    hands.pass_time(5.0)
    hands.jump(20.0)
    after = hands.clock.now()
    hands.pass_time(5.0)

    assert hands.clock.stepped_s(before) == pytest.approx(20.0)
    assert hands.clock.stepped_s(after) == 0.0


def test_small_differences_are_no_steps_until_they_add_up(hands: Hands) -> None:
    """Two clocks are never read at once; but a clock set on by a little again and again has been set."""
    since = hands.clock.now()
    hands.jump(0.3)
    one = hands.clock.stepped_s(since)
    hands.jump(0.3)

    assert one == 0.0
    assert hands.clock.stepped_s(since) == pytest.approx(0.6)


def test_a_clock_set_right_again_holds_nothing_up(hands: Hands) -> None:
    """A day too far and back: no time between two moments is taken for shorter than it was."""
    before = hands.clock.now()
    hands.jump(86_400.0)
    hands.pass_time(10.0)
    hands.jump(-86_395.0)
    after = hands.clock.now()
    hands.pass_time(10.0)

    assert hands.clock.stepped_s(before) == pytest.approx(5.0)
    assert hands.clock.stepped_s(after) == 0.0


def test_being_set_back_takes_back_the_newest_steps_first(hands: Hands) -> None:
    """More than all of them together leaves none."""
    since = hands.clock.now()
    for step_s in (20.0, 10.0, -15.0):
        hands.jump(step_s)
        hands.pass_time(60.0)
    some = hands.clock.stepped_s(since)
    hands.jump(-60.0)

    assert some == pytest.approx(15.0)
    assert hands.clock.stepped_s(since) == 0.0


def test_a_clock_set_over_and_over_forgets_no_second_of_it(hands: Hands) -> None:
    """Old steps become one; the sum stays."""
    since = hands.clock.now()
    for _ in range(MOST_STEPS * 3):
        hands.jump(1.0)
        hands.pass_time(1.0)

    assert hands.clock.stepped_s(since) == pytest.approx(MOST_STEPS * 3)


def test_the_machines_own_clocks_go_together() -> None:
    """Read a thousand times in a row they show no step."""
    clock = SystemClock()
    since = clock.now()

    assert max(clock.stepped_s(since) for _ in range(1000)) == 0.0
    assert clock.now() >= since
