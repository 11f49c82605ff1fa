"""`crossdock track`: where one parcel is, for people at a terminal.

Without --carrier the engine is asked whose number it is. A guess is used only when it stands out: asking the wrong
carrier would follow a stranger's parcel.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import click

from engine.cli.common import FAILED, errors, json_option, output, print_json, print_table, stop_with
from engine.cli.connect import Where, find_order, where_options, with_client
from engine.cli.track_wording import alert_text, event_status, event_text, freshness_text, place, status_name
from engine.cli.wording import as_dict, local

if TYPE_CHECKING:
    from crossdock import Client
    from crossdock.v1.track_service_pb2 import Freshness, RecognizeCarrierResponse, Track

    Guess = RecognizeCarrierResponse.Guess

LIKELY_PERCENT, OUTSTANDING = 50, 2
"""A guess is used from this confidence on, when it is at least so many times as likely as the next."""
CLOCK_SKEW_S = 5.0
"""What the clocks of this machine and the engine's may differ before an answer is called too old."""


@click.command()
@click.argument("number", required=False, default="")
@click.option("--order", "order_key", default="", metavar="REFERENCE_OR_ID", help="The order's parcel, not a NUMBER.")
@click.option("--carrier", default="", metavar="CODE", help="Whose number it is; default: the engine is asked.")
@click.option("--phone-tail", default="", metavar="1234", help="Last four digits of a phone on the label.")
@click.option(
    "--max-age",
    "max_age_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Ask the carrier when older; 0 asks now. Default: what is known.",
)
@where_options
@json_option
def track(
    number: str,
    order_key: str,
    carrier: str,
    phone_tail: str,
    max_age_s: float | None,
    where: Where,
    as_json: bool,
) -> None:
    """Show where the parcel with waybill NUMBER (or of an order) is, and everything that happened to it."""
    problem = usage_problem(number, order_key, carrier, phone_tail)
    if problem:
        raise click.UsageError(problem)
    asked_time = datetime.now(UTC)

    async def use(client: Client) -> tuple[Track | None, list[Guess]]:
        if order_key:
            order = await find_order(client, order_key)
            return await client.get_track(order_id=order.order_id, max_age_s=max_age_s), []
        guesses = [] if carrier else await client.recognize_carrier(number)
        code = carrier.lower() or outstanding(guesses)
        if not code:
            return None, guesses
        found = await client.get_track(carrier=code, waybill_number=number, phone_tail=phone_tail, max_age_s=max_age_s)
        return found, guesses

    found, guesses = with_client(where, use)
    if found is None:
        _stop_undecided(number, guesses, as_json)
    if as_json:
        print_json(as_dict(found))
    else:
        _show(found, guesses, datetime.now(UTC))
    if max_age_s is not None and is_older(found.freshness, asked_time, max_age_s):
        errors.print("note: this is older than --max-age; the carrier could not be asked or did not answer in time")


def usage_problem(number: str, order_key: str, carrier: str, phone_tail: str) -> str:
    """What is wrong with the arguments and what to do, "" when nothing is."""
    if bool(number) == bool(order_key):
        return "give a waybill NUMBER, or --order with an order's id or reference"
    if order_key and (carrier or phone_tail):
        return "--order: the engine knows carrier and phone of its own orders; leave --carrier and --phone-tail out"
    if phone_tail and not (len(phone_tail) == 4 and phone_tail.isascii() and phone_tail.isdigit()):
        return "--phone-tail: is not four digits; give the last four of the sender's or recipient's phone"
    return ""


def outstanding(guesses: Sequence[Guess]) -> str:
    """The code of the guess that stands out, "" when none does. guesses: likeliest first."""
    if not guesses or guesses[0].confidence_percent < LIKELY_PERCENT:
        return ""
    if len(guesses) > 1 and guesses[0].confidence_percent < OUTSTANDING * guesses[1].confidence_percent:
        return ""
    return guesses[0].carrier


def is_older(freshness: Freshness, asked_time: datetime, max_age_s: float) -> bool:
    """Whether the answer was older than `max_age_s` when it was asked for, clocks being what they are."""
    if not freshness.HasField("observed_time"):
        return True
    age_s = (asked_time - freshness.observed_time.ToDatetime(UTC)).total_seconds()
    return age_s > max_age_s + CLOCK_SKEW_S


def _stop_undecided(number: str, guesses: Sequence[Guess], as_json: bool) -> NoReturn:
    if as_json:
        print_json({"guesses": [as_dict(guess) for guess in guesses]})
    elif guesses:
        rows = [(guess.carrier, f"{guess.confidence_percent} %", guess.reason) for guess in guesses]
        print_table("Carriers it may belong to", ("carrier", "likely", "why"), rows)
    choose = "choose with --carrier, as --carrier "
    if len(guesses) > 1:
        problem = f"{number} may belong to several carriers; {choose}{guesses[0].carrier}"
    elif guesses:
        problem = f"{number} may belong to {guesses[0].carrier} or to nobody we know; {choose}{guesses[0].carrier}"
    else:
        problem = f"{number} fits no carrier's pattern; name the carrier with --carrier (see `crossdock plugins`)"
    stop_with([problem], FAILED)


def _show(found: Track, guesses: Sequence[Guess], now: datetime) -> None:
    from rich.text import Text

    status = status_name(found.status) if found.status else "NOTHING KNOWN"
    since = f"  since {local(found.status_time)}" if found.HasField("status_time") else ""
    of_order = f"  order {found.order_id}" if found.order_id else ""
    title = Text(f"{found.carrier} {found.waybill_number}", "bold")
    output.print(title, f"{status}{since}{of_order}", soft_wrap=True, markup=False)
    output.print(freshness_text(found.freshness, now), soft_wrap=True, markup=False)
    if guesses:
        why = f"taken for {guesses[0].carrier}'s ({guesses[0].confidence_percent} %: {guesses[0].reason})"
        output.print(f"{why}; --carrier chooses another", soft_wrap=True, markup=False)
    for alert in found.alerts:
        output.print(Text("stands still:", "bold"), alert_text(alert), soft_wrap=True, markup=False)
    if found.unknown_event_count:
        kept = "events have a code in no table; the last known status was kept"
        output.print(f"{found.unknown_event_count} {kept}", soft_wrap=True, markup=False)
    if not found.events:
        hint = (
            "no events yet; some carriers answer only with --phone-tail, the last four digits of a phone on the label"
        )
        output.print("no events yet" if found.order_id else hint, soft_wrap=True)
        return
    rows = [(local(e.event_time), event_status(e), place(e), event_text(e)) for e in found.events]
    print_table("Timeline", (f"time ({now.astimezone():%Z})", "status", "place", "text"), rows)
