"""Streams: creations matched by index, watches that go on, pages, merged labels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

import crossdock
from crossdock import Client, ConfigurationError, CrossdockError, StreamItem
from crossdock.retry import Pace
from crossdock.v1 import core_pb2 as core
from crossdock.v1 import label_service_pb2 as labels
from crossdock.v1 import order_service_pb2 as pb
from tests.unit.client.twin import UNAVAILABLE, FakeTime, Twin, retry_after, start, status

pytestmark = pytest.mark.anyio
CODE = grpc.StatusCode


def orders(count: int) -> Iterator[StreamItem]:
    """Items 0, 1, ... with references R-0, R-1, ..."""
    for index in range(count):
        yield index, core.Order(reference=f"R-{index}")


def booked(request: pb.StreamCreateOrdersRequest) -> pb.StreamCreateOrdersResponse:
    """The answer to one item: its own order, booked."""
    created = pb.CreateOrderResponse(order=request.order)
    return pb.StreamCreateOrdersResponse(index=request.index, result=pb.OrderResult(created=created))


def event(cursor: str) -> pb.WatchOrdersResponse:
    """An event at a cursor."""
    return pb.WatchOrdersResponse(cursor=cursor, event=pb.OrderEvent(order_id=f"o-{cursor}"))


async def take(answers: Any, count: int) -> list[str]:
    """The cursors of the first `count` messages; the watch is closed after them."""
    seen = []
    async with aclosing(answers):
        async for answer in answers:
            seen.append(answer.cursor)
            if len(seen) == count:
                break
    return seen


async def test_stream_matches_results_by_index(client: Client, twin: Twin) -> None:
    """Results that come in another order, refusals among them, keep the caller's numbers."""
    refused = pb.StreamCreateOrdersResponse(
        index=1, result=pb.OrderResult(status=status(CODE.INVALID_ARGUMENT, "ORDER_INVALID"))
    )
    twin.will(lambda items: [booked(items[2]), refused, booked(items[0])])

    results = [pair async for pair in client.stream_create_orders(orders(3))]

    (third, third_order), (second, error), (first, first_order) = results
    assert (third, second, first) == (2, 1, 0)
    assert isinstance(third_order, pb.CreateOrderResponse)
    assert isinstance(first_order, pb.CreateOrderResponse)
    assert (third_order.order.reference, first_order.order.reference) == ("R-2", "R-0")
    assert isinstance(error, crossdock.InvalidRequest)


async def test_stream_takes_async_items_and_their_keys(client: Client, twin: Twin) -> None:
    """Own request ids go out as given; a missing one is generated."""

    async def items() -> AsyncIterator[StreamItem]:
        yield 7, core.Order(reference="R-7"), "mine"
        yield 8, core.Order(reference="R-8")

    twin.will(lambda sent: [booked(item) for item in sent])

    results = [index async for index, _ in client.stream_create_orders(items())]

    mine, generated = [item.request_id for item in twin.requests()[0]]
    assert results == [7, 8]
    assert mine == "mine"
    assert len(generated) == 36


async def test_stream_that_is_cut_raises_after_the_answers(client: Client, twin: Twin) -> None:
    """What was answered is delivered, then the loss is raised; nothing is sent again unasked."""
    twin.will(lambda items: [booked(items[0]), UNAVAILABLE])
    seen: list[int] = []

    async def read() -> None:
        async for index, _ in client.stream_create_orders(orders(2)):
            seen.append(index)

    with pytest.raises(crossdock.Unavailable):
        await read()

    assert seen == [0]
    assert len(twin.calls) == 1


async def test_stream_raises_what_the_items_raise(client: Client) -> None:
    """The caller's own exception comes back, not a cancellation."""

    def items() -> Iterator[StreamItem]:
        yield 0, core.Order(reference="R-0")
        raise LookupError("row 2")

    with pytest.raises(LookupError, match="row 2"):
        [pair async for pair in client.stream_create_orders(items())]


async def test_watch_resumes_from_the_last_cursor(client: Client, twin: Twin, fake_time: FakeTime) -> None:
    """UNAVAILABLE and a quiet end are cuts: the reader sees one unbroken sequence."""
    draining = status(CODE.UNAVAILABLE, "ENGINE_DRAINING", retry_after(1.0))
    twin.will([event("1"), event("2"), draining], UNAVAILABLE_ONLY, [event("3")], [event("4")])

    cursors = await take(client.watch_orders("0", carriers=["sf"]), 4)

    assert cursors == ["1", "2", "3", "4"]
    assert [r.cursor for r in twin.requests()] == ["0", "2", "2", "3"]
    assert {tuple(r.carriers) for r in twin.requests()} == {("sf",)}
    assert fake_time.waits_s == pytest.approx([1.1, 0.2, 0.1])


UNAVAILABLE_ONLY = [UNAVAILABLE]


async def test_watch_resumes_after_the_server_is_killed(twin: Twin, fake_time: FakeTime) -> None:
    """A server that goes away in mid-stream and comes back on its port is found again."""
    running, address = await start(twin)
    restarted: list[grpc.aio.Server] = []

    async def sleep(wait_s: float) -> None:
        await fake_time.sleep(wait_s)
        if not restarted:
            restarted.append((await start(twin, address))[0])
        await asyncio.sleep(0)  # lets the channel reconnect

    never = asyncio.Event()
    twin.will([event("5"), never], [event("6")])
    pace = Pace(sleep=sleep, monotonic_s=fake_time.monotonic_s, chance=lambda: 0.01)
    cursors = []
    async with (
        asyncio.timeout(10),
        Client(address, pace=pace) as client,
        aclosing(client.watch_orders("4")) as answers,
    ):
        async for answer in answers:
            cursors.append(answer.cursor)
            if answer.cursor == "6":
                break
            await running.stop(None)
    await restarted[0].stop(None)

    assert cursors == ["5", "6"]
    assert [r.cursor for r in twin.requests()] == ["4", "5"]


async def test_watch_raises_what_is_no_cut(client: Client, twin: Twin) -> None:
    """An expired cursor is the reader's to handle."""
    twin.will([status(CODE.OUT_OF_RANGE, "CURSOR_EXPIRED", oldestCursor="1205")])

    with pytest.raises(crossdock.OutOfRange) as caught:
        await take(client.watch_orders("3"), 1)

    assert caught.value.oldest_cursor == "1205"


async def test_watch_gives_up_after_the_time_asked(client: Client, twin: Twin, fake_time: FakeTime) -> None:
    """An engine that stays away is reported once the outage has lasted as long as allowed."""
    twin.will(*[UNAVAILABLE_ONLY] * 40)

    with pytest.raises(crossdock.Unavailable):
        await take(client.watch_orders("3", give_up_after_s=60.0), 1)

    assert 50.0 < sum(fake_time.waits_s) <= 60.0
    assert max(fake_time.waits_s) == 5.0


async def test_list_reads_page_after_page(client: Client, twin: Twin) -> None:
    """Orders come as one sequence; the filters stay the same between pages."""
    page = pb.ListOrdersResponse(orders=[core.Order(order_id="a")], next_page_token="t")
    twin.will(page, UNAVAILABLE, pb.ListOrdersResponse(orders=[core.Order(order_id="b")]))
    since = datetime(2026, 1, 2, tzinfo=UTC)
    states = [core.Order.STATE_BOOKED]

    listed = [o.order_id async for o in client.list_orders(states=states, created_after=since)]

    first, *rest = twin.requests()
    assert listed == ["a", "b"]
    assert [r.page_token for r in rest] == ["t", "t"]
    assert first.created_after_time.ToDatetime(UTC) == since
    assert {tuple(r.states) for r in twin.requests()} == {(core.Order.STATE_BOOKED,)}


async def test_merge_gives_bytes_then_what_was_left_out(client: Client, twin: Twin) -> None:
    """Chunks make the file; after them the skipped orders and the count are known."""
    skipped = labels.SkippedLabel(order_id="o-2", reason="ORDER_NOT_BOOKED")
    last = labels.MergeLabelsResponse(chunk=b"DF", skipped=[skipped], label_count=1)
    twin.will([UNAVAILABLE], [labels.MergeLabelsResponse(chunk=b"%P"), last])

    merged = client.merge_labels(["o-1", "o-2"])
    with pytest.raises(RuntimeError, match="not complete"):
        _ = merged.skipped
    content = b"".join([chunk async for chunk in merged.chunks])

    assert content == b"%PDF"
    assert merged.skipped == (skipped,)
    assert merged.label_count == 1
    assert len(twin.calls) == 2


async def test_merge_that_breaks_off_is_not_begun_again(client: Client, twin: Twin) -> None:
    """After the first chunk a loss is raised: half a file must not be followed by a whole one."""
    twin.will([labels.MergeLabelsResponse(chunk=b"%P"), UNAVAILABLE])
    merged = client.merge_labels(["o-1"])

    with pytest.raises(crossdock.Unavailable):
        [chunk async for chunk in merged.chunks]

    with pytest.raises(RuntimeError, match="not complete"):
        _ = merged.label_count


async def test_quote_passes_its_arguments(client: Client, twin: Twin) -> None:
    """The order and the wish for live prices arrive."""
    answer = pb.QuoteOrderResponse(candidates=[pb.Candidate(carrier="sf", rank=1)])
    twin.will(answer)

    quoted = await client.quote_order(core.Order(reference="R-1"), live_prices=True)

    assert quoted == answer
    assert twin.requests()[0].live_prices


async def test_wrong_arguments_are_refused_before_sending(client: Client, twin: Twin) -> None:
    """Mistakes that the client can see cost no call and name their argument."""
    naive = datetime(2026, 1, 2)  # the mistake under test
    calls: list[tuple[str, Any]] = [
        ("exactly one", lambda: client.get_order()),
        ("exactly one", lambda: client.get_order(order_id="a", reference="b")),
        ("timeout_s", lambda: client.cancel_order("a", timeout_s=0)),
        ("request_ids", lambda: client.batch_create_orders([], request_ids=["a"])),
        ("created_before", lambda: anext(client.list_orders(created_before=naive))),
    ]

    for message, call in calls:
        with pytest.raises(ConfigurationError, match=message):
            await call()

    assert twin.calls == []
    assert not issubclass(ConfigurationError, CrossdockError)
