"""A running Crossdock under observation: real processes, clients that write down what they hear.

    async with world(tmp_path) as w:
        order = await w.create(parcel_order("R1"))
        await w.at_rest()
        assert violations(await w.evidence()) == []

Rules of this file
- Whatever a client is told goes into `World.calls`, failures too; the checker judges it later.
- A client repeats a call only with the same request_id, as the contract asks.
- Every wait has an end. Processes end with the block.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
from prometheus_client.parser import text_string_to_metric_families

from crossdock.v1 import (
    core_pb2,
    label_service_pb2,
    label_service_pb2_grpc,
    order_service_pb2,
    order_service_pb2_grpc,
)
from crossdock_sdk.simulator import Faults
from engine.cli.sandbox import CARRIERS, Sandbox, running_sandbox
from tests.acceptance.evidence import Call, Evidence, OrderFact, SeenEvent
from tests.fakes.proxy import Proxy

pb = order_service_pb2
T = TypeVar("T")

QUICK: Mapping[str, Mapping[str, Any]] = {
    # Above the ten seconds after which SF's "not found" is believed, so that a look-up still
    # ends before a person is asked.
    "booking": {
        "review_after_s": 14.0,
        "retry_base_s": 0.3,
        "retry_cap_s": 2.0,
        "unavailable_retry_s": 0.3,
    },
    "outbound": {"breaker_open_s": 1.0},
}
"""Settings that shorten waiting, nothing else."""

RETRIED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
PAUSE_S = 0.05
CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


class World:
    """The sandbox, one client to it, and everything that client was told."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.calls: list[Call] = []
        self._channel: grpc.aio.Channel | None = None

    async def faults(self, carrier: str, **faults: Any) -> None:
        """Make a carrier misbehave so from now on; without faults it behaves."""
        await self.sandbox.simulators[carrier].set_faults(Faults(**faults))

    async def heal(self) -> None:
        """Every carrier behaves."""
        for carrier in self.sandbox.simulators:
            await self.faults(carrier)

    def channel(self) -> grpc.aio.Channel:
        """The client's channel; the engine's port is the same after a restart."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.sandbox.server, options=CHANNEL)
        return self._channel

    @property
    def orders(self) -> order_service_pb2_grpc.OrderServiceAsyncStub:
        """OrderService."""
        return order_service_pb2_grpc.OrderServiceStub(self.channel())

    async def create(
        self,
        order: core_pb2.Order,
        *,
        request_id: str = "",
        deadline_s: float = 5.0,
        patience_s: float = 40.0,
    ) -> core_pb2.Order:
        """Create, and repeat with the same key until the engine answers.

        Raises grpc.RpcError for any other status, or when patience ends.
        """
        request = pb.CreateOrderRequest(request_id=request_id or order.reference, order=order)

        async def once() -> tuple[core_pb2.Order, bool]:
            answer = await self.orders.CreateOrder(request, timeout=deadline_s)
            return answer.order, answer.replayed

        return await self._repeat("CreateOrder", request.request_id, order.reference, once, patience_s)

    async def cancel(
        self, order: core_pb2.Order, *, deadline_s: float = 5.0, patience_s: float = 40.0
    ) -> core_pb2.Order:
        """Cancel, and repeat until the engine answers. Raises as `create`."""
        request = pb.CancelOrderRequest(order_id=order.order_id)

        async def once() -> tuple[core_pb2.Order, bool]:
            return (await self.orders.CancelOrder(request, timeout=deadline_s)).order, False

        return await self._repeat("CancelOrder", "", order.reference, once, patience_s)

    async def label(self, order: core_pb2.Order, *, patience_s: float = 40.0) -> bytes:
        """The carrier's own label, repeated until the engine answers."""
        stub = label_service_pb2_grpc.LabelServiceStub(self.channel())
        spec = label_service_pb2.LabelSpec(format=label_service_pb2.LABEL_FORMAT_PDF, carrier_made=True)
        request = label_service_pb2.GetLabelRequest(order_id=order.order_id, spec=spec)
        ends_s = time.monotonic() + patience_s
        while True:
            try:
                answer = await stub.GetLabel(request, timeout=10.0)
            except grpc.aio.AioRpcError as error:
                if error.code() not in RETRIED or time.monotonic() > ends_s:
                    raise
                await asyncio.sleep(PAUSE_S)
            else:
                return answer.content

    async def get(self, order: core_pb2.Order) -> core_pb2.Order:
        """The order as it is now."""
        request = pb.GetOrderRequest(order_id=order.order_id)
        return (await self.orders.GetOrder(request, timeout=10.0, wait_for_ready=True)).order

    async def becomes(self, order: core_pb2.Order, *states: str, within_s: float = 20.0) -> core_pb2.Order:
        """The order once it is in one of `states`, or as it is when time is up."""

        async def there() -> core_pb2.Order | None:
            now = await self.get(order)
            return now if state_of(now) in states else None

        return await eventually(there, within_s) or await self.get(order)

    async def at_rest(self, within_s: float = 40.0) -> None:
        """Wait until no order is under way, or time is up; the checker tells which it was."""
        open_states = [
            core_pb2.Order.STATE_ACCEPTED,
            core_pb2.Order.STATE_BOOKING,
            core_pb2.Order.STATE_CANCELLING,
        ]
        request = pb.ListOrdersRequest(page_size=1, states=open_states)

        async def quiet() -> bool:
            page = await self.orders.ListOrders(request, timeout=10.0, wait_for_ready=True)
            return not page.orders

        await eventually(quiet, within_s)

    async def metric(self, name: str, **labels: str) -> float:
        """A metric's value on /metrics now; see `total`."""
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"{self.sandbox.http}/metrics")).raise_for_status().text
        return total(text, name, **labels)

    async def evidence(self) -> Evidence:
        """What everybody says now. The engine must be up; ask when it is at rest."""
        orders = [fact async for fact in self._listed()]
        return Evidence(self.calls, orders, await self._told(orders), self.ledgers(), await self._confirmed())

    async def _confirmed(self) -> int | None:
        """Attempts counted as confirmed, if one engine has counted them all."""
        if self.sandbox.engines_started != 1:
            return None
        return int(await self.metric("crossdock_attempts_total", outcome="CONFIRMED"))

    def ledgers(self) -> dict[str, Any]:
        """Carrier code -> its ledger on disk."""
        return {code: s.entries() for code, s in self.sandbox.simulators.items()}

    async def close(self) -> None:
        """Let go of the channel."""
        if self._channel is not None:
            await self._channel.close()

    async def _repeat(
        self,
        rpc: str,
        request_id: str,
        reference: str,
        once: Callable[[], Awaitable[tuple[core_pb2.Order, bool]]],
        patience_s: float,
    ) -> core_pb2.Order:
        ends_s = time.monotonic() + patience_s
        while True:
            started_s = time.monotonic()
            try:
                order, replayed = await once()
            except grpc.aio.AioRpcError as error:
                code, now_s = error.code(), time.monotonic()
                self.calls.append(Call(rpc, request_id, reference, code.name, started_s, now_s))
                if code not in RETRIED or now_s > ends_s:
                    raise
                await asyncio.sleep(PAUSE_S)
                continue
            self.calls.append(
                Call(
                    rpc,
                    request_id,
                    reference,
                    "OK",
                    started_s,
                    time.monotonic(),
                    order.order_id,
                    state_of(order),
                    order.booking.waybill_number,
                    replayed,
                )
            )
            return order

    async def _listed(self) -> AsyncIterator[OrderFact]:
        token = ""
        while True:
            request = pb.ListOrdersRequest(page_size=500, page_token=token)
            page = await self.orders.ListOrders(request, timeout=20.0, wait_for_ready=True)
            for order in page.orders:
                yield fact_of(order)
            token = page.next_page_token
            if not token:
                return

    async def _told(self, orders: Sequence[OrderFact]) -> list[SeenEvent]:
        """All events, oldest first: read until each order's last one tells its state."""
        wanted = {order.order_id: order.state for order in orders}
        open_ids = set(wanted)
        seen: list[SeenEvent] = []
        if not wanted:
            return seen
        try:
            async with asyncio.timeout(10.0):
                async for event in watch(self.orders, 0):
                    seen.append(event)
                    if event.state == wanted.get(event.order_id):
                        open_ids.discard(event.order_id)
                    else:
                        open_ids.add(event.order_id)
                    if not open_ids:
                        break
        except TimeoutError:
            pass  # whatever is missing, the checker says
        return seen


async def watch(stub: order_service_pb2_grpc.OrderServiceAsyncStub, cursor: int) -> AsyncIterator[SeenEvent]:
    """Events after `cursor` until the stream ends. Raises grpc.RpcError when it breaks."""
    stream = stub.WatchOrders(pb.WatchOrdersRequest(cursor=str(cursor)), wait_for_ready=True)
    try:
        async for message in stream:
            if message.HasField("event"):
                yield seen_event(message)
    finally:
        stream.cancel()


def seen_event(message: pb.WatchOrdersResponse) -> SeenEvent:
    """An event of a watch as evidence."""
    event = message.event
    return SeenEvent(
        int(message.cursor),
        pb.OrderEvent.Kind.Name(event.kind).removeprefix("KIND_"),
        event.order_id,
        core_pb2.Order.State.Name(event.state).removeprefix("STATE_"),
        event.waybill_number,
    )


def total(page: str, name: str, **labels: str) -> float:
    """A metric's value on a page of /metrics, summed over all labels not given; 0 when it is not there."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def state_of(order: core_pb2.Order) -> str:
    """The state's name without its prefix."""
    return core_pb2.Order.State.Name(order.state).removeprefix("STATE_")


def fact_of(order: core_pb2.Order) -> OrderFact:
    """An order of the API as evidence."""
    return OrderFact(
        order.order_id,
        order.reference,
        state_of(order),
        order.booking.carrier,
        order.booking.waybill_number,
        order.booking.voided_locally,
        tuple(core_pb2.Attempt.State.Name(a.state).removeprefix("STATE_") for a in order.attempts),
    )


def parcel_order(reference: str, *, only: Sequence[str] = (), prefer: Sequence[str] = ()) -> core_pb2.Order:
    """An ordinary parcel that both carriers take; sf comes first unless `prefer` says otherwise."""
    address = core_pb2.Address(
        country_code="CN", province="广东省", city="深圳市", district="南山区", street="科苑路15号"
    )
    contact = core_pb2.Contact(name="欧阳小满", phone="13900000015")
    return core_pb2.Order(
        reference=reference,
        recipient=core_pb2.Party(contact=contact, address=address),
        parcels=[core_pb2.Parcel(weight_g=450, items=[core_pb2.Item(title="保温杯", quantity=1)])],
        routing=core_pb2.Routing(allowed_carriers=only, preferred_carriers=prefer),
    )


async def eventually(ask: Callable[[], Awaitable[T]], within_s: float) -> T:
    """Ask until the answer is true or time is up; the last answer."""
    ends_s = time.monotonic() + within_s
    while True:
        answer = await ask()
        if answer or time.monotonic() >= ends_s:
            return answer
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def world(
    folder: Path,
    *,
    carriers: Sequence[str] = CARRIERS,
    settings: Mapping[str, Mapping[str, Any] | Sequence[Any]] | None = None,
    with_engine: bool = True,
    speed: float = 1.0,
) -> AsyncIterator[World]:
    """Simulators, engine and client in `folder`. settings: laid over `QUICK`, section by section.

    speed: how many times faster than the clock parcels live.
    """
    laid: dict[str, Any] = dict(QUICK)
    for section, values in (settings or {}).items():
        laid[section] = {**laid.get(section, {}), **values} if isinstance(values, Mapping) else values
    running = running_sandbox(folder, carriers=carriers, settings=laid, with_engine=with_engine, speed=speed)
    async with running as sandbox:
        made = World(sandbox)
        try:
            yield made
        finally:
            await made.close()


@asynccontextmanager
async def through_proxies(w: World) -> AsyncIterator[dict[str, Proxy]]:
    """Put a proxy between the engine and each carrier; the engine must not have been started yet. By carrier code."""
    async with AsyncExitStack() as stack:
        proxies: dict[str, Proxy] = {}
        settings = w.sandbox.config_path.read_text("utf-8")
        for code, simulator in w.sandbox.simulators.items():
            port = int(simulator.url.rpartition(":")[2])
            proxies[code] = await stack.enter_async_context(Proxy(port))
            settings = settings.replace(simulator.url, proxies[code].url)
        w.sandbox.config_path.write_text(settings, "utf-8")
        yield proxies
