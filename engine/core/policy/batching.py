"""When a micro-batch is due.

Full, old enough with nobody coming any more, or somebody's deadline is near. Pure; seconds are monotonic.
"""

from __future__ import annotations

import msgspec

NEVER = float("inf")


class BatchRules(msgspec.Struct, frozen=True):
    """How items are gathered into one call.

    size: items one call may carry. max_wait_s: the longest the oldest item waits for company, unless more keep
    coming: then until nobody has come for quiet_s, at most longest_s. Those that a full call leaves behind belong to a
    crowd, more of which comes: they wait longest_s from its leaving. margin_s: a batch leaves when so much time is
    left to the earliest deadline, for the call itself.
    """

    size: int = 1
    max_wait_s: float = 0.02
    quiet_s: float = 0.01
    longest_s: float = 0.1
    margin_s: float = 1.0


def due_in_s(
    rules: BatchRules,
    *,
    count: int,
    oldest_s: float,
    newest_s: float,
    deadline_s: float,
    now: float,
    full_s: float = -NEVER,
) -> float:
    """Seconds until the batch must leave: 0.0 = now, NEVER = there is nothing to send.

    count: items waiting. oldest_s, newest_s: when the oldest and the newest came. deadline_s: the earliest deadline
    among them. full_s: when the last full call left.
    """
    if count == 0:
        return NEVER
    if count >= rules.size:
        return 0.0
    worth_it_s = max(oldest_s + rules.max_wait_s, newest_s + rules.quiet_s, full_s + rules.longest_s)
    leave_s = min(worth_it_s, oldest_s + rules.longest_s, deadline_s - rules.margin_s)
    return max(0.0, leave_s - now)
