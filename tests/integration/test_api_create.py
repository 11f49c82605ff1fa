"""CreateOrder and GetOrder as a client sees them: fields, violations, keys, what is not found."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2

from crossdock.v1 import core_pb2, order_service_pb2
from engine.api.knock import OWN_QUEUE
from tests.integration.kit import State, booked, create, only, order, parcel, party, refusal
from tests.integration.world import World

pytestmark = pytest.mark.anyio
pb = order_service_pb2


async def test_an_order_comes_back_booked(world: World) -> None:
    """A plain order is answered BOOKED with waybill, attempt and times, the address canonical."""
    caller = world.caller()

    answer = await caller.CreateOrder(create("create-plain", routing=only("sf"), tags={"shop": "7"}))

    placed = answer.order
    booking = placed.booking
    assert not answer.replayed
    assert placed.state == State.STATE_BOOKED
    assert booking.waybill_number in world.live_waybills("sf")
    assert (booking.carrier, booking.account_id, booking.service) == ("sf", "sf-main", "2")
    assert [a.state for a in placed.attempts] == [core_pb2.Attempt.STATE_CONFIRMED]
    assert placed.attempts[0].reference == world.live_waybills("sf")[booking.waybill_number]
    assert placed.create_time.ToDatetime() <= booking.booked_time.ToDatetime()
    assert placed.shipper.contact.name == "样例仓库"
    assert placed.tags == {"shop": "7"}


async def test_every_violation_is_told_at_once(world: World) -> None:
    """Rules of the contract and of the trade are reported together, with our paths and a remedy each."""
    wrong = order(
        "create-wrong",
        recipient=party(phone="12345", city="成都市"),
        parcels=[parcel(weight_g=0), core_pb2.Parcel(weight_g=5)],
        options=core_pb2.Options(insured_value=core_pb2.Money(currency_code="USD", minor_units=5)),
        routing=core_pb2.Routing(allowed_carriers=["S F"]),
    )

    status = await refusal(world.caller().CreateOrder(pb.CreateOrderRequest(order=wrong)))

    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ORDER_INVALID")
    assert status.violations.keys() == {
        "order.recipient.contact.phone",
        "order.recipient.address.city",
        "order.parcels[0].weight_g",
        "order.parcels[1].items",
        "order.options.insured_value.currency_code",
        "order.routing.allowed_carriers[0]",
    }
    assert all("; " in text for text in status.violations.values())
    assert status.info.metadata["violations"] == "6"
    assert status.info.metadata["source"] == "ENGINE"


async def test_a_missing_recipient_is_one_violation(world: World) -> None:
    """A missing message is reported once, not again for each of its fields."""
    wrong = core_pb2.Order(reference="create-nobody", parcels=[parcel()])

    status = await refusal(world.caller().CreateOrder(pb.CreateOrderRequest(order=wrong)))

    assert status.violations.keys() == {"order.recipient"}


async def test_an_empty_request_names_what_an_order_needs(world: World) -> None:
    """A request without any order is answered with the fields that are needed."""
    status = await refusal(world.caller().CreateOrder(pb.CreateOrderRequest()))

    assert status.violations.keys() >= {"order.reference", "order.recipient", "order.parcels"}


async def test_a_time_outside_the_calendar_is_a_violation(world: World) -> None:
    """A pickup window no calendar has is the caller's mistake, never a defect of the engine."""
    request = create("create-time", options=core_pb2.Options(pickup=True))
    request.order.options.pickup_start_time.seconds = 10**15

    status = await refusal(world.caller().CreateOrder(request))

    assert status.violations.keys() == {"order.options.pickup_start_time"}


async def test_an_order_nobody_can_take_says_why_for_each_candidate(world: World) -> None:
    """NO_ELIGIBLE_CARRIER lists every candidate with its exclusions, and nothing is stored."""
    caller = world.caller()
    frozen = core_pb2.Options(temperature=core_pb2.TEMPERATURE_FROZEN)

    status = await refusal(caller.CreateOrder(create("create-none", options=frozen, routing=only("zto"))))

    failures = status.detail(error_details_pb2.PreconditionFailure).violations
    told = {v.subject.partition("/")[0]: v.description for v in failures}
    assert (status.code, status.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_ELIGIBLE_CARRIER")
    assert told["sf"] == "not among routing.allowed_carriers"
    assert "FROZEN" in told["zto"]
    assert status.info.metadata["candidates"] == "2"
    gone = await refusal(caller.GetOrder(pb.GetOrderRequest(reference="create-none")))
    assert gone.reason == "ORDER_NOT_FOUND"


@pytest.mark.parametrize("request_id", ["", "key-of-replay"])
async def test_the_same_request_again_gives_the_same_order(world: World, request_id: str) -> None:
    """A repeat with the same key and body is answered from the first one and books nothing."""
    caller = world.caller()
    request = create(f"create-replay{request_id}", request_id)
    first = await caller.CreateOrder(request)

    again = await caller.CreateOrder(request)

    assert again.replayed
    assert again.order == first.order
    references = [r for code in ("sf", "zto") for r in world.live_waybills(code).values()]
    assert references.count(first.order.attempts[0].reference) == 1


async def test_a_request_id_with_another_body_is_refused(world: World) -> None:
    """A `request_id` that belongs to another order is named, with that order's id."""
    caller = world.caller()
    first = await caller.CreateOrder(create("create-id-1", "key-of-two"))

    status = await refusal(caller.CreateOrder(create("create-id-2", "key-of-two")))

    assert (status.code, status.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    assert status.info.metadata["key"] == "request_id"
    assert status.info.metadata["orderId"] == first.order.order_id
    assert status.detail(error_details_pb2.ResourceInfo).resource_name == first.order.order_id


async def test_a_reference_with_another_body_is_refused(world: World) -> None:
    """A reference is an idempotency key too: another body under it is refused."""
    caller = world.caller()
    await caller.CreateOrder(create("create-reference", "key-one"))

    status = await refusal(caller.CreateOrder(create("create-reference", "key-two", remark="轻放")))

    assert status.reason == "IDEMPOTENCY_KEY_REUSED"
    assert status.info.metadata["key"] == "order.reference"


async def test_a_request_id_that_is_too_long_is_refused(world: World) -> None:
    """The key's own limit is reported under its own path."""
    status = await refusal(world.caller().CreateOrder(create("create-long", "k" * 65)))

    assert status.violations.keys() == {"request_id"}


@pytest.mark.parametrize("blank", ["  ", "\u3000"])
async def test_a_blank_reference_is_refused(world: World, blank: str) -> None:
    """It would be no key: the same request would be booked twice."""
    caller = world.caller()
    before = len(world.live_waybills("sf")) + len(world.live_waybills("zto"))

    alone = await refusal(caller.CreateOrder(create(blank)))
    with_others = await refusal(caller.CreateOrder(create(blank, recipient=party(street=""))))

    assert (alone.reason, alone.violations.keys()) == ("ORDER_INVALID", {"order.reference"})
    assert with_others.violations.keys() == {"order.reference", "order.recipient.address.street"}
    assert len(world.live_waybills("sf")) + len(world.live_waybills("zto")) == before


async def test_a_reference_is_trimmed_both_ways(world: World) -> None:
    """Blanks around it do not count when an order is created, found or listed."""
    caller = world.caller()
    placed = await booked(caller, " SO-1001\u3000")

    found = await caller.GetOrder(pb.GetOrderRequest(reference="\t SO-1001 "))
    listed = await caller.ListOrders(pb.ListOrdersRequest(reference_prefix=" SO-1"))

    assert placed.reference == "SO-1001"
    assert found.order == placed
    assert [each.order_id for each in listed.orders] == [placed.order_id]


@pytest.mark.parametrize("key", [{"reference": ""}, {"reference": "  "}, {"order_id": ""}])
async def test_an_empty_key_is_nobodys(world: World, key: dict[str, str]) -> None:
    """Orders without a reference, which an older engine may have left, are found by id alone."""
    status = await refusal(world.caller().GetOrder(pb.GetOrderRequest(**key)))

    assert (status.code, status.reason) == (grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND")


async def test_an_order_of_several_parcels_gets_a_number_for_each(world: World) -> None:
    """Three parcels go to the carrier that takes them, one master and two sub numbers."""
    placed = await booked(world.caller(), "create-three", parcels=[parcel(), parcel(900), parcel(50)])

    assert placed.booking.carrier == "sf"
    assert len({placed.booking.waybill_number, *placed.booking.sub_waybill_numbers}) == 3


async def test_an_order_is_found_by_id_and_by_reference(world: World) -> None:
    """Both keys lead to the order that was answered when it was created."""
    caller = world.caller()
    placed = await booked(caller, "create-found")

    by_id = await caller.GetOrder(pb.GetOrderRequest(order_id=placed.order_id))
    by_reference = await caller.GetOrder(pb.GetOrderRequest(reference="create-found"))

    assert by_id.order == by_reference.order == placed


@pytest.mark.parametrize("key", [{"order_id": "0" * 36}, {"reference": "create-never"}])
async def test_an_unknown_order_is_not_found(world: World, key: dict[str, str]) -> None:
    """An id or reference nobody used is NOT_FOUND and named in the details."""
    status = await refusal(world.caller().GetOrder(pb.GetOrderRequest(**key)))

    [name] = key.values()
    assert (status.code, status.reason) == (grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND")
    assert status.detail(error_details_pb2.ResourceInfo).resource_name == name


async def test_a_request_without_a_key_is_refused(world: World) -> None:
    """GetOrder needs exactly one key."""
    status = await refusal(world.caller().GetOrder(pb.GetOrderRequest()))

    assert status.reason == "REQUEST_INVALID"
    assert status.violations.keys() == {"key"}


async def test_output_only_fields_of_a_request_are_ignored(world: World) -> None:
    """A caller cannot set an order's id, state or booking."""
    request = create("create-output")
    request.order.order_id = "0" * 36
    request.order.state = State.STATE_CANCELLED
    request.order.booking.waybill_number = "SF0000000000000"

    answer = await world.caller().CreateOrder(request)

    assert answer.order.order_id != "0" * 36
    assert answer.order.state == State.STATE_BOOKED
    assert answer.order.booking.waybill_number != "SF0000000000000"


async def test_few_methods_have_a_task_that_every_call_waits_for(world: World) -> None:
    """grpc.aio keeps one for each method with a queue of its own, and waits for all of them at every call."""
    await world.caller().CreateOrder(create("create-by-name"))

    waiting = [task for task in asyncio.all_tasks() if "_request_registered_call" in repr(task)]
    assert len(waiting) == len(OWN_QUEUE) < 6
