"""How fast one key may be called: GCRA, learning from the carrier's "too many".

Generic cell rate algorithm (ITU-T I.371): one float, the theoretical arrival time of the next call,
says exactly how long to wait. Tightened at once when the carrier objects, loosened slowly while it
is content. Without a configured rate nothing is limited until the first objection; the first
estimate is what was sent in the last second. Times are monotonic seconds passed in. Nothing here
sleeps.
"""

from __future__ import annotations

from collections import deque

import msgspec

TIGHTEN = 0.7
LOOSEN_PER_S = 0.02  # share of the rate at the last objection regained per second of successes
MIN_SHARE = 0.05  # a configured rate never falls below this share of itself
MIN_RATE_PER_S = 0.1  # nor a learned one below a call in ten seconds, or it could never learn again
MINUTE_S = 60
_EPSILON_S = 1e-9  # a caller who waited exactly as told must not be sent away by a rounding error


class GcraState(msgspec.Struct, frozen=True):
    """What must survive a restart. Durations relative to the moment of saving, since monotonic time
    does not.

    owed_s: how far the theoretical arrival time lies ahead. blocked_s: what is left of a
    Retry-After.
    rate_per_s: the rate in force, None while unlimited.
    """

    owed_s: float = 0.0
    blocked_s: float = 0.0
    rate_per_s: float | None = None


class Gcra:
    """The rate of one operation on one account.

    In any T seconds at most `burst + rate * T` calls pass.
    """

    __slots__ = (
        "_before", "_blocked_until", "_ceiling", "_count", "_loosened_at", "_minute", "_peak", "_rate",
        "_second", "_tat", "_tightened_at", "burst",
    )  # fmt: skip

    def __init__(self, rate_per_s: float | None = None, burst: int = 1) -> None:
        if rate_per_s is not None and rate_per_s <= 0:
            raise ValueError(f"rate_per_s is {rate_per_s}; give a positive rate or None for unlimited")
        if burst < 1:
            raise ValueError(f"burst is {burst}; at least one call must be able to pass")
        self.burst = burst
        self._ceiling = rate_per_s
        self._rate = rate_per_s
        self._peak = rate_per_s or 0.0
        self._tat = float("-inf")
        self._blocked_until = float("-inf")
        self._tightened_at = float("-inf")
        self._loosened_at = float("-inf")
        self._second = self._count = self._before = 0
        self._minute: deque[tuple[int, int]] = deque(maxlen=MINUTE_S)  # seconds with calls, and how many, oldest first

    @property
    def rate_per_s(self) -> float | None:
        """The rate in force; None while unlimited."""
        return self._rate

    def wait_s(self, now: float, ahead: int = 0) -> float:
        """Seconds until a call may pass when `ahead` other calls go first.

        Exact unless something is learned.
        """
        start = self._blocked_until if self._blocked_until > now else now
        if self._rate is None:
            return start - now
        interval = 1.0 / self._rate
        earliest = max(self._tat, start) + (ahead - self.burst + 1) * interval
        return max(earliest, start) - now

    def take(self, now: float) -> float:
        """Pass one call: 0.0 when it may go now, else the wait and nothing is taken."""
        wait = self.wait_s(now)
        if wait > _EPSILON_S:
            return wait
        self._count_call(now)
        if self._rate is not None:
            self._tat = max(self._tat, now) + 1.0 / self._rate
        return 0.0

    def charge(self, now: float) -> float:
        """Book a call that will be made in any case (a flow's further requests).

        Says how long it should wait.
        """
        wait = self.wait_s(now)
        self._count_call(now)
        if self._rate is not None:
            self._tat = max(self._tat, now + wait) + 1.0 / self._rate
        return wait

    def throttled(self, now: float, retry_after_s: float | None = None, *, sent_at: float | None = None) -> None:
        """The carrier objected to a call sent at `sent_at`: tighten at once and honour its
        Retry-After.

        Calls that were already under way when the rate was last tightened say nothing new about the
        new rate.
        """
        if retry_after_s is not None and retry_after_s > 0:
            self._blocked_until = max(self._blocked_until, now + retry_after_s)
        if sent_at is not None and sent_at < self._tightened_at:
            return
        seen = max(self._observed(now), MIN_RATE_PER_S / TIGHTEN)
        base = seen if self._rate is None else min(self._rate, max(seen, self._rate * 0.5))
        self._peak = base
        self._rate = max(base * TIGHTEN, self._floor())
        self._tat = max(self._tat, now + 1.0 / self._rate)
        self._tightened_at = self._loosened_at = now

    def succeeded(self, now: float) -> None:
        """The carrier was content: regain a little, up to the configured rate."""
        rate = self._rate
        if rate is None or rate == self._ceiling:
            return
        gained = rate + LOOSEN_PER_S * self._peak * min(max(now - self._loosened_at, 0.0), 1.0)
        self._rate = gained if self._ceiling is None else min(gained, self._ceiling)
        self._loosened_at = now

    def used_share(self, now: float) -> float | None:
        """Calls of the last minute as a share of what the rate in force allows in one; None while unlimited."""
        if self._rate is None:
            return None
        oldest = int(now) - MINUTE_S
        calls = sum(count for second, count in self._minute if second > oldest)
        return (calls + (self._count if self._second > oldest else 0)) / (self._rate * MINUTE_S)

    def spend_burst(self, now: float) -> None:
        """Take the worst for granted: that a burst went out just now. What a crash left unsaved may have been one."""
        if self._rate is not None:
            self._tat = max(self._tat, now + self.burst / self._rate)

    def state(self, now: float) -> GcraState:
        """What to save, so that a restart does not grant a second burst."""
        return GcraState(
            owed_s=max(0.0, self._tat - now),
            blocked_s=max(0.0, self._blocked_until - now),
            rate_per_s=self._rate,
        )

    def restore(self, state: GcraState, now: float, *, elapsed_s: float = 0.0) -> None:
        """Go on from a saved state, `elapsed_s` after it was saved (0 when the wall clock cannot be
        trusted).
        """
        passed = max(0.0, elapsed_s)
        if state.owed_s > passed:
            self._tat = now + state.owed_s - passed
        if state.blocked_s > passed:
            self._blocked_until = now + state.blocked_s - passed
        if state.rate_per_s is not None:
            rate = max(state.rate_per_s, self._floor())
            self._rate = rate if self._ceiling is None else min(rate, self._ceiling)
            self._peak = self._ceiling or rate / TIGHTEN
            self._loosened_at = now

    def _floor(self) -> float:
        return MIN_RATE_PER_S if self._ceiling is None else self._ceiling * MIN_SHARE

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
