"""A promise of a rehearsal and what came of it."""

from __future__ import annotations

import msgspec

LATE_S = 0.05
"""Where a hundredth of the orders was sent later than that, latencies tell of the machine, not of the engine."""
VERDICTS = {True: "reached", False: "MISSED", None: "unclear"}


class Goal(msgspec.Struct, frozen=True):
    """A promise and what came of it; reached is None when this run cannot tell."""

    name: str
    found: str
    wanted: str
    reached: bool | None
