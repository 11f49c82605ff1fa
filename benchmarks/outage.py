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
import statistics
import tempfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.double11 import LATE_S, VERDICTS, WINDOW_S, Goal, p
from benchmarks.outage_run import (
    ALONE,
    EITHER,
    ELSEWHERE,
    KINDS,
    SICK,
    WELL,
    Attempt,
    Booked,
    Plan,
    Run,
    Sample,
    play,
)

CALLS_SHARE = 1.1
PROBES_PER_S = 3.0
GOODPUT_SHARE = 0.95
BACK_S, FLAPPING_BACK_S = 60.0, 30.0
BUSIEST_SHARE = 0.05
SPREAD_LEAST = 100
"""Of fewer late calls in a minute a second's share says nothing: chance alone brings six together."""
MINUTE_S = 60.0
FRESH_S = 2.0
"""A booking of an order so young was its first call; whatever else is called is a retry or was held back."""
OPENS_CALLS, OPENS_S = 20, 10.0
OLD_CALLS_S = 15.0
"""So long after the breaker opened calls from before may be under way, which are no probes."""
TAKEN_OVER_S = 5.0
SWITCH_S = 600.0
P99_RATIO = 1.10
SETTLE_S = 5.0
"""The first seconds of a run are left out: connections are made, plug-ins called for the first time."""


def between(samples: Sequence[Sample], begins_s: float, ends_s: float) -> tuple[Sample, Sample]:
    """The samples nearest to both moments, from inside."""
    inside = [sample for sample in samples if begins_s <= sample.at_s <= ends_s]
    return inside[0], inside[-1]


def calls_in(run: Run, begins_s: float, ends_s: float) -> int:
    """Calls to SICK's booking lane, as its simulator counted or as the engine did, whichever is more."""
    first, last = between(run.samples, begins_s, ends_s)
    return max(last.calls - first.calls, last.engine_calls - first.engine_calls)


def first_attempts(run: Run) -> int:
    """Orders whose first call to SICK was made during the outage."""
    begins, ends = run.plan.outage
    firsts = [next((a for a in fact.attempts if a.carrier == SICK and a.was_sent), None) for fact in run.facts.values()]
    return sum(first is not None and begins <= first.start_s < ends for first in firsts)


def opened_s(run: Run) -> float:
    """When the breaker opened first after the outage began, as seen by the sampler; infinite if never."""
    begins, _ = run.plan.outage
    before = max((sample.opened for sample in run.samples if sample.at_s < begins), default=0)
    return next((sample.at_s for sample in run.samples if sample.opened > before), float("inf"))


def goodput(run: Run, begins_s: float, ends_s: float) -> float:
    """Bookings a second at SICK of orders that may go nowhere else, by its ledger."""
    times = alone_times(run)
    return (bisect_left(times, ends_s) - bisect_left(times, begins_s)) / (ends_s - begins_s)


def alone_times(run: Run) -> list[float]:
    """When SICK booked orders that may go nowhere else."""
    alone = {one.order_id for one in run.orders if one.group == ALONE}
    return sorted(line.at_s for line in run.ledger if line.carrier == SICK and line.order_id in alone)


def back_s(run: Run) -> float:
    """Seconds after the outage until goodput is what it was before, for a window and on average until load ends.

    Infinite when it never is.
    """
    _, ends = run.plan.outage
    wanted = GOODPUT_SHARE * goodput(run, SETTLE_S, run.plan.before_s)
    at_s = ends
    while at_s + WINDOW_S <= run.plan.ends_s:
        if goodput(run, at_s, at_s + WINDOW_S) >= wanted and goodput(run, at_s, run.plan.ends_s) >= wanted:
            return at_s - ends
        at_s += 0.5
    return float("inf")


def late_calls(run: Run) -> list[float]:
    """Each second after the outage, for a minute: calls to book at SICK that were no order's timely first one."""
    _, ends = run.plan.outage
    due = {one.order_id: one.at_s for one in run.orders}
    fresh = [line.at_s for line in run.ledger if line.carrier == SICK and _age_s(line, due) < FRESH_S]
    fresh.sort()
    found = []
    samples = [sample for sample in run.samples if ends <= sample.at_s <= ends + MINUTE_S]
    for first, last in zip(samples[::4], samples[4::4], strict=False):
        calls = last.books - first.books
        timely = bisect_left(fresh, last.at_s) - bisect_left(fresh, first.at_s)
        found.append(max(0.0, (calls - timely) / max(last.at_s - first.at_s, 1.0)))
    return found


def _age_s(line: Booked, due: dict[str, float]) -> float:
    return line.at_s - due.get(line.order_id, line.at_s)


def taken_over_s(run: Run) -> list[float]:
    """From breaker-open, or from when it was due, to booked at WELL: orders that may go by either."""
    begins, ends = run.plan.outage
    opened = begins if run.plan.kind == "full" else opened_s(run)
    either = {one.order_id: one.at_s for one in run.orders if one.group == EITHER}
    at_well = [line for line in run.ledger if line.carrier == WELL and line.order_id in either]
    return [
        line.at_s - max(opened, either[line.order_id])
        for line in at_well
        if line.at_s >= opened and either[line.order_id] < ends
    ]


def changes(attempts: Sequence[Attempt]) -> Iterator[tuple[Attempt, Attempt]]:
    """Neighbours at different carriers."""
    return ((a, b) for a, b in pairwise(attempts) if a.carrier != b.carrier)


def leaps(run: Run) -> int:
    """Changes of the carrier while it was not proved that the one before had booked nothing."""
    settled = ("NOT_SENT", "REJECTED", "ABSENT", "VOIDED")
    return sum(
        before.state not in settled or before.end_s > after.start_s + 1e-3
        for fact in run.facts.values()
        for before, after in changes(fact.attempts)
    )


def most_switches(run: Run) -> int:
    """Of the most restless order, in ten minutes."""
    most = 0
    for fact in run.facts.values():
        times = [after.start_s for _, after in changes(fact.attempts)]
        most = max([most, *(sum(at <= one < at + SWITCH_S for one in times) for at in times)])
    return most


def books(run: Run) -> dict[str, int]:
    """Rows against the ledgers: open, booked but not there, there twice, there unknown; accepted but not there."""
    live = {line.waybill_number: line.order_id for line in run.ledger if line.waybill_number not in run.cancelled}
    booked = {fact.waybill_number for fact in run.facts.values() if fact.state == "BOOKED"}
    return {
        "booked": len(booked),
        "open": sum(fact.state != "BOOKED" for fact in run.facts.values()),
        "lost": len(booked - live.keys()) + sum(bool(o.order_id) and o.order_id not in run.facts for o in run.orders),
        "doubled": sum(count > 1 for count in Counter(live.values()).values()),
        "orphans": len(live.keys() - booked),
    }


def others_p99_s(run: Run, begins_s: float, ends_s: float) -> float:
    """Of orders for WELL alone: the p99 of each window, and of those the median (see double11)."""
    windows: dict[int, list[float]] = {}
    for one in run.orders:
        if one.group == ELSEWHERE and begins_s <= one.at_s < ends_s:
            windows.setdefault(int((one.at_s - begins_s) // WINDOW_S), []).append(one.took_s)
    return statistics.median(p(values, 0.99) for values in windows.values())


def late_p99_s(run: Run) -> float:
    """How late orders were sent."""
    return p([one.late_s for one in run.orders if one.at_s >= SETTLE_S], 0.99)


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
    name = f"{'due' if run.plan.kind == 'full' else 'breaker-open'} to booked at the backup"
    if not took:
        return Goal(name, "nobody", wanted, None)
    p99 = p(took, 0.99)
    return Goal(name, f"p99 {p99:.2f} s of {len(took)}", wanted, p99 <= TAKEN_OVER_S)


def _proved(run: Run) -> Goal:
    count = leaps(run)
    return Goal("fail-overs without proof", f"{count}", "0", count == 0)


def _steady(run: Run) -> Goal:
    most = most_switches(run)
    return Goal("switches of an order in 10 min", f"{most}", "<= 1", most <= 1)


def _others(run: Run) -> Goal:
    before = others_p99_s(run, SETTLE_S, run.plan.before_s)
    during = others_p99_s(run, *run.plan.outage)
    found = f"{during * 1e3:.0f} over {before * 1e3:.0f} ms: {during / before:.2f}"
    on_time = late_p99_s(run) <= LATE_S
    reached = during <= P99_RATIO * before if on_time else None
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
