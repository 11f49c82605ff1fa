"""`crossdock watch`: what happens to parcels, as it happens.

On a terminal a table of the newest news; in a pipe one line (or JSON object) an event. However it ends, the cursor
to go on from is said on standard error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing, nullcontext
from itertools import compress
from typing import TYPE_CHECKING, Any

import click

from engine.cli.common import json_option, output
from engine.cli.connect import Where, told_cursor, where_options, with_client
from engine.cli.track_wording import event_status, event_text, milestone_name, place, status_name
from engine.cli.wording import EnumOption, as_line, contract, enum_value, local

if TYPE_CHECKING:
    from rich.table import Table

    from crossdock import Client
    from crossdock.v1.track_service_pb2 import TrackNews, WatchTracksResponse

STANDS_STILL, MOVES_ON = "STANDS STILL:", "NO MORE:"
"""How an alert reads before its rule's name, when it is raised and when it is over."""

FRAME_LINES = 6
"""Lines of a terminal that the table's frame and the prompt take."""

# Column, its share of the width that is left (None: as wide as its content), and the terminal's width from which it
# is shown. Numbers are to be read whole, so words give way.
COLUMNS = (
    ("cursor", None, 100),
    ("time", None, 0),
    ("parcel", None, 0),
    ("stands", None, 0),
    ("happened", 2, 0),
    ("place", 1, 130),
    ("text", 3, 110),
)


@click.command()
@click.option("--cursor", default="", help="Resume after this cursor; 0 for everything kept; empty for from now on.")
@click.option("--carrier", multiple=True, metavar="CODE", help="Only this carrier; may repeat.")
@click.option(
    "--status",
    cls=EnumOption,
    enum=lambda: contract("track_status_pb2").TrackStatus,
    multiple=True,
    help="Only parcels that stand there now; may repeat.",
)
@click.option("--changes-only", is_flag=True, help="Only events that changed where a parcel stands.")
@click.option("--alerts-only", is_flag=True, help="Only alerts of parcels that stand still, and their ends.")
@where_options
@json_option
def watch(
    cursor: str,
    carrier: Sequence[str],
    status: Sequence[str],
    changes_only: bool,
    alerts_only: bool,
    where: Where,
    as_json: bool,
) -> None:
    """Print what happens to parcels until interrupted, then the cursor to go on from."""
    if changes_only and alerts_only:
        raise click.UsageError("--changes-only and --alerts-only: an alert changes no status; give one of them")
    with told_cursor(cursor) as told:
        from crossdock.v1 import track_status_pb2 as pb

        statuses = [enum_value(pb.TrackStatus, "--status", word) for word in status]

        async def use(client: Client) -> None:
            answers = client.watch_tracks(
                cursor, statuses=statuses, carriers=carrier, status_changes_only=changes_only, alerts_only=alerts_only
            )
            live = output.is_terminal and not as_json
            with _live() if live else nullcontext(_print_json if as_json else _print_line) as show:
                async with aclosing(answers):
                    async for message in answers:
                        if message.HasField("news"):
                            show(message)
                        told.reached = message.cursor  # after it was shown: better twice than never

        with_client(where, use)


def facts(message: WatchTracksResponse) -> tuple[str, ...]:
    """Time, parcel, where it stands (* when that is new), what happened, where, and the carrier's words.

    Of an alert: when it was raised or over, that it was, and its reason.
    """
    news: TrackNews = message.news
    event = news.event
    stands = status_name(news.status) if news.status else "NOTHING KNOWN"
    parcel = f"{news.carrier} {news.waybill_number}"
    if news.HasField("alert"):
        over = news.alert.HasField("resolved_time")
        when = local(news.alert.resolved_time if over else news.alert.raised_time)
        happened = f"{MOVES_ON if over else STANDS_STILL} {news.alert.rule}"
        return (when, parcel, stands, happened, "", news.alert.reason)
    happened = milestone_name(event) or event_status(event)
    return (
        local(event.event_time),
        parcel,
        stands + ("*" if news.status_changed else ""),
        "" if happened == stands else happened,
        place(event),
        event_text(event),
    )


def is_open(news: TrackNews) -> bool:
    """Whether it tells of a parcel that stands still by now."""
    return news.HasField("alert") and not news.alert.HasField("resolved_time")


def table_of(recent: Iterable[WatchTracksResponse], width: int) -> Table:
    """The newest news, newest last, for a terminal of `width` signs."""
    from rich.table import Table
    from rich.text import Text

    title = "Parcels (* status changed; Ctrl-C ends)"
    table = Table(title=title, title_justify="left", header_style="bold", expand=True)
    shown = [width >= from_width for _, _, from_width in COLUMNS]
    for column, share, _ in compress(COLUMNS, shown):
        table.add_column(column, ratio=share, no_wrap=True, overflow="ellipsis")
    for message in recent:
        style = "bold" if message.news.status_changed else "red" if is_open(message.news) else ""
        table.add_row(*[Text(cell, style) for cell in compress((message.cursor, *facts(message)), shown)])
    return table


def _print_json(message: WatchTracksResponse) -> None:
    click.echo(as_line(message))


def _print_line(message: WatchTracksResponse) -> None:
    click.echo("  ".join((f"{message.cursor:>8}", *(fact for fact in facts(message) if fact))))


class _live:
    """A table that grows in place; gives the function that adds a message."""

    def __init__(self) -> None:
        from rich.live import Live

        self._recent: deque[WatchTracksResponse] = deque(maxlen=max(output.height - FRAME_LINES, 1))
        self._live = Live(table_of((), output.width), console=output, auto_refresh=False)

    def __enter__(self) -> Callable[[Any], None]:
        self._live.__enter__()
        return self._add

    def __exit__(self, *ended: Any) -> None:
        self._live.__exit__(*ended)

    def _add(self, message: WatchTracksResponse) -> None:
        self._recent.append(message)
        self._live.update(table_of(self._recent, output.width), refresh=True)
