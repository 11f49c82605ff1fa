"""CancelOrder: at the carrier, locally, twice, and what cannot be cancelled."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from crossdock.v1 import core_pb2, label_service_pb2, order_service_pb2
from crossdock_sdk.simulator import Faults
from tests.integration.kit import State, booked, create, only, refusal
from tests.integration.world import World

pytestmark = pytest.mark.anyio
pb = order_service_pb2

TOO_MUCH = core_pb2.Options(insured_value=core_pb2.Money(currency_code="CNY", minor_units=99_999_999_900))
"""Insured for more than SF has digits for: it finally refuses the order."""


def cancel(order_id: str) -> pb.CancelOrderRequest:
    """A request to cancel it."""
    return pb.CancelOrderRequest(order_id=order_id)


async def test_a_booked_order_is_cancelled_at_the_carrier(world: World) -> None:
    """SF is asked to void the waybill, and the order is CANCELLED when it has."""
    placed = await booked(world.caller(), "cancel-sf", routing=only("sf"))

    answer = await world.caller().CancelOrder(cancel(placed.order_id))

    assert answer.order.state == State.STATE_CANCELLED
    assert not answer.order.booking.voided_locally
    assert answer.order.attempts[0].state == core_pb2.Attempt.STATE_VOIDED
    assert placed.booking.waybill_number not in world.live_waybills("sf")


async def test_a_carrier_without_cancel_is_voided_locally(world: World) -> None:
    """A full-network ZTO number cannot be cancelled by call: the order is void here, and says so."""
    placed = await booked(world.caller(), "cancel-zto", routing=only("zto"))

    answer = await world.caller().CancelOrder(cancel(placed.order_id))

    assert answer.order.state == State.STATE_CANCELLED
    assert answer.order.booking.voided_locally


async def test_cancelling_twice_is_one_cancel(world: World) -> None:
    """The second cancel answers the cancelled order and asks nobody."""
    caller = world.caller()
    placed = await booked(caller, "cancel-twice", routing=only("sf"))
    first = await caller.CancelOrder(cancel(placed.order_id))
    calls = world.carrier_calls("sf")

    second = await caller.CancelOrder(cancel(placed.order_id))

    assert second.order == first.order
    assert world.carrier_calls("sf") == calls


async def test_twins_cancelling_at_once_see_one_cancel(world: World) -> None:
    """Two callers cancelling together both see CANCELLED; the carrier's ledger has one cancel."""
    caller = world.caller()
    placed = await booked(caller, "cancel-twins", routing=only("sf"))

    answers = await asyncio.gather(*(caller.CancelOrder(cancel(placed.order_id)) for _ in range(4)))

    assert {a.order.state for a in answers} == {State.STATE_CANCELLED}
    entries = world.simulators["sf"].simulator.ledger.entries
    number = placed.booking.waybill_number
    assert [e.kind for e in entries if e.waybill_number == number] == ["BOOKED", "CANCELLED"]


async def test_an_order_in_the_middle_of_booking_is_cancelled(world: World) -> None:
    """A cancel that comes while the carrier is still booking ends with no live waybill."""
    caller = world.caller()
    sf = world.simulators["sf"]
    await sf.set_faults(Faults(operations=("book",), latency_s=0.3))
    try:
        creating = asyncio.ensure_future(caller.CreateOrder(create("cancel-early", routing=only("sf"))))
        order_id = await _accepted(world, "cancel-early")

        answer = await caller.CancelOrder(cancel(order_id))
        await creating
    finally:
        await sf.set_faults(Faults())

    assert answer.order.state == State.STATE_CANCELLED
    assert answer.order.attempts[0].reference not in world.live_waybills("sf").values()


async def test_a_cancel_the_carrier_does_not_answer_in_time_goes_on(world: World) -> None:
    """CANCELLING is answered at the deadline, and the order is cancelled once the carrier answers."""
    caller = world.caller()
    placed = await booked(caller, "cancel-slow", routing=only("sf"))
    sf = world.simulators["sf"]
    await sf.set_faults(Faults(operations=("cancel",), latency_s=1.0))
    try:
        answer = await caller.CancelOrder(cancel(placed.order_id), timeout=0.6)
    finally:
        await sf.set_faults(Faults())
    again = await caller.CancelOrder(cancel(placed.order_id))

    assert answer.order.state == State.STATE_CANCELLING
    assert again.order.state == State.STATE_CANCELLED


async def test_an_unknown_order_is_not_found(world: World) -> None:
    """Cancelling an id nobody gave is NOT_FOUND."""
    status = await refusal(world.caller().CancelOrder(cancel("0" * 36)))

    assert (status.code, status.reason) == (grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND")


@pytest.mark.parametrize("order_id", ["", "x" * 37])
async def test_a_malformed_id_is_refused(world: World, order_id: str) -> None:
    """An empty or too long id breaks the contract."""
    status = await refusal(world.caller().CancelOrder(cancel(order_id)))

    assert status.violations.keys() == {"order_id"}


async def test_a_failed_order_cannot_be_cancelled(world: World) -> None:
    """An order every carrier refused has nothing to cancel; the status carries the carrier's own words."""
    caller = world.caller()
    refused = await caller.CreateOrder(create("cancel-failed", options=TOO_MUCH, routing=only("sf")))

    status = await refusal(caller.CancelOrder(cancel(refused.order.order_id)))

    assert refused.order.state == State.STATE_FAILED
    assert refused.order.failure.carrier == "sf"
    assert (status.code, status.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ORDER_NOT_CANCELLABLE")
    assert status.info.metadata["state"] == "FAILED"
    assert status.info.metadata["source"] == "CARRIER"
    assert status.info.metadata["carrier"] == "sf"


async def test_a_cancelled_order_has_no_label(world: World) -> None:
    """The label of a cancelled order is ORDER_NOT_BOOKED with its state."""
    caller = world.caller()
    placed = await booked(caller, "cancel-label", routing=only("sf"))
    await caller.CancelOrder(cancel(placed.order_id))

    status = await refusal(caller.GetLabel(label_service_pb2.GetLabelRequest(order_id=placed.order_id)))

    assert (status.code, status.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ORDER_NOT_BOOKED")
    assert status.info.metadata["state"] == "CANCELLED"


async def _accepted(world: World, reference: str) -> str:
    """The id of an order as soon as it is durable."""
    watch = world.caller().WatchOrders(pb.WatchOrdersRequest(cursor="0"))
    async with asyncio.timeout(5):
        async for message in watch:
            if message.event.reference == reference:
                watch.cancel()
                return str(message.event.order_id)
    raise AssertionError("the watch ended")
