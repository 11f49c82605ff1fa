"""Draws the dashboard into one PNG, for whoever has a Prometheus and no Grafana at hand.

    python -m engine.ops.plot --prometheus http://127.0.0.1:9090 --minutes 60 --out crossdock.png

The same rows, queries, limits and names as the Grafana dashboard, without its interaction. A panel without
data says so. Times are UTC.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import msgspec

from engine.ops.panel import ALL, Look, Panel, Row, Unit, filled
from engine.ops.panels import ROWS
from engine.ops.prometheus import Prometheus, PrometheusError

mpl.use("Agg")  # draws into memory; needs no screen

from matplotlib import pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID = 24
POINTS = 200
ROW_INCHES, NUMBER_INCHES, WIDTH_INCHES = 3.4, 1.5, 24.0
LONGEST_LEGEND = 8
HEADROOM = 1.3  # above the highest line, where the legend lies
WARN, ALARM, GOOD, PLAIN = "#d9a400", "#c4162a", "#37872d", "#1f4e79"
UNITS = {Unit.COUNT: "", Unit.PER_SECOND: "per second", Unit.SECONDS: "seconds", Unit.SHARE: "share"}


class Span(msgspec.Struct, frozen=True):
    """What to draw: from start to end in Unix seconds, for carriers and accounts of these patterns."""

    start_s: float
    end_s: float
    carrier: str = ALL
    account: str = ALL
    rate_interval: str = "1m"

    @property
    def step_s(self) -> float:
        """Seconds between two points."""
        return max(1.0, (self.end_s - self.start_s) / POINTS)


class Line(msgspec.Struct, frozen=True):
    """One series of a panel under the name the legend gives it."""

    name: str
    points: tuple[tuple[float, float], ...]


def lines_of(panel: Panel, prometheus: Prometheus, span: Span) -> list[Line]:
    """A panel's data. Raises PrometheusError."""
    found = []
    for query in panel.queries:
        expr = filled(query.expr, carrier=span.carrier, account=span.account, rate_interval=span.rate_interval)
        for series in prometheus.over(expr, span.start_s, span.end_s, span.step_s):
            found.append(Line(named(query.legend, series.labels), series.points))
    return sorted(found, key=lambda line: line.name)


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A legend with its `{{label}}` filled in, as Grafana does."""
    return re.sub(r"\{\{(\w+)\}\}", lambda m: labels.get(m[1], ""), legend).strip()


def draw(prometheus: Prometheus, span: Span, path: Path, rows: Sequence[Row] = ROWS) -> None:
    """Ask for every panel and write the PNG. Raises PrometheusError, OSError."""
    shelves = list(_shelves(rows))
    heights = [NUMBER_INCHES if shelf[0].look is Look.NUMBER else ROW_INCHES for _, shelf in shelves]
    figure = pyplot.figure(figsize=(WIDTH_INCHES, sum(heights) + 1), layout="constrained")
    try:
        shelf_figures = figure.subfigures(len(shelves), 1, height_ratios=heights, squeeze=False)
        for (title, shelf), place in zip(shelves, shelf_figures[:, 0], strict=True):
            place.suptitle(title, x=0.005, ha="left", fontweight="bold")
            all_axes = place.subplots(1, len(shelf), squeeze=False)[0]
            for panel, axes in zip(shelf, all_axes, strict=True):
                lines = lines_of(panel, prometheus, span)
                if panel.look is Look.NUMBER:
                    _number(axes, panel, lines)
                else:
                    _picture(axes, panel, lines, span)
        figure.savefig(path, dpi=72)
    finally:
        pyplot.close(figure)


def _shelves(rows: Sequence[Row]) -> Iterator[tuple[str, list[Panel]]]:
    """Panels that fit side by side; the first of a row carries its title."""
    for row in rows:
        title, shelf = row.title, list[Panel]()
        for panel in row.panels:
            if shelf and sum(p.width for p in shelf) + panel.width > GRID:
                yield title, shelf
                title, shelf = "", []
            shelf.append(panel)
        yield title, shelf


def colour(panel: Panel, value: float) -> str:
    """Green, yellow or red, as Grafana would show the value; blue without limits."""
    if panel.warn is None and panel.alarm is None:
        return PLAIN

    def past(limit: float | None) -> bool:
        return limit is not None and (value < limit if panel.low_is_bad else value >= limit)

    if past(panel.alarm):
        return ALARM
    return WARN if past(panel.warn) else GOOD


def said(panel: Panel, value: float) -> str:
    """A value as a person reads it."""
    if panel.words:
        return panel.words.get(round(value), f"{value:g}")
    match panel.unit:
        case Unit.SHARE:
            return f"{value:.1%}"
        case Unit.SECONDS:
            return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
        case Unit.PER_SECOND:
            return f"{value:.2f}/s"
        case _:
            return f"{value:.0f}"


def _number(axes: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    axes.set_axis_off()
    axes.set_title(panel.title, fontsize=10)
    value = lines[0].points[-1][1] if lines else None
    text, shade = ("no data", "grey") if value is None else (said(panel, value), colour(panel, value))
    axes.text(0.5, 0.4, text, ha="center", va="center", fontsize=22, color=shade, transform=axes.transAxes)


def _picture(axes: Axes, panel: Panel, lines: Sequence[Line], span: Span) -> None:
    axes.set_title(panel.title, fontsize=10)
    axes.set_ylabel(UNITS[panel.unit])
    axes.grid(alpha=0.3)
    axes.set_xlim(span.start_s, span.end_s)
    axes.xaxis.set_major_formatter(lambda at_s, _: f"{datetime.fromtimestamp(at_s, UTC):%H:%M:%S}")
    axes.tick_params(labelsize=7)
    if not lines:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", color="grey", transform=axes.transAxes)
        return
    if panel.look is Look.STACK:
        _stack(axes, lines, span)
    else:
        for line in lines:
            axes.plot([at for at, _ in line.points], [value for _, value in line.points], label=line.name)
    _limits(axes, panel)
    axes.set_ylim(0, HEADROOM * axes.get_ylim()[1])
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[:LONGEST_LEGEND], names[:LONGEST_LEGEND], fontsize=7, loc="upper left", framealpha=0.6)


def _stack(axes: Axes, lines: Sequence[Line], span: Span) -> None:
    """Series on top of each other; where one has no value it counts as nothing."""
    moments = sorted({at for line in lines for at, _ in line.points if span.start_s <= at <= span.end_s})
    heights = [[dict(line.points).get(at, 0.0) for at in moments] for line in lines]
    axes.stackplot(moments, heights, labels=[line.name for line in lines], alpha=0.7)


def _limits(axes: Axes, panel: Panel) -> None:
    """Dashed limits, only those near the data: a far one would press the lines flat."""
    top = axes.get_ylim()[1]
    for limit, shade in ((panel.warn, WARN), (panel.alarm, ALARM)):
        if limit is not None and limit <= 1.5 * top:
            axes.axhline(limit, color=shade, linestyle="--", linewidth=1)
    if panel.words:
        axes.set_yticks(sorted(panel.words), [panel.words[value] for value in sorted(panel.words)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw; the exit code: 0, or 1 when Prometheus or the file is out of reach."""
    parser = argparse.ArgumentParser(prog="python -m engine.ops.plot", description="The dashboard as one PNG")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0, help="how far back (default: %(default)g)")
    parser.add_argument("--carrier", default=ALL, help="pattern of carriers (default: all)")
    parser.add_argument("--account", default=ALL, help="pattern of accounts (default: all)")
    parser.add_argument("--rate-interval", default="1m", help="at least four scrapes (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("crossdock.png"), help="the file (default: %(default)s)")
    given = parser.parse_args(arguments)
    if given.minutes <= 0:
        parser.error("--minutes must be more than 0")
    now_s = time.time()
    span = Span(now_s - 60 * given.minutes, now_s, given.carrier, given.account, given.rate_interval)
    try:
        with Prometheus(given.prometheus) as prometheus:
            draw(prometheus, span, given.out)
    except (PrometheusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
