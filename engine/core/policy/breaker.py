"""When to stop calling a carrier that fails, and how to find out that it is back.

    CLOSED --5 in a row, or half of at least 20 in 10 s--> OPEN --open time over--> HALF_OPEN
    HALF_OPEN --3 successes--> CLOSED          HALF_OPEN --one failure--> OPEN, for longer

The longest open time is short: one probe in twenty seconds burdens nobody, while a carrier that is back after minutes
would otherwise be left alone for minutes more. A carrier that fails again soon after it came back goes on where it
was, so that one that comes and goes is tried ever less often.

Pure: `now` is monotonic seconds, jitter comes in as a fraction. Only faults of the carrier's system
count (transport faults, 5xx, TEMPORARY, slow calls); a business refusal or a 429 shows that it
works. Operations that share a breaker are counted apart: where half of all bookings fail, each is looked
up afterwards, and look-ups that succeed must not hide it.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

import msgspec


class BreakerState(StrEnum):
    """Whether calls pass."""

    CLOSED = "CLOSED"
    HALF_OPEN = "HALF_OPEN"
    OPEN = "OPEN"


class Verdict(StrEnum):
    """What a finished call says about the carrier's system."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    NEUTRAL = "NEUTRAL"
    """Says nothing: throttled, or never reached the carrier for reasons of ours."""


class BreakerRules(msgspec.Struct, frozen=True):
    """When to open and close.

    open_s: how long it stays open the first time, twice as long the second, up to open_cap_s (or open_s, if that is
    more). A breaker that was closed for longer than that begins anew.
    slow_s: a call that took longer counts as a failure whatever it answered.
    jitter: share by which the open time varies to both sides.
    """

    consecutive: int = 5
    failure_share: float = 0.5
    least_calls: int = 20
    window_s: int = 10
    open_s: float = 5.0
    open_cap_s: float = 20.0
    jitter: float = 0.1
    slow_s: float = float("inf")
    successes_to_close: int = 3

    @property
    def longest_s(self) -> float:
        """The longest it stays open without a probe, jitter aside."""
        return max(self.open_s, self.open_cap_s)


class _Counts:
    """The latest calls of one operation."""

    __slots__ = ("in_a_row", "window")

    def __init__(self) -> None:
        self.in_a_row = 0
        self.window: deque[list[int]] = deque()  # [second, calls, failures], oldest first

    def add(self, second: int, failed: bool, window_s: int) -> None:
        """Count a call."""
        self.in_a_row = self.in_a_row + 1 if failed else 0
        window = self.window
        if not window or window[-1][0] != second:
            window.append([second, 0, 0])
            while window[0][0] <= second - window_s:
                window.popleft()
        window[-1][1] += 1
        window[-1][2] += failed

    def say_open(self, rules: BreakerRules) -> bool:
        """Whether so many fail that no more should go; asked after a failure."""
        if self.in_a_row >= rules.consecutive:
            return True
        calls = sum(bucket[1] for bucket in self.window)
        failures = sum(bucket[2] for bucket in self.window)
        return calls >= rules.least_calls and failures >= calls * rules.failure_share


class Breaker:
    """One breaker for a carrier account and operation class."""

    __slots__ = (
        "_closed_at", "_counts", "_era", "_open_until", "_openings", "_probing", "_successes", "_tripped", "rules",
    )  # fmt: skip

    def __init__(self, rules: BreakerRules | None = None) -> None:
        self.rules = rules or BreakerRules()
        self._tripped = False
        self._open_until = 0.0
        self._closed_at = float("-inf")
        self._openings = 0
        self._probing = False
        self._successes = 0
        self._era = 0
        self._counts: dict[str, _Counts] = {}

    @property
    def era(self) -> int:
        """Counts openings and closings; tells an opening after a failed probe from none."""
        return self._era

    def state(self, now: float) -> BreakerState:
        """The state at `now`; an open breaker becomes half-open by the mere passing of time."""
        if not self._tripped:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def may_call(self, now: float) -> bool:
        """True when `acquire` would give a permit."""
        return not self._tripped or (now >= self._open_until and not self._probing)

    def wait_s(self, now: float) -> float:
        """Seconds until the next probe may go.

        0 when closed or when only a running probe is in the way.
        """
        return max(0.0, self._open_until - now) if self._tripped else 0.0

    def acquire(self, now: float) -> int | None:
        """A permit for one call, to be given back to `finished`; None when no call may go."""
        if not self.may_call(now):
            return None
        self._probing = self._tripped
        return self._era

    def finished(
        self,
        permit: int,
        now: float,
        verdict: Verdict,
        *,
        operation: str = "",
        seconds: float = 0.0,
        fraction: float = 0.5,
    ) -> None:
        """Count a call of an operation. `fraction` (0..1, random) spreads the open time if this call opens the
        breaker.

        Calls that began before the state last changed are ignored: they tell of the past.
        """
        if permit != self._era:
            return
        failed = verdict is Verdict.FAILURE or (seconds > self.rules.slow_s and verdict is not Verdict.NEUTRAL)
        if self._tripped:
            self._probed(now, verdict, failed, fraction)
        elif verdict is not Verdict.NEUTRAL:
            counts = self._counts.get(operation)
            if counts is None:
                counts = self._counts[operation] = _Counts()
            counts.add(int(now), failed, self.rules.window_s)
            if failed and counts.say_open(self.rules):
                self._open(now, fraction)

    def _probed(self, now: float, verdict: Verdict, failed: bool, fraction: float) -> None:
        self._probing = False
        if failed:
            self._open(now, fraction)
        elif verdict is Verdict.SUCCESS:
            self._successes += 1
            if self._successes >= self.rules.successes_to_close:
                self._close(now)

    def _open(self, now: float, fraction: float) -> None:
        if not self._tripped and now - self._closed_at > self.rules.longest_s:
            self._openings = 0
        self._openings += 1
        spread = 1.0 + self.rules.jitter * (2.0 * fraction - 1.0)
        self._open_until = now + min(self.rules.open_s * self._openings, self.rules.longest_s) * spread
        self._tripped = True
        self._reset()

    def _close(self, now: float) -> None:
        self._tripped = False
        self._closed_at = now
        self._reset()

    def _reset(self) -> None:
        self._era += 1
        self._probing = False
        self._successes = 0
        self._counts.clear()
