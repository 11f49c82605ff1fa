"""A carrier browns out to ten times its latency: the other's orders do not notice, and orders leave it in time.

Two runs of the same open load in one world: both carriers well, then sf slow. Only ratios between the runs count.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from crossdock.v1 import core_pb2
from tests.acceptance.checker import violations
from tests.acceptance.evidence import Evidence
from tests.acceptance.harness import World, parcel_order, state_of, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(150)]

LATENCY_S = 0.4
SLOW_S = 10 * LATENCY_S
PERIOD_S = 0.15
ROUNDS = 40


class Run(msgspec.Struct, frozen=True):
    """Orders as they were answered and how long each took: those for zto alone, and those that prefer sf."""

    alone: list[tuple[core_pb2.Order, float]]
    preferring: list[tuple[core_pb2.Order, float]]
    diverted: float


class Outcome(msgspec.Struct, frozen=True):
    """Both runs and everything that happened."""

    well: Run
    slow: Run
    evidence: Evidence


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Both runs, once."""
    return asyncio.run(_play(tmp_path_factory.mktemp("slow")))


def test_the_other_carriers_orders_do_not_notice(outcome: Outcome) -> None:
    """Their p99 stays within twice that of the run without the fault, though the slow one takes ten times as long."""
    well, slow = (_p99([took_s for _, took_s in run.alone]) for run in (outcome.well, outcome.slow))

    assert slow <= 2.0 * well, (well, slow)


def test_orders_leave_the_slow_carrier_before_they_are_sent(outcome: Outcome) -> None:
    """They say why, and the metric counts each of them."""
    moved = [o for o, _ in outcome.slow.preferring if o.attempts[0].carrier == "zto"]

    assert len(moved) > ROUNDS / 4
    assert all(o.attempts[0].cause.startswith("not sf (") for o in moved)
    assert outcome.slow.diverted - outcome.well.diverted == len(moved)


def test_all_are_booked_once(outcome: Outcome) -> None:
    """Whoever went where, the ledgers have one waybill each."""
    orders = [o for run in (outcome.well, outcome.slow) for o, _ in (*run.alone, *run.preferring)]

    assert {state_of(order) for order in orders} == {"BOOKED"}
    assert violations(outcome.evidence) == []


async def _play(folder: Path) -> Outcome:
    async with world(folder, settings={"outbound": {"divert_wait_s": 0.5}}) as w:
        for carrier in ("sf", "zto"):
            await w.faults(carrier, operations=("book",), latency_s=LATENCY_S)
        well = await _load(w, "well")
        await w.faults("sf", operations=("book",), latency_s=SLOW_S)
        slow = await _load(w, "slow")
        await w.heal()
        await w.at_rest()
        return Outcome(well, slow, await w.evidence())


async def _load(w: World, name: str) -> Run:
    """Orders at a fixed pace, whatever becomes of those before them: a closed loop would hide the fault."""
    alone, preferring = [], []
    for n in range(ROUNDS):
        alone.append(asyncio.create_task(_timed(w, parcel_order(f"{name}-alone-{n}", only=("zto",)))))
        preferring.append(asyncio.create_task(_timed(w, parcel_order(f"{name}-prefer-{n}", prefer=("sf",)))))
        await asyncio.sleep(PERIOD_S)
    return Run(
        await asyncio.gather(*alone),
        await asyncio.gather(*preferring),
        await w.metric("crossdock_diversions_total", from_carrier="sf", to_carrier="zto"),
    )


async def _timed(w: World, order: core_pb2.Order) -> tuple[core_pb2.Order, float]:
    started_s = time.monotonic()
    return await w.create(order, deadline_s=30.0), time.monotonic() - started_s


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]
