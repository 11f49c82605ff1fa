"""What a simulator counts while it serves; the control plane shows it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from crossdock_sdk.simulator.chaos import Mishap, SlidingSecond
from crossdock_sdk.simulator.ledger import Ledger


class Stats:
    """Counters since start. Calls that are no operation are counted under "other"."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.mishaps: Counter[Mishap] = Counter()
        self.answered = 0
        self.busy = 0
        self.broken = 0
        self.pushes_sent = 0
        self.pushes_retried = 0
        self.pushes_lost = 0
        self._overall = SlidingSecond()
        self._by_operation: dict[str, SlidingSecond] = {}

    def call(self, operation: str, now_s: float) -> None:
        """Count a call that came in at `now_s`, refused ones too."""
        operation = operation or "other"
        self.calls[operation] += 1
        self._overall.add(now_s)
        window = self._by_operation.get(operation)
        if window is None:
            window = self._by_operation[operation] = SlidingSecond()
        window.add(now_s)

    def as_dict(self, ledger: Ledger) -> dict[str, Any]:
        """Everything as plain JSON values.

        answered: whole answers written. busy: refused by the hidden quota. cuts: connections closed
        on purpose, before or after doing. broken: calls on which the simulator itself failed.
        """
        mishaps = self.mishaps
        cancelled = ledger.cancelled
        return {
            "calls": dict(self.calls),
            "answered": self.answered,
            "busy": self.busy,
            "errors": mishaps[Mishap.ERROR],
            "cuts": mishaps[Mishap.CUT] + mishaps[Mishap.ACCEPT_THEN_CUT],
            "cuts_after_doing": mishaps[Mishap.ACCEPT_THEN_CUT],
            "half_answers": mishaps[Mishap.HALF_ANSWER],
            "odd_bodies": mishaps[Mishap.ODD_BODY],
            "silences": mishaps[Mishap.SILENCE],
            "broken": self.broken,
            "bookings": sum(map(len, ledger.by_reference.values())),
            "live": sum(waybill not in cancelled for waybill in ledger.by_waybill),
            "peak_calls_per_s": self._overall.peak,
            "peak_calls_per_s_by_operation": {k: w.peak for k, w in self._by_operation.items()},
            "pushes_sent": self.pushes_sent,
            "pushes_retried": self.pushes_retried,
            "pushes_lost": self.pushes_lost,
        }
