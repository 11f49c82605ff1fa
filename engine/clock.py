"""Where time comes from: the only module of the engine that reads a clock.

Everything that needs time takes a `Clock`, so that tests can hold it still
(`tests/fakes/clock.py`). `now()` is for people and carriers, `monotonic()` for every decision about
waiting: it never jumps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


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

    async def sleep(self, seconds: float) -> None:
        """Wait; zero and negative values give other tasks one turn."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` once on this event loop after `delay_s`."""


class SystemClock:
    """The machine's clocks and the running event loop."""

    def now(self) -> datetime:
        """The wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` once after `delay_s`."""
        return asyncio.get_running_loop().call_later(max(0.0, delay_s), callback)
