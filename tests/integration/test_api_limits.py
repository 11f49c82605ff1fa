"""What every call passes: health, reflection, sizes, deadlines, too many calls, and defects that stay ours."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from crossdock import ResourceExhausted
from crossdock.errors import error_from_rpc
from crossdock.v1 import order_service_pb2
from crossdock_sdk.simulator import Faults
from engine.api.server import LARGEST_REQUEST
from tests.integration.kit import State, booked, create, only, order, parcel, refusal
from tests.integration.world import World, failing_on, running_world

pytestmark = pytest.mark.anyio
pb = order_service_pb2
SERVICES = ("crossdock.v1.OrderService", "crossdock.v1.LabelService")


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_health_is_open_and_serving(world: World, service: str) -> None:
    """Without a key the health of the whole and of each service is SERVING."""
    stub = health_pb2_grpc.HealthStub(world.channel)

    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_an_unknown_service_is_not_found(world: World) -> None:
    """A service the engine does not have is NOT_FOUND, as the health protocol says."""
    stub = health_pb2_grpc.HealthStub(world.channel)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="crossdock.v1.Nothing"))

    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services(world: World) -> None:
    """Tools learn every service without a key."""
    [answer] = await _reflected(world, reflection_pb2.ServerReflectionRequest(list_services=""))

    names = {s.name for s in answer.list_services_response.service}
    assert names >= {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_reflection_describes_a_service(world: World) -> None:
    """The file of a service comes with its methods, and every file it imports can be asked for."""
    request = reflection_pb2.ServerReflectionRequest
    [answer] = await _reflected(world, request(file_containing_symbol=SERVICES[0]))

    files = [FileDescriptorProto.FromString(f) for f in answer.file_descriptor_response.file_descriptor_proto]
    methods = {m.name for f in files for s in f.service for m in s.method}
    imported = {name for f in files for name in f.dependency}
    answers = await _reflected(world, *(request(file_by_filename=name) for name in sorted(imported)))
    assert methods >= {"CreateOrder", "WatchOrders"}
    assert "buf/validate/validate.proto" in imported
    assert all(a.file_descriptor_response.file_descriptor_proto for a in answers)


async def test_a_message_over_its_limit_is_refused(world: World) -> None:
    """A request larger than the limit is RESOURCE_EXHAUSTED, which the client reads as such; the connection goes on."""
    huge = pb.CreateOrderRequest(request_id="x" * LARGEST_REQUEST)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.caller().CreateOrder(huge)

    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    told = error_from_rpc(caught.value)
    assert isinstance(told, ResourceExhausted)
    assert told.too_large
    await booked(world.caller(), "limit-after-huge")


async def test_a_whole_batch_of_large_orders_is_taken(world: World) -> None:
    """500 orders of 16 KiB are within the contract, and so are their answers; all but one are refused for a weight."""
    tags = {f"tag-{n:02}": "签" * 150 for n in range(32)}
    requests = [create(f"large-{n:03}", tags=tags, parcels=[parcel(0)]) for n in range(499)]
    requests.append(create("large-499", tags=tags))

    request = pb.BatchCreateOrdersRequest(requests=requests)
    answer = await world.caller().BatchCreateOrders(request)

    assert LARGEST_REQUEST * 0.8 < request.ByteSize() < LARGEST_REQUEST
    assert {each.status.code for each in answer.results[:-1]} == {grpc.StatusCode.INVALID_ARGUMENT.value[0]}
    assert answer.results[-1].created.order.tags == tags


async def test_metadata_over_its_limit_is_refused(world: World) -> None:
    """Headers of more than 16 KiB never reach a servicer."""
    metadata = (*world.caller().metadata, ("x-much", "x" * 40_000))

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.caller().GetOrder(pb.GetOrderRequest(reference="x"), metadata=metadata)

    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x12\x05ab", b"\x0a\x02\xc3\x28"])
async def test_bytes_that_are_no_message_are_refused(world: World, body: bytes) -> None:
    """Garbage on the wire is the caller's mistake, not a defect; the connection goes on."""
    raw: Any = world.channel.unary_unary("/crossdock.v1.OrderService/CreateOrder")

    status = await refusal(raw(body, metadata=world.caller().metadata))

    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert status.violations.keys() == {"request"}
    await world.caller().ListOrders(pb.ListOrdersRequest(page_size=1))


@pytest.mark.parametrize("method", ["OrderService/WatchOrders", "LabelService/MergeLabels"])
async def test_a_stream_of_no_message_is_refused(world: World, method: str) -> None:
    """Garbage is refused on streams as on unary calls."""
    raw: Any = world.channel.unary_stream(f"/crossdock.v1.{method}")

    status = await refusal(raw(b"\xff\xff\xff", metadata=world.caller().metadata).read())

    assert status.violations.keys() == {"request"}


async def test_garbage_in_mid_stream_keeps_what_was_accepted(world: World) -> None:
    """A stream that turns to garbage ends with an error; the order before it is booked all the same."""
    raw: Any = world.channel.stream_stream("/crossdock.v1.OrderService/StreamCreateOrders")
    item = pb.StreamCreateOrdersRequest(index=1, order=order("limit-garbage", routing=only("sf")))
    call = raw(metadata=world.caller().metadata)
    await call.write(item.SerializeToString())
    await call.read()

    await call.write(b"\xff\xff\xff")

    assert (await refusal(call.read())).violations.keys() == {"request"}
    found = await world.caller().GetOrder(pb.GetOrderRequest(reference="limit-garbage"))
    assert found.order.state == State.STATE_BOOKED


async def test_an_unknown_method_is_unimplemented(world: World) -> None:
    """A method the contract does not have is UNIMPLEMENTED."""
    raw: Any = world.channel.unary_unary("/crossdock.v1.OrderService/DeleteEverything")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw(b"", metadata=world.caller().metadata)

    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_deadline_that_is_too_short_loses_nothing(world: World) -> None:
    """With 50 ms and a slow carrier the caller hears BOOKING or its own deadline, and the order is booked later."""
    caller = world.caller()
    sf = world.simulators["sf"]
    await sf.set_faults(Faults(latency_s=0.4))
    try:
        first = await _tried(caller.CreateOrder(create("limit-deadline", routing=only("sf")), timeout=0.05))
    finally:
        await sf.set_faults(Faults())

    again = await caller.CreateOrder(create("limit-deadline", routing=only("sf")))
    assert first in (State.STATE_BOOKING, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert again.order.state == State.STATE_BOOKED
    assert len(again.order.attempts) == 1


async def test_a_slow_carrier_is_answered_before_the_deadline(world: World) -> None:
    """The answer leaves in time to reach the caller: the order as BOOKING, not a broken deadline."""
    sf = world.simulators["sf"]
    await sf.set_faults(Faults(operations=("book",), latency_s=1.2))
    try:
        answer = await world.caller().CreateOrder(create("limit-slow", routing=only("sf")), timeout=0.8)
    finally:
        await sf.set_faults(Faults())

    assert answer.order.state == State.STATE_BOOKING
    settled = await world.caller().CreateOrder(create("limit-slow", routing=only("sf")))
    assert settled.order.state == State.STATE_BOOKED


async def test_a_defect_is_internal_with_an_incident(world: World) -> None:
    """The caller sees an incident number and no text of the defect; the log has both under that number."""
    with failing_on(world, "limit-defect"):
        status = await refusal(world.caller().CreateOrder(create("limit-defect")))

    incident = status.info.metadata["incident"]
    assert (status.code, status.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret of the defect" not in str(status.status)
    lines = [json.loads(line) for line in world.log_text().splitlines()]
    [line] = [line for line in lines if line.get("incident") == incident]
    assert line["method"] == "CreateOrder"
    assert "secret of the defect" in line["exception"]


async def test_a_refused_call_is_counted_by_its_code(world: World) -> None:
    """The metric of ended calls tells the status the caller saw, for unary calls and streams."""
    ended = [("GetOrder", "NOT_FOUND"), ("WatchOrders", "INVALID_ARGUMENT"), ("GetOrder", "OK")]
    before = [_ended(world, *each) for each in ended]

    await refusal(world.caller().GetOrder(pb.GetOrderRequest(reference="limit-nobody")))
    await refusal(world.caller().WatchOrders(pb.WatchOrdersRequest(cursor="x")).read())

    after = [_ended(world, *each) for each in ended]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 0]


async def test_calls_over_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    """Above `max_concurrent_calls` a call is ENGINE_OVERLOADED with RetryInfo, and served again afterwards."""
    async with running_world(tmp_path, settings={"server": {"max_concurrent_calls": 2}}, carriers=()) as world:
        caller = world.caller()
        watches = [caller.WatchOrders(pb.WatchOrdersRequest(), timeout=None) for _ in range(2)]
        for watch in watches:
            await watch.read()

        status = await refusal(caller.ListOrders(pb.ListOrdersRequest()))

        retry = status.detail(error_details_pb2.RetryInfo).retry_delay
        assert (status.code, status.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ENGINE_OVERLOADED")
        assert retry.ToTimedelta().total_seconds() > 0
        watches[0].cancel()
        async with asyncio.timeout(5):
            while isinstance(await _tried(caller.ListOrders(pb.ListOrdersRequest())), grpc.StatusCode):
                pass


async def test_more_open_bookings_than_allowed_are_refused(tmp_path: Path) -> None:
    """At `max_open_bookings` a new order is ENGINE_OVERLOADED and not stored."""
    async with running_world(tmp_path, settings={"server": {"max_open_bookings": 1}}) as world:
        caller = world.caller()
        await world.simulators["sf"].set_faults(Faults(operations=("book",), latency_s=0.6))
        first = asyncio.ensure_future(caller.CreateOrder(create("open-1", routing=only("sf"))))
        watch = caller.WatchOrders(pb.WatchOrdersRequest(cursor="0"))
        await watch.read()

        status = await refusal(caller.CreateOrder(create("open-2", routing=only("sf"))))

        assert status.reason == "ENGINE_OVERLOADED"
        assert status.detail(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() > 0
        assert (await first).order.state == State.STATE_BOOKED
        gone = await refusal(caller.GetOrder(pb.GetOrderRequest(reference="open-2")))
        assert gone.reason == "ORDER_NOT_FOUND"


def _ended(world: World, method: str, code: str) -> float:
    labels = {"method": method, "code": code}
    return world.engine.parts.metrics.registry.get_sample_value("crossdock_grpc_calls_total", labels) or 0.0


async def _reflected(world: World, *requests: Any) -> list[Any]:
    stub = reflection_pb2_grpc.ServerReflectionStub(world.channel)
    return [answer async for answer in stub.ServerReflectionInfo(iter(requests))]


async def _tried(call: Any) -> object:
    """The state of the order that came back, or the code of the error."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return answer.order.state if hasattr(answer, "order") else answer
