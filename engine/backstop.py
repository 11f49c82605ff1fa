"""A coarse limit for many short calls at once.

`asyncio.timeout` sets and cancels a timer for every call, which was measured at a quarter of a small POST's whole CPU.
Where something else sets the precise limit (the HTTP library, a use case), or a twentieth of a second does not matter
(a push's body), one timer looks at all calls twenty times a second, and none runs while nothing is under way.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

TICK_S = 0.05


class Backstop:
    """Cancels calls that outlive their limit by up to TICK_S."""

    __slots__ = ("_limits", "_timer")

    def __init__(self) -> None:
        self._limits: set[TimeLimit] = set()
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, seconds: float) -> TimeLimit:
        """`with backstop.limit(5.0): ...` raises TimeoutError when the block lasts longer."""
        return TimeLimit(self, seconds)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def add(self, limit: TimeLimit, loop: asyncio.AbstractEventLoop) -> None:
        """Look after a call from now on."""
        self._limits.add(limit)
        if self._timer is None:
            self._timer = loop.call_later(TICK_S, self._tick, loop)

    def remove(self, limit: TimeLimit) -> None:
        """The call has ended."""
        self._limits.discard(limit)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for limit in [each for each in self._limits if each.due <= now]:
            self._limits.discard(limit)
            limit.fire()
        if self._limits:
            self._timer = loop.call_later(TICK_S, self._tick, loop)


class TimeLimit:
    """The limit of one call under a Backstop. Distinguishes its own cancellation from anybody else's."""

    __slots__ = ("_backstop", "_fired", "_seconds", "_task", "due")

    def __init__(self, backstop: Backstop, seconds: float) -> None:
        self._backstop = backstop
        self._seconds = seconds
        self._fired = False
        self._task: asyncio.Task[object] | None = None
        self.due = 0.0

    def fire(self) -> None:
        """The limit has passed."""
        self._fired = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self.due = loop.time() + self._seconds
        self._backstop.add(self, loop)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._backstop.remove(self)
        if not self._fired or self._task is None:
            return
        if self._task.uncancel() == 0 and exc_type is asyncio.CancelledError:
            raise TimeoutError from exc
