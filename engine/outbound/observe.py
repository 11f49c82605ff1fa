"""What a lane tells about itself. Metrics implement `LaneObserver`; lanes never import metrics.

The methods are called on the hot path, synchronously: count and return. They must not raise. What only stands at
some height, like the depth of a queue, is not told but read from a `LaneSnapshot`.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from engine.core.policy.breaker import BreakerState
from engine.outbound.operations import OperationClass


class LaneKey(msgspec.Struct, frozen=True):
    """Which lane: one carrier account and operation class."""

    carrier: str
    account_id: str
    operation_class: OperationClass

    def __str__(self) -> str:
        return f"{self.carrier}/{self.account_id}/{self.operation_class}"


class LaneObserver(Protocol):
    """One method a stage. Durations are seconds."""

    def waited(self, lane: LaneKey, operation: str, seconds: float) -> None:
        """An item left the queue for a call."""

    def rate_wait(self, lane: LaneKey, operation: str, seconds: float) -> None:
        """A call goes out that its operation's rate held back for so long."""

    def started(self, lane: LaneKey, operation: str, batch: int) -> None:
        """A call with `batch` items goes out."""

    def finished(
        self,
        lane: LaneKey,
        operation: str,
        outcome: str,
        error_class: str,
        seconds: float,
        batch: int,
    ) -> None:
        """A call ended. outcome: ANSWERED, REFUSED (all items), NOT_SENT, AMBIGUOUS or
        PLUGIN_FAULT.

        error_class: the first item's ErrorClass or FaultKind, "" when it succeeded.
        """

    def refused(self, lane: LaneKey, operation: str, reason: str) -> None:
        """An item was sent away before anything was sent."""

    def breaker_changed(self, lane: LaneKey, state: BreakerState) -> None:
        """The breaker changed by a call's outcome."""


class NullObserver:
    """Sees nothing."""

    def waited(self, lane: LaneKey, operation: str, seconds: float) -> None:
        """Nothing."""

    def rate_wait(self, lane: LaneKey, operation: str, seconds: float) -> None:
        """Nothing."""

    def started(self, lane: LaneKey, operation: str, batch: int) -> None:
        """Nothing."""

    def finished(
        self,
        lane: LaneKey,
        operation: str,
        outcome: str,
        error_class: str,
        seconds: float,
        batch: int,
    ) -> None:
        """Nothing."""

    def refused(self, lane: LaneKey, operation: str, reason: str) -> None:
        """Nothing."""

    def breaker_changed(self, lane: LaneKey, state: BreakerState) -> None:
        """Nothing."""


class LaneSnapshot(msgspec.Struct, frozen=True):
    """What a lane looks like at one moment; for routing, health pages and tests."""

    key: LaneKey
    breaker: BreakerState
    in_flight: int
    concurrency: int
    queued: int
    rates_per_s: dict[str, float | None]
    used_shares: dict[str, float | None] = {}
    ramp_percent: int = 100
