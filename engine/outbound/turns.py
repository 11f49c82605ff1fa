"""Whose call is next where several operations of a lane could send: tenants take turns over the whole lane.

Inside a queue they do so already; but a tenant that fills the look-ups must not hold up another one's booking either.
A call is a turn and costs its tenant 1/weight. The queue goes first whose next tenant has had least; whoever was away
begins with the present and has saved nothing up. Of equal ones, such as two queues of one tenant, the queue goes first
whose last turn is longest ago, so that none of them starves.
"""

from __future__ import annotations

from collections.abc import Mapping


class Turns:
    """What each tenant of a lane has had, and each operation's last turn."""

    __slots__ = ("_count", "_due", "_last", "_now", "_weights")

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = weights
        self._now = 0.0  # the lane's time: when the last turn was due
        self._due: dict[str, float] = {}  # tenant -> when its next turn is, in the lane's time
        self._count = 0
        self._last: dict[str, int] = {}  # operation -> which turn of the lane its last one was

    def rank(self, operation: str, tenant: str) -> tuple[float, int]:
        """Smaller goes first: a call of `operation` whose first item is `tenant`'s."""
        return max(self._due.get(tenant, 0.0), self._now), self._last.get(operation, 0)

    def took(self, operation: str, tenant: str) -> None:
        """That call goes."""
        self._now = max(self._due.get(tenant, 0.0), self._now)
        self._due[tenant] = self._now + 1.0 / self._weights.get(tenant, 1)
        self._count += 1
        self._last[operation] = self._count
