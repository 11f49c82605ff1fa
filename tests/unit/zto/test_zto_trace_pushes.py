"""When the simulator pushes its parcels' scans, and with which habits."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from crossdock_sdk import (
    Booking,
    Subscribed,
    TrackStatus,
)
from crossdock_sdk.simulator import Ledger
from crossdock_zto.simulator_postman import MAX_PER_TICK, deliveries
from crossdock_zto.simulator_route import PLOTS, journey
from crossdock_zto.simulator_traces import KINDS

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

REMARKS = ("", "请放驿站", "放快递柜", "问题", "拒收")


@pytest.mark.parametrize("remark", REMARKS)
def test_pushes_tell_the_same_story(world: Any, booking: Booking, remark: str) -> None:
    """Put in the order of their times the pushed events tell the same, however they came."""
    number = world.book(booking, remark=remark)

    pushed = world.pass_time(5 * DAY_S)

    by_time = sorted({e.time: e for e in pushed}.values(), key=lambda e: e.time)
    assert world.kit.story(by_time) == world.kit.story(world.track(number).events)
    assert {e.text for e in world.track(number).events} <= {e.text for e in pushed}
    assert {e.time for e in world.track(number).events} <= {e.time for e in pushed}


def test_a_shop_that_signs_is_told_by_push_only(world: Any, booking: Booking) -> None:
    """HANDOVERSCAN_SIGNED comes before the shop stores the parcel; the query shows ARRIVAL or 44, then SIGNED."""
    number = world.book(booking, remark="放驿站")

    pushed = Counter(e.code for e in world.pass_time(5 * DAY_S))
    asked = [e.code for e in world.track(number).events]

    assert {"action:HANDOVERSCAN_SIGNED", "action:INBOUND", "action:DEPARTURE_SIGNED"} <= set(pushed)
    assert asked[-2] in ("scan:ARRIVAL", "scan:44")
    assert asked[-1] == "scan:SIGNED"


def test_pushes_have_the_real_ones_habits(world: Any, booking: Booking) -> None:
    """Over some parcels events come again, overtake each other, and come twice with other times."""
    for n in range(20):
        world.book(booking, reference=f"R{n}")

    pushed = world.pass_time(4 * DAY_S)

    raws = Counter(e.raw for e in pushed)
    assert max(raws.values()) > 1
    same_scan = Counter((e.waybill_number, e.code, e.text) for e in {e.raw: e for e in pushed}.values())
    assert max(same_scan.values()) > 1
    by_parcel: dict[str, list[datetime]] = {}
    for event in pushed:
        by_parcel.setdefault(event.waybill_number, []).append(event.time)
    assert any(times != sorted(times) for times in by_parcel.values())


def test_no_push_leaves_before_its_scan(kit: Any) -> None:
    """Whatever the habits, nothing is told that has not happened, at any speed."""
    entries = [kit.parcel(n, remark) for n in range(40) for remark in REMARKS]

    told = [d for e in entries for speed in (1.0, 8_640.0) for d in deliveries(e, speed)]

    assert all(d.due >= d.scan.time and d.due >= d.action_time >= d.scan.time for d in told)
    assert [d.due for d in deliveries(entries[0], 1.0)] == sorted(d.due for d in deliveries(entries[0], 1.0))


def test_every_scan_of_every_plot_is_pushed(kit: Any) -> None:
    """Each scan leaves at least once, and each kind of scan has its words."""
    for number, remark in enumerate(REMARKS):
        parcel = kit.parcel(number, remark)
        assert {d.scan for d in deliveries(parcel, 1.0)} == set(journey(parcel, 1.0))

    assert {leg.kind for legs in PLOTS.values() for leg in legs} == set(KINDS)


def test_times_of_a_scan_told_twice_stay_before_the_next_scan(kit: Any) -> None:
    """A second time never tells another order of the scans."""
    for number in range(60):
        parcel = kit.parcel(number, "拒收")
        scans = journey(parcel, 86_400.0)
        for d in deliveries(parcel, 86_400.0):
            assert d.scan.index + 1 == len(scans) or d.action_time <= scans[d.scan.index + 1].time


def test_fast_simulator_delivers_in_seconds(world: Any, booking: Booking) -> None:
    """The server's speed reaches query and pushes."""
    world.simulator.speed = 86_400.0
    number = world.book(booking)

    pushed = world.pass_time(4.0, step_s=0.1)

    assert world.track(number).events[-1].status is TrackStatus.DELIVERED
    assert TrackStatus.DELIVERED in {e.status for e in pushed}


def test_cancelled_parcel_stops(world: Any, booking: Booking) -> None:
    """After a cancellation there are no new scans and no pushes of any; what was scanned stays."""
    number = world.book(booking, order_type="2")
    before = world.pass_time(DAY_S)
    shown = world.track(number).events
    world.cancel(number)

    after = world.pass_time(4 * DAY_S)

    assert before
    assert world.track(number).events == shown != ()
    assert {e.text for e in after} <= {e.text for e in shown}


def test_restart_pushes_what_is_still_to_come(new_world: Any, clock: Any, booking: Booking, tmp_path: Path) -> None:
    """Parcels of the ledger are pushed on after a restart, not from their beginning."""
    ledger = Ledger(tmp_path / "zto.jsonl")
    new_world(ledger=ledger).book(booking)
    ledger.close()
    clock.advance(1.3 * DAY_S)
    restarted = new_world(ledger=Ledger(tmp_path / "zto.jsonl"))

    pushed = restarted.pass_time(3 * DAY_S)
    restarted.simulator.ledger.close()

    codes = {e.code for e in pushed}
    assert "action:SIGNED" in codes
    assert "action:GOT" not in codes


def test_unbound_parcels_are_pushed_once_subscribed(new_world: Any, clock: Any, booking: Booking) -> None:
    """Without a bound account only the subscribed parcel is pushed, from then on; twice asked changes nothing."""
    world = new_world(bound=False)
    first, second = (world.book(booking, reference=f"R{n}") for n in range(2))
    silent = world.pass_time(DAY_S)
    outcomes = [world.subscribe(first, "2222") for _ in range(2)]

    pushed = world.pass_time(4 * DAY_S)

    assert silent == []
    assert outcomes == [Subscribed(first)] * 2
    assert {e.waybill_number for e in pushed} == {first} != {second}
    assert "action:GOT" not in {e.code for e in pushed}
    assert "action:SIGNED" in {e.code for e in pushed}


def test_subscribing_a_bound_parcel_pushes_nothing_twice(world: Any, booking: Booking) -> None:
    """The application's own parcels are pushed anyway."""
    number = world.book(booking)
    world.subscribe(number)
    sent = len(world.pass_time(5 * DAY_S))

    assert sent == len(deliveries(world.simulator.ledger.by_waybill[number], 1.0))


def test_without_push_url_nothing_is_queued(new_world: Any, clock: Any, booking: Booking) -> None:
    """A merchant without a push address hears nothing, and asks."""
    world = new_world(push_url="")
    number = world.book(booking)

    assert world.pass_time(4 * DAY_S) == []
    assert world.track(number).events


def test_a_tick_is_bounded_and_loses_nothing(world: Any, booking: Booking) -> None:
    """After a long pause what is due comes over several ticks, each delivery once."""
    for n in range(100):
        world.book(booking, reference=f"R{n}")
    world.clock.advance(6 * DAY_S)

    ticks = []
    while pushed := world.pushed():
        ticks.append(len(pushed))

    ledger = world.simulator.ledger.by_waybill.values()
    assert sum(ticks) == sum(len(deliveries(e, 1.0)) for e in ledger)
    assert len(ticks) > 1
    assert max(ticks) < MAX_PER_TICK + 30
