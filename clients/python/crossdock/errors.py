"""Every way a call can fail, as exceptions read from google.rpc.Status.

    CrossdockError              any other code (UNKNOWN, ABORTED, CANCELLED, ...)
    ├── InvalidRequest          INVALID_ARGUMENT     .violations
    ├── NotFound                NOT_FOUND            .resource
    ├── AlreadyExists           ALREADY_EXISTS       .key  .order_id  .return_id
    ├── FailedPrecondition      FAILED_PRECONDITION  .violations  .field_violations
    ├── OutOfRange              OUT_OF_RANGE         .oldest_cursor
    ├── ResourceExhausted       RESOURCE_EXHAUSTED   .retry_after_s  .cursor
    ├── Unavailable             UNAVAILABLE          .retry_after_s
    ├── DeadlineExceeded        DEADLINE_EXCEEDED
    ├── Unauthenticated         UNAUTHENTICATED
    ├── PermissionDenied        PERMISSION_DENIED
    ├── Unimplemented           UNIMPLEMENTED
    └── Internal                INTERNAL             .incident

    ConfigurationError          the client was set up wrongly; a ValueError, nothing was sent

Rules of this file: this is the only place that reads an error off the wire; nothing of a request
ever enters an error, so an error holds no personal data the engine did not put there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2 as details_pb2
from google.rpc import status_pb2

DOMAIN = "crossdock"
DETAILS_KEY = "grpc-status-details-bin"

_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_Detail = TypeVar("_Detail", bound=Message)


class ConfigurationError(ValueError):
    """The client or a call was set up wrongly; the message names the argument and the remedy."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A wrong field, by its path in the request (`order.parcels[0].weight_g`)."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class PreconditionViolation:
    """Something that does not hold, as why one carrier (`subject`) cannot take an order."""

    type: str
    subject: str
    description: str


class CrossdockError(Exception):
    """A call, or one item of a batch or stream, was refused or failed.

    `code` is the gRPC code, `message` is for developers, `reason` a value of ErrorReason without
    its prefix, `source` who is to blame (ENGINE, PLUGIN, CARRIER, NETWORK), `metadata` all that
    ErrorInfo says. `reason` is empty when the answer did not come from an engine (a proxy, the
    network); `source` is empty when that is not known.
    """

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)  # the one argument, so that an error can be pickled
        self.status = status
        self.code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
        self.message = status.message
        info = next((i for i in _details(status, details_pb2.ErrorInfo) if i.domain == DOMAIN), None)
        self.reason = info.reason if info else ""
        self.metadata: Mapping[str, str] = dict(info.metadata) if info else {}
        unreachable = info is None and self.code is grpc.StatusCode.UNAVAILABLE
        self.source = "NETWORK" if unreachable else self.metadata.get("source", "")

    def __str__(self) -> str:
        kind = f"{self.code.name} / {self.reason}" if self.reason else self.code.name
        return f"{self.message or 'no message'} [{kind}]"

    def __repr__(self) -> str:
        name, code = type(self).__name__, self.code.name
        return f"{name}(code={code}, reason={self.reason!r}, message={self.message!r})"


class InvalidRequest(CrossdockError):
    """Fields of the request are wrong; `violations` lists all of them, to be corrected."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)
        self.violations = _field_violations(status)


class NotFound(CrossdockError):
    """The tenant has no such order or parcel; `resource` is what was looked for."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)
        found = _first(status, details_pb2.ResourceInfo)
        self.resource = found.resource_name if found else ""


class AlreadyExists(CrossdockError):
    """An idempotency key was used before with another body.

    `key` says which one (`request_id` or `order.reference`), `order_id` or `return_id` to which it
    belongs; the other is empty.
    """

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)
        self.key = self.metadata.get("key", "")
        self.order_id = self.metadata.get("orderId", "")
        self.return_id = self.metadata.get("returnId", "")


class FailedPrecondition(CrossdockError):
    """The order's state or the configured carriers do not allow it.

    `violations` says why, carrier by carrier; `field_violations` which field of the order is in the
    way of a label.
    """

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)
        self.violations = tuple(
            PreconditionViolation(v.type, v.subject, v.description)
            for failure in _details(status, details_pb2.PreconditionFailure)
            for v in failure.violations
        )
        self.field_violations = _field_violations(status)


class OutOfRange(CrossdockError):
    """The events after a cursor are gone; start at `0` and read the orders or tracks again."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)
        self.oldest_cursor = self.metadata.get("oldestCursor", "")


class ResourceExhausted(CrossdockError):
    """The engine takes no more for now, or a message is too large.

    Try again after `retry_after_s` (None: not said). A watch that was read too slowly resumes at
    `cursor`. A message that is `too_large` stays so: send or ask for less at once.
    """

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)
        self.retry_after_s = _retry_after_s(status)
        self.cursor = self.metadata.get("cursor", "")
        self.too_large = not self.reason and "larger than max" in status.message
        if self.too_large:
            self.message += "; send fewer items a call, or stream them: waiting does not help"


class Unavailable(CrossdockError):
    """The engine cannot be reached or is shutting down; retries have not helped."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)
        self.retry_after_s = _retry_after_s(status)


class DeadlineExceeded(CrossdockError):
    """The call's time is over; what was accepted goes on: get the order by its reference."""


class Unauthenticated(CrossdockError):
    """No API key or client certificate, or one that belongs to no tenant."""


class PermissionDenied(CrossdockError):
    """Who calls is known but may not do this."""


class Unimplemented(CrossdockError):
    """The server does not know the call: it is older than this client, or no engine."""


class Internal(CrossdockError):
    """A defect of the engine; `incident` finds the line in its log."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status)
        self.incident = self.metadata.get("incident", "")


_CLASSES: Mapping[grpc.StatusCode, type[CrossdockError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.INTERNAL: Internal,
}


def error_from_status(status: status_pb2.Status) -> CrossdockError:
    """The exception of a status, as it stands in items of batches and streams."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _CLASSES.get(code, CrossdockError)(status)


def error_from_rpc(error: grpc.aio.AioRpcError) -> CrossdockError:
    """The exception of a failed call, with the details of its trailing metadata."""
    return error_from_status(_status_of(error))


def error_of(code: grpc.StatusCode, message: str) -> CrossdockError:
    """An exception for what the client itself finds wrong with an answer."""
    return error_from_status(status_pb2.Status(code=code.value[0], message=message))


def _status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    code = error.code().value[0]
    for key, value in error.trailing_metadata() or ():
        if key != DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            continue
        if status.code == code:  # one that contradicts the call's own code is not about this call
            return status
    return status_pb2.Status(code=code, message=error.details() or "")


def _details(status: status_pb2.Status, kind: type[_Detail]) -> Iterator[_Detail]:
    for packed in status.details:
        detail = kind()
        try:
            if packed.Unpack(detail):
                yield detail
        except DecodeError:
            continue  # a damaged detail must not hide the error it belongs to


def _first(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    return next(_details(status, kind), None)


def _field_violations(status: status_pb2.Status) -> tuple[FieldViolation, ...]:
    return tuple(
        FieldViolation(v.field, v.description)
        for bad in _details(status, details_pb2.BadRequest)
        for v in bad.field_violations
    )


def _retry_after_s(status: status_pb2.Status) -> float | None:
    info = _first(status, details_pb2.RetryInfo)
    if info is None or not info.HasField("retry_delay"):
        return None
    delay_s: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return max(0.0, delay_s)
