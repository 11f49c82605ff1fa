"""Who calls: API keys by their hash, certificates by the names inside them, nobody by anything else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import grpc
import pytest
import structlog

from engine.api.errors import RequestInvalid, Unauthenticated
from engine.api.gate import Gate, Tenants
from engine.core.errors import OrderNotFound
from engine.core.policy.fields import FieldViolation
from engine.core.policy.records import Tenant
from engine.metrics import Metrics


class Context:
    """What gRPC tells about a connection."""

    def __init__(self, **facts: bytes) -> None:
        self._facts = {name: [value] for name, value in facts.items()}

    def auth_context(self) -> Mapping[str, list[bytes]]:
        """Property name -> values."""
        return self._facts


def digest(key: str) -> str:
    """As it stands in the settings."""
    return hashlib.sha256(key.encode()).hexdigest()


TENANTS = Tenants(
    [
        Tenant("amber", (digest("old-key"), digest("new-key")), ()),
        Tenant("birch", (), ("erp.birch.internal",)),
    ],
    {},
)


def find(tenants: Tenants, header: str = "", **facts: bytes) -> str:
    """The tenant of a call with that header on such a connection."""
    context: Any = Context(**facts)
    return tenants.find({"authorization": header} if header else {}, context)


@pytest.mark.parametrize("header", ["Bearer old-key", "Bearer new-key", "bearer new-key", "BEARER old-key"])
def test_each_of_a_tenants_keys_is_the_tenant(header: str) -> None:
    """Several keys serve rotation; the scheme's case does not matter."""
    assert find(TENANTS, header) == "amber"


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer other", "Bearer  old-key", "Basic old-key", "old-key", f"Bearer {digest('old-key')}"],
)
def test_anything_else_is_nobody(header: str) -> None:
    """A wrong scheme, a wrong key and the hash itself are refused alike, without quoting them."""
    with pytest.raises(Unauthenticated) as caught:
        find(TENANTS, header)

    assert "old-key" not in str(caught.value)


@pytest.mark.parametrize("fact", ["x509_subject_alternative_name", "x509_common_name"])
def test_a_name_in_the_certificate_is_the_tenant(fact: str) -> None:
    """Alternative names and the common name both count."""
    shown: dict[str, Any] = {fact: b"erp.birch.internal"}

    assert find(TENANTS, **shown) == "birch"


def test_a_name_elsewhere_on_the_connection_is_nobody() -> None:
    """What gRPC says about the transport is no name of a certificate."""
    with pytest.raises(Unauthenticated):
        find(TENANTS, transport_security_type=b"erp.birch.internal")


def test_a_name_that_is_no_text_is_nobody() -> None:
    """Bytes that are no UTF-8 in a certificate do no harm."""
    with pytest.raises(Unauthenticated):
        find(TENANTS, x509_common_name=b"\xff\xfe")


def test_a_wrong_key_is_not_made_good_by_a_certificate() -> None:
    """Who shows a key is judged by it."""
    with pytest.raises(Unauthenticated):
        find(TENANTS, "Bearer other", x509_common_name=b"erp.birch.internal")


def test_without_a_key_the_anonymous_tenant_calls() -> None:
    """Where the settings allow it, a call without a key belongs to one tenant; a wrong key still to nobody."""
    tenants = Tenants([], {}, anonymous="default")

    assert find(tenants) == "default"
    with pytest.raises(Unauthenticated):
        find(tenants, "Bearer anything")


class Call:
    """A call without key or deadline."""

    def invocation_metadata(self) -> tuple[()]:
        """No metadata."""
        return ()

    def time_remaining(self) -> None:
        """No deadline."""


class Refused(Call):
    """One whose refusal goes nowhere."""

    def set_trailing_metadata(self, metadata: object) -> None:
        """The details."""

    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        """The end."""


@pytest.mark.anyio
async def test_a_reader_that_hung_up_is_no_defect() -> None:
    """gRPC fails the write that was under way: the call was cancelled, nothing of ours is broken."""
    metrics, context = Metrics(), Call()
    gate = Gate(Tenants([], {}, anonymous="d"), metrics, default_deadline_s=1.0, longest_deadline_s=1.0, max_calls=1)

    async def writing(request: object, context: object) -> None:
        raise grpc.aio.InternalError("execute_batch")

    async def handler(details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_stream_rpc_method_handler(writing, request_deserializer=bytes)

    details: Any = type("Details", (), {"method": "/crossdock.v1.TrackService/WatchTracks"})
    wrapped: Any = await gate.intercept_service(handler, details)
    with pytest.raises(asyncio.CancelledError):
        await wrapped.unary_stream(b"", context)

    assert 'grpc_calls_total{code="CANCELLED",method="WatchTracks"} 1.0' in metrics.expose().decode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tenants", "refusal", "told"),
    [
        (
            Tenants([], {}, anonymous="amber"),
            RequestInvalid(
                [
                    FieldViolation("order.recipient.contact.phone", "13987654321 is short", "give 11 digits"),
                    FieldViolation('order.parcels[0].tags["欧阳小满"]', "is long", "shorten it"),
                ]
            ),
            {
                "code": "INVALID_ARGUMENT",
                "tenant": "amber",
                "reason": "REQUEST_INVALID",
                "fields": ["order.recipient.contact.phone", "order.parcels[0].tags[*]"],
            },
        ),
        (
            Tenants([], {}, anonymous="amber"),
            OrderNotFound("欧阳小满"),
            {"code": "NOT_FOUND", "tenant": "amber", "reason": "ORDER_NOT_FOUND"},
        ),
        (
            Tenants([Tenant("amber", (digest("key"),), ())], {}),
            None,
            {"code": "UNAUTHENTICATED", "tenant": "", "reason": "UNAUTHENTICATED"},
        ),
    ],
)
async def test_a_refused_call_is_logged_with_whose_it_was_and_why(
    tenants: Tenants, refusal: Exception | None, told: Mapping[str, Any]
) -> None:
    """Fields by their names; nothing that stood in them or was made up as a map's key."""
    gate = Gate(tenants, Metrics(), default_deadline_s=1.0, longest_deadline_s=1.0, max_calls=1)

    async def refuse(request: object, context: object) -> None:
        raise refusal or AssertionError("nobody gets here")

    async def handler(details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(refuse, request_deserializer=bytes)

    details: Any = type("Details", (), {"method": "/crossdock.v1.OrderService/CreateOrder"})
    wrapped: Any = await gate.intercept_service(handler, details)
    with structlog.testing.capture_logs() as lines:
        await asyncio.create_task(wrapped.unary_unary(b"", Refused()))

    (line,) = lines
    assert {key: line[key] for key in line.keys() - {"seconds"}} == {
        "event": "call refused",
        "log_level": "info",
        "method": "CreateOrder",
        **told,
    }
