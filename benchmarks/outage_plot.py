"""Draws outages: what came in for the carrier, what it was called, what it booked, a panel a kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.outage_run import ALONE, EITHER, SICK, WELL, Run

BLUE, GREEN, ORANGE, RED, GREY = "#1f5fa8", "#2e8b57", "#d9822b", "#c0392b", "#8a8f98"
WINDOW_S = 2.0
"""Seconds that are averaged: single ones are too ragged to read."""


def draw(runs: Sequence[Run], path: Path) -> None:
    """One panel a run."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, rows = plt.subplots(len(runs), 1, figsize=(10, 2.6 * len(runs) + 0.6), squeeze=False, layout="constrained")
    for (axes,), run in zip(rows, runs, strict=True):
        _panel(axes, run)
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside upper center", frameon=False, ncols=5)
    rows[-1][0].set_xlabel("seconds")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _panel(axes: Axes, run: Run) -> None:
    plan = run.plan
    last_s = max([plan.ends_s, *(line.at_s for line in run.ledger)])
    axes.axvspan(*plan.outage, color=RED, alpha=0.08, linewidth=0)
    axes.axhline(plan.capacity_per_s, color=GREY, linewidth=0.8, linestyle=":", label="what it can do")
    either = {one.order_id for one in run.orders if one.group == EITHER}
    wanted = [one.at_s for one in run.orders if one.group in (ALONE, EITHER)]
    at_backup = [line.at_s for line in run.ledger if line.carrier == WELL and line.order_id in either]
    booked = [line.at_s for line in run.ledger if line.carrier == SICK]
    _line(axes, wanted, last_s, "orders for it", GREY)
    _line(axes, booked, last_s, "booked there", GREEN)
    _line(axes, at_backup, last_s, "booked at the backup instead", ORANGE)
    counted = [(b.at_s, (b.calls - a.calls) / (b.at_s - a.at_s)) for a, b in pairwise(run.samples[::8])]
    axes.plot(*zip(*counted, strict=True), color=BLUE, linewidth=1.0, label="calls it saw")
    axes.set_title(f"{plan.kind}, {plan.outage_s:g} s", loc="left", fontsize=9.5)
    axes.set_ylabel("a second")
    axes.set_xlim(0, last_s)
    axes.set_ylim(bottom=0)


def _line(axes: Axes, times: Sequence[float], last_s: float, label: str, colour: str) -> None:
    counts = [0] * (int(last_s / WINDOW_S) + 1)
    for at_s in times:
        if 0 <= at_s <= last_s:
            counts[int(at_s / WINDOW_S)] += 1
    moments = [(place + 0.5) * WINDOW_S for place in range(len(counts))]
    axes.plot(moments, [count / WINDOW_S for count in counts], color=colour, linewidth=1.6, label=label)
