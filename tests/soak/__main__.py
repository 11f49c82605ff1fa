"""`python -m tests.soak --minutes M --seed S`: the soak and its summary.

Exit codes: 0 nothing was found and nothing grew, 1 a promise was broken or memory grew (the folder is kept and named).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.soak.run import LIFE_S, Summary, play

FLAT_MIB_PER_MIN = 1.0


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long it lasts (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="decides orders, faults and kills (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where it lies; else a temporary folder")
    parser.add_argument("--no-kills", action="store_true", help="one life, all of it for the slope of memory")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crossdock-soak-"))
    life_s = (math.inf, math.inf) if options.no_kills else LIFE_S
    summary = asyncio.run(play(folder, seed=options.seed, seconds=options.minutes * 60.0, life_s=life_s))
    _tell(summary)
    grew = summary.last_slope is not None and summary.last_slope >= FLAT_MIB_PER_MIN
    if summary.violations or grew:
        print(f"kept: {folder}", flush=True)
        return 1
    if options.folder is None:
        shutil.rmtree(folder)
    return 0


def _tell(summary: Summary) -> None:
    print(
        f"seed {summary.seed}: {summary.seconds:.0f} s, {summary.kills} kills, {summary.orders} orders "
        f"{dict(summary.states)}, {summary.order_events} order events, {summary.track_news} news of parcels, "
        f"watchers cut: {dict(summary.watchers_cut)}, {len(summary.violations)} violations"
    )
    print(f"{'life':>5}{'seconds':>9}{'peak MiB':>10}{'last MiB':>10}{'MiB/min':>9}  descriptors   threads     tasks")
    for number, life in enumerate(summary.lives, start=1):
        slope = "short" if life.slope_mib_per_min is None else f"{life.slope_mib_per_min:+.2f}"
        ranges = "".join(f"{low:>7} to {high:<3}" for low, high in (life.descriptors, life.threads, life.tasks))
        print(f"{number:>5}{life.seconds:>9.0f}{life.peak_mib:>10.1f}{life.last_mib:>10.1f}{slope:>9}{ranges}")
    if (last := summary.last_slope) is None:
        print("the last life was too short to say whether memory grows")
    else:
        print(f"memory in the last life: {'flat' if last < FLAT_MIB_PER_MIN else 'GROWS'} ({last:+.2f} MiB/min)")
    for text in summary.violations:
        print(f"  {text}")
    print(json.dumps(msgspec.to_builtins(summary), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main())
