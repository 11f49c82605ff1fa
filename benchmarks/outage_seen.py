"""What a run of `outage_run` showed, measure by measure; `outage` says what was promised."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from benchmarks.measure import WINDOW_S, between, median_p99, percentile
from benchmarks.outage_run import ALONE, EITHER, ELSEWHERE, SICK, WELL, Attempt, Booked, Run

GOODPUT_SHARE = 0.95
MINUTE_S = 60.0
FRESH_S = 2.0
"""A booking of an order so young was its first call; whatever else is called is a retry or was held back."""
SWITCH_S = 600.0
DOUBTED = ("ABSENT", "VOIDED")
"""States that only a carrier's later word makes of an attempt."""
SETTLE_S = 5.0
"""The first seconds of a run are left out: connections are made, plug-ins called for the first time."""


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
    """Seconds until WELL booked an order that may go by either, from when it might be asked.

    That is since the breaker opened (nothing opens it when SICK is full: since the outage began), since the order was
    due, and since a doubt about SICK was over.
    """
    begins, ends = run.plan.outage
    opened = begins if run.plan.kind == "full" else opened_s(run)
    either = {one.order_id: one.at_s for one in run.orders if one.group == EITHER}
    at_well = [line for line in run.ledger if line.carrier == WELL and line.order_id in either]
    return [
        line.at_s - max(opened, either[line.order_id], proved_s(run, line.order_id))
        for line in at_well
        if line.at_s >= opened and either[line.order_id] < ends
    ]


def proved_s(run: Run, order_id: str) -> float:
    """When it was proved that a call to SICK, whose outcome was in doubt, booked nothing; 0 without a doubt."""
    fact = run.facts.get(order_id)
    doubts = [a for a in fact.attempts if a.carrier == SICK and a.was_sent and a.state in DOUBTED] if fact else []
    return max((attempt.end_s for attempt in doubts), default=0.0)


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


def others_p99_s(run: Run, begins_s: float, ends_s: float) -> tuple[float, int]:
    """Of orders for WELL alone: the median of all windows' p99, and how many windows."""
    due = (one for one in run.orders if one.group == ELSEWHERE and begins_s <= one.at_s < ends_s)
    return median_p99((one.at_s - begins_s, one.took_s) for one in due)


def late_p99_s(run: Run) -> float:
    """How late orders were sent."""
    return percentile([one.late_s for one in run.orders if one.at_s >= SETTLE_S], 0.99)
