"""SF is down or full: the backup takes over within the caller's deadline; nobody there: durable.

One world for the whole story, told in order: full, down, both down, both back.
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

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

DEADLINE_S = 5.0
ORDERS = 8


class Outcome(msgspec.Struct, frozen=True):
    """What each chapter showed: the orders as CreateOrder answered them, and the metrics."""

    full: list[core_pb2.Order]
    down: list[core_pb2.Order]
    down_took_s: float
    fallbacks: float
    breaker_openings: float
    zto_booked: float
    both_down: list[core_pb2.Order]
    after_restart: list[core_pb2.Order]
    both_back: list[core_pb2.Order]
    evidence: Evidence


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The story, played once."""
    return asyncio.run(_play(tmp_path_factory.mktemp("failover")))


def test_a_full_carrier_hands_over(outcome: Outcome) -> None:
    """A refusal for lack of capacity proves that nothing was booked: zto books in the same call."""
    ends = {(state_of(order), order.booking.carrier) for order in outcome.full}

    assert ends == {("BOOKED", "zto")}
    assert all(order.attempts[0].error_class == "CAPACITY" for order in outcome.full)


def test_a_closed_port_hands_over_within_the_deadline(outcome: Outcome) -> None:
    """Nobody listens at sf: every caller has a zto waybill before the deadline."""
    ends = {(state_of(order), order.booking.carrier) for order in outcome.down}

    assert ends == {("BOOKED", "zto")}
    assert outcome.down_took_s < DEADLINE_S


def test_the_breaker_spares_a_dead_carrier(outcome: Outcome) -> None:
    """The breaker opens: the last orders are not even tried at sf."""
    first_tried = [order.attempts[0].carrier for order in outcome.down]

    assert outcome.breaker_openings >= 1
    assert first_tried[0] == "sf"
    assert first_tried[-1] == "zto"


def test_metrics_tell_what_happened(outcome: Outcome) -> None:
    """Fallbacks and bookings on /metrics are those the orders show."""
    orders = outcome.full + outcome.down
    changed = sum(len({a.carrier for a in order.attempts}) > 1 for order in orders)

    assert outcome.fallbacks == changed
    assert outcome.zto_booked == len(orders)


def test_with_every_carrier_down_the_order_is_kept(outcome: Outcome) -> None:
    """CreateOrder answers OK with an order under way, and a killed engine still has it."""
    states = {state_of(order) for order in outcome.both_down}

    assert states <= {"ACCEPTED", "BOOKING"}
    assert [o.order_id for o in outcome.after_restart] == [o.order_id for o in outcome.both_down]


def test_when_carriers_return_every_order_is_booked_once(outcome: Outcome) -> None:
    """Nobody has to ask again; the ledgers hold one waybill each."""
    states = {state_of(order) for order in outcome.both_back}

    assert states == {"BOOKED"}
    assert violations(outcome.evidence) == []


async def _play(folder: Path) -> Outcome:
    async with world(folder, settings={"outbound": {"breaker_open_s": 3.0}}) as w:
        await w.faults("sf", refuse_bookings=True)
        full = await _create_each(w, "full", 3)
        await w.faults("sf", down=True)
        started_s = time.monotonic()
        down = await _create_each(w, "down", ORDERS)
        down_took_s = time.monotonic() - started_s
        fallbacks = await w.metric("crossdock_fallbacks_total", from_carrier="sf")
        openings = await w.metric("crossdock_breaker_changes_total", carrier="sf", state="OPEN")
        booked = await w.metric("crossdock_attempts_total", carrier="zto", outcome="CONFIRMED")
        await w.faults("zto", down=True)
        both_down = await asyncio.gather(*[w.create(parcel_order(f"both-{n}"), deadline_s=1.5) for n in range(ORDERS)])
        w.sandbox.kill_engine()
        await w.sandbox.start_engine()
        after_restart = [await w.get(order) for order in both_down]
        await w.heal()
        await w.at_rest()
        both_back = [await w.get(order) for order in both_down]
        return Outcome(
            full,
            down,
            down_took_s,
            fallbacks,
            openings,
            booked,
            both_down,
            after_restart,
            both_back,
            await w.evidence(),
        )


async def _create_each(w: World, name: str, count: int) -> list[core_pb2.Order]:
    """One after the other, so that the breaker's count is in order."""
    return [await w.create(parcel_order(f"{name}-{n}"), deadline_s=DEADLINE_S) for n in range(count)]
