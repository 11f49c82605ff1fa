"""Returns: asked for once however often the line breaks, decided, received, listed page by page."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

import crossdock
from crossdock import Client
from crossdock.v1 import return_service_pb2 as pb
from tests.unit.client.twin import UNAVAILABLE, Twin, status

pytestmark = pytest.mark.anyio
WISH = pb.Return(order_id="o-1", reason=pb.RETURN_REASON_DAMAGED)
MADE = pb.Return(return_id="r-1", order_id="o-1", state=pb.Return.STATE_BOOKED)


async def test_a_return_is_asked_for_once(client: Client, twin: Twin) -> None:
    """The retry carries the key of the first try."""
    twin.will(UNAVAILABLE, pb.CreateReturnResponse(return_shipment=MADE))

    answer = await client.create_return(WISH)

    first, second = twin.requests()
    assert answer.return_shipment == MADE
    assert first == second
    assert len(first.request_id) == 36
    assert first.return_shipment == WISH


async def test_a_key_of_another_return_is_told(client: Client, twin: Twin) -> None:
    """With the return that holds it."""
    twin.will(status(grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", key="request_id", returnId="r-9"))

    with pytest.raises(crossdock.AlreadyExists) as refused:
        await client.create_return(WISH, request_id="mine")

    assert (refused.value.return_id, refused.value.order_id) == ("r-9", "")
    assert twin.requests()[0].request_id == "mine"


@pytest.mark.parametrize(
    ("call", "request_sent", "answer"),
    [
        (("get_return", "r-1"), pb.GetReturnRequest(return_id="r-1"), pb.GetReturnResponse(return_shipment=MADE)),
        (
            ("approve_return", "r-1", "ok"),
            pb.ApproveReturnRequest(return_id="r-1", explanation="ok"),
            pb.ApproveReturnResponse(return_shipment=MADE),
        ),
        (
            ("reject_return", "r-1", "no"),
            pb.RejectReturnRequest(return_id="r-1", explanation="no"),
            pb.RejectReturnResponse(return_shipment=MADE),
        ),
        (
            ("confirm_return_received", "r-1", "fine"),
            pb.ConfirmReturnReceivedRequest(return_id="r-1", remark="fine"),
            pb.ConfirmReturnReceivedResponse(return_shipment=MADE),
        ),
        (
            ("cancel_return", "r-1"),
            pb.CancelReturnRequest(return_id="r-1"),
            pb.CancelReturnResponse(return_shipment=MADE),
        ),
    ],
)
async def test_a_call_sends_its_request_and_answers_the_return(
    client: Client, twin: Twin, call: tuple[str, ...], request_sent: Any, answer: Any
) -> None:
    """Plain arguments in, the contract's message out."""
    twin.will(answer)
    method, *arguments = call

    assert await getattr(client, method)(*arguments) == MADE
    assert twin.requests() == [request_sent]


async def test_a_listing_goes_on_page_by_page(client: Client, twin: Twin) -> None:
    """The filter stays the same over the pages."""
    second = pb.Return(return_id="r-2")
    twin.will(
        pb.ListReturnsResponse(returns=[MADE], next_page_token="more"),
        pb.ListReturnsResponse(returns=[second]),
    )

    found = [each async for each in client.list_returns(order_id="o-1", states=[pb.Return.STATE_BOOKED])]

    assert found == [MADE, second]
    assert [r.page_token for r in twin.requests()] == ["", "more"]
    assert {r.order_id for r in twin.requests()} == {"o-1"}


async def test_a_closed_client_says_so() -> None:
    """As for every other call."""
    with pytest.raises(RuntimeError, match="not open"):
        await Client("127.0.0.1:1").get_return("r-1")
