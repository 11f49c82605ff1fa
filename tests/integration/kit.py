"""What the API tests send and how they read what comes back."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from crossdock.v1 import core_pb2, order_service_pb2

M = TypeVar("M", bound=Message)
State = core_pb2.Order.State
pb = order_service_pb2


class Answered:
    """A status as a client reads it: code, reason, metadata and every detail by its type."""

    def __init__(self, code: grpc.StatusCode, status: status_pb2.Status) -> None:
        self.code = code
        self.status = status
        self.info = self.detail(error_details_pb2.ErrorInfo)
        self.reason = self.info.reason

    def detail(self, kind: type[M]) -> M:
        """The detail of that type. Fails the test when it is missing."""
        found = kind()
        assert any(each.Unpack(found) for each in self.status.details), f"no {kind.__name__} in {self.status}"
        return found

    @property
    def violations(self) -> dict[str, str]:
        """Field path -> description of BadRequest."""
        return {v.field: v.description for v in self.detail(error_details_pb2.BadRequest).field_violations}


def order(reference: str, **changes: Any) -> core_pb2.Order:
    """An ordinary order from Shenzhen's customers' point of view; `changes` replace whole fields."""
    fields: dict[str, Any] = {
        "reference": reference,
        "recipient": party(),
        "parcels": [parcel()],
        **changes,
    }
    return core_pb2.Order(**fields)


def party(name: str = "欧阳小满", phone: str = "13900000015", **address: str) -> core_pb2.Party:
    """A recipient in Shenzhen."""
    where = {
        "country_code": "CN",
        "province": "广东省",
        "city": "深圳市",
        "district": "南山区",
        "street": "科技园科苑路15号2栋801室",
        **address,
    }
    return core_pb2.Party(contact=core_pb2.Contact(name=name, phone=phone), address=core_pb2.Address(**where))


def parcel(weight_g: int = 450, title: str = "保温杯") -> core_pb2.Parcel:
    """One parcel with one thing in it."""
    return core_pb2.Parcel(weight_g=weight_g, items=[core_pb2.Item(title=title, quantity=1)])


def only(*carriers: str) -> core_pb2.Routing:
    """Routing to these carriers."""
    return core_pb2.Routing(allowed_carriers=carriers)


def create(reference: str, request_id: str = "", **changes: Any) -> pb.CreateOrderRequest:
    """A request to create `order(reference)`."""
    return pb.CreateOrderRequest(request_id=request_id, order=order(reference, **changes))


async def booked(caller: Any, reference: str, **changes: Any) -> core_pb2.Order:
    """Create an order and see it booked."""
    answer: pb.CreateOrderResponse = await caller.CreateOrder(create(reference, **changes))
    assert answer.order.state == State.STATE_BOOKED, answer
    return answer.order


async def refusal(call: Awaitable[object]) -> Answered:
    """The error a call ends with. Fails the test when it succeeds."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return answered(caught.value)


def answered(error: grpc.aio.AioRpcError) -> Answered:
    """What stands in an error: the rich status of the trailer, which must agree with the plain one."""
    trailer = dict(error.trailing_metadata() or ())
    details = trailer.get("grpc-status-details-bin")
    assert isinstance(details, bytes), f"not a word of the engine's: {error.code().name} {error.details()}"
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return Answered(error.code(), status)
