"""Progress on standard error: a live line on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from engine.cli.ship.results import BOOKED, OPEN_STATES

if TYPE_CHECKING:
    from rich.status import Status

    from engine.cli.ship.desk import Desk

LINE_EVERY_S = 5.0


class Screen:
    """Shows one run. `tick` about once a second; `context` surrounds the run."""

    def __init__(self) -> None:
        self._status: Status | None = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("starting")
        self._shown_s = 0.0

    def context(self) -> AbstractContextManager[object]:
        """Clears the live line at the end."""
        return self._status if self._status is not None else nullcontext()

    def tick(self, phase: str, desk: Desk, *, now_s: float, sending_s: float) -> None:
        """Show where the run stands. `sending_s` is how long rows have been going out."""
        text = f"{phase}: {progress_text(desk, sending_s)}"
        if self._status is not None:
            self._status.update(text)
        elif now_s - self._shown_s >= LINE_EVERY_S:
            self._shown_s = now_s
            print(text, file=sys.stderr, flush=True)


def progress_text(desk: Desk, sending_s: float) -> str:
    """`2,431 booked, 12 refused, 512 open, 803 orders/s`."""
    booked = desk.counts[BOOKED]
    booking = sum(desk.counts[state] for state in OPEN_STATES)
    refused = desk.counts.total() - booked - booking
    rate = desk.answered_count / sending_s if sending_s > 0 else 0.0
    return f"{booked:,} booked, {refused:,} refused, {desk.in_flight_count + booking:,} open, {rate:,.0f} orders/s"
