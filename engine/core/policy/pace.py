"""How calls are spread at a learned rate: as many as it allows in each second, and about evenly.

A caller is never on time: timers and loops are late by milliseconds. Spacing calls from when the last one really went
would lose each of them, a tenth of 20 calls a second on a busy machine. Here calls are late against a plan and catch
up, within bounds that a carrier's counter does not see: LATE_S worth of calls close together, and never more than the
rate in any second. Pure; times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat
from math import ceil

LATE_S = 0.1
"""How much lateness is caught up."""
LONGEST = 1024
"""Calls remembered; of faster rates it is less than a second's, which is as good."""


class Pace:
    """The plan, and the calls of the last second."""

    __slots__ = ("_burst", "_held_until", "_log", "_planned")

    def __init__(self, burst: int = 1) -> None:
        self._burst = burst
        self._log: deque[float] = deque(maxlen=LONGEST)
        self._planned = float("-inf")  # when the next call should go; up to the allowance earlier is as good
        self._held_until = float("-inf")

    def earliest(self, rate: float, ahead: int = 0) -> float:
        """When a call may pass at `rate` a second behind `ahead` others; behind others an estimate."""
        interval = 1.0 / rate
        start = max(self._planned - max(LATE_S, (self._burst - 1) * interval), self._held_until)
        earliest = start + ahead * interval
        count = self._count(rate) - ahead
        if 0 < count <= len(self._log):
            earliest = max(earliest, self._log[-count] + max(ceil(rate), 1) * interval)
        return earliest

    def passed(self, now: float, rate: float) -> None:
        """A call passes."""
        self._log.append(now)
        self._planned = max(self._planned, now) + 1.0 / rate

    def hold(self, until: float) -> None:
        """Nothing passes before."""
        self._held_until = max(self._held_until, until)

    def spend(self, now: float, rate: float) -> None:
        """As if a second's calls had just passed."""
        self._log.extend(repeat(now, self._count(rate)))

    def _count(self, rate: float) -> int:
        """Calls that may lie within a second, or a little more where the rate is no whole number."""
        return min(max(ceil(rate), 1) + self._burst - 1, LONGEST)
