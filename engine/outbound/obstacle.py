"""What stands in the way of a new item: found before anything is sent, so that its order can go elsewhere at once.

Reads the policies and changes none of them.
"""

from __future__ import annotations

from engine.core.policy.breaker import Breaker
from engine.outbound.errors import RefusalReason
from engine.outbound.operation_queue import OperationQueue
from engine.outbound.operations import Priority


def obstacle(
    queue: OperationQueue,
    breaker: Breaker,
    now: float,
    start_by: float,
    priority: Priority,
    tenant: str,
    *,
    is_closed: bool,
    is_full: bool,
) -> tuple[RefusalReason | None, float]:
    """Why an item whose call must begin by `start_by` may not wait here, None when it may; and for how long, if known.

    is_closed: whether the lane takes nothing any more. is_full: whether as many items wait in it as may.
    """
    left_s = start_by - now
    if is_closed:
        return RefusalReason.CLOSED, 0.0
    if left_s < 0:
        return RefusalReason.DEADLINE, 0.0
    if not breaker.may_call(now):
        return RefusalReason.BREAKER_OPEN, breaker.wait_s(now)
    wait_s = queue.rate_wait_s(now, priority, tenant)
    if wait_s > left_s:
        return RefusalReason.RATE, wait_s
    return (RefusalReason.QUEUE_FULL if is_full else None), 0.0
