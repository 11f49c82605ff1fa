"""ReturnService end to end: returns judged by rule, booked back, followed to the warehouse, refunded once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crossdock.v1 import core_pb2, label_service_pb2, order_service_pb2, return_service_pb2
from tests.integration.kit import State, booked, only, parcel, refusal
from tests.integration.world import World, running_world

pytestmark = pytest.mark.anyio
pb = return_service_pb2
R = pb.Return
Kind = order_service_pb2.OrderEvent.Kind
A_DAY_A_SECOND = 86_400.0
RULES = [
    {"name": "unopened", "when": "!request.opened", "decision": "approve"},
    {"name": "no food", "when": "order.tags['kind'] == 'food'", "decision": "reject", "explanation": "food stays"},
]


@pytest.fixture(scope="module")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two rules, and carriers whose parcels live a day in a second."""
    folder = tmp_path_factory.mktemp("returns")
    async with running_world(folder, speed=A_DAY_A_SECOND, settings={"return_rule": RULES}) as world:
        yield world


def wanted(order: core_pb2.Order, request_id: str = "", **fields: Any) -> pb.CreateReturnRequest:
    """A request to send it back."""
    values = {"order_id": order.order_id, "reason": pb.RETURN_REASON_WRONG_SIZE, **fields}
    return pb.CreateReturnRequest(request_id=request_id, return_shipment=R(**values))


async def created(world: World, reference: str, **fields: Any) -> pb.Return:
    """A return of a new order."""
    order = await booked(world.caller(), reference, routing=only("sf"), tags={"kind": "food"})
    answer: pb.CreateReturnResponse = await world.caller().CreateReturn(wanted(order, **fields))
    return answer.return_shipment


async def test_a_return_runs_from_the_buyer_to_its_refund(world: World) -> None:
    """Label, track and events of the way back are those of any order; the refund is told once."""
    caller = world.caller()
    cursor = await _cursor(caller)
    made = await created(world, "R-1", pickup=True, note="太小了")
    label = await caller.GetLabel(_label(made.return_order_id))
    back = (await caller.GetOrder(order_service_pb2.GetOrderRequest(order_id=made.return_order_id))).order
    await _told(caller, cursor, made.return_id, Kind.KIND_RETURN_ARRIVED)
    arrived = (await caller.GetReturn(pb.GetReturnRequest(return_id=made.return_id))).return_shipment
    confirmed = await caller.ConfirmReturnReceived(_confirm(made.return_id, "无损坏"))
    told = await _told(caller, cursor, made.return_id, Kind.KIND_REFUND_DUE)
    nothing_more = await _cursor(caller)
    again = await caller.ConfirmReturnReceived(_confirm(made.return_id))

    assert (made.state, made.carrier, made.decision.rule) == (R.STATE_BOOKED, "sf", "unopened")
    assert made.pickup_booked
    assert made.waybill_number == back.booking.waybill_number
    assert back.shipper.contact.name == "欧阳小满"
    assert label.content.startswith(b"%PDF")
    assert arrived.state == R.STATE_ARRIVED
    assert (again.return_shipment, await _cursor(caller)) == (confirmed.return_shipment, nothing_more)
    assert (confirmed.return_shipment.state, confirmed.return_shipment.remark) == (R.STATE_RECEIVED, "无损坏")
    kinds = [Kind.Name(event.kind).removeprefix("KIND_") for event in told]
    assert kinds[:3] == ["RETURN_REQUESTED", "RETURN_APPROVED", "RETURN_BOOKED"]
    assert kinds[-2:] == ["RETURN_ARRIVED", "REFUND_DUE"]
    assert {event.reference for event in told} == {"R-1"}


async def test_a_rule_rejects_and_a_person_overrules_it(world: World) -> None:
    """The answer carries the rule's explanation for the buyer."""
    made = await created(world, "R-2", opened=True)
    approved = await world.caller().ApproveReturn(pb.ApproveReturnRequest(return_id=made.return_id, explanation="vip"))

    assert (made.state, made.decision.explanation, made.waybill_number) == (R.STATE_REJECTED, "food stays", "")
    assert approved.return_shipment.state == R.STATE_BOOKED
    assert (approved.return_shipment.decision.rule, approved.return_shipment.decision.explanation) == ("", "vip")


async def test_a_cancelled_return_is_cancelled_at_the_carrier(world: World) -> None:
    """Its waybill is live there before, and not after."""
    made = await created(world, "R-3")
    live = made.waybill_number in world.live_waybills("sf")
    cancelled = await world.caller().CancelReturn(pb.CancelReturnRequest(return_id=made.return_id))

    assert live
    assert cancelled.return_shipment.state == R.STATE_CANCELLED
    assert made.waybill_number not in world.live_waybills("sf")


async def test_more_than_was_sent_is_refused_with_the_item(world: World) -> None:
    """The violation names the item and what is left of it."""
    order = await booked(world.caller(), "R-4", parcels=[parcel(title="杯子")])
    too_many = pb.ReturnItem(title="杯子", quantity=2)
    answer = await refusal(world.caller().CreateReturn(wanted(order, items=[too_many])))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "RETURN_INVALID")
    assert answer.violations == {
        "return_shipment.items[0].quantity": "2 pieces, 1 can still be sent back; see the order and its other returns"
    }


async def test_a_request_that_makes_no_sense_is_refused_as_a_whole(world: World) -> None:
    """Every field that is wrong, at once."""
    order = await booked(world.caller(), "R-5")
    odd = wanted(order, items=[pb.ReturnItem(quantity=1)], pickup_start_time=Timestamp(seconds=1))
    no_reason = pb.CreateReturnRequest(return_shipment=R(order_id=order.order_id))
    answers = [await refusal(world.caller().CreateReturn(request)) for request in (odd, no_reason)]

    assert [a.reason for a in answers] == ["REQUEST_INVALID"] * 2
    assert set(answers[0].violations) == {"return_shipment.items[0]", "return_shipment.pickup"}
    assert set(answers[1].violations) == {"return_shipment.reason"}


async def test_a_pickup_window_that_is_over_is_refused(world: World) -> None:
    """No courier would come; the field is named, and the order can still be returned."""
    caller = world.caller()
    order = await booked(caller, "R-5b")
    answer = await refusal(caller.CreateReturn(wanted(order, pickup=True, pickup_end_time=Timestamp(seconds=1))))
    again = await caller.CreateReturn(wanted(order, pickup=True))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "RETURN_INVALID")
    assert answer.violations == {
        "return_shipment.pickup_end_time": "is over; give a window that ends later, or leave it out"
    }
    assert again.return_shipment.return_id


async def test_a_repeated_request_is_one_return(world: World) -> None:
    """By its request_id, and another body under it is refused with the return that holds it."""
    caller = world.caller()
    order = await booked(caller, "R-6")
    first = await caller.CreateReturn(wanted(order, "key-6"))
    again = await caller.CreateReturn(wanted(order, "key-6"))
    other = await refusal(caller.CreateReturn(wanted(order, "key-6", opened=True)))

    assert again.replayed
    assert again.return_shipment == first.return_shipment
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    assert other.info.metadata["returnId"] == first.return_shipment.return_id


async def test_nobody_sees_another_tenants_return(world: World) -> None:
    """It is as absent as one that never was."""
    made = await created(world, "R-7")
    birch = world.caller("birch")
    calls = [
        birch.GetReturn(pb.GetReturnRequest(return_id=made.return_id)),
        birch.ApproveReturn(pb.ApproveReturnRequest(return_id=made.return_id)),
        birch.RejectReturn(pb.RejectReturnRequest(return_id=made.return_id, explanation="no")),
        birch.ConfirmReturnReceived(_confirm(made.return_id)),
        birch.CancelReturn(pb.CancelReturnRequest(return_id=made.return_id)),
    ]
    answers = [await refusal(call) for call in calls]
    theirs = R(order_id=made.order_id, reason=pb.RETURN_REASON_LATE)
    order = await refusal(birch.CreateReturn(pb.CreateReturnRequest(return_shipment=theirs)))
    listed = await birch.ListReturns(pb.ListReturnsRequest())

    assert {(a.code, a.reason) for a in answers} == {(grpc.StatusCode.NOT_FOUND, "RETURN_NOT_FOUND")}
    assert order.reason == "ORDER_NOT_FOUND"
    assert not listed.returns


async def test_returns_are_listed_page_by_page(world: World) -> None:
    """Narrowed by state, reason and order; a token of another listing is refused."""
    caller = world.caller()
    order = await booked(caller, "R-8", parcels=[parcel(title="杯子"), parcel(title="碟子")])
    for title in ("杯子", "碟子"):
        item = pb.ReturnItem(title=title, quantity=1)
        await caller.CreateReturn(wanted(order, items=[item], reason=pb.RETURN_REASON_LATE))
    narrow: dict[str, Any] = {
        "order_id": order.order_id,
        "reasons": [pb.RETURN_REASON_LATE],
        "states": [R.STATE_BOOKED],
    }
    first = await caller.ListReturns(pb.ListReturnsRequest(page_size=1, **narrow))
    second = await caller.ListReturns(pb.ListReturnsRequest(page_size=1, page_token=first.next_page_token, **narrow))
    stray = await refusal(caller.ListReturns(pb.ListReturnsRequest(page_token=first.next_page_token)))

    assert [r.items[0].title for r in (*first.returns, *second.returns)] == ["杯子", "碟子"]
    assert not second.next_page_token
    assert stray.reason == "PAGE_TOKEN_INVALID"


async def test_a_received_return_cannot_be_undone(world: World) -> None:
    """The error says where it stands and where it would have been possible."""
    made = await created(world, "R-9")
    await world.caller().ConfirmReturnReceived(_confirm(made.return_id))
    answer = await refusal(world.caller().CancelReturn(pb.CancelReturnRequest(return_id=made.return_id)))

    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RETURN_STATE_WRONG")
    assert answer.info.metadata["state"] == "RECEIVED"
    assert "cannot be cancelled; that is possible while it is APPROVED or BOOKED" in answer.status.message


async def test_watchers_of_states_hear_of_returns_only_when_they_ask(world: World) -> None:
    """A watcher written before there were returns gets what it got before."""
    caller = world.caller()
    cursor = await _cursor(caller)
    made = await created(world, "R-10")
    of_states = await _read(caller, 1, cursor=cursor, states=[State.STATE_BOOKED])
    of_kinds = await _read(caller, 1, cursor=cursor, kinds=[Kind.KIND_RETURN_BOOKED])

    assert [e.kind for e in of_states] == [Kind.KIND_ORDER_BOOKED]
    assert [(e.kind, e.return_id) for e in of_kinds] == [(Kind.KIND_RETURN_BOOKED, made.return_id)]


async def test_metrics_count_reasons_and_refunds(world: World) -> None:
    """What operations and the shop look at."""
    made = await created(world, "R-11", reason=pb.RETURN_REASON_PARTS_MISSING)
    await world.caller().ConfirmReturnReceived(_confirm(made.return_id))
    text = (await world.http.get("/metrics")).text

    assert 'crossdock_returns_requested_total{reason="PARTS_MISSING",verdict="APPROVE"} 1.0' in text
    assert 'crossdock_refunds_due_total{reason="PARTS_MISSING"} 1.0' in text


def _confirm(return_id: str, remark: str = "") -> pb.ConfirmReturnReceivedRequest:
    return pb.ConfirmReturnReceivedRequest(return_id=return_id, remark=remark)


def _label(order_id: str) -> label_service_pb2.GetLabelRequest:
    return label_service_pb2.GetLabelRequest(order_id=order_id)


async def _cursor(caller: Any) -> str:
    """Where the log stands now."""
    call = caller.WatchOrders(order_service_pb2.WatchOrdersRequest(), timeout=10)
    first = await call.read()
    call.cancel()
    return str(first.cursor)


async def _read(caller: Any, count: int, **fields: Any) -> list[order_service_pb2.OrderEvent]:
    call = caller.WatchOrders(order_service_pb2.WatchOrdersRequest(**fields), timeout=10)
    seen: list[order_service_pb2.OrderEvent] = []
    while len(seen) < count:
        message = await call.read()
        seen += [message.event] if message.HasField("event") else []
    call.cancel()
    return seen


async def _told(caller: Any, cursor: str, return_id: str, last: Kind.ValueType) -> list[order_service_pb2.OrderEvent]:
    """Everything that is told of a return, up to the first event of kind `last`."""
    call = caller.WatchOrders(order_service_pb2.WatchOrdersRequest(cursor=cursor), timeout=20)
    seen: list[order_service_pb2.OrderEvent] = []
    while not seen or seen[-1].kind != last:
        message = await call.read()
        seen += [message.event] if message.event.return_id == return_id else []
    call.cancel()
    return seen
