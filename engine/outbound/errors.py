"""Why a carrier call has no answer, and what that proves.

OutboundError
    `side_effect` says it all: NONE = the carrier cannot have done anything, UNKNOWN = it may have.
    NotConfigured
        There is no such account any more, so nothing was sent.
    LaneRefused
        The lane sent nothing: rate, breaker, deadline, full queue, closing. Give it to the next
        candidate.
    TransportError
        NotSent
            Proved: no byte of the request reached the peer.
        Ambiguous
            Everything else. Ask the carrier before doing anything again.
    PluginFault
        A plug-in broke its contract. UNKNOWN as soon as one request had gone out.

A carrier's own refusal is not here: it is an answer (`crossdock_sdk.CarrierError`). Messages never
quote bodies, headers or what a plug-in's exception said, since those carry personal data.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from crossdock_sdk import SideEffect


class FaultKind(StrEnum):
    """How a transport failed. For people, logs and metrics; decisions look at the class only."""

    REFUSED = "REFUSED"
    DNS = "DNS"
    TLS = "TLS"
    CONNECT = "CONNECT"
    POOL = "POOL"
    RATE = "RATE"
    FORBIDDEN = "FORBIDDEN"
    INVALID = "INVALID"
    TIMEOUT = "TIMEOUT"
    CUT = "CUT"
    BODY = "BODY"
    TOO_LARGE = "TOO_LARGE"
    CANCELLED = "CANCELLED"
    SIGN_IN = "SIGN_IN"
    OTHER = "OTHER"


class RefusalReason(StrEnum):
    """Why a lane sent nothing."""

    RATE = "RATE"
    BREAKER_OPEN = "BREAKER_OPEN"
    DEADLINE = "DEADLINE"
    QUEUE_FULL = "QUEUE_FULL"
    RETRY_BUDGET = "RETRY_BUDGET"
    CLOSED = "CLOSED"


class OutboundError(Exception):
    """A carrier call has no answer.

    `side_effect` says whether the carrier may have acted all the same.
    """

    side_effect: SideEffect = SideEffect.UNKNOWN

    def again(self) -> Self:
        """An equal error for another waiter.

        One exception object must not be raised in two tasks.
        """
        twin = type(self).__new__(type(self), *self.args)
        twin.__dict__.update(self.__dict__)
        twin.args = self.args
        twin.__cause__ = self.__cause__
        return twin


class NotConfigured(OutboundError, LookupError):
    """No account of that id, or no plug-in for its carrier. What was booked there waits for a person."""

    side_effect = SideEffect.NONE


class LaneRefused(OutboundError):
    """The lane sent nothing; try after `wait_s`, or another carrier at once."""

    side_effect = SideEffect.NONE

    def __init__(self, reason: RefusalReason, wait_s: float = 0.0, *, lane: str = "") -> None:
        wait = f"; a call may go in {wait_s:.3f} s" if wait_s > 0 else ""
        super().__init__(f"{lane or 'lane'} sent nothing: {reason}{wait}")
        self.reason = reason
        self.wait_s = wait_s


class TransportError(OutboundError):
    """No complete answer came back. `kind` says how, `detail` holds words of ours only."""

    def __init__(self, kind: FaultKind, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else str(kind))
        self.kind = kind
        self.detail = detail


class NotSent(TransportError):
    """Proved.

    No byte of the request reached the peer. It may be repeated or given to another carrier.
    """

    side_effect = SideEffect.NONE


class Ambiguous(TransportError):
    """The request may have been carried out.

    Look it up at the carrier before doing anything else.
    """

    side_effect = SideEffect.UNKNOWN


class PluginFault(OutboundError):
    """A plug-in broke its contract.

    Report it to its author with the operation and the exception's type.
    """

    def __init__(self, carrier: str, operation: str, problem: str, *, requests_sent: int = 0) -> None:
        super().__init__(f"plug-in {carrier}: {operation} failed: {problem}")
        self.carrier = carrier
        self.operation = operation
        self.problem = problem
        self.requests_sent = requests_sent
        self.side_effect = SideEffect.UNKNOWN if requests_sent else SideEffect.NONE
