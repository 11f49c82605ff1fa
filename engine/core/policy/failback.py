"""How an account that failed gets its orders back: a tenth first, then a quarter, half, all.

    breaker opens -> 10 % -> (closes, a healthy step) 25 % -> 50 % -> 100 %        an unhealthy one: back to 10 %

Pure: `now` is monotonic seconds. A step ends with the first success after its time, so that silence proves nothing.
It is unhealthy as soon as more than one call and a twentieth of its calls have failed: a busy carrier at its best
fails now and then, and would never get its orders back if each single fault counted.
Which orders it gets is drawn from their ids: the same order always draws the same, and who is in at 10 % is in at 25 %.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

FULL = 100
FAULTS_BORNE, FAULT_SHARE_BORNE = 1, 0.05
"""Of a step's calls so many, and this share of them, may fail."""


class FailbackRules(msgspec.Struct, frozen=True):
    """steps_percent: of its orders, in each step before all of them. step_s: how long each must be healthy."""

    steps_percent: tuple[int, ...] = (10, 25, 50)
    step_s: float = 60.0


class Failback:
    """The ramp of one account."""

    __slots__ = ("_calls", "_faults", "_since", "_step", "rules")

    def __init__(self, rules: FailbackRules | None = None) -> None:
        self.rules = rules or FailbackRules()
        self._step = len(self.rules.steps_percent)  # beyond the last: all orders
        self._since = float("inf")  # when the step began; inf while the breaker has not closed again
        self._calls = self._faults = 0  # of this step

    @property
    def is_ramping(self) -> bool:
        """Whether it gets less than all of its orders."""
        return self._step < len(self.rules.steps_percent)

    @property
    def ramp_percent(self) -> int:
        """Per cent of its orders that it gets now."""
        return self.rules.steps_percent[self._step] if self.is_ramping else FULL

    @property
    def step(self) -> int | None:
        """The step it stands on, None when it gets all; what must survive a restart."""
        return self._step if self.is_ramping else None

    def opened(self) -> None:
        """Its breaker opened."""
        self._begin(0, float("inf"))

    def closed(self, now: float) -> None:
        """Its breaker closed: the first step begins."""
        if self.is_ramping:
            self._begin(0, now)

    def failed(self, now: float) -> None:
        """A call failed; with too many of a step's calls what was regained is lost."""
        if not self.is_ramping or self._since > now:
            return
        self._calls, self._faults = self._calls + 1, self._faults + 1
        if self._faults > FAULTS_BORNE + FAULT_SHARE_BORNE * self._calls:
            self._begin(0, now)

    def succeeded(self, now: float) -> None:
        """A call succeeded; after a step's time it is the next step's turn."""
        if not self.is_ramping:
            return
        self._calls += 1
        if now - self._since >= self.rules.step_s:
            self._begin(self._step + 1, now)

    def restore(self, step: int, now: float) -> None:
        """Go on from a step of a former process. It begins anew: nobody watched meanwhile."""
        self._begin(min(max(step, 0), len(self.rules.steps_percent)), now)

    def _begin(self, step: int, since: float) -> None:
        self._step, self._since = step, since
        self._calls = self._faults = 0


def draw(order_id: str) -> int:
    """0 to 99, evenly spread over orders, always the same for one order."""
    return crc32(order_id.encode()) % FULL
