"""An engine's answering half on loopback: idempotency keys, replays and conflicts as the real one, carriers scripted.

It runs in threads of its own, so that the command under test has its event loop to itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from crossdock.v1 import core_pb2, label_service_pb2, order_service_pb2
from crossdock.v1.label_service_pb2_grpc import LabelServiceServicer, add_LabelServiceServicer_to_server
from crossdock.v1.order_service_pb2_grpc import OrderServiceServicer, add_OrderServiceServicer_to_server

FREE_STATES = (core_pb2.Order.STATE_FAILED, core_pb2.Order.STATE_CANCELLED)
Violations = tuple[tuple[str, str], ...]


class EngineTwin:
    """What the twin does (set before a run) and what it saw (read after)."""

    def __init__(self) -> None:
        self.invalid: dict[str, Violations] = {}
        self.failing: set[str] = set()
        self.slow: dict[str, int] = {}
        self.busy: dict[str, int] = {}
        self.defective: set[str] = set()
        self.unprintable: dict[str, str] = {}
        self.cut_after: list[int] = []
        self.answer_backwards_from = 0
        self.api_key = ""
        self.on_row: Callable[[int], object] = lambda index: None
        self.log: list[tuple[str, int]] = []
        self.received: list[order_service_pb2.StreamCreateOrdersRequest] = []
        self.booked: list[str] = []
        self._orders: dict[str, core_pb2.Order] = {}
        self._by_request: dict[str, tuple[bytes, str]] = {}
        self._by_reference: dict[str, tuple[bytes, str]] = {}
        self._lock = threading.Lock()

    def create(self, request_id: str, order: core_pb2.Order) -> order_service_pb2.OrderResult:
        """Accept, replay or refuse, by the engine's own rules."""
        with self._lock:
            if order.reference in self.invalid:
                return order_service_pb2.OrderResult(status=invalid_status(self.invalid[order.reference]))
            if self.busy.get(order.reference, 0):
                self.busy[order.reference] -= 1
                return order_service_pb2.OrderResult(status=status(code_pb2.RESOURCE_EXHAUSTED, "ENGINE_OVERLOADED"))
            body = order.SerializeToString(deterministic=True)
            known = self._by_request.get(request_id)
            if known is None:
                known = self._by_reference.get(order.reference)
                if known is not None and self._orders[known[1]].state in FREE_STATES:
                    known = None
            if known is None:
                return self._accept(request_id, order, body)
            if known[0] != body:
                return order_service_pb2.OrderResult(status=status(code_pb2.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED"))
            return self._answer(known[1], replayed=True)

    def get(self, order_id: str) -> core_pb2.Order:
        """The order; one that is slow settles after it was asked for often enough."""
        with self._lock:
            order = self._orders[order_id]
            self.slow[order.reference] = self.slow.get(order.reference, 0) - 1
            if self.slow[order.reference] <= 0:
                self._book(order)
            return order

    def _accept(self, request_id: str, order: core_pb2.Order, body: bytes) -> order_service_pb2.OrderResult:
        stored = core_pb2.Order()
        stored.CopyFrom(order)
        stored.order_id = f"order-{len(self._orders) + 1}"
        stored.state = core_pb2.Order.STATE_BOOKING
        if order.reference in self.failing:
            stored.state = core_pb2.Order.STATE_FAILED
            stored.failure.reason = "CARRIER_NO_SERVICE"
            stored.failure.message = "the carrier does not go there"
            stored.failure.field = "recipient.address.city"
        elif not self.slow.get(order.reference):
            self._book(stored)
        self._orders[stored.order_id] = stored
        self._by_request[request_id] = self._by_reference[order.reference] = (body, stored.order_id)
        return self._answer(stored.order_id, replayed=False)

    def _book(self, order: core_pb2.Order) -> None:
        order.state = core_pb2.Order.STATE_BOOKED
        order.booking.carrier = "sf"
        order.booking.waybill_number = f"SF{len(self.booked) + 1:013d}"
        self.booked.append(order.reference)

    def _answer(self, order_id: str, *, replayed: bool) -> order_service_pb2.OrderResult:
        created = order_service_pb2.CreateOrderResponse(order=self._orders[order_id], replayed=replayed)
        return order_service_pb2.OrderResult(created=created)

    def order(self, order_id: str) -> core_pb2.Order:
        """The order as it is stored."""
        return self._orders[order_id]


class RunningTwin:
    """A twin that listens. `server` is HOST:PORT; `stop` cuts everybody off."""

    def __init__(self, twin: EngineTwin, address: str = "127.0.0.1:0") -> None:
        self.twin = twin
        # Else a twin that comes back to its address may share it with another process's, and get its calls.
        options = (("grpc.so_reuseport", 0),)
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=20), options=options)
        # Only what the command calls is there.
        add_OrderServiceServicer_to_server(_Orders(twin), self._server)  # type: ignore[abstract]
        add_LabelServiceServicer_to_server(_Labels(twin), self._server)  # type: ignore[abstract]
        self.server = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        self._server.start()

    def stop(self) -> None:
        """Stop listening and cut every call."""
        self._server.stop(grace=None).wait(5)


class _Orders(OrderServiceServicer):
    def __init__(self, twin: EngineTwin) -> None:
        self._twin = twin

    def StreamCreateOrders(
        self, request_iterator: Iterator[order_service_pb2.StreamCreateOrdersRequest], context: grpc.ServicerContext
    ) -> Iterator[order_service_pb2.StreamCreateOrdersResponse]:
        twin = self._twin
        _check_key(twin, context)
        left = twin.cut_after.pop(0) if twin.cut_after else -1
        held: list[order_service_pb2.StreamCreateOrdersResponse] = []
        for item in request_iterator:
            twin.log.append(("received", item.index))
            twin.received.append(item)
            twin.on_row(item.index)
            if item.order.reference in twin.defective:
                _abort(context, defect_status())
            answer = twin.create(item.request_id, item.order)
            if left == 0:
                # Accepted and booked, but the answer is lost with the connection.
                context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
            left -= 1
            held.append(order_service_pb2.StreamCreateOrdersResponse(index=item.index, result=answer))
            if len(held) < twin.answer_backwards_from:
                continue
            twin.answer_backwards_from = 0
            while held:
                twin.log.append(("answered", held[-1].index))
                yield held.pop()

    def CreateOrder(
        self, request: order_service_pb2.CreateOrderRequest, context: grpc.ServicerContext
    ) -> order_service_pb2.CreateOrderResponse:
        if request.order.reference in self._twin.defective:
            _abort(context, defect_status())
        result = self._twin.create(request.request_id, request.order)
        if result.HasField("status"):
            _abort(context, result.status)
        return result.created

    def GetOrder(
        self, request: order_service_pb2.GetOrderRequest, context: grpc.ServicerContext
    ) -> order_service_pb2.GetOrderResponse:
        return order_service_pb2.GetOrderResponse(order=self._twin.get(request.order_id))


class _Labels(LabelServiceServicer):
    def __init__(self, twin: EngineTwin) -> None:
        self._twin = twin

    def MergeLabels(
        self, request: label_service_pb2.MergeLabelsRequest, context: grpc.ServicerContext
    ) -> Iterator[label_service_pb2.MergeLabelsResponse]:
        skipped = []
        for order_id in request.order_ids:
            order = self._twin.order(order_id)
            field = self._twin.unprintable.get(order.reference)
            if field is None:
                yield label_service_pb2.MergeLabelsResponse(chunk=f"{order.booking.waybill_number}\n".encode())
            else:
                skipped.append(
                    label_service_pb2.SkippedLabel(
                        order_id=order_id, message="no font has U+20BB7", remedy="add a font", field=field
                    )
                )
        count = len(request.order_ids) - len(skipped)
        yield label_service_pb2.MergeLabelsResponse(skipped=skipped, label_count=count)


def status(code: int, reason: str, *details: Message, message: str = "refused; do something else") -> status_pb2.Status:
    """A status as the engine makes it."""
    made = status_pb2.Status(code=code, message=message)
    for detail in (error_details_pb2.ErrorInfo(domain="crossdock", reason=reason), *details):
        packed = Any()
        packed.Pack(detail)
        made.details.append(packed)
    return made


def invalid_status(violations: Violations) -> status_pb2.Status:
    """ORDER_INVALID with its violations: (field path, description with remedy)."""
    bad = error_details_pb2.BadRequest()
    for field, description in violations:
        bad.field_violations.add(field=field, description=description)
    return status(code_pb2.INVALID_ARGUMENT, "ORDER_INVALID", bad)


def defect_status() -> status_pb2.Status:
    """What a caller sees of a defect of the engine."""
    return status(code_pb2.INTERNAL, "INTERNAL", message="the engine failed; incident 0198")


def _check_key(twin: EngineTwin, context: grpc.ServicerContext) -> None:
    headers = dict(context.invocation_metadata())
    if twin.api_key and headers.get("authorization") != f"Bearer {twin.api_key}":
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "the API key is not known")


def _abort(context: grpc.ServicerContext, made: status_pb2.Status) -> NoReturn:
    context.set_trailing_metadata((("grpc-status-details-bin", made.SerializeToString()),))
    context.abort(next(code for code in grpc.StatusCode if code.value[0] == made.code), made.message)
    raise AssertionError("abort raises")
