"""engine/ops/README.md and engine/metrics.py say the same, and dashboards and rules ask for metrics that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.metrics import Metrics
from tests.meta.tree import ROOT, files, relative

README = ROOT / "engine/ops/README.md"
# | `crossdock_name` | counter | `label`, `label` | unit or meaning | what to look at |
ROW = re.compile(r"^\| `(crossdock_\w+)` \| (counter|gauge|histogram) \|([^|]*)\| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
NAME = re.compile(r"\bcrossdock_[a-z0-9_]+\b")
SERIES = {"counter": ("_total", "_created"), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
NOT_METRICS = {"crossdock_sdk", "crossdock_sf", "crossdock_zto", "crossdock_carrier", "crossdock_simulator"}


def _of_engine() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name as Prometheus shows it -> type and labels."""
    found = {}
    for child in vars(Metrics()).values():
        metric = getattr(child, "metric", None)
        if metric is not None:
            described = next(iter(metric.describe()))
            name = described.name + ("_total" if described.type == "counter" else "")
            found[name] = (described.type, tuple(metric._labelnames))
    return found


def _documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    return {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _, _ in ROW.findall(README.read_text("utf-8"))
    }


def _asked_for() -> Iterator[tuple[str, str]]:
    for path in files():
        if relative(path).startswith("engine/ops/") and path.suffix in {".json", ".yml", ".yaml", ".md"}:
            for name in NAME.findall(path.read_text("utf-8")):
                yield relative(path), name


def test_every_metric_is_documented_as_it_is() -> None:
    """Name, type and labels of each metric stand in the table, and nothing else does."""
    engine, documented = _of_engine(), _documented()
    missing = [f"{name} ({kind}, labels {labels})" for name, (kind, labels) in engine.items() if name not in documented]
    gone = [name for name in documented if name not in engine]
    wrong = [
        f"{name}: is {engine[name]}, the table says {documented[name]}"
        for name in engine.keys() & documented.keys()
        if engine[name] != documented[name]
    ]

    assert not missing, f"add a row to engine/ops/README.md for: {missing}"
    assert not gone, f"engine/metrics.py has no such metric any more; remove its row: {gone}"
    assert not wrong, f"correct the rows in engine/ops/README.md: {wrong}"


def test_dashboards_and_rules_ask_for_metrics_that_exist() -> None:
    """A panel on a metric without a source shows nothing, and an alert on it never fires."""
    engine = _of_engine()
    series = {name.removesuffix("_total") + s for name, (kind, _) in engine.items() for s in SERIES[kind]}
    recorded = {
        name
        for path in files()
        if relative(path).startswith("engine/ops/") and path.suffix in {".yml", ".yaml"}
        for name in re.findall(r"^\s*-?\s*record:\s*(\S+)", path.read_text("utf-8"), re.MULTILINE)
    }
    unknown = {
        f"{file}: {name}" for file, name in _asked_for() if name not in series | engine.keys() | recorded | NOT_METRICS
    }

    assert not unknown, f"correct the names or add the metric to engine/metrics.py: {sorted(unknown)}"
