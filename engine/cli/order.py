"""`crossdock order`: one order at a time, for people at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from engine.cli.common import BAD_USAGE, FAILED, json_option, limit_option, output, print_json, print_table, stop_with
from engine.cli.connect import Where, find_order, told_cursor, where_options, with_client
from engine.cli.wording import EnumOption, as_dict, as_line, at_most, contract, enum_name, enum_value

# -sig: editors on Windows put a mark before the text.
ORDER_FILE = click.File("r", encoding="utf-8-sig")


@click.group()
def order() -> None:
    """Look at, create, quote, cancel or watch orders."""


@order.command(short_help="Show an order, with every attempt.")
@click.argument("key")
@where_options
@json_option
def get(key: str, where: Where, as_json: bool) -> None:
    """Show an order by its id or the merchant's reference, with every attempt."""
    _show(with_client(where, lambda client: find_order(client, key)), as_json)


@order.command("list")
@click.option(
    "--state",
    cls=EnumOption,
    enum=lambda: contract("core_pb2").Order.State,
    multiple=True,
    help="Only this state; may repeat.",
)
@click.option("--carrier", multiple=True, help="Only this carrier; may repeat.")
@limit_option
@where_options
@json_option
def list_orders(state: Sequence[str], carrier: Sequence[str], limit: int, where: Where, as_json: bool) -> None:
    """List orders, oldest first."""
    from crossdock.v1 import core_pb2

    states = [enum_value(core_pb2.Order.State, "--state", word) for word in state]

    async def use(client: Any) -> tuple[list[Any], str]:
        return await at_most(limit, client.list_orders(states=states, carriers=carrier))

    orders, more = with_client(where, use)
    if as_json:
        print_json([as_dict(each) for each in orders])
        return
    rows = [(o.reference, o.order_id, _state_name(o), o.booking.carrier, o.booking.waybill_number) for o in orders]
    print_table("Orders", ("reference", "order_id", "state", "carrier", "waybill"), rows)
    if more:
        output.print(more)


@order.command(short_help="Create the order in a JSON file.")
@click.argument("file", type=ORDER_FILE)
@click.option("--request-id", default=None, help="Idempotency key; default: a new one.")
@where_options
@json_option
def create(file: Any, request_id: str | None, where: Where, as_json: bool) -> None:
    """Create the order in FILE (JSON in the contract's field names; - for standard input).

    Exit code 0 also while it is still being booked; 1 when it was refused, failed or needs review.
    """
    draft = _read(file)

    async def use(client: Any) -> Any:
        return await client.create_order(draft, request_id=request_id)

    created = with_client(where, use)
    if created.replayed and not as_json:
        output.print("Created by an earlier call with the same reference or request_id; this is how it stands:")
    _show(created.order, as_json)
    if _state_name(created.order) in ("FAILED", "NEEDS_REVIEW"):
        sys.exit(FAILED)


@order.command(short_help="Explain every candidate for an order. Books nothing.")
@click.argument("file", type=ORDER_FILE)
@click.option("--live", is_flag=True, help="Ask the carriers for prices now.")
@where_options
@json_option
def quote(file: Any, live: bool, where: Where, as_json: bool) -> None:
    """Explain every candidate for the order in FILE, chosen or not. Books nothing."""
    draft = _read(file)

    async def use(client: Any) -> Any:
        return await client.quote_order(draft, live_prices=live)

    answer = with_client(where, use)
    if as_json:
        print_json(as_dict(answer))
        return
    rows = [
        (
            str(c.rank or "-"),
            f"{c.carrier}/{c.account_id}",
            c.service_name,
            f"{c.freight.minor_units / 100:.2f} {c.freight.currency_code}" if c.HasField("freight") else "",
            "; ".join(c.exclusions) or "; ".join(c.reasons),
        )
        for c in answer.candidates
    ]
    print_table("Candidates", ("rank", "carrier", "product", "price", "why"), rows)


@order.command()
@click.argument("key")
@where_options
@json_option
def cancel(key: str, where: Where, as_json: bool) -> None:
    """Cancel the order with this id or reference. Exit code 0 only when it is cancelled."""

    async def use(client: Any) -> Any:
        return await client.cancel_order((await find_order(client, key)).order_id)

    shown = with_client(where, use)
    _show(shown, as_json)
    state = _state_name(shown)
    if state != "CANCELLED":
        why = "the cancel is asked for, and the engine goes on until the carrier has said so"
        stop_with([f"{key} is {state}: {why}; look again with `crossdock order get`"], FAILED)


@order.command(short_help="Print what happens to orders, as it happens.")
@click.option("--cursor", default="", help="Resume after this cursor; 0 for everything kept; empty for from now on.")
@where_options
@json_option
def watch(cursor: str, where: Where, as_json: bool) -> None:
    """Print what happens to orders until interrupted, then the cursor to go on from.

    One line (or JSON object) an event.
    """
    with told_cursor(cursor) as told:

        async def use(client: Any) -> None:
            async for message in client.watch_orders(cursor):
                if message.HasField("event"):
                    _show_event(message, as_json)
                told.reached = message.cursor  # after it was shown: better twice than never

        with_client(where, use)


def _show_event(message: Any, as_json: bool) -> None:
    if as_json:
        click.echo(as_line(message))
        return
    event = message.event
    kind = enum_name(type(event).Kind, event.kind)
    facts = (event.reference, kind, _state_name(event), event.carrier, event.waybill_number, event.reason)
    output.print(f"{message.cursor:>8}", *facts, soft_wrap=True, markup=False)


def _read(file: Any) -> Any:
    from google.protobuf import json_format

    from crossdock.v1 import core_pb2

    remedy = "write one JSON object with the fields of Order in proto/crossdock/v1/core.proto"
    try:
        text = file.read()
    except UnicodeDecodeError:
        stop_with([f"{file.name}: is no text in UTF-8; {remedy}"], BAD_USAGE)
    if not text.lstrip().startswith("{"):  # the parser takes [] for an order without fields
        stop_with([f"{file.name}: holds no JSON object; {remedy}"], BAD_USAGE)
    try:
        return json_format.Parse(text, core_pb2.Order())
    except json_format.ParseError as error:
        first_line = str(error).splitlines()[0].rstrip(".")
        stop_with([f"{file.name}: {first_line}; {remedy}"], BAD_USAGE)


def _state_name(shown: Any) -> str:
    """The state of an order, as itself or its event says."""
    from crossdock.v1 import core_pb2

    return enum_name(core_pb2.Order.State, shown.state)


def _show(shown: Any, as_json: bool) -> None:
    from rich.text import Text

    if as_json:
        print_json(as_dict(shown))
        return
    state = _state_name(shown)
    output.print(Text(shown.reference, "bold"), f" {state}  {shown.order_id}", soft_wrap=True, markup=False)
    if shown.HasField("booking"):
        booking = shown.booking
        numbers = ", ".join((booking.waybill_number, *booking.sub_waybill_numbers))
        void = " (void)" if state == "CANCELLED" else ""
        facts = f"{booking.carrier} {booking.service_name}  waybill {numbers}{void}  {booking.sort_code}"
        output.print(facts, soft_wrap=True, markup=False)
    if shown.HasField("failure"):
        output.print(Text(shown.failure.message, "red"), soft_wrap=True)
        output.print(shown.failure.remedy, soft_wrap=True, markup=False)
    rows = [
        (
            str(a.number),
            f"{a.carrier}/{a.account_id}",
            enum_name(type(a).State, a.state),
            a.error_class,
            a.carrier_message or a.cause,
            f"{a.duration.ToMilliseconds()} ms" if a.HasField("duration") else "",
        )
        for a in shown.attempts
    ]
    if rows:
        print_table("Attempts", ("#", "carrier", "state", "class", "what happened", "took"), rows)
