"""What a store tells about itself: how fast it commits, how much waits. For the metrics."""

from __future__ import annotations

from typing import Protocol


class StoreObserver(Protocol):
    """Called in the event loop, once per group commit; must be quick and must not raise."""

    def committed(self, items: int, seconds: float) -> None:
        """`items` writes became durable together, `seconds` after the first of them was begun."""
        ...

    def queue_depth(self, n: int) -> None:
        """`n` writes wait for the next group commit."""
        ...


class NullObserver:
    """Hears everything, says nothing."""

    def committed(self, items: int, seconds: float) -> None:
        """Ignore it."""

    def queue_depth(self, n: int) -> None:
        """Ignore it."""
