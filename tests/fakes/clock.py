"""A clock that stands still until a test moves it; the complete twin of `engine.clock.SystemClock`.

`advance()` moves wall and monotonic time together and fires what became due, in order, seeing the
time at which it was due. `jump()` moves only the wall time, as setting the machine's clock does.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from engine.clock import STEP_S, WallSteps

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


class FakeTimer:
    """One pending callback of a `FakeClock`."""

    __slots__ = ("callback", "due_s")

    def __init__(self, due_s: float, callback: Callable[[], None]) -> None:
        self.due_s = due_s
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback."""
        self.callback = None


class FakeClock:
    """Time under a test's control."""

    def __init__(self, now: datetime = START, monotonic_s: float = 1000.0) -> None:
        self._now = now
        self._monotonic_s = monotonic_s
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = 0
        self._moved_s = 0.0
        self._steps = WallSteps()

    def now(self) -> datetime:
        """The wall time as last set."""
        return self._now

    def monotonic(self) -> float:
        """The monotonic time as last set."""
        return self._monotonic_s

    def stepped_s(self, since: datetime) -> float:
        """See Clock."""
        return self._steps.after(since)

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_later(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> FakeTimer:
        """Run `callback` inside the `advance` that passes its time."""
        timer = FakeTimer(self._monotonic_s + max(0.0, delay_s), callback)
        self._order += 1
        heapq.heappush(self._timers, (timer.due_s, self._order, timer))
        return timer

    @property
    def pending(self) -> int:
        """How many callbacks wait: zero when nothing was left behind."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    @property
    def next_in_s(self) -> float | None:
        """Seconds until the next callback is due; None when none waits."""
        due = [due_s for due_s, _, timer in self._timers if timer.callback is not None]
        return max(0.0, min(due) - self._monotonic_s) if due else None

    def advance(self, seconds: float) -> None:
        """Move time forward and fire what becomes due.

        Woken tasks run at the caller's next await.
        """
        target_s = self._monotonic_s + seconds
        while self._timers and self._timers[0][0] <= target_s:
            due_s, _, timer = heapq.heappop(self._timers)
            self._move_to(max(due_s, self._monotonic_s))
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                callback()
        self._move_to(target_s)

    async def settle(self, seconds: float = 0.0, *, turns: int = 20) -> None:
        """Let tasks run, advance, and let them run again."""
        for _ in range(turns):
            await asyncio.sleep(0)
        self.advance(seconds)
        for _ in range(turns):
            await asyncio.sleep(0)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; monotonic time does not notice."""
        self._now += timedelta(seconds=seconds)
        self._moved_s += seconds
        if not -STEP_S < self._moved_s < STEP_S:
            self._steps.moved(self._now, self._moved_s)
            self._moved_s = 0.0

    def _move_to(self, monotonic_s: float) -> None:
        self._now += timedelta(seconds=monotonic_s - self._monotonic_s)
        self._monotonic_s = monotonic_s
