"""Decides whether a call is tried again, and when. Pure: time and chance are arguments.

Only UNAVAILABLE is ever retried (AIP-194). Every call of the contract may be: reads change nothing,
creations carry an idempotency key, cancelling twice is one cancel. The throttle is that of gRPC
(proposal A6): when half of its tokens are gone, no call of this client is retried until successes
have paid them back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

SMALLEST_REMAINDER_S = 0.01
"""A retry that would have less time than this left is not worth its bytes."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full jitter: waits uniform in 0 .. min(longest, first * factor ^ (failures - 1))."""

    first_s: float = 0.2
    factor: float = 2.0
    longest_s: float = 2.0

    def wait_s(self, failures: int, chance: float) -> float:
        """The wait after the `failures`-th failure in a row (from 1); `chance` is in [0, 1)."""
        # The exponent is bounded so that a long outage cannot overflow a float.
        return chance * min(self.longest_s, self.first_s * self.factor ** min(failures - 1, 32))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often one call may be tried in all, and how long it waits between."""

    attempts: int = 3
    backoff: Backoff = Backoff()

    def next_wait_s(
        self, failures: int, *, retry_after_s: float | None, remaining_s: float, chance: float
    ) -> float | None:
        """Seconds to wait before the next attempt, None to give up.

        The server's RetryInfo is a lower bound; the jitter comes on top, so that many clients that
        were told the same delay do not return at once. A wait that outlasts the deadline is not
        begun.
        """
        if failures >= self.attempts:
            return None
        wait_s = (retry_after_s or 0.0) + self.backoff.wait_s(failures, chance)
        return wait_s if wait_s + SMALLEST_REMAINDER_S < remaining_s else None


class Throttle:
    """Retry tokens of one client: a failure costs 1, a success gives `ratio` back."""

    def __init__(self, tokens: float = 10.0, ratio: float = 0.1) -> None:
        self._most = tokens
        self._ratio = ratio
        self._tokens = tokens

    @property
    def allows(self) -> bool:
        """Whether a retry may be sent: more than half of the tokens are left."""
        return self._tokens > self._most / 2

    def failed(self) -> None:
        """A call came back UNAVAILABLE."""
        self._tokens = max(0.0, self._tokens - 1.0)

    def succeeded(self) -> None:
        """A call came back well."""
        self._tokens = min(self._most, self._tokens + self._ratio)


@dataclass(frozen=True, slots=True)
class Pace:
    """Where waiting, time and chance come from; tests bring their own."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    monotonic_s: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
