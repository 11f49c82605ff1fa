"""Draws the Double-11 profile: what came in and what became of it, the learned rate, the carriers without a fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.measure import percentile
from benchmarks.peak import BROWN, QUOTA, Plan, Run

BLUE, GREEN, ORANGE, RED, GREY = "#1f5fa8", "#2e8b57", "#d9822b", "#c0392b", "#8a8f98"
WINDOW_S = 2
"""Seconds that are averaged: single ones are too ragged to read."""
LATENCY_WINDOW_S = 5


def draw(well: Run, hard: Run, path: Path) -> None:
    """Three panels over the same time."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (load, rate, latency) = plt.subplots(
        3, 1, figsize=(10, 9), sharex=True, height_ratios=(3, 3, 2), layout="constrained"
    )
    plan = hard.plan
    figure.suptitle(
        f"{plan.peak_per_s / plan.normal_per_s:.0f} times the normal load for {plan.peak_s:.0f} s, "
        f"one carrier browning out, one with a hidden quota of {plan.quota_per_s:g} calls/s",
        fontsize=11,
    )
    _load(load, hard)
    _rate(rate, hard)
    _latency(latency, well, hard)
    for axes in (load, rate, latency):
        _mark(axes, plan)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#e6e8eb", linewidth=0.8)
        axes.set_axisbelow(True)
    latency.set_xlim(0, plan.peak[1] + plan.calm_s)
    latency.set_xlabel("seconds")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _load(axes: Axes, run: Run) -> None:
    lines: tuple[tuple[str, Iterable[float], str, str], ...] = (
        ("offered", [o.at_s for o in run.orders], GREY, "-"),
        ("booked", [o.at_s + o.took_s for o in run.orders if o.state == "BOOKED"], GREEN, "-"),
        ("sent past their first candidate (diverted)", [o.at_s for o in run.orders if o.was_diverted], ORANGE, "-"),
        ("refused by the engine (shed)", [o.at_s for o in run.orders if o.code], RED, "-"),
    )
    for label, times, colour, style in lines:
        moments, heights = _per_second(times, run.plan)
        axes.plot(moments, heights, style, color=colour, label=label, linewidth=1.6)
    axes.set_ylabel("orders/s")
    axes.set_ylim(0, run.plan.peak_per_s * 1.75)
    axes.legend(loc="upper center", ncols=4, frameon=False, fontsize=8.5)
    axes.set_title("Orders", loc="left", fontsize=10)


def _rate(axes: Axes, run: Run) -> None:
    plan, samples = run.plan, run.samples
    learned = [(s.at_s, s.rate_per_s) for s in samples if s.rate_per_s is not None]
    pairs = list(zip(samples, samples[WINDOW_S:], strict=False))
    moments = [(a.at_s + b.at_s) / 2 for a, b in pairs]
    taken = [(b.calls - b.refused - a.calls + a.refused) / (b.at_s - a.at_s) for a, b in pairs]
    refused = [(b.refused - a.refused) / (b.at_s - a.at_s) for a, b in pairs]
    axes.hlines(plan.quota_per_s, *plan.peak, color=RED, linestyle="--", linewidth=1.2, label="hidden quota")
    axes.plot(moments, taken, color=GREEN, linewidth=1.4, label="calls it took")
    if learned:
        axes.step(*zip(*learned, strict=True), where="post", color=BLUE, linewidth=1.8, label="learned rate")
    axes.bar(moments, refused, width=1.0, color=RED, alpha=0.8, label="calls it refused")
    axes.set_ylabel("calls/s")
    axes.set_ylim(0, plan.quota_per_s * 1.6)
    axes.legend(loc="upper center", ncols=4, frameon=False, fontsize=8.5)
    axes.set_title(f"{QUOTA}: the rate that the engine learns", loc="left", fontsize=10)


def _latency(axes: Axes, well: Run, hard: Run) -> None:
    from benchmarks.double11 import of_well

    for label, run, colour in (("without faults", well, GREY), ("with faults", hard, BLUE)):
        windows: dict[int, list[float]] = {}
        for one in of_well(run):
            windows.setdefault(int(one.at_s // LATENCY_WINDOW_S), []).append(one.took_s * 1e3)
        moments = [(window + 0.5) * LATENCY_WINDOW_S for window in sorted(windows)]
        axes.plot(
            moments, [percentile(windows[w], 0.99) for w in sorted(windows)], color=colour, label=label, linewidth=1.6
        )
    axes.set_ylabel("p99, ms")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 1.25)
    axes.legend(loc="upper center", ncols=2, frameon=False, fontsize=8.5)
    axes.set_title("The two carriers without a fault", loc="left", fontsize=10)


def _mark(axes: Axes, plan: Plan) -> None:
    """When what was wrong."""
    top = axes.get_title(loc="left") == "Orders"
    for (begins, ends), colour, text in (
        (plan.slow, "#f6d9b8", f"{BROWN}\n10x latency"),
        (plan.failing, "#f4c7c3", f"{BROWN}\nhalf of its calls fail"),
    ):
        axes.axvspan(begins, ends, color=colour, alpha=0.55, linewidth=0)
        if top:
            middle, height = (begins + ends) / 2, axes.get_ylim()[1] * 0.9
            axes.text(middle, height, text, ha="center", va="top", fontsize=8, color="#5b4636")


def _per_second(times: Iterable[float], plan: Plan) -> tuple[Sequence[float], Sequence[float]]:
    counts: dict[int, int] = {}
    for at in times:
        window = int(at // WINDOW_S)
        counts[window] = counts.get(window, 0) + 1
    windows = range(int((plan.peak[1] + plan.calm_s) // WINDOW_S))
    return [(w + 0.5) * WINDOW_S for w in windows], [counts.get(w, 0) / WINDOW_S for w in windows]
