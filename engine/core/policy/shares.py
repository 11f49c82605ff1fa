"""Which of the accounts that could take the same order should, so that each gets its share.

Pure. Accounts compete as a group: those that could take the order in question. In each group the one furthest behind
its target comes first. Accounts without a target share what the targets leave, by price as ever; when nothing is left
they come last. A group remembers about its last few hundred orders: an account that was away catches up for minutes,
not for the rest of the day. Counted is where orders were sent first, so that refusals do not attract more orders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WINDOW = 400
MOST_GROUPS = 1_000

Group = tuple[str, ...]
"""Account ids, sorted."""


class Shares:
    """The targets, and what was assigned lately, by group."""

    __slots__ = ("_assigned", "_targets")

    def __init__(self, targets: Mapping[str, int] | None = None) -> None:
        self._targets = {account: percent for account, percent in (targets or {}).items() if percent > 0}
        self._assigned: dict[Group, dict[str, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._targets)

    def lag(self, account_ids: Sequence[str]) -> dict[str, float]:
        """How far along each account of a group is on the way to its share: the smallest comes first.

        All equal when none of them has a target, or when there is nobody to share with.
        """
        targets = self._targets
        if len(account_ids) < 2 or not any(a in targets for a in account_ids):
            return dict.fromkeys(account_ids, 0.0)
        assigned = self._assigned.get(tuple(sorted(account_ids)), {})
        left = max(0, 100 - sum(targets.get(a, 0) for a in account_ids))
        free = sum(count for a, count in assigned.items() if a not in targets)
        rest = (free + 1) / left if left else float("inf")
        return {a: (assigned.get(a, 0.0) + 1) / targets[a] if a in targets else rest for a in account_ids}

    def assigned(self, account_ids: Sequence[str], account_id: str) -> None:
        """An order that any of `account_ids` could take was sent to `account_id` first."""
        if len(account_ids) < 2 or not any(a in self._targets for a in account_ids):
            return
        if len(self._assigned) >= MOST_GROUPS:
            self._assigned.clear()
        counts = self._assigned.setdefault(tuple(sorted(account_ids)), {})
        counts[account_id] = counts.get(account_id, 0.0) + 1
        if sum(counts.values()) >= WINDOW:
            for each in counts:
                counts[each] /= 2

    def reason(self, account_id: str) -> str:
        """The target, for people; "" without one."""
        percent = self._targets.get(account_id, 0)
        return f"share of {percent} % among those that could take it" if percent else ""
