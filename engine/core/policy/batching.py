"""When a micro-batch is due.

Full, old enough, or somebody's deadline is near. Pure; seconds are monotonic.
"""

from __future__ import annotations

import msgspec

NEVER = float("inf")


class BatchRules(msgspec.Struct, frozen=True):
    """How items are gathered into one call.

    size: items one call may carry. max_wait_s: the longest the oldest item waits for company.
    margin_s: a batch leaves when so much time is left to the earliest deadline, for the call
    itself.
    """

    size: int = 1
    max_wait_s: float = 0.02
    margin_s: float = 1.0


def due_in_s(rules: BatchRules, *, count: int, oldest_s: float, deadline_s: float, now: float) -> float:
    """Seconds until the batch must leave: 0.0 = now, NEVER = there is nothing to send.

    count: items waiting. oldest_s: when the oldest came. deadline_s: the earliest deadline among
    them.
    """
    if count == 0:
        return NEVER
    if count >= rules.size:
        return 0.0
    leave_s = min(oldest_s + rules.max_wait_s, deadline_s - rules.margin_s)
    return max(0.0, leave_s - now)
