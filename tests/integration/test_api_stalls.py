"""Parcels that stand still, end to end: raised by the configured rules, told, shown, counted, over by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crossdock.v1 import track_service_pb2, track_status_pb2
from crossdock_zto.simulator_wire import trace_push
from tests.integration.kit import booked, only
from tests.integration.world import World, running_world

pytestmark = pytest.mark.anyio
pb = track_service_pb2
SECOND_H = 1 / 3600
RULES = [
    {
        "name": "nobody came",
        "since": "booked",
        "after_h": 0.2 * SECOND_H,
        "statuses": ["NOTHING_KNOWN"],
        "when": "carrier == 'zto'",
        "reason": "call the depot",
    },
    {
        "name": "broken",
        "since": "booked",
        "after_h": 0.2 * SECOND_H,
        "statuses": ["NOTHING_KNOWN"],
        "when": "carrier == 'zto' && 1 / event_count > 0",
    },
    {"name": "no scan", "since": "last_event", "after_h": 48.0, "statuses": ["PICKED_UP"]},
]


@pytest.fixture(scope="module")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Rules of a fifth of a second; parcels live as slowly as real ones."""
    async with running_world(tmp_path_factory.mktemp("stalls"), settings={"stall_rule": RULES}) as world:
        world.hold_back(86_400.0)  # carriers know nothing of what is booked here
        yield world


class Watcher:
    """A watch of alerts of some parcels, read within a few seconds."""

    def __init__(self, world: World, *numbers: str, tenant: str = "amber", **wanted: Any) -> None:
        request = pb.WatchTracksRequest(**{"cursor": "0", "waybill_numbers": numbers, "alerts_only": True, **wanted})
        self.call = world.caller(tenant).WatchTracks(request, timeout=None)

    async def take(self, count: int) -> list[pb.TrackNews]:
        """The next news."""
        seen: list[pb.TrackNews] = []
        async with asyncio.timeout(10):
            while len(seen) < count:
                message = await self.call.read()
                seen += [message.news] if message.HasField("news") else []
        return seen


async def follow(world: World, number: str, tenant: str = "amber") -> None:
    """Follow a number of ZTO's."""
    key = pb.TrackKey(carrier="zto", waybill_number=number)
    await world.caller(tenant).SubscribeTracks(pb.SubscribeTracksRequest(keys=[key]))


async def known(world: World, number: str) -> pb.Track:
    """What the engine knows of it."""
    request = pb.GetTrackRequest(key=pb.TrackKey(carrier="zto", waybill_number=number))
    track: pb.Track = (await world.caller().GetTrack(request)).track
    return track


async def scan(world: World, number: str, action: str = "GOT", *, now: bool = True) -> None:
    """ZTO pushes a scan, of now or of last week."""
    time = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}" if now else "2026-11-01 10:00:00"
    pushed: dict[str, object] = {
        "billCode": number,
        "action": action,
        "actionTime": time,
        "desc": "快件已揽收",
        "city": "杭州市",
    }
    sent = trace_push("", pushed)
    answer = await world.http.post("/push/zto-main", content=sent.body, headers=dict(sent.headers))
    assert answer.status_code == 200


def told(news: list[pb.TrackNews]) -> list[tuple[str, bool]]:
    """Rule, and whether it is over."""
    return sorted((one.alert.rule, one.alert.HasField("resolved_time")) for one in news)


async def test_a_parcel_that_stands_still_is_told_and_shown_with_its_evidence(world: World) -> None:
    """Watchers hear it without an event, the track shows it open, the status does not move."""
    number = "75400000910001"
    await follow(world, number)
    watcher = Watcher(world, number)
    news = await watcher.take(2)
    watcher.call.cancel()
    track = await known(world, number)

    [alert] = [one.alert for one in news if one.alert.rule == "nobody came"]
    assert not any(one.HasField("event") or one.status_changed for one in news)
    assert alert in track.alerts
    assert (alert.reason, alert.evidence["since"], alert.evidence["status"]) == (
        "call the depot",
        "booked",
        "NOTHING_KNOWN",
    )
    waited = alert.raised_time.ToDatetime(UTC) - datetime.fromisoformat(alert.evidence["since_time"])
    assert 0.2 <= waited.total_seconds() < 5.0
    assert track.status == track_status_pb2.TRACK_STATUS_UNSPECIFIED


async def test_a_rule_that_cannot_be_evaluated_raises_and_says_so(world: World) -> None:
    """A mistake in a condition is seen on the first parcel, not on the last."""
    number = "75400000910002"
    await follow(world, number)
    watcher = Watcher(world, number)
    news = await watcher.take(2)
    watcher.call.cancel()

    [alert] = [one.alert for one in news if one.alert.rule == "broken"]
    assert alert.evidence["rule_failed"] == "divide by zero"
    assert "could not be evaluated" in alert.reason


async def test_a_scan_ends_the_alerts_it_answers(world: World) -> None:
    """They are told as over, with the reason, and are off the track; a scan of long ago raises its own at once."""
    number = "75400000910003"
    await follow(world, number)
    watcher = Watcher(world, number)
    await watcher.take(2)
    await scan(world, number, now=False)
    over = await watcher.take(3)
    await scan(world, number, "DEPARTURE")
    last = await watcher.take(1)
    watcher.call.cancel()
    track = await known(world, number)

    assert told(over) == [("broken", True), ("no scan", False), ("nobody came", True)]
    assert {one.alert.evidence["resolved_by"] for one in over if one.alert.HasField("resolved_time")} == {"MOVED_ON"}
    assert told(last) == [("no scan", True)]
    assert (list(track.alerts), track.status) == ([], track_status_pb2.TRACK_STATUS_IN_TRANSIT)


async def test_alerts_pass_every_other_filter_but_changes_and_milestones(world: World) -> None:
    """By carrier and status they are news like any other."""
    number = "75400000910004"
    await follow(world, number)
    watcher = Watcher(world, number)
    await watcher.take(2)
    await scan(world, number)
    await watcher.take(2)
    watcher.call.cancel()

    heard = []
    for wanted in ({"carriers": ["zto"]}, {"statuses": [track_status_pb2.TRACK_STATUS_PICKED_UP]}):
        narrow = Watcher(world, number, alerts_only=False, **wanted)
        heard.append((await narrow.take(1))[0].HasField("alert"))
        narrow.call.cancel()
    changes = Watcher(world, number, alerts_only=False, status_changes_only=True)
    [first] = await changes.take(1)
    changes.call.cancel()
    events = Watcher(world, number, alerts_only=False, milestones=[track_status_pb2.MILESTONE_COLLECTED])
    [collected] = await events.take(1)
    events.call.cancel()

    assert heard == [True, False]  # of the parcel when it was picked up, the event comes first
    assert (first.HasField("event"), collected.HasField("event")) == (True, True)


async def test_an_order_shows_the_alerts_of_its_parcel(world: World) -> None:
    """Asked by order: what was booked here is watched without being asked."""
    placed = await booked(world.caller(), "stalls-order", routing=only("zto"))
    watcher = Watcher(world, placed.booking.waybill_number)
    news = await watcher.take(2)
    watcher.call.cancel()
    answer = await world.caller().GetTrack(pb.GetTrackRequest(order_id=placed.order_id))

    assert {one.order_id for one in news} == {placed.order_id}
    assert sorted(alert.rule for alert in answer.track.alerts) == ["broken", "nobody came"]


async def test_the_next_tenant_hears_nothing_of_it(world: World) -> None:
    """Alerts are a tenant's own, as its parcels are."""
    await follow(world, "75400000910005")
    await follow(world, "75400000910006", "birch")
    theirs = Watcher(world, tenant="birch")
    news = await theirs.take(2)
    theirs.call.cancel()

    assert {one.waybill_number for one in news} == {"75400000910006"}


async def test_operations_count_what_stands_still(world: World) -> None:
    """By rule and carrier as alerts come and go; every rule has its gauge, broken or not."""
    number = "75400000910007"
    before = await world.engine.parts.store.count_stalled()
    await follow(world, number)
    watcher = Watcher(world, number)
    await watcher.take(2)
    watcher.call.cancel()
    text = (await world.http.get("/metrics")).text

    assert (await world.engine.parts.store.count_stalled())["broken"] == before.get("broken", 0) + 1
    assert 'crossdock_stall_alerts_total{carrier="zto",change="RAISED",rule="nobody came"}' in text
    assert 'crossdock_stalled_parcels{rule="no scan"} ' in text


async def test_a_restart_tells_nothing_twice_and_applies_rules_that_changed(tmp_path: Path) -> None:
    """The next engine says nothing of what was told; one with other rules closes what they do not know."""
    log: list[list[tuple[str, str, str]]] = []
    for number, rules, count in (
        ("75400000910011", RULES[:1], 1),
        ("75400000910012", RULES[:1], 2),
        ("", RULES[1:2], 6),
    ):
        async with running_world(tmp_path, settings={"stall_rule": rules}) as world:
            world.hold_back(86_400.0)
            if number:
                await follow(world, number)
            watcher = Watcher(world)
            news = await watcher.take(count)
            watcher.call.cancel()
        log.append([(one.waybill_number, one.alert.rule, one.alert.evidence.get("resolved_by", "")) for one in news])

    first, second = ("75400000910011", "nobody came", ""), ("75400000910012", "nobody came", "")
    assert log[:2] == [[first], [first, second]]
    assert log[2][:2] == [first, second]
    assert sorted(log[2][2:]) == [
        (number, rule, why)
        for number in ("75400000910011", "75400000910012")
        for rule, why in (("broken", ""), ("nobody came", "RULE_GONE"))
    ]
