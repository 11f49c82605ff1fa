"""What a carrier allows per operation, as its manifest states it.

The engine enforces and learns from there.
"""

from __future__ import annotations

import msgspec


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one operation on one account.

    batch: items per call. rate_per_s: calls per second (None = not published; the engine starts at
    its default and learns). burst: calls that may go at once. concurrency: calls in flight.
    timeout_s: total time of one call, connect included. min_interval_s: least time between two questions about the
    same number (track only).
    """

    batch: int = 1
    rate_per_s: float | None = None
    burst: int = 1
    concurrency: int = 16
    timeout_s: float = 15.0
    min_interval_s: float = 0.0
