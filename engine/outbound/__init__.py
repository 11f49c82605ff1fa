"""Every carrier call goes through here. See README.md for the picture of a lane.

Imports only `engine.core.policy`, `engine.clock` and `crossdock_sdk`; HTTP libraries only inside
`transport/`.
"""

from engine.outbound.errors import (
    Ambiguous,
    FaultKind,
    LaneRefused,
    NotConfigured,
    NotSent,
    OutboundError,
    PluginFault,
    RefusalReason,
    TransportError,
)
from engine.outbound.job import Answered, Outcome
from engine.outbound.lane import Lane
from engine.outbound.observe import LaneKey, LaneObserver, LaneSnapshot, NullObserver
from engine.outbound.operations import OperationClass, Priority
from engine.outbound.outbound import Outbound, TransportFactory
from engine.outbound.settings import LaneSettings

__all__ = [
    "Ambiguous", "Answered", "FaultKind", "Lane", "LaneKey", "LaneObserver", "LaneRefused",
    "LaneSettings", "LaneSnapshot", "NotConfigured", "NotSent", "NullObserver", "OperationClass",
    "Outbound", "OutboundError", "Outcome", "PluginFault", "Priority", "RefusalReason",
    "TransportError", "TransportFactory",
]  # fmt: skip
