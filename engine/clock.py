"""Where time comes from: the only module of the engine that reads a clock.

Everything that needs time takes a `Clock`, so that tests can hold it still
(`tests/fakes/clock.py`). `now()` is for people and carriers, `monotonic()` for every decision about
waiting: it never jumps. What must be counted from a kept wall time, `stepped_s()` corrects.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

STEP_S = 0.5
"""By how much the wall clock must be off to have been set: two clocks are never read in the same instant."""
MOST_STEPS = 64
"""Steps told apart; the oldest become one, so that a clock set every minute costs no memory."""

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where the system has such a clock: that time has passed and is no step."""


class Timer(Protocol):
    """A callback that has not fired yet."""

    def cancel(self) -> None:
        """Forget the callback; harmless when it has fired already."""


class Clock(Protocol):
    """Wall time, monotonic time, and waiting. Seconds everywhere."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC. It may jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds since an unknown moment; never goes back, meaningless after a restart."""

    def stepped_s(self, since: datetime) -> float:
        """Seconds that the wall clock was set forward after it said `since`: what lies between then and now is so
        much shorter than it looks.

        Known are the steps of this process's life. Being set back makes a time look shorter and is not made up for;
        it takes back earlier steps forward. A virtual machine that its host held still was set forward afterwards.
        """

    async def sleep(self, seconds: float) -> None:
        """Wait; zero and negative values give other tasks one turn."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` once on this event loop after `delay_s`."""


class WallSteps:
    """When the wall clock was set forward, and by how much: time that did not pass."""

    def __init__(self) -> None:
        self._steps: list[tuple[datetime, float]] = []  # what it said after the step, and the seconds, oldest first

    def moved(self, now: datetime, by_s: float) -> None:
        """It was set by so much, and now says `now`."""
        steps = self._steps
        if by_s > 0:
            steps.append((now, by_s))
            if len(steps) > MOST_STEPS:
                steps[:2] = [(steps[1][0], steps[0][1] + steps[1][1])]
            return
        back_s = -by_s
        while steps and back_s > 0:
            said, step_s = steps.pop()
            if step_s > back_s:
                steps.append((said - timedelta(seconds=back_s), step_s - back_s))
            back_s -= step_s

    def after(self, since: datetime) -> float:
        """Seconds of all steps forward since it said `since`."""
        return sum(step_s for said, step_s in self._steps if since < said)


def _elapsed_s() -> float:
    return time.clock_gettime(_ELAPSED)


class SystemClock:
    """The machine's clocks and the running event loop.

    wall_s, elapsed_s: what is read for `now` and for how much time has passed.
    """

    def __init__(self, wall_s: Callable[[], float] = time.time, elapsed_s: Callable[[], float] = _elapsed_s) -> None:
        self._wall_s = wall_s
        self._elapsed_s = elapsed_s
        self._ahead_s = wall_s() - elapsed_s()
        self._steps = WallSteps()

    def now(self) -> datetime:
        """The wall time in UTC."""
        wall_s = self._wall_s()
        now = datetime.fromtimestamp(wall_s, UTC)
        moved_s = wall_s - self._elapsed_s() - self._ahead_s
        if not -STEP_S < moved_s < STEP_S:
            self._ahead_s += moved_s
            self._steps.moved(now, moved_s)
        return now

    def stepped_s(self, since: datetime) -> float:
        """See Clock."""
        self.now()
        return self._steps.after(since)

    def monotonic(self) -> float:
        """The machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` once after `delay_s`."""
        return asyncio.get_running_loop().call_later(max(0.0, delay_s), callback)
