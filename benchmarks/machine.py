"""The machine a figure was taken on, and how fast it was at that moment.

Virtual machines share their cores with strangers: the same program takes 1 s in one hour and 3 s in another. A fixed
loop of plain Python, timed beside each benchmark, lets figures of different hours be compared.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import msgspec

LOOPS = 1_000_000
TRIES = 5


class Machine(msgspec.Struct, frozen=True):
    """loop_ms: the best of a few fixed loops. load: processes that wanted a core in the last minute."""

    cores: int
    cpu: str
    python: str
    loop_ms: float
    load: float

    def __str__(self) -> str:
        return (
            f"{self.cores} cores of {self.cpu}, CPython {self.python}; "
            f"a million turns of a fixed loop: {self.loop_ms:.0f} ms; load {self.load:.1f}"
        )


def look() -> Machine:
    """The machine now; takes about half a second."""
    return Machine(os.cpu_count() or 1, _cpu(), platform.python_version(), _loop_ms(), round(os.getloadavg()[0], 1))


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "an unknown processor"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _loop_ms() -> float:
    best = float("inf")
    for _ in range(TRIES):
        started = time.process_time()  # what others take of the cores is told by the load
        total = 0
        for number in range(LOOPS):
            total += number & 7
        best = min(best, time.process_time() - started)
    return round(best * 1e3, 1)


if __name__ == "__main__":
    print(look())
