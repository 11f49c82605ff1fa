"""Named points at which a test may kill the engine, to prove that nothing is lost or doubled there.

`CROSSDOCK_CRASH_AT=point` or `point:3` sends SIGKILL to the process the first (third) time the point is passed.
Unset, a point costs one comparison. The names are the steps between which a booking's state changes hands.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "order_validated",  # nothing written yet
    "order_committed",  # order and first attempt durable, caller not answered, nothing sent
    "attempt_committed",  # a further attempt durable, its first byte not sent
    "answer_received",  # the carrier answered, the outcome is not durable
    "outcome_committed",  # the outcome is durable, the caller not answered
    "outcome_unknown_committed",  # UNKNOWN is durable, no look-up made
    "lookup_answered",  # the look-up answered, its finding is not durable
    "fallback_decided",  # the next carrier is chosen, its attempt is not durable
    "cancel_committed",  # CANCELLING is durable, the carrier not asked
    "cancel_answered",  # the carrier cancelled, CANCELLED is not durable
    "label_fetched",  # the carrier's label is here, not stored
)

_point, _, _nth = os.environ.get("CROSSDOCK_CRASH_AT", "").partition(":")
_left = int(_nth or 1)
if _point and _point not in POINTS:
    raise SystemExit(f"CROSSDOCK_CRASH_AT names no crash point: {_point!r}; known: {', '.join(POINTS)}")


def crash_point(name: str) -> None:
    """Die here if the environment says so."""
    if name == _point:
        _die()


def _die() -> None:
    global _left  # a process-wide countdown, set once by the environment
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
