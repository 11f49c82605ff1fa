"""Named points at which a test may kill the engine, to prove that nothing is lost or doubled there.

`CROSSDOCK_CRASH_AT=point` or `point:3` sends SIGKILL to the process the first (third) time the point is passed.
`CROSSDOCK_CRASH_AT=@file` reads the same from a file whenever a point is passed, so that a running engine can be told.
Unset, a point costs one truth test. The names are the steps between which a booking's state changes hands.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

POINTS = (
    "migration_written",  # a step of the schema is written, not committed
    "order_validated",  # nothing written yet
    "batch_written",  # rows of orders are written, not committed
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
    "push_in_hand",  # a push has come, nothing of it is read
    "push_committed",  # what a push told is durable, the push is not acknowledged
    "lease_taken",  # orders of an engine that is gone are this one's, no worker has them yet
    "checkpoint_begun",  # the log is about to be moved into the file
)

_order = ""
_seen = ""
_left = 0


def arm() -> None:
    """Die as the environment says from now on. Ends the process when it names no point.

    Done at import; again by a process that was forked after it, whose environment is another.
    """
    global _order  # a process has one death
    order = os.environ.get("CROSSDOCK_CRASH_AT", "")
    if order and not order.startswith("@"):
        try:
            parse_order(order)
        except ValueError as error:
            raise SystemExit(str(error)) from None
    _order = order


def crash_point(name: str) -> None:
    """Die here if the environment says so."""
    if _order:
        _pass(name)


def parse_order(text: str) -> tuple[str, int]:
    """Point and pass out of `point` or `point:3`. Raises ValueError naming the points there are."""
    point, _, nth = text.partition(":")
    if point not in POINTS or not (nth or "1").isdecimal():
        raise ValueError(f"CROSSDOCK_CRASH_AT names no crash point: {text!r}; known: {', '.join(POINTS)}")
    return point, int(nth or 1)


def _pass(name: str) -> None:
    global _seen, _left  # a process-wide countdown, begun anew when the order changes
    order = Path(_order[1:]).read_text() if _order.startswith("@") else _order
    if not order:
        return
    point, nth = parse_order(order)
    if order != _seen:
        _seen, _left = order, nth
    if point == name:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


arm()
