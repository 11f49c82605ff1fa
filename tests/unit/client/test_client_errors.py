"""Errors: read from google.rpc.Status with every detail, whole or damaged."""

from __future__ import annotations

import pickle

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import error_details_pb2, status_pb2

import crossdock
from crossdock import Client, CrossdockError, FieldViolation, PreconditionViolation
from crossdock import error_from_status as read
from crossdock.v1 import core_pb2 as core
from crossdock.v1 import error_reason_pb2
from crossdock.v1 import order_service_pb2 as pb
from tests.unit.client.twin import Twin, retry_after, status

CODE = grpc.StatusCode
ORDER = core.Order(reference="R-1")


def test_invalid_request_lists_every_violation() -> None:
    """All violations arrive, in order, with field path and description."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="order.parcels[0].weight_g", description="is 0; write grams")
    bad.field_violations.add(field="order.recipient", description="is missing")

    error = read(status(CODE.INVALID_ARGUMENT, "ORDER_INVALID", bad, violations="2"))

    assert isinstance(error, crossdock.InvalidRequest)
    assert error.violations == (
        FieldViolation("order.parcels[0].weight_g", "is 0; write grams"),
        FieldViolation("order.recipient", "is missing"),
    )
    assert (error.reason, error.source, error.message) == ("ORDER_INVALID", "ENGINE", "refused")
    assert error.metadata == {"source": "ENGINE", "violations": "2"}


def test_not_found_names_the_resource() -> None:
    """What was looked for is told."""
    resource = error_details_pb2.ResourceInfo(resource_name="0198-a")

    error = read(status(CODE.NOT_FOUND, "ORDER_NOT_FOUND", resource))

    assert isinstance(error, crossdock.NotFound)
    assert error.resource == "0198-a"


def test_reused_key_names_key_and_order() -> None:
    """The caller learns which key it reused and which order owns it."""
    answer = status(CODE.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", key="order.reference", orderId="0198-b")

    error = read(answer)

    assert isinstance(error, crossdock.AlreadyExists)
    assert (error.key, error.order_id) == ("order.reference", "0198-b")


def test_failed_precondition_says_why_carrier_by_carrier() -> None:
    """Preconditions and fields are kept apart."""
    failure = error_details_pb2.PreconditionFailure()
    failure.violations.add(type="CARRIER", subject="sf/main/1", description="too heavy")
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="recipient.contact.name", description="U+20BB7")

    error = read(status(CODE.FAILED_PRECONDITION, "NO_ELIGIBLE_CARRIER", failure, bad))

    assert isinstance(error, crossdock.FailedPrecondition)
    assert error.violations == (PreconditionViolation("CARRIER", "sf/main/1", "too heavy"),)
    assert error.field_violations == (FieldViolation("recipient.contact.name", "U+20BB7"),)


@pytest.mark.parametrize(
    ("code", "kind", "facts", "attribute", "value"),
    [
        (CODE.OUT_OF_RANGE, crossdock.OutOfRange, {"oldestCursor": "12"}, "oldest_cursor", "12"),
        (CODE.RESOURCE_EXHAUSTED, crossdock.ResourceExhausted, {"cursor": "88"}, "cursor", "88"),
        (CODE.INTERNAL, crossdock.Internal, {"incident": "0198-c"}, "incident", "0198-c"),
        (CODE.UNAVAILABLE, crossdock.Unavailable, {}, "retry_after_s", None),
        (CODE.DEADLINE_EXCEEDED, crossdock.DeadlineExceeded, {}, "source", "ENGINE"),
        (CODE.UNAUTHENTICATED, crossdock.Unauthenticated, {}, "source", "ENGINE"),
        (CODE.PERMISSION_DENIED, crossdock.PermissionDenied, {}, "source", "ENGINE"),
        (CODE.UNIMPLEMENTED, crossdock.Unimplemented, {}, "source", "ENGINE"),
        (CODE.ABORTED, CrossdockError, {}, "code", CODE.ABORTED),
    ],
)
def test_code_chooses_class_and_attribute(
    code: grpc.StatusCode,
    kind: type[CrossdockError],
    facts: dict[str, str],
    attribute: str,
    value: object,
) -> None:
    """Each gRPC code has its class, and the class what the metadata says."""
    error = read(status(code, "ANY", **facts))

    assert type(error) is kind
    assert getattr(error, attribute) == value


def test_retry_delay_is_read_in_seconds() -> None:
    """RetryInfo becomes a plain number of seconds."""
    error = read(status(CODE.RESOURCE_EXHAUSTED, "ENGINE_OVERLOADED", retry_after(1.5)))

    assert isinstance(error, crossdock.ResourceExhausted)
    assert (error.retry_after_s, error.too_large) == (1.5, False)


def test_a_message_that_is_too_large_is_told_from_overload() -> None:
    """It comes from gRPC, without details; waiting does not help, and the error says what does."""
    text = "SERVER: Received message larger than max (9000000 vs. 8388608)"

    error = read(status_pb2.Status(code=CODE.RESOURCE_EXHAUSTED.value[0], message=text))

    assert isinstance(error, crossdock.ResourceExhausted)
    assert error.too_large
    assert "send fewer items a call" in str(error)


def test_damaged_detail_hides_nothing_else() -> None:
    """A detail that cannot be decoded is left out; the error stays."""
    answer = status(CODE.INVALID_ARGUMENT, "ORDER_INVALID")
    answer.details.append(Packed(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff\xff"))

    error = read(answer)

    assert isinstance(error, crossdock.InvalidRequest)
    assert (error.reason, error.violations) == ("ORDER_INVALID", ())


def test_unknown_code_is_a_plain_error() -> None:
    """A code of a later gRPC is UNKNOWN, not a crash."""
    error = read(status_pb2.Status(code=99, message="new"))

    assert type(error) is CrossdockError
    assert error.code is CODE.UNKNOWN


def test_error_of_a_foreign_domain_has_no_reason() -> None:
    """A proxy's ErrorInfo is not taken for the engine's."""
    info = error_details_pb2.ErrorInfo(domain="proxy", reason="NO_ROUTE")
    answer = status_pb2.Status(code=CODE.UNAVAILABLE.value[0], message="x")
    answer.details.add().Pack(info)

    error = read(answer)

    assert (error.reason, error.source) == ("", "NETWORK")


def test_error_survives_pickling_and_reads_well() -> None:
    """Errors cross process borders whole, and their text has code and reason."""
    error = read(status(CODE.NOT_FOUND, "ORDER_NOT_FOUND", message="no such order"))

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes

    assert str(copy) == "no such order [NOT_FOUND / ORDER_NOT_FOUND]"
    assert repr(copy) == ("NotFound(code=NOT_FOUND, reason='ORDER_NOT_FOUND', message='no such order')")


def test_every_reason_of_the_contract_is_carried() -> None:
    """Reasons are passed on as they are, also those added after this client."""
    names = [n.removeprefix("ERROR_REASON_") for n in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name]

    read_back = [read(status(CODE.FAILED_PRECONDITION, name)).reason for name in names]

    assert read_back == names


@pytest.mark.anyio
async def test_call_raises_the_typed_error(client: Client, twin: Twin) -> None:
    """A refused call carries its details over a real connection, with gRPC's own error as cause."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="order.recipient", description="is missing")
    twin.will(status(CODE.INVALID_ARGUMENT, "ORDER_INVALID", bad))

    with pytest.raises(crossdock.InvalidRequest) as caught:
        await client.create_order(ORDER)

    assert caught.value.violations == (FieldViolation("order.recipient", "is missing"),)
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


@pytest.mark.anyio
async def test_refusal_repeats_nothing_of_the_request(client: Client, twin: Twin) -> None:
    """The recipient's data and the API key are in no text of an error."""
    order = core.Order(
        reference="R-9",
        recipient=core.Party(contact=core.Contact(name="Zhang-Canary", phone="13800138000")),
    )
    twin.will(status(CODE.INVALID_ARGUMENT, "ORDER_INVALID"))

    with pytest.raises(crossdock.InvalidRequest) as caught:
        await client.create_order(order)
    texts = f"{caught.value} {caught.value!r} {caught.value.__cause__} {client!r} {vars(caught.value)}"

    assert not [word for word in ("Canary", "13800138000", "key-1") if word in texts]


@pytest.mark.anyio
async def test_batch_gives_an_order_or_an_error_per_item(client: Client, twin: Twin) -> None:
    """One refused item is an error in its place; the others are orders."""
    refused = status(CODE.FAILED_PRECONDITION, "NO_ELIGIBLE_CARRIER")
    created = pb.CreateOrderResponse(order=core.Order(order_id="o-1"))
    results = [pb.OrderResult(created=created), pb.OrderResult(status=refused), pb.OrderResult()]
    twin.will(pb.BatchCreateOrdersResponse(results=results))

    first, second, third = await client.batch_create_orders([ORDER, ORDER, ORDER])

    assert first == created
    assert isinstance(second, crossdock.FailedPrecondition)
    assert isinstance(third, crossdock.Internal)
