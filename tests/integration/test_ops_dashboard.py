"""The dashboard as code: up to date, complete, in words an operator understands; and drawn without Grafana."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.metrics import Metrics
from engine.ops import build_dashboards, plot
from engine.ops.panel import Look, Panel, Query, Row, Unit, filled
from engine.ops.panels import ROWS
from tests.meta.tree import ROOT

PANELS = [pytest.param(panel, id=f"{row.title}-{panel.title}") for row in ROWS for panel in row.panels]
SHORTEST_ADVICE = 60
SERVING = ("engine.app", "engine.wiring", "engine.cli.serve")


def shown(panel: Panel) -> list[dict[str, Any]]:
    """The dashboard's panels, when it holds this one alone."""
    panels: list[dict[str, Any]] = json.loads(build_dashboards.rendered([Row("Row", (panel,))]))["panels"]
    return panels


def number(**changes: Any) -> Panel:
    """A panel with one number."""
    facts: dict[str, Any] = {
        "title": "T",
        "unit": Unit.SHARE,
        "look": Look.NUMBER,
        "advice": "A",
        "queries": (Query("x", "x"),),
    }
    return Panel(**{**facts, **changes})


def test_the_committed_dashboard_is_what_the_tables_say() -> None:
    """A change of a table without `python -m engine.ops.build_dashboards` is seen."""
    assert build_dashboards.FILE.read_text("utf-8") == build_dashboards.rendered()
    assert build_dashboards.main(["--check"]) == 0


def test_a_dashboard_out_of_date_is_told_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison can fail, and says what to run."""
    monkeypatch.setattr(build_dashboards, "FILE", tmp_path / "crossdock.json")
    (tmp_path / "crossdock.json").write_text(build_dashboards.rendered(ROWS[1:]), "utf-8")

    code = build_dashboards.main(["--check"])

    assert code == 1
    assert "python -m engine.ops.build_dashboards" in capsys.readouterr().err


def test_another_process_builds_the_same_bytes() -> None:
    """A difference of the file is a change of the tables, never of a hash seed."""
    program = "from engine.ops.build_dashboards import rendered; print(rendered(), end='')"

    made = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)

    assert made.stdout.decode() == build_dashboards.rendered()


@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_says_what_to_do(panel: Panel) -> None:
    """The advice is sentences, each line has a name, and limits are on the side they say."""
    assert len(panel.advice) >= SHORTEST_ADVICE
    assert panel.advice.endswith(".")
    assert all(query.legend for query in panel.queries)
    if panel.warn is not None and panel.alarm is not None:
        assert (panel.alarm < panel.warn) is panel.low_is_bad


def test_panels_fill_the_grid_without_overlap() -> None:
    """24 columns; no two panels share a cell."""
    panels = json.loads(build_dashboards.rendered())["panels"]

    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_metric_of_the_engine_is_on_the_dashboard() -> None:
    """Directly or through a recording rule; a metric nobody can see is not worth its cost."""
    asked = build_dashboards.rendered() + (ROOT / "engine/ops/rules/recording.yml").read_text("utf-8")

    missing = [
        name
        for name in (family.name for family in Metrics().registry.collect())
        if not re.search(rf"\b{name}(_total|_bucket|_sum|_count)?\b", asked)
    ]

    assert not missing, f"give these a panel in engine/ops/panels/: {missing}"


def test_only_known_variables_stand_in_queries() -> None:
    """What Grafana fills in, the plot and the tests fill in too; nothing else is left over."""
    left = [query.expr for row in ROWS for panel in row.panels for query in panel.queries if "$" in filled(query.expr)]

    assert left == []


def test_a_low_value_is_red_where_low_is_bad() -> None:
    """Grafana's steps run upwards: red, yellow from the alarm, green from the warning."""
    panel = number(warn=0.99, alarm=0.95, low_is_bad=True)

    steps = shown(panel)[1]["fieldConfig"]["defaults"]["thresholds"]["steps"]

    assert [(step["value"], step["color"]) for step in steps] == [(None, "red"), (0.95, "yellow"), (0.99, "green")]
    assert [plot.colour(panel, value) for value in (0.9, 0.96, 1.0)] == [plot.ALARM, plot.WARN, plot.GOOD]


def test_a_high_value_is_red_where_high_is_bad() -> None:
    """Without a first limit the second stands alone; without both the colour says nothing."""
    panel = number(alarm=1.0)

    steps = shown(panel)[1]["fieldConfig"]["defaults"]["thresholds"]["steps"]

    assert [(step["value"], step["color"]) for step in steps] == [(None, "green"), (1.0, "red")]
    assert [plot.colour(panel, value) for value in (0.0, 1.0)] == [plot.GOOD, plot.ALARM]
    assert plot.colour(number(), 5.0) == plot.PLAIN


@pytest.mark.parametrize(
    ("panel", "value", "text"),
    [
        (number(unit=Unit.COUNT, words={0: "DOWN", 1: "up"}), 0.0, "DOWN"),
        (number(unit=Unit.SHARE), 0.987, "98.7%"),
        (number(unit=Unit.SECONDS), 0.25, "250 ms"),
        (number(unit=Unit.SECONDS), 2.5, "2.50 s"),
        (number(unit=Unit.PER_SECOND), 12.0, "12.00/s"),
        (number(unit=Unit.COUNT), 3.0, "3"),
    ],
)
def test_the_plot_says_a_value_as_a_person_reads_it(panel: Panel, value: float, text: str) -> None:
    """Units as Grafana shows them; words where a number means nothing."""
    assert plot.said(panel, value) == text


def test_a_legend_takes_its_labels() -> None:
    """As Grafana does; a label that is absent leaves nothing behind."""
    assert plot.named("{{carrier}} {{outcome}}", {"carrier": "sf"}) == "sf"


def test_the_plot_without_a_prometheus_says_which_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the address and the remedy, and no half a file."""
    code = plot.main(["--prometheus", "http://127.0.0.1:1", "--out", str(tmp_path / "x.png")])

    told = capsys.readouterr().err
    assert code == 1
    assert "http://127.0.0.1:1" in told
    assert "check the address" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", SERVING)
def test_the_serving_path_never_loads_this_room(module: str) -> None:
    """Neither the tables nor their libraries come into the engine's process."""
    names = ("engine.ops", "matplotlib", "grafana_foundation_sdk")
    program = f"import sys, {module}; print(*[m for m in sys.modules if m.startswith({names})])"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


def test_this_room_loads_nothing_that_serves() -> None:
    """Building and drawing need neither gRPC nor the engine."""
    program = (
        "import sys, engine.ops.build_dashboards, engine.ops.plot; "
        "print(*[m for m in sys.modules if m.split('.')[0] in ('grpc', 'apsw', 'uvicorn') "
        "or m.startswith('engine.') and not m.startswith('engine.ops')])"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
