"""Two tenants: whatever one asks about the other's order is answered as for an order that does not exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from crossdock.v1 import core_pb2, label_service_pb2, order_service_pb2
from tests.integration.kit import Answered, booked, create, refusal
from tests.integration.world import World

pytestmark = pytest.mark.anyio
pb, labels_pb = order_service_pb2, label_service_pb2

ABSENT_ID = "00000000-0000-7000-8000-000000000000"
BY_ID: dict[str, Callable[[str], Message]] = {
    "GetOrder": lambda order_id: pb.GetOrderRequest(order_id=order_id),
    "CancelOrder": lambda order_id: pb.CancelOrderRequest(order_id=order_id),
    "GetLabel": lambda order_id: labels_pb.GetLabelRequest(order_id=order_id),
}
KEYLESS: dict[str, Message] = {
    "GetOrder": pb.GetOrderRequest(order_id=ABSENT_ID),
    "CancelOrder": pb.CancelOrderRequest(order_id=ABSENT_ID),
    "GetLabel": labels_pb.GetLabelRequest(order_id=ABSENT_ID),
    "QuoteOrder": pb.QuoteOrderRequest(),
    "CreateOrder": create("keyless"),
    "BatchCreateOrders": pb.BatchCreateOrdersRequest(requests=[create("keyless")]),
    "ListOrders": pb.ListOrdersRequest(),
}
KEYLESS_STREAMS: dict[str, Message] = {
    "WatchOrders": pb.WatchOrdersRequest(cursor="0"),
    "MergeLabels": labels_pb.MergeLabelsRequest(order_ids=[ABSENT_ID]),
}


@pytest.fixture(scope="module")
async def theirs(world: World) -> core_pb2.Order:
    """A booked order of the tenant amber."""
    return await booked(world.caller("amber"), "tenant-theirs")


def told(status: Answered, key: str) -> tuple[Any, ...]:
    """Everything an answer says, with the key that was asked for taken out."""
    text = str(status.status).replace(key, "<key>")
    return (status.code, text)


@pytest.mark.parametrize("method", BY_ID)
async def test_another_tenants_order_answers_as_absent(world: World, theirs: core_pb2.Order, method: str) -> None:
    """By id, another tenant's order gives the very status an unused id gives."""
    birch = world.caller("birch")

    foreign = await refusal(getattr(birch, method)(BY_ID[method](theirs.order_id)))
    absent = await refusal(getattr(birch, method)(BY_ID[method](ABSENT_ID)))

    assert foreign.code == grpc.StatusCode.NOT_FOUND
    assert told(foreign, theirs.order_id) == told(absent, ABSENT_ID)


async def test_another_tenants_reference_answers_as_absent(world: World, theirs: core_pb2.Order) -> None:
    """References are each tenant's own."""
    birch = world.caller("birch")

    foreign = await refusal(birch.GetOrder(pb.GetOrderRequest(reference="tenant-theirs")))
    absent = await refusal(birch.GetOrder(pb.GetOrderRequest(reference="tenant-nobody")))

    assert told(foreign, "tenant-theirs") == told(absent, "tenant-nobody")


async def test_another_tenants_label_is_skipped_as_absent(world: World, theirs: core_pb2.Order) -> None:
    """In a merge another tenant's order is skipped with the words for an unused id."""
    request = labels_pb.MergeLabelsRequest(order_ids=[theirs.order_id, ABSENT_ID])

    answers = [m async for m in world.caller("birch").MergeLabels(request)]

    foreign, absent = answers[-1].skipped
    assert [m.chunk for m in answers] == [b""]
    assert answers[-1].label_count == 0
    assert foreign.reason == absent.reason == "ORDER_NOT_FOUND"
    assert foreign.message.replace(theirs.order_id, "") == absent.message.replace(ABSENT_ID, "")


async def test_another_tenants_orders_are_not_listed(world: World, theirs: core_pb2.Order) -> None:
    """A listing shows the caller's own orders only, whatever the filter."""
    request = pb.ListOrdersRequest(reference_prefix="tenant-theirs")

    answer = await world.caller("birch").ListOrders(request)

    assert list(answer.orders) == []


async def test_another_tenants_keys_are_free(world: World, theirs: core_pb2.Order) -> None:
    """The same reference and request id under another tenant is another order."""
    own = await booked(world.caller("birch"), "tenant-theirs")

    assert own.order_id != theirs.order_id
    assert own.booking.waybill_number != theirs.booking.waybill_number


async def test_another_tenants_events_are_not_watched(world: World, theirs: core_pb2.Order) -> None:
    """A watch from the first event holds the caller's own orders only."""
    own = await booked(world.caller("birch"), "tenant-watched")
    watch = world.caller("birch").WatchOrders(pb.WatchOrdersRequest(cursor="0"))

    seen: list[str] = []
    async for message in watch:
        seen.append(message.event.order_id)
        if seen.count(own.order_id) == 2:
            break
    watch.cancel()

    assert theirs.order_id not in seen


@pytest.mark.parametrize("method", KEYLESS)
async def test_a_call_without_a_key_is_unauthenticated(world: World, method: str) -> None:
    """Without an API key every method is refused before anything of the request is judged."""
    status = await refusal(getattr(world.caller(""), method)(KEYLESS[method]))

    assert (status.code, status.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert status.info.metadata["header"] == "authorization"


@pytest.mark.parametrize("method", KEYLESS_STREAMS)
async def test_a_stream_without_a_key_is_unauthenticated(world: World, method: str) -> None:
    """Streams are refused like unary calls."""
    stream = getattr(world.caller(""), method)(KEYLESS_STREAMS[method])

    status = await refusal(stream.read())

    assert status.code == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("header", ["Bearer not-a-key", "Bearer ", "Basic key-of-amber-0123456789", "Bearer"])
async def test_a_wrong_key_is_unauthenticated_and_not_repeated(world: World, header: str) -> None:
    """A wrong key or scheme is refused, and what was sent is not in the answer."""
    call = world.caller("").GetOrder(pb.GetOrderRequest(order_id=ABSENT_ID), metadata=(("authorization", header),))

    status = await refusal(call)

    assert status.code == grpc.StatusCode.UNAUTHENTICATED
    assert "not-a-key" not in str(status.status)
    assert "0123456789" not in str(status.status)
