"""What a run comes to: counts, refusals grouped by what is wrong, the files, the exit code. And how it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.cli.ship.desk import Desk
from engine.cli.ship.labelling import LabelFiles
from engine.cli.ship.problems import EXIT_REFUSED, EXIT_SHIPPED, ShipError, kind_of
from engine.cli.ship.results import Result

if TYPE_CHECKING:
    from rich.console import Console

MOST_GROUPS_SHOWN = 20


class Group(msgspec.Struct, frozen=True):
    """Rows with the same thing wrong: the error without what varies, the first one's line and remedy, how many."""

    column: str
    error: str
    remedy: str
    count: int
    first_line: int


class Summary(msgspec.Struct, frozen=True):
    """One run. `orders_per_s` counts answered rows over the time of sending."""

    exit_code: int
    stopped: str
    rows: int
    shipped: int
    repeated: int
    states: dict[str, int]
    problems: tuple[Group, ...]
    seconds: float
    orders_per_s: float
    encoding: str
    ignored_columns: tuple[str, ...]
    results_file: str
    label_files: tuple[str, ...]
    label_count: int


def summarise(
    desk: Desk,
    labels: LabelFiles,
    *,
    stop: ShipError | None,
    sending_s: float,
    total_s: float,
    encoding: str,
    ignored_columns: Iterable[str],
    results_file: Path,
) -> Summary:
    """The run's figures. A run that was stopped has that as its exit code, whatever its rows say."""
    results = desk.results.values()
    shipped = sum(result.is_shipped for result in results)
    rows_code = EXIT_SHIPPED if shipped == len(results) else EXIT_REFUSED
    return Summary(
        exit_code=stop.exit_code if stop else rows_code,
        stopped=str(stop) if stop else "",
        rows=len(results),
        shipped=shipped,
        repeated=desk.repeated_count,
        states={state: count for state, count in sorted(desk.counts.items()) if count},
        problems=tuple(_groups(desk.results[line] for line in sorted(desk.results))),
        seconds=round(total_s, 2),
        orders_per_s=round(desk.answered_count / sending_s, 1) if sending_s > 0 else 0.0,
        encoding=encoding,
        ignored_columns=tuple(ignored_columns),
        results_file=str(results_file),
        label_files=tuple(str(path) for path in labels.paths),
        label_count=labels.label_count,
    )


def _groups(results: Iterable[Result]) -> list[Group]:
    """Problems by column and kind, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    firsts: dict[tuple[str, str], Result] = {}
    for result in results:
        if result.error:
            kind = (result.column, kind_of(result.column, result.error))
            counts[kind] += 1
            firsts.setdefault(kind, result)
    return [
        Group(column, error, firsts[column, error].remedy, count, firsts[column, error].line)
        for (column, error), count in counts.most_common()
    ]


def show(summary: Summary, console: Console) -> None:
    """The summary for people."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="shipped" if summary.exit_code == EXIT_SHIPPED else "", title_justify="left")
    table.add_column("rows")
    table.add_column("count", justify="right")
    for state, count in summary.states.items():
        table.add_row(state, str(count))
    if summary.repeated:
        table.add_row("repeated (part of the above)", str(summary.repeated))
    table.add_row("all", str(summary.rows))
    console.print(table)
    if summary.problems:
        console.print(_problem_table(summary))
    console.print(f"{summary.orders_per_s:g} orders/s, {summary.seconds:g} s in all", highlight=False)
    if summary.ignored_columns:
        console.print(escape(f"columns not used: {', '.join(summary.ignored_columns)}"), highlight=False)
    console.print(escape(f"results: {summary.results_file}"), highlight=False, soft_wrap=True)
    for path in summary.label_files:
        console.print(escape(f"labels:  {path}"), highlight=False, soft_wrap=True)


def _problem_table(summary: Summary) -> object:
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    table.add_column("column")
    table.add_column("what is wrong", overflow="fold")
    table.add_column("what to do (first of them)", overflow="fold")
    table.add_column("rows", justify="right")
    table.add_column("first line", justify="right")
    for group in summary.problems[:MOST_GROUPS_SHOWN]:
        cells = (group.column, group.error, group.remedy, str(group.count), str(group.first_line))
        table.add_row(*map(escape, cells))
    if len(summary.problems) > MOST_GROUPS_SHOWN:
        table.caption = f"and {len(summary.problems) - MOST_GROUPS_SHOWN} more kinds; results.csv has every row"
    return table
