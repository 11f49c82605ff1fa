"""What a lane has learned about its carrier account.

Breaker, concurrency limit, retry budget and the ramp after a failure.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec

from crossdock_sdk import Limit
from engine.core.policy.breaker import Breaker, BreakerState, Verdict
from engine.core.policy.concurrency import AimdLimit
from engine.core.policy.failback import Failback
from engine.core.policy.retry import RetryBudget
from engine.outbound.feedback import Lesson
from engine.outbound.settings import LaneSettings


class Health:
    """Holds the policies that all operations of a lane share and feeds them each call's lesson."""

    __slots__ = ("_seen", "breaker", "budget", "failback", "limit")

    def __init__(self, settings: LaneSettings, limits: Iterable[Limit]) -> None:
        known = list(limits)
        slow_s = settings.slow_share * max(limit.timeout_s for limit in known)
        slow_s = min(slow_s, settings.breaker.slow_s)
        self.breaker = Breaker(msgspec.structs.replace(settings.breaker, slow_s=slow_s))
        self.limit = AimdLimit(max(limit.concurrency for limit in known))
        self.budget = RetryBudget()
        self.failback = Failback(settings.failback)
        self._seen = (BreakerState.CLOSED, self.breaker.era)

    def learn(
        self, operation: str, permit: int, learned: Lesson, *, started: float, now: float, in_flight: int
    ) -> BreakerState | None:
        """Take in a call of an operation; answers the breaker's state when it changed or opened again.

        in_flight: calls that were under way together with this one, itself included.
        """
        if learned.throttled:
            self.limit.throttled(now, sent_at=started)
        elif learned.timed_out:
            self.limit.timed_out(now, sent_at=started)
        elif learned.verdict is Verdict.SUCCESS:
            self.limit.succeeded(in_flight)
        self.breaker.finished(
            permit, now, learned.verdict, operation=operation, seconds=now - started, fraction=random.random()
        )
        if self.failback.is_ramping:
            if learned.verdict is Verdict.FAILURE:
                self.failback.failed(now)
            elif learned.verdict is Verdict.SUCCESS:
                self.failback.succeeded(now)
        seen = (self.breaker.state(now), self.breaker.era)
        if seen == self._seen:
            return None
        self._seen = seen
        if seen[0] is BreakerState.OPEN:
            self.failback.opened()
        elif seen[0] is BreakerState.CLOSED:
            self.failback.closed(now)
        return seen[0]
