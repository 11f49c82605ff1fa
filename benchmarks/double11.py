"""The Double-11 profile: 50 times the normal load while one carrier browns out and one has a hidden quota of 20/s.

    python -m benchmarks.double11 [--seconds 120] [--peak 60] [--quota 20] [--plot FILE]

Two runs of the same open load, without and with faults. Orders are sent at times fixed beforehand, whatever became of
those before them, and share four accounts, each at a simulator of its own that takes 80 to 120 ms: two stay well; one
takes ten times as long for the second quarter of the peak and fails half of its calls in the third; one, which should
get 40 % of the orders, refuses whatever is beyond its quota, of which its manifest says nothing. Prints what was
reached and a JSON line, and draws the run with faults. What else the machine does shows in the lateness of the
generator: where orders were sent late, nothing is said about latencies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import uvloop

from benchmarks.goals import LATE_S, VERDICTS, Goal
from benchmarks.measure import between, median_p99, percentile
from benchmarks.peak import LATENCY_S, QUOTA, WELL, Plan, Run, Sent, play

TIMES = 50
LEARN_S = 60.0
BOOKED_SHARE = 0.999
USED_SHARE = 0.95
REFUSED_SHARE = 0.01
P99_RATIO = 1.10
GROWTH_MIB = 256.0


def of_well(run: Run) -> list[Sent]:
    """Accepted orders of the peak that were sent to the carriers without a fault first."""
    begins, ends = run.plan.peak
    return [one for one in run.orders if begins <= one.at_s < ends and one.account in WELL]


def brownout_p99_s(run: Run) -> float:
    """At the carriers without a fault while another one is ill."""
    begins, ends = run.plan.slow[0], run.plan.failing[1]
    return median_p99((one.at_s - begins, one.took_s) for one in of_well(run) if begins <= one.at_s < ends)[0]


def late_p99_s(run: Run) -> float:
    """How late orders of the peak were sent."""
    begins, ends = run.plan.peak
    return percentile([one.late_s for one in run.orders if begins <= one.at_s < ends], 0.99)


def quota_use(run: Run) -> tuple[float, float]:
    """From LEARN_S after the peak began to its end: the share of the quota that was used, and of calls refused."""
    begins, ends = run.plan.peak
    first, last = between(run.samples, min(begins + LEARN_S, (begins + ends) / 2), ends)
    calls, refused = last.calls - first.calls, last.refused - first.refused
    return (calls - refused) / (last.at_s - first.at_s) / run.plan.quota_per_s, refused / max(calls, 1)


def goals(well: Run, hard: Run) -> list[Goal]:
    """What is promised, of the run with faults against the one without."""
    accepted = [one for one in hard.orders if not one.code]
    booked = sum(one.state == "BOOKED" for one in accepted) / len(accepted)
    used, refused = quota_use(hard)
    before, after = brownout_p99_s(well), brownout_p99_s(hard)
    had_time = hard.plan.peak_s >= LEARN_S * 1.5
    on_time = max(late_p99_s(well), late_p99_s(hard)) <= LATE_S
    peak_mib = max(sample.rss_mib for sample in hard.samples)
    books = {key: well.ledgers[key] + hard.ledgers[key] for key in hard.ledgers}
    return [
        Goal("accepted orders booked", f"{booked:.3%}", f">= {BOOKED_SHARE:.1%}", booked >= BOOKED_SHARE),
        Goal(
            f"hidden quota used after {LEARN_S:.0f} s",
            f"{used:.1%}",
            f">= {USED_SHARE:.0%}",
            used >= USED_SHARE if had_time else None,
        ),
        Goal(
            "calls refused beyond it",
            f"{refused:.2%}",
            f"< {REFUSED_SHARE:.0%}",
            refused < REFUSED_SHARE if had_time else None,
        ),
        Goal(
            "p99 at the other carriers",
            f"{after * 1e3:.0f} ms over {before * 1e3:.0f} ms: {after / before:.2f}",
            f"<= {P99_RATIO:.2f}",
            after <= P99_RATIO * before if on_time else None,
        ),
        Goal(
            "resident memory",
            f"{hard.rest_mib:.0f} MiB at rest, {peak_mib:.0f} MiB at most",
            f"<= +{GROWTH_MIB:.0f} MiB",
            peak_mib - hard.rest_mib <= GROWTH_MIB,
        ),
        Goal(
            "every booked order in the ledgers once",
            f"{books['live']} live, {books['lost']} lost, {books['doubled']} doubled, {books['orphans']} unknown",
            "0, 0, 0",
            not (books["lost"] or books["doubled"] or books["orphans"]),
        ),
    ]


def facts(run: Run) -> dict[str, object]:
    """A run in figures."""
    begins, ends = run.plan.peak
    peak = [one for one in run.orders if begins <= one.at_s < ends]
    first, last = between(run.samples, begins, ends)
    return {
        "orders": len(run.orders),
        "ended": Counter(one.code or one.state for one in run.orders),
        "diverted": sum(one.was_diverted for one in run.orders),
        "moved_on": sum(one.attempts > 1 for one in run.orders),
        "drained_s": round(run.drained_s, 1),
        "late_p99_ms": round(late_p99_s(run) * 1e3, 1),
        "p50_ms": round(percentile([one.took_s for one in peak], 0.5) * 1e3, 1),
        "p99_ms": round(percentile([one.took_s for one in peak], 0.99) * 1e3, 1),
        "others_p50_ms": round(percentile([one.took_s for one in of_well(run)], 0.5) * 1e3, 1),
        "others_p99_ms": round(percentile([one.took_s for one in of_well(run)], 0.99) * 1e3, 1),
        "others_brownout_p99_ms": round(brownout_p99_s(run) * 1e3, 1),
        "engine_cores": round((last.cpu_s - first.cpu_s) / (last.at_s - first.at_s), 2),
        "rest_mib": round(run.rest_mib),
        "peak_mib": round(max(sample.rss_mib for sample in run.samples)),
        "ledgers": run.ledgers,
    }


async def rehearse(plan: Plan) -> tuple[Run, Run]:
    """Without faults, then with them, each in a world of its own."""
    runs = []
    for with_faults in (False, True):
        with tempfile.TemporaryDirectory() as scratch:
            runs.append(await play(Path(scratch), msgspec.structs.replace(plan, with_faults=with_faults)))
    return runs[0], runs[1]


def report(well: Run, hard: Run) -> None:
    """Print the tables and the JSON line."""
    plan = hard.plan
    print(
        f"{plan.normal_per_s:g} orders/s, then {plan.peak_per_s:g} for {plan.peak_s:g} s; carriers answer in "
        f"{LATENCY_S * 1e3:.0f} to {LATENCY_S * 1.5e3:.0f} ms; {QUOTA} takes {plan.quota_per_s:g}/s"
    )
    sides = {"without": facts(well), "with faults": facts(hard)}
    print(f"\n{'':22}" + "".join(f"{name:>16}" for name in sides))
    for key, value in sides["without"].items():
        if isinstance(value, int | float):
            print(f"{key:24}" + "".join(f"{side[key]!s:>16}" for side in sides.values()))
    print("ended: " + "; ".join(f"{name} {dict(side['ended'])}" for name, side in sides.items()))  # type: ignore[call-overload]
    judged = goals(well, hard)
    print()
    for goal in judged:
        print(f"{VERDICTS[goal.reached]:9}{goal.name:40}{goal.found}   goal {goal.wanted}")
    found = {
        "reached": sum(bool(goal.reached) for goal in judged),
        "goals": len(judged),
        "benchmark": "double11",
        "plan": msgspec.to_builtins(plan),
        "judged": [msgspec.to_builtins(goal) for goal in judged],
        "runs": sides,
    }
    print(json.dumps(found))


def main() -> int:
    """Run both, print, draw. The exit code is 0 also when a goal is missed: that is a finding, not a failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long the peak lasts (%(default)g)")
    parser.add_argument("--peak", type=float, default=60.0, help="orders/s at the peak (%(default)g)")
    parser.add_argument("--quota", type=float, default=20.0, help="calls/s that the hidden quota allows (%(default)g)")
    parser.add_argument("--plot", type=Path, help="where to draw the run with faults")
    given = parser.parse_args()
    plan = Plan(given.seconds, given.peak / TIMES, given.peak, given.quota, with_faults=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        well, hard = runner.run(rehearse(plan))
    report(well, hard)
    if given.plot:
        from benchmarks.double11_plot import draw  # matplotlib is heavy, and of the dev group only

        draw(well, hard, given.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
