"""A carrier that is gone: does the engine leave it alone, come back by itself, and lose or double nothing?

    python -m benchmarks.outage [--outage-seconds 60] [--kinds down,error,silence,full,flapping] [--plot FILE]

One run a kind of outage, each with a sandbox of its own (`outage_run` says who orders what): the port is closed, every
call answers an error, no call is answered, every booking is refused for lack of capacity (which opens no breaker), and
two seconds closed, two open. Orders come in open loop, latency counts
from when an order was due. Calls are counted by the carrier's simulator, or by the engine where that is more: nobody
counts at a closed port. The carrier can do a fixed number of bookings a second, of which the load takes 80 %.

Prints what was found beside each promise and a JSON line. The exit code is 1 when a promise is broken that this run can
judge; what it cannot is "unclear": latencies when its own orders were late, shares of too few calls.
`--outage-seconds 300` is the long form.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.goals import LATE_S, VERDICTS, Goal
from benchmarks.measure import between, percentile
from benchmarks.outage_run import ALONE, EITHER, KINDS, SICK, Plan, Run, play
from benchmarks.outage_seen import (
    GOODPUT_SHARE,
    MINUTE_S,
    SETTLE_S,
    back_s,
    books,
    calls_in,
    first_attempts,
    goodput,
    late_calls,
    late_p99_s,
    leaps,
    most_switches,
    opened_s,
    others_p99_s,
    taken_over_s,
)

CALLS_SHARE = 1.1
PROBES_PER_S = 3.0
BACK_S, FLAPPING_BACK_S = 60.0, 30.0
BUSIEST_SHARE = 0.05
SPREAD_LEAST = 100
"""Of fewer late calls in a minute a second's share says nothing: chance alone brings six together."""
OPENS_CALLS, OPENS_S = 20, 10.0
OLD_CALLS_S = 15.0
"""So long after the breaker opened calls from before may be under way, which are no probes."""
TAKEN_OVER_S = 5.0
P99_RATIO = 1.10
WINDOWS_LEAST = 5
"""Of fewer windows the median tells of single stalls of the machine."""


def goals(run: Run) -> list[Goal]:
    """What is promised, and what came of it."""
    opens_none = (_opened, _probes) if run.plan.kind == "full" else ()
    return [goal(run) for goal in GOALS if goal not in opens_none]


def _spared(run: Run) -> Goal:
    calls, firsts = calls_in(run, *run.plan.outage), first_attempts(run)
    allowed = CALLS_SHARE * firsts + PROBES_PER_S * run.plan.outage_s
    return Goal("calls to it in the outage", f"{calls}, {firsts} first", f"<= {allowed:.0f}", calls <= allowed)


def _opened(run: Run) -> Goal:
    begins, _ = run.plan.outage
    at_s = opened_s(run)
    if at_s == float("inf"):
        return Goal("breaker opens", "never", f"<= {OPENS_CALLS} calls or {OPENS_S:.0f} s", False)
    calls = calls_in(run, begins, at_s)
    found = f"{at_s - begins:.1f} s, {calls} calls"
    held = calls <= OPENS_CALLS or at_s - begins <= OPENS_S
    return Goal("breaker opens", found, f"<= {OPENS_CALLS} calls or {OPENS_S:.0f} s", held)


def _probes(run: Run) -> Goal:
    begins_s = opened_s(run) + OLD_CALLS_S
    seen = [sample.in_flight for sample in run.samples if sample.breaker == 1 and sample.at_s > begins_s]
    most = max(seen, default=0)
    return Goal("probes under way at once", f"{most} in {len(seen)} looks", "<= 1", most <= 1 if seen else None)


def _back(run: Run) -> Goal:
    limit_s = FLAPPING_BACK_S if run.plan.kind == "flapping" else BACK_S
    took_s = back_s(run)
    before, after = goodput(run, SETTLE_S, run.plan.before_s), goodput(run, run.plan.outage[1], run.plan.ends_s)
    reached = took_s <= limit_s if run.plan.after_s >= limit_s or took_s <= limit_s else None
    found = f"{took_s:.1f} s ({before:.1f}/s before, {after:.1f}/s after)"
    return Goal(f"{GOODPUT_SHARE:.0%} of the former goodput", found, f"<= {limit_s:.0f} s", reached)


def _spread(run: Run) -> Goal:
    late = late_calls(run)
    total, busiest = sum(late), max(late, default=0.0)
    clear = total >= SPREAD_LEAST and run.plan.after_s >= MINUTE_S
    found = f"{busiest:.0f} of {total:.0f}: {busiest / max(total, 1):.1%}"
    reached = busiest <= BUSIEST_SHARE * total if clear else None
    return Goal("late calls in the busiest second", found, f"<= {BUSIEST_SHARE:.0%}", reached)


def _taken_over(run: Run) -> Goal:
    took, wanted = taken_over_s(run), f"<= {TAKEN_OVER_S:.0f} s"
    name = f"{'due' if run.plan.kind == 'full' else 'breaker-open'}, or proof, to booked at the backup"
    if not took:
        return Goal(name, "nobody", wanted, None)
    p99 = percentile(took, 0.99)
    return Goal(name, f"p99 {p99:.2f} s of {len(took)}", wanted, p99 <= TAKEN_OVER_S)


def _proved(run: Run) -> Goal:
    count = leaps(run)
    return Goal("fail-overs without proof", f"{count}", "0", count == 0)


def _steady(run: Run) -> Goal:
    most = most_switches(run)
    return Goal("switches of an order in 10 min", f"{most}", "<= 1", most <= 1)


def _others(run: Run) -> Goal:
    before, windows_before = others_p99_s(run, SETTLE_S, run.plan.before_s)
    during, windows_during = others_p99_s(run, *run.plan.outage)
    found = f"{during * 1e3:.0f} over {before * 1e3:.0f} ms: {during / before:.2f}"
    clear = late_p99_s(run) <= LATE_S and min(windows_before, windows_during) >= WINDOWS_LEAST
    reached = during <= P99_RATIO * before if clear else None
    return Goal("p99 at the other carrier", found, f"<= {P99_RATIO:.2f}", reached)


def _books(run: Run) -> Goal:
    found = books(run)
    told = ", ".join(f"{count} {name}" for name, count in found.items())
    return Goal(
        "every accepted order in the ledgers once", told, "0 but booked", sum(found.values()) == found["booked"]
    )


GOALS: tuple[Callable[[Run], Goal], ...] = (
    _spared,
    _opened,
    _probes,
    _back,
    _spread,
    _taken_over,
    _proved,
    _steady,
    _others,
    _books,
)


def facts(run: Run) -> dict[str, Any]:
    """A run in figures."""
    begins, ends = run.plan.outage

    def cores(begins_s: float, ends_s: float) -> float:
        first, last = between(run.samples, begins_s, ends_s)
        return round((last.cpu_s - first.cpu_s) / (last.at_s - first.at_s), 2)

    return {
        "orders": len(run.orders),
        "accepted": len(run.facts),
        "codes": Counter(one.code for one in run.orders if one.code),
        "late_p99_ms": round(late_p99_s(run) * 1e3, 1),
        "openings": run.samples[-1].opened,
        "busy": run.samples[-1].busy,
        "cores_before": cores(SETTLE_S, begins),
        "cores_during": cores(begins, ends),
        "cores_after": cores(ends, run.plan.ends_s),
        "drained_s": round(run.drained_s, 1),
    }


def report(runs: Sequence[Run], judged: Sequence[Sequence[Goal]]) -> None:
    """Print the tables and the JSON line."""
    plan = runs[0].plan
    print(
        f"{plan.orders_per_s:g} orders/s, of which {plan.per_s(ALONE):g} may go by {SICK} alone and "
        f"{plan.per_s(EITHER):g} by either; {SICK} can do {plan.capacity_per_s:g}/s"
    )
    for run, goals_of_run in zip(runs, judged, strict=True):
        print(f"\n{run.plan.kind}, {run.plan.outage_s:g} s: " + ", ".join(f"{k} {v}" for k, v in facts(run).items()))
        for goal in goals_of_run:
            print(f"  {VERDICTS[goal.reached]:9}{goal.name:42}{goal.found:50}goal {goal.wanted}")
    every = [goal for goals_of_run in judged for goal in goals_of_run]
    found = {
        "reached": sum(bool(goal.reached) for goal in every),
        "missed": sum(goal.reached is False for goal in every),
        "goals": len(every),
        "benchmark": "outage",
        "runs": {
            run.plan.kind: {"judged": [msgspec.to_builtins(goal) for goal in goals_of_run], **facts(run)}
            for run, goals_of_run in zip(runs, judged, strict=True)
        },
        "plan": msgspec.to_builtins(plan),
    }
    print(json.dumps(found))


async def rehearse(plans: Sequence[Plan]) -> list[Run]:
    """Each in a world of its own, one after the other."""
    runs = []
    for plan in plans:
        with tempfile.TemporaryDirectory() as scratch:
            runs.append(await play(Path(scratch), plan))
    return runs


def main() -> int:
    """Run, print, draw; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--outage-seconds", type=float, default=60.0, help="how long the carrier is gone (%(default)g)")
    add("--flapping-seconds", type=float, default=60.0, help="how long it comes and goes (%(default)g)")
    add("--before-seconds", type=float, default=30.0, help="load before the outage (%(default)g)")
    add("--seconds", type=float, default=90.0, help="load after the outage (%(default)g)")
    add("--rate", type=float, default=12.0, help="orders/s in all (%(default)g)")
    add("--drain-seconds", type=float, default=300.0, help="the longest wait for what had queued (%(default)g)")
    add("--kinds", default=",".join(KINDS), help="which outages (%(default)s)")
    add("--plot", type=Path, help="where to draw it")
    given = parser.parse_args()
    kinds = given.kinds.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    if given.before_seconds < 2 * SETTLE_S:
        parser.error(f"--before-seconds must be {2 * SETTLE_S:g} or more; {SETTLE_S:g} of them settle")
    plans = [
        Plan(
            kind,
            given.flapping_seconds if kind == "flapping" else given.outage_seconds,
            given.before_seconds,
            given.seconds,
            given.rate,
            given.drain_seconds,
        )
        for kind in kinds
    ]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runs = runner.run(rehearse(plans))
    judged = [goals(run) for run in runs]
    report(runs, judged)
    if given.plot:
        from benchmarks.outage_plot import draw  # matplotlib is heavy, and of the dev group only

        draw(runs, given.plot)
    return int(any(goal.reached is False for goals_of_run in judged for goal in goals_of_run))


if __name__ == "__main__":
    raise SystemExit(main())
