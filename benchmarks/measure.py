"""What all benchmarks measure by: a process's time and memory, percentiles, samples, engine over bare program."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
WINDOW_S = 5.0
"""Of a long run's p99 the median over such windows tells: one hiccup of the machine is in one of them alone."""
Round = Mapping[str, float]
"""What one round of a program showed, by name; `cpu_us` among it."""


class Timed(Protocol):
    """Something that was seen at a second of the run."""

    @property
    def at_s(self) -> float:
        """When."""


T = TypeVar("T", bound=Timed)


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


def percentile(values: Sequence[float], share: float) -> float:
    """The first value, from below, that so large a share of all lies before; 0 without values.

    Of few values it is the higher one: the p99 of a hundred, or of twenty, is the largest.
    """
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def median_p99(seen: Iterable[tuple[float, float]]) -> tuple[float, int]:
    """Of values with their seconds since the first window began: the median of all windows' p99; how many windows."""
    windows: dict[int, list[float]] = {}
    for at_s, value in seen:
        windows.setdefault(int(at_s // WINDOW_S), []).append(value)
    return statistics.median(percentile(values, 0.99) for values in windows.values()), len(windows)


def between(samples: Sequence[T], begins_s: float, ends_s: float) -> tuple[T, T]:
    """The samples nearest to both moments, from inside."""
    inside = [sample for sample in samples if begins_s <= sample.at_s <= ends_s]
    return inside[0], inside[-1]


def over(engine: Sequence[Round], bare: Sequence[Round]) -> float:
    """CPU of the engine over the bare program's: the median of what each round shows.

    Round by round, since the machine's speed changes within a run: of two virtual processors that are one core's, each
    is slower while the other works.
    """
    return round(statistics.median(e["cpu_us"] / b["cpu_us"] for e, b in zip(engine, bare, strict=True)), 2)


def medians(rows: Mapping[str, Sequence[Round]]) -> dict[str, dict[str, float]]:
    """By program: the median of each figure over its rounds."""
    return {
        name: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]} for name, rounds in rows.items()
    }
