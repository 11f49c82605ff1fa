"""`crossdock order`: one order at a time, for people at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from engine.cli.common import BAD_USAGE, json_option, output, print_json, print_table, stop_with
from engine.cli.connect import server_option, tls_option, with_client


@click.group()
def order() -> None:
    """Look at, create, quote, cancel or watch orders."""


@order.command()
@click.argument("key")
@server_option
@tls_option
@json_option
def get(key: str, server: str, tls_ca: str | None, as_json: bool) -> None:
    """Show an order by its id or the merchant's reference, with every attempt."""
    by_id = len(key) == 36 and key.count("-") == 4

    async def use(client: Any) -> Any:
        return await (client.get_order(order_id=key) if by_id else client.get_order(reference=key))

    _show(with_client(server, tls_ca, use), as_json)


@order.command("list")
@click.option("--state", multiple=True, help="Only this state, for example BOOKED; may repeat.")
@click.option("--carrier", multiple=True, help="Only this carrier; may repeat.")
@click.option("--limit", default=50, show_default=True)
@server_option
@tls_option
@json_option
def list_orders(
    state: Sequence[str], carrier: Sequence[str], limit: int, server: str, tls_ca: str | None, as_json: bool
) -> None:
    """List orders, oldest first."""
    from crossdock.v1 import core_pb2

    states = [_state(name) for name in state]

    async def use(client: Any) -> list[Any]:
        found = []
        async for each in client.list_orders(states=states, carriers=carrier):
            found.append(each)
            if len(found) >= limit:
                break
        return found

    orders = with_client(server, tls_ca, use)
    if as_json:
        print_json([_as_dict(each) for each in orders])
        return
    rows = [
        (
            o.reference,
            o.order_id,
            core_pb2.Order.State.Name(o.state).removeprefix("STATE_"),
            o.booking.carrier,
            o.booking.waybill_number,
        )
        for o in orders
    ]
    print_table("Orders", ("reference", "order_id", "state", "carrier", "waybill"), rows)


@order.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--request-id", default=None, help="Idempotency key; default: a new one.")
@server_option
@tls_option
@json_option
def create(file: Any, request_id: str | None, server: str, tls_ca: str | None, as_json: bool) -> None:
    """Create the order in FILE (JSON in the contract's field names; - for standard input)."""
    draft = _read(file)

    async def use(client: Any) -> Any:
        return (await client.create_order(draft, request_id=request_id)).order

    _show(with_client(server, tls_ca, use), as_json)


@order.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--live", is_flag=True, help="Ask the carriers for prices now.")
@server_option
@tls_option
@json_option
def quote(file: Any, live: bool, server: str, tls_ca: str | None, as_json: bool) -> None:
    """Explain every candidate for the order in FILE, chosen or not. Books nothing."""
    draft = _read(file)

    async def use(client: Any) -> Any:
        return await client.quote_order(draft, live_prices=live)

    answer = with_client(server, tls_ca, use)
    if as_json:
        print_json(_as_dict(answer))
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
@click.argument("order_id")
@server_option
@tls_option
@json_option
def cancel(order_id: str, server: str, tls_ca: str | None, as_json: bool) -> None:
    """Cancel an order."""

    async def use(client: Any) -> Any:
        return await client.cancel_order(order_id)

    _show(with_client(server, tls_ca, use), as_json)


@order.command()
@click.option("--cursor", default="", help="Resume after this cursor; 0 for everything kept; empty for from now on.")
@server_option
@tls_option
@json_option
def watch(cursor: str, server: str, tls_ca: str | None, as_json: bool) -> None:
    """Print what happens to orders until interrupted; one line (or JSON object) an event."""
    from crossdock.v1 import core_pb2, order_service_pb2

    async def use(client: Any) -> None:
        async for message in client.watch_orders(cursor):
            if not message.HasField("event"):
                continue
            event = message.event
            if as_json:
                click.echo(_as_line(message))
                continue
            kind = order_service_pb2.OrderEvent.Kind.Name(event.kind).removeprefix("KIND_")
            state = core_pb2.Order.State.Name(event.state).removeprefix("STATE_")
            facts = (event.reference, kind, state, event.carrier, event.waybill_number, event.reason)
            output.print(f"{message.cursor:>8}", *facts, soft_wrap=True, markup=False)

    try:
        with_client(server, tls_ca, use)
    except KeyboardInterrupt:
        sys.exit(0)


def _read(file: Any) -> Any:
    from google.protobuf import json_format

    from crossdock.v1 import core_pb2

    try:
        return json_format.Parse(file.read(), core_pb2.Order())
    except json_format.ParseError as error:
        stop_with([f"{file.name}: {error}; fields are those of Order in proto/crossdock/v1/core.proto"], BAD_USAGE)


def _state(name: str) -> Any:
    from crossdock.v1 import core_pb2

    try:
        return core_pb2.Order.State.Value(f"STATE_{name.upper()}")
    except ValueError:
        known = [n.removeprefix("STATE_") for n in core_pb2.Order.State.keys()][1:]
        stop_with([f"--state {name}: use one of {', '.join(known)}"], BAD_USAGE)


def _as_dict(message: Any) -> dict[str, Any]:
    from google.protobuf import json_format

    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def _as_line(message: Any) -> str:
    from google.protobuf import json_format

    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)


def _show(shown: Any, as_json: bool) -> None:
    from crossdock.v1 import core_pb2

    if as_json:
        print_json(_as_dict(shown))
        return
    state = core_pb2.Order.State.Name(shown.state).removeprefix("STATE_")
    output.print(f"[bold]{shown.reference}[/bold]  {state}  {shown.order_id}")
    if shown.HasField("booking"):
        booking = shown.booking
        numbers = ", ".join((booking.waybill_number, *booking.sub_waybill_numbers))
        output.print(f"{booking.carrier} {booking.service_name}  waybill {numbers}  {booking.sort_code}")
    if shown.HasField("failure"):
        output.print(f"[red]{shown.failure.message}[/red]\n{shown.failure.remedy}")
    rows = [
        (
            str(a.number),
            f"{a.carrier}/{a.account_id}",
            core_pb2.Attempt.State.Name(a.state).removeprefix("STATE_"),
            a.error_class,
            a.carrier_message or a.cause,
            f"{a.duration.ToMilliseconds()} ms" if a.HasField("duration") else "",
        )
        for a in shown.attempts
    ]
    print_table("Attempts", ("#", "carrier", "state", "class", "what happened", "took"), rows)
