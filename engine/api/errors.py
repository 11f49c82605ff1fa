"""Errors on the wire: one table from what went wrong to google.rpc.Status with details (AIP-193).

Every status has ErrorInfo (domain `crossdock`, reason of error_reason.proto, `source` in its metadata). Anything
that is not in the table is a defect: INTERNAL with an incident number, its text only in our log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from engine.core import errors
from engine.core.policy.fields import FieldViolation
from engine.store.port import StoreError

DOMAIN = "crossdock"
STORE_RETRY_S = 1.0
DETAILS_KEY = "grpc-status-details-bin"


class RequestInvalid(Exception):
    """A request breaks the contract's own rules (protovalidate)."""

    def __init__(self, violations: Iterable[FieldViolation], reason: str = "REQUEST_INVALID") -> None:
        self.violations = tuple(violations)
        self.reason = reason
        super().__init__("; ".join(map(str, self.violations)))


class Unauthenticated(Exception):
    """The caller shows no key or certificate that belongs to a tenant."""


class Draining(Exception):
    """The engine is shutting down."""


class TooManyCalls(Exception):
    """More calls are under way than the settings allow."""


def status_of(error: BaseException) -> status_pb2.Status | None:
    """The status of a known error, None for a defect."""
    match error:
        case RequestInvalid():
            return _invalid(error.reason, str(error), error.violations)
        case errors.OrderInvalid():
            wide = [FieldViolation(f"order.{v.field}", v.description, v.remedy) for v in error.violations]
            return _invalid("ORDER_INVALID", "; ".join(map(str, wide)), wide)
        case errors.NoEligibleCarrier():
            return _no_carrier(error)
        case errors.KeyReused():
            return _status(
                code_pb2.ALREADY_EXISTS,
                error,
                "IDEMPOTENCY_KEY_REUSED",
                {"key": error.key, f"{error.what}Id": error.held_id},
                _resource(error.held_id, error.what.capitalize()),
            )
        case errors.OrderNotFound():
            details = _resource(error.key)
            return _status(code_pb2.NOT_FOUND, error, "ORDER_NOT_FOUND", {"orderId": error.key}, details)
        case errors.TrackNotFound():
            details = _resource(error.key, "Track")
            blamed = [_blamed(error)] if error.field else []
            return _status(code_pb2.NOT_FOUND, error, "TRACK_NOT_FOUND", {"waybillNumber": error.key}, details, *blamed)
        case errors.PushNotGenuine():
            return _status(code_pb2.PERMISSION_DENIED, error, "PUSH_REFUSED", {"account": error.account_id})
        case errors.OrderNotBooked():
            facts = {"orderId": error.order_id, "state": error.state}
            return _status(code_pb2.FAILED_PRECONDITION, error, "ORDER_NOT_BOOKED", facts)
        case errors.OrderNotCancellable():
            return _not_cancellable(error)
        case errors.LabelUnavailable():
            return _label(error)
    return _return_status(error) or _engine_status(error)


def _return_status(error: BaseException) -> status_pb2.Status | None:
    match error:
        case errors.ReturnNotFound():
            details = _resource(error.return_id, "Return")
            return _status(code_pb2.NOT_FOUND, error, "RETURN_NOT_FOUND", {"returnId": error.return_id}, details)
        case errors.ReturnInvalid():
            wide = [FieldViolation(f"return_shipment.{v.field}", v.description, v.remedy) for v in error.violations]
            return _invalid("RETURN_INVALID", "; ".join(map(str, wide)), wide)
        case errors.ReturnStateWrong():
            facts = {"returnId": error.record.return_id, "state": str(error.record.state)}
            return _status(code_pb2.FAILED_PRECONDITION, error, "RETURN_STATE_WRONG", facts)
    return None


def _engine_status(error: BaseException) -> status_pb2.Status | None:
    match error:
        case errors.Overloaded():
            return _status(code_pb2.RESOURCE_EXHAUSTED, error, "ENGINE_OVERLOADED", {}, _retry(error.retry_after_s))
        case TooManyCalls():
            return _status(code_pb2.RESOURCE_EXHAUSTED, error, "ENGINE_OVERLOADED", {}, _retry(STORE_RETRY_S))
        case errors.PageTokenInvalid():
            return _status(code_pb2.INVALID_ARGUMENT, error, "PAGE_TOKEN_INVALID", {})
        case errors.CursorInvalid():
            return _status(code_pb2.INVALID_ARGUMENT, error, "CURSOR_INVALID", {})
        case errors.CursorExpired():
            return _status(code_pb2.OUT_OF_RANGE, error, "CURSOR_EXPIRED", {"oldestCursor": str(error.oldest)})
        case errors.WatcherTooSlow():
            return _status(code_pb2.RESOURCE_EXHAUSTED, error, "WATCHER_TOO_SLOW", {"cursor": error.cursor})
        case StoreError():
            return _status(code_pb2.UNAVAILABLE, error, "STORE_UNAVAILABLE", {}, _retry(STORE_RETRY_S))
        case Unauthenticated():
            return _status(code_pb2.UNAUTHENTICATED, error, "UNAUTHENTICATED", {"header": "authorization"})
        case Draining():
            return _status(code_pb2.UNAVAILABLE, error, "ENGINE_DRAINING", {}, _retry(STORE_RETRY_S))
    return None


def defect(incident: str) -> status_pb2.Status:
    """What a caller sees of a defect of ours."""
    text = f"the engine failed; its log tells why under incident {incident}"
    return _status(code_pb2.INTERNAL, Exception(text), "INTERNAL", {"incident": incident})


async def abort(context: grpc.aio.ServicerContext[Any, Any], status: status_pb2.Status) -> None:
    """End the call with `status` and its details. Never returns."""
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    await context.abort(_CODES[status.code], status.message)


_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def _status(
    code: int, error: BaseException, reason: str, metadata: Mapping[str, str], *details: Message
) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=reason, metadata={"source": "ENGINE", **metadata})
    packed = []
    for detail in (info, *details):
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code, message=str(error), details=packed)


def _invalid(reason: str, message: str, violations: Iterable[FieldViolation]) -> status_pb2.Status:
    bad = error_details_pb2.BadRequest()
    for violation in violations:
        text = f"{violation.description}; {violation.remedy}" if violation.remedy else violation.description
        bad.field_violations.add(field=violation.field, description=text, reason=reason)
    count = str(len(bad.field_violations))
    return _status(code_pb2.INVALID_ARGUMENT, Exception(message), reason, {"violations": count}, bad)


def _no_carrier(error: errors.NoEligibleCarrier) -> status_pb2.Status:
    failure = error_details_pb2.PreconditionFailure()
    for considered in error.considered:
        candidate = considered.candidate
        failure.violations.add(
            type="CARRIER",
            subject=f"{candidate.carrier}/{candidate.account_id}/{candidate.service}",
            description="; ".join(considered.exclusions),
        )
    details: list[Message] = [failure]
    if error.field:
        details.append(_blamed(error, "order."))
    facts = {"candidates": str(len(error.considered))}
    return _status(code_pb2.FAILED_PRECONDITION, error, "NO_ELIGIBLE_CARRIER", facts, *details)


def _blamed(error: errors.NoEligibleCarrier | errors.TrackNotFound, prefix: str = "") -> error_details_pb2.BadRequest:
    """The field that stands in the way."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field=f"{prefix}{error.field}", description=f"{error.problem}; {error.remedy}")
    return bad


def _not_cancellable(error: errors.OrderNotCancellable) -> status_pb2.Status:
    order = error.order
    facts = {"orderId": order.order_id, "state": str(order.state)}
    if order.failure is not None and order.failure.carrier:
        facts |= {
            "source": "CARRIER",
            "carrier": order.failure.carrier,
            "operation": "cancel",
            "carrierCode": order.failure.carrier_code,
            "carrierMessage": order.failure.carrier_message,
        }
    return _status(code_pb2.FAILED_PRECONDITION, error, "ORDER_NOT_CANCELLABLE", facts)


def _label(error: errors.LabelUnavailable) -> status_pb2.Status:
    bad = error_details_pb2.BadRequest()
    if error.field:
        bad.field_violations.add(field=error.field, description=str(error))
    facts = {"character": error.character} if error.character else {}
    return _status(code_pb2.FAILED_PRECONDITION, error, "LABEL_UNPRINTABLE", facts, bad)


def _resource(name: str, kind: str = "Order") -> error_details_pb2.ResourceInfo:
    return error_details_pb2.ResourceInfo(resource_type=f"crossdock.v1.{kind}", resource_name=name)


def _retry(delay_s: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromNanoseconds(int(delay_s * 1e9))
    return info
