"""Writes the Grafana dashboard from the tables in `panels/`.

    python -m engine.ops.build_dashboards            # writes dashboards/crossdock.json
    python -m engine.ops.build_dashboards --check    # exit code 1 when that file is not what the tables say

Made for Grafana 11.6 or newer. The same tables give the same bytes, so that a difference is a change of the tables.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard

from engine.ops.panel import ALL, Look, Panel, Query, Row
from engine.ops.panels import ROWS

FILE = Path(__file__).parent / "dashboards" / "crossdock.json"
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
NUMBER_HEIGHT, PICTURE_HEIGHT = 4, 8  # of Grafana's grid, which is 24 wide
LEGEND = (common.LegendDisplayMode.TABLE, common.LegendPlacement.BOTTOM, ["lastNotNull", "max"])


def rendered(rows: Sequence[Row] = ROWS) -> str:
    """The dashboard as JSON text, ending in a line feed."""
    made = (
        build.Dashboard("Crossdock")
        .uid("crossdock")
        .description("Bookings, carriers, lanes and store of a Crossdock engine. Each panel's (i) says what to do.")
        .tags(["crossdock"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .annotation(_alerts())
        .variables([build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"), *_variables()])
    )
    number = 0
    for row in rows:
        number += 1
        made.with_row(build.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(_panel(panel).id(number))
    text = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(made.build())
    return text + "\n"


def _variables() -> list[build.QueryVariable]:
    return [
        _variable("carrier", "Carrier", "label_values(crossdock_breaker_state, carrier)"),
        _variable("account", "Account", 'label_values(crossdock_breaker_state{carrier=~"$carrier"}, account)'),
    ]


def _variable(name: str, label: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(ALL)
        .current(dashboard.VariableOption(selected=True, text="All", value="$__all"))
    )


def _alerts() -> build.AnnotationQuery:
    """Red marks in every picture where an alert began."""
    return (
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr('ALERTS{alertname=~"Crossdock.*",alertstate="firing"}')
    )


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    made = _number(panel) if panel.look is Look.NUMBER else _picture(panel)
    made.title(panel.title).description(panel.advice).unit(panel.unit).datasource(SOURCE).span(panel.width)
    made.thresholds(_thresholds(panel)).min(0)
    if panel.words:
        made.mappings([_words(panel)])
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        made.with_target(_target(letter, query))
    return made


def _number(panel: Panel) -> stat.Panel:
    return (
        stat.Panel()
        .height(NUMBER_HEIGHT)
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.BACKGROUND if _limited(panel) else common.BigValueColorMode.VALUE)
        .reduce_options(common_builder.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
    )


def _picture(panel: Panel) -> timeseries.Panel:
    mode, placement, numbers = LEGEND
    made = (
        timeseries.Panel()
        .height(PICTURE_HEIGHT)
        .legend(
            common_builder.VizLegendOptions().display_mode(mode).placement(placement).show_legend(True).calcs(numbers)
        )
        .tooltip(
            common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .line_width(2)
        .fill_opacity(40 if panel.look is Look.STACK else 5)
        .show_points(common.VisibilityMode.NEVER)
    )
    if panel.look is Look.STACK:
        made.stacking(common_builder.StackingConfig().mode(common.StackingMode.NORMAL))
    if _limited(panel):
        made.thresholds_style(common_builder.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    return made


def _limited(panel: Panel) -> bool:
    return panel.warn is not None or panel.alarm is not None


def _thresholds(panel: Panel) -> build.ThresholdsConfig:
    """Grafana colours upwards from each step; where low is bad the colours run the other way."""
    if panel.low_is_bad:
        steps = [(None, "red"), (panel.alarm, "yellow" if panel.warn is not None else "green"), (panel.warn, "green")]
    else:
        steps = [(None, "green"), (panel.warn, "yellow"), (panel.alarm, "red")]
    kept = [dashboard.Threshold(value=v, color=c) for n, (v, c) in enumerate(steps) if n == 0 or v is not None]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(kept)


def _words(panel: Panel) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        options={
            str(value): dashboard.ValueMappingResult(text=text, index=index)
            for index, (value, text) in enumerate(sorted(panel.words.items()))
        }
    )


def _target(letter: str, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend).range().datasource(SOURCE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or with --check compare it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.ops.build_dashboards", description="Grafana dashboard")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is out of date")
    check: bool = parser.parse_args(arguments).check
    text = rendered()
    if not check:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(text, "utf-8")
        return 0
    if FILE.is_file() and FILE.read_text("utf-8") == text:
        return 0
    print(f"{FILE.name} is not what the tables say; run: python -m engine.ops.build_dashboards", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
