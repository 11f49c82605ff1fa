"""The client's calls of ReturnService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING

from crossdock.calls import Calls
from crossdock.creating import new_request_id
from crossdock.v1 import return_service_pb2 as pb

if TYPE_CHECKING:  # the async stubs are types only; no such classes exist at run time
    from crossdock.v1.return_service_pb2_grpc import ReturnServiceAsyncStub

TIMEOUT_S = 30.0


class ReturnCalls:
    """Part of `crossdock.Client`, which brings the connection."""

    _calls: Calls
    _returns: ReturnServiceAsyncStub

    async def create_return(
        self, return_shipment: pb.Return, *, request_id: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> pb.CreateReturnResponse:
        """Ask to send goods of an order back; the rules approve, reject or leave it to a person.

        Answers the return as far as it got: BOOKED with its waybill when it was approved at once; its
        label is `get_label(return_order_id)`. Without `request_id` a new UUID4 is sent, so that the
        client's own retries ask once. Raises NotFound, FailedPrecondition, InvalidRequest, AlreadyExists.
        """
        request = pb.CreateReturnRequest(request_id=request_id or new_request_id(), return_shipment=return_shipment)
        return await self._calls.unary(self._return_stub.CreateReturn, request, timeout_s)

    async def get_return(self, return_id: str, *, timeout_s: float = TIMEOUT_S) -> pb.Return:
        """Find one return. Raises NotFound."""
        request = pb.GetReturnRequest(return_id=return_id)
        return (await self._calls.unary(self._return_stub.GetReturn, request, timeout_s)).return_shipment

    async def list_returns(
        self,
        *,
        states: Iterable[pb.Return.State.ValueType] = (),
        reasons: Iterable[pb.ReturnReason.ValueType] = (),
        order_id: str = "",
        page_size: int = 0,
        timeout_s: float = TIMEOUT_S,
    ) -> AsyncGenerator[pb.Return, None]:
        """Returns by ascending creation; each page is fetched when needed, within `timeout_s`."""
        request = pb.ListReturnsRequest(page_size=page_size, states=states, reasons=reasons, order_id=order_id)
        while True:
            page = await self._calls.unary(self._return_stub.ListReturns, request, timeout_s)
            for each in page.returns:
                yield each
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def approve_return(self, return_id: str, explanation: str = "", *, timeout_s: float = TIMEOUT_S) -> pb.Return:
        """Approve by hand, or have booked again what no carrier took. Raises NotFound, FailedPrecondition."""
        request = pb.ApproveReturnRequest(return_id=return_id, explanation=explanation)
        return (await self._calls.unary(self._return_stub.ApproveReturn, request, timeout_s)).return_shipment

    async def reject_return(self, return_id: str, explanation: str, *, timeout_s: float = TIMEOUT_S) -> pb.Return:
        """Refuse by hand; the buyer will ask why. Raises NotFound, FailedPrecondition."""
        request = pb.RejectReturnRequest(return_id=return_id, explanation=explanation)
        return (await self._calls.unary(self._return_stub.RejectReturn, request, timeout_s)).return_shipment

    async def confirm_return_received(
        self, return_id: str, remark: str = "", *, timeout_s: float = TIMEOUT_S
    ) -> pb.Return:
        """Say that the goods are back: the refund is due, once. Raises NotFound, FailedPrecondition."""
        request = pb.ConfirmReturnReceivedRequest(return_id=return_id, remark=remark)
        return (await self._calls.unary(self._return_stub.ConfirmReturnReceived, request, timeout_s)).return_shipment

    async def cancel_return(self, return_id: str, *, timeout_s: float = TIMEOUT_S) -> pb.Return:
        """Give it up before it is handed over. Raises NotFound, FailedPrecondition."""
        request = pb.CancelReturnRequest(return_id=return_id)
        return (await self._calls.unary(self._return_stub.CancelReturn, request, timeout_s)).return_shipment

    @property
    def _return_stub(self) -> ReturnServiceAsyncStub:
        self._check_open()
        return self._returns

    def _check_open(self) -> None:
        raise NotImplementedError
