"""What stands in the way of a new item: each reason alone, and the order in which they are found."""

from __future__ import annotations

import pytest

from crossdock_sdk import Limit
from engine.core.policy.breaker import Breaker, BreakerRules, Verdict
from engine.outbound import Priority, RefusalReason
from engine.outbound.obstacle import obstacle
from engine.outbound.operation_queue import OperationQueue

NOW = 100.0
OPEN_S = 5.0
PACE_S = 10.0


def breaker_of(state: str) -> Breaker:
    """Closed, or open for `OPEN_S`."""
    breaker = Breaker(BreakerRules(consecutive=1, open_s=OPEN_S, jitter=0.0))
    permit = breaker.acquire(NOW)
    if "open" in state and permit is not None:
        breaker.finished(permit, NOW, Verdict.FAILURE)
    return breaker


def queue_of(state: str) -> OperationQueue:
    """One call in `PACE_S`, free or just used."""
    queue = OperationQueue("book", Limit(rate_per_s=1 / PACE_S, burst=1), batch_wait_s=0.02, least_time_s=0.2)
    if "used" in state:
        queue.rate.take(NOW)
    return queue


@pytest.mark.parametrize(
    ("start_in_s", "state", "reason", "wait_s"),
    [
        (1.0, "", None, 0.0),
        (1.0, "closed", RefusalReason.CLOSED, 0.0),
        (-0.1, "", RefusalReason.DEADLINE, 0.0),
        (1.0, "open", RefusalReason.BREAKER_OPEN, OPEN_S),
        (1.0, "used", RefusalReason.RATE, PACE_S),
        (PACE_S + 1.0, "used", None, 0.0),
        (1.0, "full", RefusalReason.QUEUE_FULL, 0.0),
        (-0.1, "closed open used full", RefusalReason.CLOSED, 0.0),
        (-0.1, "open used full", RefusalReason.DEADLINE, 0.0),
        (1.0, "open used full", RefusalReason.BREAKER_OPEN, OPEN_S),
        (1.0, "used full", RefusalReason.RATE, PACE_S),
    ],
)
def test_the_first_obstacle_is_named(
    start_in_s: float, state: str, reason: RefusalReason | None, wait_s: float
) -> None:
    """A lane that closes, no time left, a carrier that is down, its rate, a full queue: in this order."""
    queue, breaker, start_by = queue_of(state), breaker_of(state), NOW + start_in_s

    found = obstacle(
        queue, breaker, NOW, start_by, Priority.BOOK, "", is_closed="closed" in state, is_full="full" in state
    )

    assert found == (reason, pytest.approx(wait_s))
