"""The simulator's route pushes: repeated, disordered, batched, repeated until acknowledged, bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sf_kit import BOOKING, change
from sf_world import PUSH_URL, World

from crossdock_sdk import Booking, HttpRequest, TrackEvent
from crossdock_sdk.simulator import Ledger
from crossdock_sf import simulator_story as story
from crossdock_sf.simulator import PUSH_TOKEN
from crossdock_sf.simulator_push import tellings


def asking_for(word: str) -> Booking:
    """The demo booking with a remark that chooses the parcel's end."""
    return change(BOOKING, remark=f"样例订单 {word}")


def pushing(**options: Any) -> World:
    """A world whose simulator pushes."""
    return World(push_url=PUSH_URL, **options)


def test_pushes_have_the_habits_of_real_ones() -> None:
    """About four tellings an event, some overtaken by later events, at most ten rows, several parcels in one."""
    world = pushing()
    for serial in range(20):
        world.booked(change(asking_for(""), reference=f"DEMO-{serial}"))

    told: list[list[TrackEvent]] = []
    for _ in range(24 * 4):
        world.clock.advance(3600)
        told += [list(receipt.tracks) for receipt in world.pushed()]

    arrived = [event for batch in told for event in batch]
    first_told = list(dict.fromkeys(e.carrier_event_id for e in arrived if e.waybill_number.endswith("001")))
    in_time = sorted({(e.time, e.carrier_event_id) for e in arrived if e.waybill_number.endswith("001")})
    share = len({event.carrier_event_id for event in arrived}) / len(arrived)
    assert 0.2 < share < 0.3
    assert first_told != [event_id for _, event_id in in_time]
    assert max(map(len, told)) == 10
    assert any(len({event.waybill_number for event in batch}) > 1 for batch in told)


def test_pushes_are_dealt_by_the_seed() -> None:
    """The same seed gives the same pushes byte by byte, another seed another disorder."""

    def sent(seed: int) -> list[bytes]:
        world = pushing(push_seed=seed)
        world.booked()
        world.clock.advance(40 * 3600)
        world.simulator.tick()
        return [request.body for request in world.simulator.outbox]

    assert sent(1) == sent(1)
    assert sent(1) != sent(2)


def test_every_event_is_told_and_never_before_it_happened() -> None:
    """Tellings are late, never early, and leave no event out."""
    world = World()
    world.booked(asking_for("拒收"))
    (entry,) = world.simulator.ledger.entries
    life = story.scans(entry, entry.waybill_number, 1.0)

    told = tellings(life, 0, 1.0)

    assert {telling.index for telling in told} == set(range(len(life)))
    assert all(telling.due >= life[telling.index].time for telling in told)
    assert told == sorted(told)


def test_unacknowledged_push_comes_again() -> None:
    """SF wants its own acknowledgement: status 200 alone is not enough; what was given up is queued again."""
    world = pushing()
    simulator = world.simulator
    push = HttpRequest("POST", f"{PUSH_URL}/{PUSH_TOKEN}", {}, b"{}")

    assert simulator.is_acknowledged(200, '{"return_code":"0000","return_msg":"成功"}'.encode())
    assert simulator.is_acknowledged(200, b'<Response service="RoutePushService"><Head>OK</Head></Response>')
    assert not simulator.is_acknowledged(200, b'{"return_code":"1000"}')
    assert not simulator.is_acknowledged(503, b'{"return_code":"0000"}')
    simulator.push_lost(push)
    simulator.tick()
    assert simulator.outbox == []
    world.clock.advance(5)
    simulator.tick()
    assert simulator.outbox == [push]


def test_restart_goes_on_pushing_what_was_not_told(tmp_path: Path) -> None:
    """A parcel on its way is told again from its beginning; one that was told in full is not."""
    path = tmp_path / "ledger"
    first = pushing(ledger=Ledger(path))
    first.booked(asking_for(""))
    first.watch(1)
    second = pushing(ledger=Ledger(path))
    second.clock.advance(2 * 86400)
    on_its_way = second.pushed()
    third = pushing(ledger=Ledger(path))
    third.clock.advance(30 * 86400)

    assert any(receipt.tracks for receipt in on_its_way)
    assert third.pushed() == []


def test_nothing_is_pushed_without_a_push_url() -> None:
    """A simulator that was given no URL keeps quiet."""
    world = World()
    world.booked()
    world.clock.advance(86400)
    world.simulator.tick()

    assert world.simulator.outbox == []


def test_flood_of_due_pushes_is_spread_over_ticks() -> None:
    """A tick stays short however much has fallen due, and in the end everything is told."""
    world = pushing()
    for serial in range(60):
        world.booked(change(asking_for(""), reference=f"DEMO-{serial}"))
    world.clock.advance(30 * 86400)

    sizes = [len(world.pushed()) for _ in range(12)]

    assert sizes[0] == 50
    assert sizes[-1] == 0
    assert sum(sizes) > 200
