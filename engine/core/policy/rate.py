"""How fast one key may be called: what is allowed in writing, and what the carrier is found to take.

The first is the law of the manifest, held to the letter by the generic cell rate algorithm (ITU-T I.371): one float,
the theoretical arrival time of the next call, says exactly how long to wait. The second is learned from the carrier's
"too many" (`estimate`) and holds only below the first (`pace`). Without a rate in writing nothing is limited until the
first objection; the first estimate is what was sent in the last second. Times are monotonic seconds passed in. Nothing
here sleeps.
"""

from __future__ import annotations

from collections import deque

import msgspec

from engine.core.policy.estimate import FIRST_CUT, Estimate
from engine.core.policy.pace import Pace

MIN_RATE_PER_S = 0.1  # a learned rate never falls below a call in ten seconds, or it could never learn again
MIN_SHARE = 0.05  # nor below this share of a configured rate that is slow itself
USED_SHARE = 0.9  # of the rate in the last second, give or take a call: less proves nothing about more
NEAR_SHARE = 0.7  # of the rate in the last second: an objection to less is none to the rate
LONE_PER_S = 1.0
PAUSE_S = 1.0  # after an objection out of the blue: the seconds in which carriers count pass first
MINUTE_S = 60
_EPSILON_S = 1e-9  # a caller who waited exactly as told must not be sent away by a rounding error


class GcraState(msgspec.Struct, frozen=True):
    """What must survive a restart. Durations relative to the moment of saving, since monotonic time
    does not.

    owed_s: how far the next call lies ahead. blocked_s: what is left of a Retry-After.
    rate_per_s: the rate in force, None while unlimited. knee_per_s: where the carrier objected last, None if never.
    worked_per_s: the last rate it was content with, None if it never objected.
    """

    owed_s: float = 0.0
    blocked_s: float = 0.0
    rate_per_s: float | None = None
    knee_per_s: float | None = None
    worked_per_s: float | None = None


class Gcra:
    """The rate of one operation on one account.

    In any T seconds at most `burst + rate * T` calls pass of what is allowed in writing; of a learned rate, in any
    second no more than it.
    """

    __slots__ = (
        "_before", "_blocked_until", "_ceiling", "_count", "_estimate", "_minute", "_pace", "_second", "_tat", "burst",
    )  # fmt: skip

    def __init__(self, rate_per_s: float | None = None, burst: int = 1) -> None:
        if rate_per_s is not None and rate_per_s <= 0:
            raise ValueError(f"rate_per_s is {rate_per_s}; give a positive rate or None for unlimited")
        if burst < 1:
            raise ValueError(f"burst is {burst}; at least one call must be able to pass")
        self.burst = burst
        self._ceiling = rate_per_s
        self._estimate = Estimate()
        self._pace = Pace(burst)
        self._tat = float("-inf")
        self._blocked_until = float("-inf")
        self._second = self._count = self._before = 0
        self._minute: deque[tuple[int, int]] = deque(maxlen=MINUTE_S)  # seconds with calls, and how many, oldest first

    @property
    def rate_per_s(self) -> float | None:
        """The rate in force; None while unlimited."""
        learned = self._estimate.rate_per_s
        return self._ceiling if learned is None else learned

    def wait_s(self, now: float, ahead: int = 0) -> float:
        """Seconds until a call may pass when `ahead` other calls go first.

        Exact for what is allowed in writing unless something is learned.
        """
        start = self._blocked_until if self._blocked_until > now else now
        wait = start - now
        if self._ceiling is not None:
            earliest = max(self._tat, start) + (ahead - self.burst + 1) / self._ceiling
            wait = max(earliest - now, wait)
        if (learned := self._estimate.rate_per_s) is not None:
            wait = max(self._pace.earliest(learned, ahead) - now, ahead / learned + start - now, wait)
        return wait

    def take(self, now: float) -> float:
        """Pass one call: 0.0 when it may go now, else the wait and nothing is taken."""
        wait = self.wait_s(now)
        if wait > _EPSILON_S:
            return wait
        self._passed(now, now)
        return 0.0

    def charge(self, now: float) -> float:
        """Book a call that will be made in any case (a flow's further requests).

        Says how long it should wait.
        """
        wait = self.wait_s(now)
        self._passed(now, now + wait)
        return wait

    def throttled(self, now: float, retry_after_s: float | None = None, *, sent_at: float | None = None) -> None:
        """The carrier objected to a call sent at `sent_at`: tighten at once and honour its
        Retry-After.

        Calls that were already under way when the rate was last tightened say nothing new about the
        new rate.
        """
        if retry_after_s is not None and retry_after_s > 0:
            self._blocked_until = max(self._blocked_until, now + retry_after_s)
        estimate, rate = self._estimate, self.rate_per_s
        if sent_at is not None and sent_at < estimate.tightened_at:
            return
        floor = self._floor()
        seen = max(self._observed(now), floor)
        if rate is not None and seen <= LONE_PER_S and seen < NEAR_SHARE * rate:
            return  # a call on its own, such as a breaker's probe: whatever it was refused for, it was not the rate
        base = seen if rate is None else rate if seen >= NEAR_SHARE * rate else max(seen, rate * 0.5)
        if estimate.objected(now, base, floor) >= FIRST_CUT:
            self._pace.hold(now + PAUSE_S)

    def succeeded(self, now: float) -> None:
        """The carrier was content: regain a little, up to the configured rate."""
        rate = self._estimate.rate_per_s
        if rate is not None:
            self._estimate.content(now, in_use=self._observed(now) + 1 >= USED_SHARE * rate, ceiling=self._ceiling)

    def used_share(self, now: float) -> float | None:
        """Calls of the last minute as a share of what the rate in force allows in one; None while unlimited."""
        rate = self.rate_per_s
        if rate is None:
            return None
        oldest = int(now) - MINUTE_S
        calls = sum(count for second, count in self._minute if second > oldest)
        return (calls + (self._count if self._second > oldest else 0)) / (rate * MINUTE_S)

    def spend_burst(self, now: float) -> None:
        """Take the worst for granted: that a burst went out just now. What a crash left unsaved may have been one."""
        if self._ceiling is not None:
            self._tat = max(self._tat, now + self.burst / self._ceiling)
        if self._estimate.rate_per_s is not None:
            self._pace.spend(now, self._estimate.rate_per_s)

    def state(self, now: float) -> GcraState:
        """What to save, so that a restart does not grant a second burst."""
        learned = self._estimate.rate_per_s
        next_at = self._tat if learned is None else max(self._tat, self._pace.earliest(learned))
        return GcraState(
            owed_s=max(0.0, next_at - now),
            blocked_s=max(0.0, self._blocked_until - now),
            rate_per_s=self.rate_per_s,
            knee_per_s=self._estimate.knee_per_s or None,
            worked_per_s=self._estimate.worked_per_s or None,
        )

    def restore(self, state: GcraState, now: float, *, elapsed_s: float = 0.0) -> None:
        """Go on from a saved state, `elapsed_s` after it was saved (0 when the wall clock cannot be
        trusted).
        """
        passed = max(0.0, elapsed_s)
        if state.owed_s > passed:
            self._tat = now + state.owed_s - passed
            self._pace.hold(self._tat)
        if state.blocked_s > passed:
            self._blocked_until = now + state.blocked_s - passed
        if state.rate_per_s is not None:
            rate = max(state.rate_per_s, self._floor())
            if self._ceiling is None or rate < self._ceiling:
                knee = state.knee_per_s or self._ceiling or rate
                self._estimate.restore(rate, knee, state.worked_per_s or knee, now)

    def _floor(self) -> float:
        return MIN_RATE_PER_S if self._ceiling is None else min(MIN_RATE_PER_S, self._ceiling * MIN_SHARE)

    def _passed(self, now: float, goes_at: float) -> None:
        """A call was let through now, to be sent at `goes_at`."""
        self._count_call(now)
        if self._ceiling is not None:
            self._tat = max(self._tat, goes_at) + 1.0 / self._ceiling
        if (learned := self._estimate.rate_per_s) is not None:
            self._pace.passed(goes_at, learned)

    def _count_call(self, now: float) -> None:
        second = int(now)
        if second != self._second:
            self._before = self._count if second == self._second + 1 else 0
            if self._count:
                self._minute.append((self._second, self._count))
            self._second, self._count = second, 0
        self._count += 1

    def _observed(self, now: float) -> float:
        """Calls in the last second, from two one-second counters."""
        second = int(now)
        part = now - second
        if second == self._second:
            return max(self._count + self._before * (1.0 - part), float(self._count))
        return self._count * (1.0 - part) if second == self._second + 1 else 0.0
