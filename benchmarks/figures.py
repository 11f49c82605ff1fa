"""Draws all figures into one picture: what each layer costs over its bare program, and how long things take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BLUE, GREEN, RED, GREY = "#1f5fa8", "#2e8b57", "#c0392b", "#8a8f98"
Line = dict[str, Any]


class Ratio(NamedTuple):
    """CPU over the bare program's; the goal, if there is one; both in microseconds."""

    name: str
    value: float
    goal: float | None
    detail: str


class Times(NamedTuple):
    """Milliseconds; the goal is for p99."""

    name: str
    p50_ms: float
    p99_ms: float
    goal_ms: float | None = None


def draw(lines: Sequence[Line], path: Path) -> None:
    """Two panels, and the machine below."""
    found = {line["benchmark"]: line for line in lines}
    ratios, times = list(_ratios(found)), list(_times(found))
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained", width_ratios=(1, 1))
    _draw_ratios(left, ratios)
    _draw_times(right, times)
    figure.supxlabel("\n".join(_notes(lines)), fontsize=8, color="#50565e")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _ratios(found: dict[str, Line]) -> Iterator[Ratio]:
    if booking := found.get("booking"):
        for load, name in (("unary", "CreateOrder"), ("stream", "StreamCreateOrders")):
            rows = {kind: booking["rows"][f"{load} {kind}"]["cpu_us"] for kind in ("engine", "bare")}
            yield Ratio(name, booking["ratios"][load], 1.5, _over(rows))
    for benchmark, name, goal in (("tracks", "GetTrack, known", 1.3), ("pushes", "push ingest", 1.5)):
        if line := found.get(benchmark):
            yield Ratio(name, line["ratio"], goal, _over({k: row["cpu_us"] for k, row in line["rows"].items()}))
    if store := found.get("store"):
        rows = {f["store"]: f["cpu_us_per_row"] for f in store["figures"] if f["callers"] == 64}
        for kind, key, name in (("sqlite", "ratio_cpu", "store"), ("sqlite+aes", "ratio_cpu_aes", "store, encrypted")):
            yield Ratio(name, store[key], None, _over({"engine": rows[kind], "bare": rows["bare"]}))


def _times(found: dict[str, Line]) -> Iterator[Times]:
    if pushes := found.get("pushes"):
        rate = f"{pushes['rate_per_s']:.0f}/s"
        for key, name, goal in (
            ("acknowledged", "push acknowledged", None),
            ("delivered", "push at its watcher", 50.0),
        ):
            yield Times(f"{name}, {rate}", pushes[key]["p50_ms"], pushes[key]["p99_ms"], goal)
    if double11 := found.get("double11"):
        for key, name in (("without", "no faults"), ("with faults", "two carriers ill")):
            side = double11["runs"][key]
            yield Times(f"booked, well carriers, {name}", side["others_p50_ms"], side["others_p99_ms"])
    if labels := found.get("labels"):
        for kind, goal in (("pdf", 50.0), ("png", None), ("zpl", 10.0)):
            yield Times(f"label as {kind.upper()}", labels[f"{kind}_p50_ms"], labels[f"{kind}_p99_ms"], goal)


def _over(rows: dict[str, float]) -> str:
    return f"{rows['engine']:,.0f} µs over {rows['bare']:,.0f}"


def _notes(lines: Sequence[Line]) -> Iterator[str]:
    """The machine, and what is one number."""
    found = {line["benchmark"]: line for line in lines}
    facts = []
    if stream := found.get("stream"):
        facts.append(f"{stream['orders']:,} orders through one stream: {stream['seconds']:.1f} s")
    if tracks := found.get("tracks"):
        bulk = tracks["crowds"]["bulk, in batches"]
        facts.append(
            f"{tracks['crowd']:,} questions about {tracks['numbers']} numbers: {bulk['calls']:.0f} calls "
            f"of fifty (at least {bulk['least']})"
        )
    if labels := found.get("labels"):
        facts.append(f"{labels['merge_labels']:,.0f} labels merged: {labels['merge_s']:.1f} s")
    if restart := found.get("restart"):
        facts.append(f"serves {restart['serves_s']:.1f} s after a kill with {restart['open_orders']:,} open orders")
    if facts:
        yield ";  ".join(facts)
    if lines:
        machines = [line["machine"] for line in lines]
        loops, loads = ([machine[key] for machine in machines] for key in ("loop_ms", "load"))
        yield (
            f"{machines[0]['cores']} cores of {machines[0]['cpu']}, CPython {machines[0]['python']};  "
            f"a million turns of a fixed loop took {min(loops):.0f} to {max(loops):.0f} ms;  "
            f"load {min(loads):.0f} to {max(loads):.0f} when it began"
        )


def _draw_ratios(axes: Axes, ratios: Sequence[Ratio]) -> None:
    axes.set_title(
        "Engine's CPU over the bare program's (1 = nothing but what cannot be avoided)", loc="left", fontsize=9.5
    )
    places = range(len(ratios))
    colours = [BLUE if r.goal is None or r.value > r.goal else GREEN for r in ratios]
    axes.barh(places, [r.value for r in ratios], color=colours, height=0.55)
    for place, ratio in zip(places, ratios, strict=True):
        axes.text(ratio.value + 0.04, place, f"{ratio.value:.2f}   {ratio.detail}", va="center", fontsize=8)
        if ratio.goal is not None:
            axes.plot([ratio.goal] * 2, [place - 0.4, place + 0.4], color=RED, linewidth=2)
    axes.plot([], [], color=RED, linewidth=2, label="goal")
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_yticks(places, [r.name for r in ratios])
    axes.set_xlim(0, max((r.value for r in ratios), default=1.0) * 1.75)
    axes.invert_yaxis()
    axes.legend(loc="lower right", frameon=False)


def _draw_times(axes: Axes, times: Sequence[Times]) -> None:
    axes.set_title("Latency: p50 to p99, milliseconds", loc="left", fontsize=9.5)
    for place, one in enumerate(times):
        axes.plot([one.p50_ms, one.p99_ms], [place] * 2, color=BLUE, linewidth=4, alpha=0.35, solid_capstyle="butt")
        axes.plot([one.p50_ms], [place], "o", color=BLUE, markersize=6)
        axes.plot([one.p99_ms], [place], "|", color=BLUE, markersize=13, markeredgewidth=2.5)
        axes.text(one.p99_ms * 1.12, place - 0.28, f"{one.p50_ms:.1f} / {one.p99_ms:.1f}", va="center", fontsize=8)
        if one.goal_ms is not None:
            axes.plot([one.goal_ms] * 2, [place - 0.4, place + 0.4], color=RED, linewidth=2)
    axes.plot([], [], color=RED, linewidth=2, label="goal for p99")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    low, high = min((t.p50_ms for t in times), default=1.0), max((t.p99_ms for t in times), default=10.0)
    axes.set_xlim(low / 1.6, max(high, 50.0) * 2.5)
    axes.set_yticks(range(len(times)), [t.name for t in times])
    axes.set_ylim(len(times) - 0.4, -0.7)
    axes.grid(axis="x", color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", frameon=False)
