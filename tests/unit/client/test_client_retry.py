"""Retries: only UNAVAILABLE, bounded, throttled, inside the deadline, with the same key."""

from __future__ import annotations

import uuid

import grpc
import pytest

import crossdock
from crossdock import Client
from crossdock.retry import Backoff, Pace, RetryPolicy, Throttle
from crossdock.v1 import core_pb2 as core
from crossdock.v1 import label_service_pb2 as labels
from crossdock.v1 import order_service_pb2 as pb
from tests.unit.client.twin import UNAVAILABLE, FakeTime, Twin, retry_after, status

CODE = grpc.StatusCode
ORDER = core.Order(reference="R-1")
BOOKED = pb.CreateOrderResponse(order=core.Order(order_id="o-1"))


@pytest.mark.parametrize(("failures", "wait_s"), [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (2000, 1.0)])
def test_backoff_doubles_up_to_its_cap(failures: int, wait_s: float) -> None:
    """Half of 0.2 s, doubled with each failure, at most half of 2 s."""
    waited_s = Backoff().wait_s(failures, 0.5)

    assert waited_s == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("failures", "retry_after_s", "remaining_s", "wait_s"),
    [
        (1, None, 30.0, 0.1),
        (2, None, 30.0, 0.2),
        (3, None, 30.0, None),
        (1, 5.0, 30.0, 5.1),
        (1, 30.0, 30.0, None),
        (1, None, 0.05, None),
    ],
)
def test_policy_waits_or_gives_up(
    failures: int, retry_after_s: float | None, remaining_s: float, wait_s: float | None
) -> None:
    """Three attempts in all, RetryInfo as lower bound, never beyond the deadline."""
    decided = RetryPolicy().next_wait_s(failures, retry_after_s=retry_after_s, remaining_s=remaining_s, chance=0.5)

    assert decided == (None if wait_s is None else pytest.approx(wait_s))


def test_throttle_closes_at_half_and_is_paid_back_by_successes() -> None:
    """Five failures of ten tokens stop retries; successes worth a token allow them again."""
    throttle = Throttle()

    opened = []
    for _ in range(5):
        throttle.failed()
        opened.append(throttle.allows)
    throttle.succeeded()

    assert opened == [True, True, True, True, False]
    assert throttle.allows


@pytest.mark.anyio
async def test_creation_is_retried_with_the_same_key(client: Client, twin: Twin, fake_time: FakeTime) -> None:
    """After UNAVAILABLE the very same request goes out again, under one generated UUID4."""
    twin.will(UNAVAILABLE, UNAVAILABLE, BOOKED)

    answer = await client.create_order(ORDER)

    first, second, third = twin.requests()
    assert answer == BOOKED
    assert first == second == third
    assert uuid.UUID(first.request_id).version == 4
    assert fake_time.waits_s == pytest.approx([0.1, 0.2])


@pytest.mark.anyio
async def test_third_failure_is_raised(client: Client, twin: Twin) -> None:
    """Three attempts are all."""
    twin.will(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, BOOKED)

    with pytest.raises(crossdock.Unavailable):
        await client.create_order(ORDER)

    assert len(twin.calls) == 3


@pytest.mark.anyio
@pytest.mark.parametrize(
    "code",
    [CODE.INTERNAL, CODE.UNKNOWN, CODE.ABORTED, CODE.RESOURCE_EXHAUSTED, CODE.DEADLINE_EXCEEDED],
)
async def test_other_codes_are_not_retried(client: Client, twin: Twin, code: grpc.StatusCode) -> None:
    """Nothing but UNAVAILABLE is sent again, even when the answer names a delay."""
    twin.will(status(code, "ANY", retry_after(0.1)), BOOKED)

    with pytest.raises(crossdock.CrossdockError):
        await client.create_order(ORDER)

    assert len(twin.calls) == 1


@pytest.mark.anyio
async def test_retry_info_is_honoured(client: Client, twin: Twin, fake_time: FakeTime) -> None:
    """The engine's delay is the least the client waits."""
    twin.will(status(CODE.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after(4.0)), BOOKED)

    await client.create_order(ORDER)

    assert fake_time.waits_s == pytest.approx([4.1])


@pytest.mark.anyio
async def test_delay_beyond_the_deadline_is_not_waited_for(client: Client, twin: Twin, fake_time: FakeTime) -> None:
    """The error comes at once when its delay outlasts the call."""
    twin.will(status(CODE.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after(4.0)), BOOKED)

    with pytest.raises(crossdock.Unavailable) as caught:
        await client.create_order(ORDER, timeout_s=3.0)

    assert caught.value.retry_after_s == 4.0
    assert fake_time.waits_s == []


@pytest.mark.anyio
async def test_deadline_is_carried_and_shrinks_with_waiting(client: Client, twin: Twin) -> None:
    """Every attempt tells the engine what is left of the call's time."""
    twin.will(status(CODE.UNAVAILABLE, "ENGINE_DRAINING", retry_after(10.0)), BOOKED)

    await client.create_order(ORDER, timeout_s=20.0)

    first, second = [seen.remaining_s or 0.0 for seen in twin.calls]
    assert 18.0 < first <= 20.5
    assert 8.0 < second <= 10.5


@pytest.mark.anyio
async def test_throttle_stops_retries_of_the_whole_client(client: Client, twin: Twin) -> None:
    """After five failures the next call is tried once only."""
    twin.will(*[UNAVAILABLE] * 6)

    for _ in range(3):
        with pytest.raises(crossdock.Unavailable):
            await client.get_order(order_id="o-1")

    assert len(twin.calls) == 3 + 2 + 1


@pytest.mark.anyio
async def test_reads_and_cancel_are_retried(client: Client, twin: Twin) -> None:
    """Every call that may be repeated survives one UNAVAILABLE."""
    order = core.Order(order_id="o-1")
    twin.will(UNAVAILABLE, pb.CancelOrderResponse(order=order))
    twin.will(UNAVAILABLE, labels.GetLabelResponse(content=b"%PDF"))

    cancelled = await client.cancel_order("o-1")
    label = await client.get_label("o-1")

    assert cancelled == order
    assert label.content == b"%PDF"


@pytest.mark.anyio
async def test_batch_repeats_the_key_of_every_item(client: Client, twin: Twin) -> None:
    """Each item has its own generated key, and a retry sends the same ones."""
    answer = pb.BatchCreateOrdersResponse(results=[pb.OrderResult(created=BOOKED)] * 2)
    twin.will(UNAVAILABLE, answer)

    await client.batch_create_orders([ORDER, core.Order(reference="R-2")])

    first, second = twin.requests()
    assert first == second
    assert len({item.request_id for item in first.requests} - {""}) == 2


@pytest.mark.anyio
async def test_unreachable_engine_is_unavailable(pace: Pace) -> None:
    """A refused connection is Unavailable with source NETWORK, after the usual attempts."""
    async with Client("127.0.0.1:1", pace=pace) as client:
        with pytest.raises(crossdock.Unavailable) as caught:
            await client.get_order(order_id="o-1")

    assert (caught.value.source, caught.value.reason) == ("NETWORK", "")
