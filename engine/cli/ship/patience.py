"""How long the command tries again before it gives up. Pure: time is passed in."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0


class Patience:
    """Backoff with full jitter inside a budget that starts anew with every success."""

    def __init__(self, budget_s: float, *, draw: Callable[[], float] = random.random) -> None:
        self._budget_s = budget_s
        self._draw = draw
        self._since_s: float | None = None
        self._failures = 0

    def succeeded(self) -> None:
        """Something came through."""
        self._since_s = None
        self._failures = 0

    def failed(self, now_s: float) -> float | None:
        """The pause before the next try, None when the budget is used up."""
        if self._since_s is None:
            self._since_s = now_s
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._failures, 16)) * (0.5 + 0.5 * self._draw())
        self._failures += 1
        return delay_s if now_s + delay_s - self._since_s <= self._budget_s else None
