"""The demo's return: asked for, judged by rule, booked back, followed to the warehouse, refunded once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from pathlib import Path

from crossdock import Client
from crossdock.v1 import core_pb2, order_service_pb2, return_service_pb2
from engine.cli.demo import checks
from engine.cli.demo.parcels import FOLLOWED
from engine.cli.demo.story import Story
from engine.cli.sandbox import Sandbox

pb = return_service_pb2
Kind = order_service_pb2.OrderEvent.Kind
ARRIVAL_TIMEOUT_S = 60.0
WAREHOUSE_CLICKS = 3
LABEL = "return-label.pdf"


async def send_back(story: Story, sandbox: Sandbox, folder: Path) -> None:
    """One return runs to REFUND_DUE; one that no rule approves waits for a person."""
    async with Client(sandbox.server) as client:
        order = await client.get_order(reference=FOLLOWED["sf"])
        opened = await _ask(client, order, quantity=1, opened=True)
        made = await _ask(client, order, quantity=1, pickup=True)
        story.say(f"The buyer of {order.reference} sends one piece back unopened, and one opened.")
        problems = [] if made.state == pb.Return.STATE_BOOKED else [f"it is {_state(made)}"]
        problems += [] if opened.state == pb.Return.STATE_UNDER_REVIEW else [f"the opened one is {_state(opened)}"]
        label = folder / LABEL
        label.write_bytes((await client.get_label(made.return_order_id)).content)
        problems += checks.barcodes(label, [made.waybill_number], most=1)[1]
        claim = f"the unopened one was approved by rule “{made.decision.rule}” and has its label; the other waits"
        story.check(claim, problems)
        await client.reject_return(opened.return_id, "the seal was broken")
        arrived = await _arrival(story, client, made)
        if arrived is None:
            story.check("the return reached the warehouse", [f"it had not after {ARRIVAL_TIMEOUT_S:g} s"])
            return
        confirmations = [
            client.confirm_return_received(made.return_id, "checked, as new") for _ in range(WAREHOUSE_CLICKS)
        ]
        await asyncio.gather(*confirmations)
        refunds = await _refunds(client, arrived, made.return_id)
    problems = [] if refunds == 1 else [f"REFUND_DUE was told {refunds} times"]
    story.check(f"the warehouse clicked {WAREHOUSE_CLICKS} times, the refund is due once", problems)


async def _ask(client: Client, order: core_pb2.Order, *, quantity: int, **fields: bool) -> pb.Return:
    item = pb.ReturnItem(title=order.parcels[0].items[0].title, quantity=quantity)
    wish = pb.Return(
        order_id=order.order_id,
        reason=pb.RETURN_REASON_CHANGED_MIND,
        items=[item],
        opened=fields.get("opened", False),
        pickup=fields.get("pickup", False),
    )
    return (await client.create_return(wish)).return_shipment


async def _arrival(story: Story, client: Client, made: pb.Return) -> str | None:
    """Tell its way until the warehouse has it; the cursor then, None when it never got there."""
    kinds = (Kind.KIND_RETURN_BOOKED, Kind.KIND_RETURN_IN_TRANSIT, Kind.KIND_RETURN_ARRIVED)
    with suppress(TimeoutError):
        async with asyncio.timeout(ARRIVAL_TIMEOUT_S), aclosing(client.watch_orders("0", kinds=kinds)) as watch:
            async for message in watch:
                if message.event.return_id != made.return_id:
                    continue
                kind = Kind.Name(message.event.kind).removeprefix("KIND_")
                story.say(f"  {message.event.carrier} {message.event.waybill_number} {kind}")
                if message.event.kind == Kind.KIND_RETURN_ARRIVED:
                    return message.cursor
    return None


async def _refunds(client: Client, cursor: str, return_id: str) -> int:
    """How often the refund was told, up to where the log ends now."""
    async with aclosing(client.watch_orders()) as watch:
        end = int((await anext(watch)).cursor)
    count = 0
    async with aclosing(client.watch_orders(cursor)) as watch:
        async for message in watch:
            count += message.event.kind == Kind.KIND_REFUND_DUE and message.event.return_id == return_id
            if int(message.cursor) >= end:
                break
    return count


def _state(shown: pb.Return) -> str:
    return pb.Return.State.Name(shown.state).removeprefix("STATE_")
