"""BatchCreateOrders and StreamCreateOrders: item or status each, and nothing lost when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2

from crossdock.v1 import core_pb2, order_service_pb2
from crossdock_sdk.simulator import Faults
from tests.integration.kit import State, create, only, order, parcel, party, refusal
from tests.integration.world import World, failing_on

pytestmark = pytest.mark.anyio
pb = order_service_pb2

STREAMED = 500
BAD_EVERY = 50


def reason(result: pb.OrderResult) -> str:
    """The reason of a refused item."""
    info = error_details_pb2.ErrorInfo()
    assert result.status.details[0].Unpack(info)
    return str(info.reason)


async def test_a_batch_answers_each_item_in_its_place(world: World) -> None:
    """Good and bad items are answered in the order of the requests, each with its own details."""
    caller = world.caller()
    await caller.CreateOrder(create("batch-known", "batch-key"))
    requests = [
        create("batch-good"),
        create("batch-bad", parcels=[parcel(weight_g=0)]),
        create("batch-none", routing=only("nobody")),
        create("batch-other", "batch-key"),
        create("batch-known", "batch-key"),
        create("batch-also-good"),
    ]

    answer = await caller.BatchCreateOrders(pb.BatchCreateOrdersRequest(requests=requests))

    good, bad, none, other, known, also_good = answer.results
    assert [r.created.order.reference for r in (good, also_good)] == ["batch-good", "batch-also-good"]
    assert all(r.created.order.state == State.STATE_BOOKED for r in (good, also_good))
    assert (bad.status.code, reason(bad)) == (code_pb2.INVALID_ARGUMENT, "ORDER_INVALID")
    assert (none.status.code, reason(none)) == (code_pb2.FAILED_PRECONDITION, "NO_ELIGIBLE_CARRIER")
    assert (other.status.code, reason(other)) == (code_pb2.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    assert known.created.replayed


async def test_a_large_batch_at_a_slow_carrier_is_answered_before_its_deadline(world: World) -> None:
    """What is not booked by then is told as BOOKING, item by item; writing the answers takes time too."""
    for server in world.simulators.values():
        await server.set_faults(Faults(operations=("book",), latency_s=8.0))
    try:
        requests = [create(f"batch-slow-{n}") for n in range(500)]
        answer = await world.caller().BatchCreateOrders(pb.BatchCreateOrdersRequest(requests=requests), timeout=5.0)
    finally:
        for server in world.simulators.values():
            await server.set_faults(Faults())

    states = {result.created.order.state for result in answer.results}
    assert len(answer.results) == 500
    assert states <= {core_pb2.Order.STATE_ACCEPTED, core_pb2.Order.STATE_BOOKING, core_pb2.Order.STATE_BOOKED}


async def test_a_batch_with_an_order_twice_books_it_once(world: World) -> None:
    """Twins inside one batch are one order, one of them marked as replayed."""
    twin = create("batch-twin")

    answer = await world.caller().BatchCreateOrders(pb.BatchCreateOrdersRequest(requests=[twin, twin]))

    first, second = (r.created for r in answer.results)
    assert first.order.order_id == second.order.order_id
    assert {first.replayed, second.replayed} == {False, True}
    assert first.order.booking.waybill_number == second.order.booking.waybill_number


@pytest.mark.parametrize("count", [0, 501])
async def test_a_batch_of_the_wrong_size_is_refused(world: World, count: int) -> None:
    """An empty batch and one of 501 are refused as a whole; nothing is stored."""
    caller = world.caller()
    requests = [create(f"batch-size-{n}") for n in range(count)]

    status = await refusal(caller.BatchCreateOrders(pb.BatchCreateOrdersRequest(requests=requests)))

    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert status.violations.keys() == {"requests"}
    listed = await caller.ListOrders(pb.ListOrdersRequest(reference_prefix="batch-size-"))
    assert not listed.orders


async def test_a_defect_in_one_item_leaves_the_others_alone(world: World) -> None:
    """An item the engine itself fails on is INTERNAL with an incident; its neighbours are booked."""
    caller = world.caller()
    requests = [create("batch-before"), create("batch-defect"), create("batch-after")]

    with failing_on(world, "batch-defect"):
        answer = await caller.BatchCreateOrders(pb.BatchCreateOrdersRequest(requests=requests))

    before, defect, after = answer.results
    assert before.created.order.state == after.created.order.state == State.STATE_BOOKED
    assert (defect.status.code, reason(defect)) == (code_pb2.INTERNAL, "INTERNAL")
    assert "secret of the defect" not in str(defect.status)


async def test_a_stream_answers_every_item_by_its_index(world: World) -> None:
    """500 orders with bad ones among them: one answer for each index, until both sides are done."""

    async def requests() -> AsyncIterator[pb.StreamCreateOrdersRequest]:
        for n in range(STREAMED):
            weight_g = 0 if n % BAD_EVERY == 7 else 450
            wanted = order(f"stream-{n:03}", parcels=[parcel(weight_g)])
            yield pb.StreamCreateOrdersRequest(index=n * 3, order=wanted)

    call = world.caller().StreamCreateOrders(requests())
    answers = {m.index: m.result async for m in call}

    assert await call.code() == grpc.StatusCode.OK
    assert answers.keys() == {n * 3 for n in range(STREAMED)}
    refused = {index // 3 for index, result in answers.items() if result.HasField("status")}
    assert refused == set(range(7, STREAMED, BAD_EVERY))
    for index, result in answers.items():
        if result.HasField("created"):
            assert result.created.order.reference == f"stream-{index // 3:03}"
            assert result.created.order.state == State.STATE_BOOKED
    numbers = {r.created.order.booking.waybill_number for r in answers.values() if r.HasField("created")}
    assert len(numbers) == STREAMED - len(refused)


async def test_a_half_closed_stream_ends_by_itself(world: World) -> None:
    """After the client's last item the engine answers what is open and ends the stream with OK."""
    call = world.caller().StreamCreateOrders()
    await call.write(pb.StreamCreateOrdersRequest(index=1, order=order("stream-half")))
    await call.done_writing()

    answers = [m async for m in call]

    assert [m.index for m in answers] == [1]
    assert await call.code() == grpc.StatusCode.OK


async def test_a_stream_takes_items_one_at_a_time(world: World) -> None:
    """A client may wait for each answer before it sends the next order."""
    call = world.caller().StreamCreateOrders()
    seen = []

    for n in range(3):
        await call.write(pb.StreamCreateOrdersRequest(index=n, order=order(f"stream-turn-{n}")))
        answer = await call.read()
        seen.append((answer.index, answer.result.created.order.state))
    await call.done_writing()

    assert seen == [(n, State.STATE_BOOKED) for n in range(3)]
    assert await call.read() == grpc.aio.EOF


async def test_a_client_that_goes_away_loses_nothing(world: World) -> None:
    """Every order that became durable before the client went is booked, once, without anybody asking again."""
    caller = world.caller()

    async def requests() -> AsyncIterator[pb.StreamCreateOrdersRequest]:
        for n in range(300):
            yield pb.StreamCreateOrdersRequest(index=n, order=order(f"gone-{n:03}"))

    call = caller.StreamCreateOrders(requests())
    for _ in range(20):
        await call.read()
    call.cancel()

    stored = await _settled(world, "gone-")
    assert len(stored) >= 20
    assert {o.state for o in stored} == {State.STATE_BOOKED}
    live = {**world.live_waybills("sf"), **world.live_waybills("zto")}
    ours = [number for number, reference in live.items() if reference in {o.attempts[0].reference for o in stored}]
    assert sorted(ours) == sorted(o.booking.waybill_number for o in stored)


async def test_a_unary_client_that_goes_away_loses_nothing(world: World) -> None:
    """A call given up at any moment leaves either no order or one that is booked."""
    caller = world.caller()
    calls = [caller.CreateOrder(create(f"left-{n:03}", recipient=party(street=f"科苑路{n}号"))) for n in range(60)]
    for n, call in enumerate(calls):
        await asyncio.sleep(0)
        if n % 3:
            call.cancel()
    await asyncio.gather(*(_ended(call) for call in calls))
    for call in calls:
        call.cancel()

    stored = await _settled(world, "left-")

    assert len(stored) >= 20
    assert {o.state for o in stored} == {State.STATE_BOOKED}


async def _ended(call: grpc.aio.Call) -> None:
    await call.code()


async def _settled(world: World, prefix: str) -> list[core_pb2.Order]:
    """The orders of a prefix once the engine has no open order left; a watch tells when to look again."""
    caller = world.caller()
    watch = caller.WatchOrders(pb.WatchOrdersRequest(cursor="0"))
    booked: set[str] = set()
    accepted: set[str] = set()
    async with asyncio.timeout(15):
        while True:
            answer = await caller.ListOrders(pb.ListOrdersRequest(reference_prefix=prefix, page_size=500))
            open_ones = [o for o in answer.orders if o.state in (State.STATE_ACCEPTED, State.STATE_BOOKING)]
            if not open_ones:
                watch.cancel()
                return list(answer.orders)
            waiting = {o.order_id for o in open_ones}
            while waiting - booked:
                event = (await watch.read()).event
                (booked if event.kind == pb.OrderEvent.KIND_ORDER_BOOKED else accepted).add(event.order_id)
