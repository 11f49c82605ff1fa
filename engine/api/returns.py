"""ReturnService: reads the contract, calls the use cases, writes the contract."""

from __future__ import annotations

from crossdock.v1 import return_service_pb2, return_service_pb2_grpc
from engine.api import validation
from engine.api.convert.returns import REASONS_READ, STATES_READ, read_wish, write_return
from engine.api.convert.values import NO_TIME, is_valid
from engine.api.errors import RequestInvalid
from engine.api.gate import current
from engine.core.policy.fields import FieldViolation
from engine.core.returns import Returns
from engine.store.return_port import ReturnFilter

pb = return_service_pb2


class ReturnServicer(return_service_pb2_grpc.ReturnServiceServicer):
    """See proto/crossdock/v1/return_service.proto."""

    def __init__(self, returns: Returns) -> None:
        self._returns = returns

    async def CreateReturn(self, request: pb.CreateReturnRequest, context: object) -> pb.CreateReturnResponse:
        """Ask, judge and, if approved, book."""
        validation.check(request)
        _check(request.return_shipment)
        caller = current.get()
        created = await self._returns.create(
            caller.tenant,
            read_wish(request.return_shipment),
            request_id=request.request_id,
            deadline_s=caller.deadline_s,
        )
        return pb.CreateReturnResponse(return_shipment=write_return(created.record), replayed=created.replayed)

    async def GetReturn(self, request: pb.GetReturnRequest, context: object) -> pb.GetReturnResponse:
        """By id."""
        validation.check(request)
        record = await self._returns.get(current.get().tenant, request.return_id)
        return pb.GetReturnResponse(return_shipment=write_return(record))

    async def ListReturns(self, request: pb.ListReturnsRequest, context: object) -> pb.ListReturnsResponse:
        """A page."""
        validation.check(request)
        wanted = ReturnFilter(
            states=tuple(STATES_READ[s] for s in request.states if s in STATES_READ),
            reasons=tuple(REASONS_READ[r] for r in request.reasons if r in REASONS_READ),
            order_id=request.order_id,
        )
        found, token = await self._returns.page(
            current.get().tenant, wanted, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListReturnsResponse(returns=[write_return(record) for record in found], next_page_token=token)

    async def ApproveReturn(self, request: pb.ApproveReturnRequest, context: object) -> pb.ApproveReturnResponse:
        """By hand."""
        validation.check(request)
        caller = current.get()
        record = await self._returns.approve(
            caller.tenant, request.return_id, request.explanation, deadline_s=caller.deadline_s
        )
        return pb.ApproveReturnResponse(return_shipment=write_return(record))

    async def RejectReturn(self, request: pb.RejectReturnRequest, context: object) -> pb.RejectReturnResponse:
        """By hand."""
        validation.check(request)
        record = await self._returns.reject(current.get().tenant, request.return_id, request.explanation)
        return pb.RejectReturnResponse(return_shipment=write_return(record))

    async def ConfirmReturnReceived(
        self, request: pb.ConfirmReturnReceivedRequest, context: object
    ) -> pb.ConfirmReturnReceivedResponse:
        """The refund is due, once."""
        validation.check(request)
        record = await self._returns.confirm_received(current.get().tenant, request.return_id, request.remark)
        return pb.ConfirmReturnReceivedResponse(return_shipment=write_return(record))

    async def CancelReturn(self, request: pb.CancelReturnRequest, context: object) -> pb.CancelReturnResponse:
        """Give it up."""
        validation.check(request)
        caller = current.get()
        record = await self._returns.cancel(caller.tenant, request.return_id, deadline_s=caller.deadline_s)
        return pb.CancelReturnResponse(return_shipment=write_return(record))


def _check(asked: pb.Return) -> None:
    """What the contract's rules cannot say. Raises RequestInvalid with everything."""
    found = [
        FieldViolation(f"return_shipment.{field}", *NO_TIME)
        for field in ("pickup_start_time", "pickup_end_time")
        if not is_valid(getattr(asked, field))
    ]
    window = asked.HasField("pickup_start_time") or asked.HasField("pickup_end_time")
    if window and not asked.pickup:
        remedy = "set it, or leave the window out"
        found.append(FieldViolation("return_shipment.pickup", "is not set although a window is given", remedy))
    found += [
        FieldViolation(f"return_shipment.items[{index}]", "names nothing", "give the sku or title of an order's item")
        for index, item in enumerate(asked.items)
        if not item.sku and not item.title
    ]
    if found:
        raise RequestInvalid(found)
