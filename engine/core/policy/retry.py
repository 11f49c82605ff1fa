"""Whether and when something may be tried again: a budget, a backoff, and what Retry-After means.

The budget keeps an outage from being fed by its own retries: over two minutes those that fail are at
most a tenth of the first attempts (Google SRE, handling overload), or one in four seconds where there
is hardly any traffic. Randomness comes in as a fraction.
"""

from __future__ import annotations

import math
from collections import deque
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SHARE = 0.1
WINDOW_S = 120.0
FLOOR = 30
BUCKETS = 12
MAX_RETRY_AFTER_S = 86_400.0  # a carrier that wants more than a day has sent nonsense or closed the account


class RetryBudget:
    """Counts first attempts and retries of one key over a sliding window of buckets."""

    __slots__ = ("_buckets", "_first", "_floor", "_retries", "_share", "_width_s")

    def __init__(self, *, share: float = SHARE, window_s: float = WINDOW_S, floor: int = FLOOR) -> None:
        self._share = share
        self._floor = floor
        self._width_s = window_s / BUCKETS
        self._buckets: deque[list[int]] = deque()  # [index, first attempts, retries], oldest first
        self._first = 0
        self._retries = 0

    def first_attempt(self, now: float) -> None:
        """Something was tried for the first time."""
        self._bucket(now)[1] += 1
        self._first += 1

    def left(self, now: float) -> int:
        """How many retries may go now."""
        self._expire(int(now // self._width_s))
        return max(0, max(self._floor, int(self._first * self._share)) - self._retries)

    def take(self, now: float) -> bool:
        """Spend one retry.

        False when the budget is used up and the caller must wait for its next turn.
        """
        if self.left(now) < 1:
            return False
        self._bucket(now)[2] += 1
        self._retries += 1
        return True

    def give_back(self) -> None:
        """A retry succeeded, or did not go after all: it fed no outage, and another one may go."""
        for bucket in reversed(self._buckets):
            if bucket[2]:
                bucket[2] -= 1
                self._retries -= 1
                return

    def _bucket(self, now: float) -> list[int]:
        index = int(now // self._width_s)
        if not self._buckets or self._buckets[-1][0] != index:
            self._expire(index)
            self._buckets.append([index, 0, 0])
        return self._buckets[-1]

    def _expire(self, index: int) -> None:
        while self._buckets and self._buckets[0][0] <= index - BUCKETS:
            _, first, retries = self._buckets.popleft()
            self._first -= first
            self._retries -= retries


def backoff_s(attempt: int, fraction: float, *, base_s: float = 0.5, cap_s: float = 900.0) -> float:
    """Seconds before the next try after `attempt` failures (from 1): full jitter, doubling, capped.

    `fraction` is random in 0..1 and multiplies the whole span, so that no second collects the
    retries.
    """
    span_s = base_s * 2.0 ** min(max(attempt, 1) - 1, 60)
    return min(span_s, cap_s) * min(max(fraction, 0.0), 1.0)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3): delay-seconds or an HTTP date.

    A date in the past is 0.0. More than a day is cut to a day. Nonsense is None: it is no order to
    wait.
    """
    text = (value or "").strip()
    if not text or len(text) > 64:
        return None
    if text[0] in "0123456789":
        try:
            seconds = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            return None
        return min(seconds, MAX_RETRY_AFTER_S) if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max((date - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
