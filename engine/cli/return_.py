"""`crossdock return`: goods on their way back, for people at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from engine.cli.common import BAD_USAGE, FAILED, json_option, limit_option, output, print_json, print_table, stop_with
from engine.cli.connect import Where, find_order, where_options, with_client
from engine.cli.wording import EnumOption, as_dict, at_most, contract, enum_name, enum_value, local

return_id_argument = click.argument("return_id", metavar="RETURN_ID")


def spelled_reason(name: str) -> str:
    """The contract's name as it is typed: wrong-size."""
    return name.lower().replace("_", "-")


@click.group("return")
def return_() -> None:
    """Ask for, look at and decide returns."""


@return_.command()
@click.argument("order_key", metavar="ORDER")
@click.option(
    "--reason",
    cls=EnumOption,
    enum=lambda: contract("return_service_pb2").ReturnReason,
    spelled=spelled_reason,
    required=True,
    help="Why.",
)
@click.option(
    "--item", "items", multiple=True, metavar="SKU=N", help="N pieces of a sku or title; default: everything."
)
@click.option("--opened", is_flag=True, help="The goods were opened or used.")
@click.option("--note", default="", help="The buyer's words.")
@click.option("--pickup", is_flag=True, help="A courier shall fetch it, where a carrier offers that.")
@click.option("--request-id", default=None, help="Idempotency key; default: a new one.")
@where_options
@json_option
def create(
    order_key: str,
    reason: str,
    items: Sequence[str],
    opened: bool,
    note: str,
    pickup: bool,
    request_id: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Ask to send back goods of ORDER (id or reference).

    Exit code 1 when the rules reject it or no carrier takes it.
    """
    from crossdock.v1 import return_service_pb2 as pb

    wanted = [_item(text) for text in items]
    why = enum_value(pb.ReturnReason, "--reason", reason, spelled=spelled_reason)

    async def use(client: Any) -> Any:
        order = await find_order(client, order_key)
        wish = pb.Return(order_id=order.order_id, reason=why, items=wanted, opened=opened, note=note, pickup=pickup)
        return await client.create_return(wish, request_id=request_id)

    created = with_client(where, use)
    if created.replayed and not as_json:
        output.print("Asked for by an earlier call with the same request_id; this is how it stands:")
    _show(created.return_shipment, as_json)
    if _state_name(created.return_shipment) in ("REJECTED", "FAILED"):
        sys.exit(FAILED)


@return_.command()
@return_id_argument
@where_options
@json_option
def get(return_id: str, where: Where, as_json: bool) -> None:
    """Show a return."""
    _show(with_client(where, lambda client: client.get_return(return_id)), as_json)


@return_.command("list")
@click.option(
    "--state",
    cls=EnumOption,
    enum=lambda: contract("return_service_pb2").Return.State,
    multiple=True,
    help="Only this state; may repeat.",
)
@click.option("--order", "order_key", default="", help="Only returns of this order, by id or reference.")
@limit_option
@where_options
@json_option
def list_returns(state: Sequence[str], order_key: str, limit: int, where: Where, as_json: bool) -> None:
    """List returns, oldest first."""
    from crossdock.v1 import return_service_pb2 as pb

    states = [enum_value(pb.Return.State, "--state", word) for word in state]

    async def use(client: Any) -> tuple[list[Any], str]:
        order_id = (await find_order(client, order_key)).order_id if order_key else ""
        return await at_most(limit, client.list_returns(states=states, order_id=order_id))

    shown, more = with_client(where, use)
    if as_json:
        print_json([as_dict(each) for each in shown])
        return
    rows = [
        (r.return_id, local(r.create_time), _state_name(r), _reason_name(r), r.carrier, r.waybill_number) for r in shown
    ]
    print_table("Returns", ("return_id", "asked", "state", "reason", "carrier", "waybill"), rows)
    if more:
        output.print(more)


@return_.command(short_help="Approve by hand, or book again what no carrier took.")
@return_id_argument
@click.option("--explanation", default="", help="Why, for whoever reads it later.")
@where_options
@json_option
def approve(return_id: str, explanation: str, where: Where, as_json: bool) -> None:
    """Approve by hand what a rule left open or refused, or book again what no carrier took."""
    _show(with_client(where, lambda client: client.approve_return(return_id, explanation)), as_json)


@return_.command()
@return_id_argument
@click.option("--explanation", required=True, help="Why; the buyer will ask.")
@where_options
@json_option
def reject(return_id: str, explanation: str, where: Where, as_json: bool) -> None:
    """Refuse by hand what a rule left open."""
    _show(with_client(where, lambda client: client.reject_return(return_id, explanation)), as_json)


@return_.command()
@return_id_argument
@click.option("--remark", default="", help="What was found when it was opened.")
@where_options
@json_option
def receive(return_id: str, remark: str, where: Where, as_json: bool) -> None:
    """Confirm that the goods are back: the refund is due, once."""
    _show(with_client(where, lambda client: client.confirm_return_received(return_id, remark)), as_json)


@return_.command(short_help="Give a return up before it is handed over.")
@return_id_argument
@where_options
@json_option
def cancel(return_id: str, where: Where, as_json: bool) -> None:
    """Give a return up before it is handed over; its waybill is cancelled."""
    _show(with_client(where, lambda client: client.cancel_return(return_id)), as_json)


def _state_name(shown: Any) -> str:
    return enum_name(type(shown).State, shown.state)


def _reason_name(shown: Any) -> str:
    from crossdock.v1 import return_service_pb2 as pb

    return enum_name(pb.ReturnReason, shown.reason)


def _item(text: str) -> Any:
    from crossdock.v1 import return_service_pb2 as pb

    name, _, count = text.rpartition("=")
    if not name or not count.isascii() or not count.isdigit() or not int(count):
        stop_with([f"--item {text}: write SKU=N, the sku or title and the number of pieces"], BAD_USAGE)
    # The engine looks for a sku first, then for a title of the same words.
    return pb.ReturnItem(sku=name, title=name, quantity=int(count))


def _show(shown: Any, as_json: bool) -> None:
    from rich.text import Text

    if as_json:
        print_json(as_dict(shown))
        return
    output.print(Text(shown.return_id, "bold"), f" {_state_name(shown)}", soft_wrap=True, markup=False)
    goods = ", ".join(f"{item.quantity} x {item.title or item.sku}" for item in shown.items)
    opened = ", opened" if shown.opened else ""
    output.print(f"{goods}: {_reason_name(shown)}{opened}  order {shown.order_id}", soft_wrap=True, markup=False)
    decision = shown.decision
    by = f"rule {decision.rule}" if decision.rule else "no rule"
    verdict = enum_name(type(decision).Verdict, decision.verdict)
    output.print(f"{verdict} ({by}) {decision.explanation}".rstrip(), soft_wrap=True, markup=False)
    if shown.waybill_number:
        how = "a courier fetches it" if shown.pickup_booked else "the buyer hands it over"
        until = f" until {local(shown.expire_time)}" if shown.HasField("expire_time") else ""
        text = f"{shown.carrier} waybill {shown.waybill_number}, {how}{until}"
        output.print(text, soft_wrap=True, markup=False)
        output.print(f"label: crossdock label {shown.return_order_id}", soft_wrap=True, markup=False)
    if shown.HasField("failure"):
        output.print(Text(shown.failure.message, "red"), soft_wrap=True)
        output.print(shown.failure.remedy, soft_wrap=True, markup=False)
    if shown.remark:
        output.print(f"received: {shown.remark}", soft_wrap=True, markup=False)
