"""OrderService: reads the contract, calls the use cases, writes the contract."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import datetime, timedelta

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec.structs import replace

from crossdock.v1 import core_pb2, order_service_pb2, order_service_pb2_grpc
from engine.api import validation
from engine.api.convert.candidates import KINDS_READ, write_candidate, write_event
from engine.api.convert.orders import STATES_READ, read_draft, write_address, write_order
from engine.api.convert.values import NO_TIME, from_timestamp, is_valid
from engine.api.errors import RequestInvalid
from engine.api.gate import Caller, current, status_or_defect
from engine.api.watching import SLOW_READER_S, tell
from engine.core.orders import Orders
from engine.core.policy.fields import FieldViolation
from engine.core.policy.records import NOBODY, OrderDraft
from engine.core.policy.validation import check_order
from engine.core.watch import Checkpoint, EventFilter, Watch
from engine.store.port import OrderFilter

pb = order_service_pb2

ITEM_MARGIN_S = 0.002
"""Of a batch, kept back for beginning with each item and for writing its answer: what is not booked by then is told as
BOOKING, not lost in a deadline that passes while 500 answers are written."""


class OrderServicer(order_service_pb2_grpc.OrderServiceServicer):
    """See proto/crossdock/v1/order_service.proto."""

    def __init__(
        self, orders: Orders, watch: Watch, *, stream_window: int, slow_reader_s: float = SLOW_READER_S
    ) -> None:
        self._orders = orders
        self._watch = watch
        self._window = stream_window
        self._slow_reader_s = slow_reader_s
        self._creating: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Give up creations whose callers have gone; what they stored is resumed at the next start."""
        for task in self._creating:
            task.cancel()
        await asyncio.gather(*self._creating, return_exceptions=True)

    async def QuoteOrder(self, request: pb.QuoteOrderRequest, context: object) -> pb.QuoteOrderResponse:
        """Dry run."""
        caller = current.get()
        draft = _draft(request.order, caller)
        normal, considered = await self._orders.quote(
            caller.tenant, draft, live=request.live_prices, deadline_s=caller.deadline_s
        )
        return pb.QuoteOrderResponse(
            candidates=[write_candidate(c) for c in considered],
            recipient_address=write_address(normal.recipient.address),
        )

    async def CreateOrder(self, request: pb.CreateOrderRequest, context: object) -> pb.CreateOrderResponse:
        """Accept and book."""
        answer = pb.CreateOrderResponse()
        await asyncio.shield(self._unbroken(self._create(answer, request.order, request.request_id, current.get())))
        return answer

    async def BatchCreateOrders(
        self, request: pb.BatchCreateOrdersRequest, context: object
    ) -> pb.BatchCreateOrdersResponse:
        """Item or status each."""
        if not 1 <= len(request.requests) <= 500:
            validation.check(request)
        caller = current.get()
        left_s = caller.deadline_s - ITEM_MARGIN_S * len(request.requests)
        caller = replace(caller, deadline_s=max(0.0, left_s))
        answer = pb.BatchCreateOrdersResponse()
        await asyncio.wait(
            [
                self._unbroken(self._fill(answer.results.add(), each.order, each.request_id, caller))
                for each in request.requests
            ]
        )
        return answer

    async def StreamCreateOrders(  # type: ignore[override]  # answers with context.write, which grpc.aio allows too
        self,
        request_iterator: AsyncIterator[pb.StreamCreateOrdersRequest],
        context: grpc.aio.ServicerContext[pb.StreamCreateOrdersRequest, pb.StreamCreateOrdersResponse],
    ) -> None:
        """Reads at most a window ahead of what has been answered."""
        caller = current.get()
        window = asyncio.Semaphore(self._window)
        answers = _Answers()

        async def one(item: pb.StreamCreateOrdersRequest) -> None:
            answer = pb.StreamCreateOrdersResponse(index=item.index)
            try:
                await self._fill(answer.result, item.order, item.request_id, caller)
            finally:
                answers.put(answer)

        async def write() -> None:
            async for answer in answers.take():
                await context.write(answer)
                window.release()

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            async for item in request_iterator:
                await window.acquire()
                answers.expect_one()
                self._unbroken(one(item))
            answers.expect_no_more()

    async def GetOrder(self, request: pb.GetOrderRequest, context: object) -> pb.GetOrderResponse:
        """By id or reference."""
        validation.check(request)
        # Trimmed as it was when the order was created, so that both ways mean the same order.
        loaded = await self._orders.get(
            current.get().tenant, order_id=request.order_id, reference=request.reference.strip()
        )
        return pb.GetOrderResponse(order=write_order(loaded))

    async def ListOrders(self, request: pb.ListOrdersRequest, context: object) -> pb.ListOrdersResponse:
        """A page."""
        validation.check(request)
        wanted = OrderFilter(
            states=tuple(STATES_READ[s] for s in request.states if s in STATES_READ),
            carriers=tuple(request.carriers),
            reference_prefix=request.reference_prefix.lstrip(),
            created_after=_just_before(_time(request, "created_after_time")),
            created_before=_time(request, "created_before_time"),
        )
        orders, token = await self._orders.page(
            current.get().tenant, wanted, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListOrdersResponse(orders=[write_order(o) for o in orders], next_page_token=token)

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: object) -> pb.CancelOrderResponse:
        """Cancel and wait."""
        validation.check(request)
        caller = current.get()
        loaded = await self._orders.cancel(caller.tenant, request.order_id, deadline_s=caller.deadline_s)
        return pb.CancelOrderResponse(order=write_order(loaded))

    async def WatchOrders(  # type: ignore[override]  # answers with context.write, as above
        self,
        request: pb.WatchOrdersRequest,
        context: grpc.aio.ServicerContext[pb.WatchOrdersRequest, pb.WatchOrdersResponse],
    ) -> None:
        """Events and checkpoints; a reader that takes nothing for a while is sent away with its cursor."""
        validation.check(request)
        wanted = EventFilter(
            states=frozenset(STATES_READ[s] for s in request.states if s in STATES_READ),
            carriers=frozenset(request.carriers),
            kinds=frozenset(KINDS_READ[k] for k in request.kinds if k in KINDS_READ),
        )
        cursor = request.cursor
        async for seen in self._watch.orders(current.get().tenant, cursor, wanted):
            message = pb.WatchOrdersResponse(cursor=str(seen.sequence))
            if not isinstance(seen, Checkpoint):
                message.event.CopyFrom(write_event(seen.event))
            await tell(context, message, cursor=cursor, slow_reader_s=self._slow_reader_s)
            cursor = message.cursor

    async def _create(
        self, answer: pb.CreateOrderResponse, order: core_pb2.Order, request_id: str, caller: Caller
    ) -> None:
        draft = _draft(order, caller)
        if len(request_id) > 64:
            too_long = FieldViolation("request_id", "has more than 64 characters", "use a UUID")
            raise RequestInvalid([too_long])
        created = await self._orders.create(
            caller.tenant,
            draft,
            request_id=request_id,
            deadline_s=caller.deadline_s,
            from_warehouse=not order.HasField("shipper"),
        )
        write_order(created.order, answer.order)
        answer.replayed = created.replayed

    def _unbroken(self, creation: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """A creation whose caller may go away: cut between commit and booking, the order would lie idle."""
        task = asyncio.create_task(creation)
        self._creating.add(task)
        task.add_done_callback(self._created)
        return task

    def _created(self, task: asyncio.Task[None]) -> None:
        self._creating.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, since whoever asked may be gone

    async def _fill(self, result: pb.OrderResult, order: core_pb2.Order, request_id: str, caller: Caller) -> None:
        try:
            await self._create(result.created, order, request_id, caller)
        except Exception as error:  # also a defect: one item never fails the others
            result.status.CopyFrom(status_or_defect("CreateOrder", error))


class _Answers:
    """Answers of a stream on their way from those who make them to the one who writes: gRPC takes one at a time.

    A lock that everybody waits for would wake a task an answer more.
    """

    def __init__(self) -> None:
        self._ready: deque[pb.StreamCreateOrdersResponse] = deque()
        self._changed = asyncio.Event()
        self._expected = 0
        self._open = True

    def expect_one(self) -> None:
        """One more will be put."""
        self._expected += 1

    def expect_no_more(self) -> None:
        """All that will ever be expected have been announced."""
        self._open = False
        self._changed.set()

    def put(self, answer: pb.StreamCreateOrdersResponse) -> None:
        """One of those expected."""
        self._ready.append(answer)
        self._changed.set()

    async def take(self) -> AsyncIterator[pb.StreamCreateOrdersResponse]:
        """All of them as they come."""
        while self._open or self._expected:
            await self._changed.wait()
            self._changed.clear()
            while self._ready:
                self._expected -= 1
                yield self._ready.popleft()


def _draft(order: core_pb2.Order, caller: Caller) -> OrderDraft:
    """What was ordered. Raises RequestInvalid with everything that is wrong, rules of the trade included."""
    found = _contract_violations(order)
    if not order.HasField("shipper") and caller.warehouse is None:
        remedy = "give it, or configure the tenant's warehouse ([tenant.shipper])"
        found.append(FieldViolation("order.shipper", "is missing", remedy))
    if found:
        raise RequestInvalid([*found, *_further_violations(order, caller, found)], "ORDER_INVALID")
    return read_draft(order, caller.warehouse)


def _contract_violations(order: core_pb2.Order) -> list[FieldViolation]:
    found: list[FieldViolation] = []
    try:
        validation.check(order, prefix="order.")
    except RequestInvalid as error:
        found += error.violations
    for field in ("pickup_start_time", "pickup_end_time") if order.HasField("options") else ():
        if not is_valid(getattr(order.options, field)):
            found.append(FieldViolation(f"order.options.{field}", *NO_TIME))
    return found


def _further_violations(order: core_pb2.Order, caller: Caller, found: Sequence[FieldViolation]) -> list[FieldViolation]:
    """What the use case would say next, so that a caller hears everything at once."""
    known = tuple(v.field for v in found)
    try:
        _, violations = check_order(read_draft(order, caller.warehouse or NOBODY))
    except (LookupError, OverflowError):  # an unknown enum value or no time: nothing more can be told
        return []
    wide = [FieldViolation(f"order.{v.field}", v.description, v.remedy) for v in violations]
    return [v for v in wide if not any(f"{v.field}.".startswith((f"{k}.", f"{k}[")) for k in known)]


def _just_before(time: datetime | None) -> datetime | None:
    """The contract's lower bound is inclusive, the store's is not; both count in microseconds."""
    return time - timedelta(microseconds=1) if time is not None and time.year > 1 else None


def _time(request: pb.ListOrdersRequest, field: str) -> datetime | None:
    value: Timestamp = getattr(request, field)
    if not is_valid(value):
        raise RequestInvalid([FieldViolation(field, *NO_TIME)])
    return from_timestamp(value) if request.HasField(field) else None  # type: ignore[arg-type]
