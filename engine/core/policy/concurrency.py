"""How many calls may be in flight at once: additive increase, multiplicative decrease.

Loss-based, as Netflix's concurrency-limits advises for clients. Only calls sent after the last
decrease may decrease again: a burst of timeouts is one message from the carrier, not fifty.
"""

from __future__ import annotations

FLOOR = 2
START = 8
ON_TIMEOUT = 0.9
ON_THROTTLE = 0.7


class AimdLimit:
    """A limit between `floor` and `ceiling` calls. A ceiling under the floor wins."""

    __slots__ = ("_decreased_at", "_value", "ceiling", "floor", "limit")

    def __init__(self, ceiling: int, *, floor: int = FLOOR, start: int = START) -> None:
        if ceiling < 1:
            raise ValueError(f"ceiling is {ceiling}; at least one call must be able to run")
        self.ceiling = ceiling
        self.floor = min(floor, ceiling)
        self._value = float(min(max(start, self.floor), ceiling))
        self._decreased_at = float("-inf")
        self.limit = int(self._value)

    def succeeded(self, in_flight: int) -> None:
        """+1 per limit's worth of successes, but only while the limit is in use (`in_flight` at the
        end).
        """
        if self._value < self.ceiling and in_flight * 2 >= self.limit:
            self._value = min(self._value + 1.0 / self._value, float(self.ceiling))
            self.limit = int(self._value + 1e-9)

    def timed_out(self, now: float, *, sent_at: float) -> None:
        """A call sent at `sent_at` was not answered in time."""
        self._decrease(now, sent_at, ON_TIMEOUT)

    def throttled(self, now: float, *, sent_at: float) -> None:
        """The carrier said "too many" to a call sent at `sent_at`."""
        self._decrease(now, sent_at, ON_THROTTLE)

    def _decrease(self, now: float, sent_at: float, factor: float) -> None:
        if sent_at < self._decreased_at:
            return
        self._value = max(self._value * factor, float(self.floor))
        self._decreased_at = now
        self.limit = int(self._value)
