"""Parcels to which nothing happens are found and told once; what happens to them ends their alerts by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from crossdock_sdk.limits import Limit
from crossdock_sdk.tracking import Place, TrackEvent
from engine.core.policy.stalls import Judgement, Since, StallFacts, StallRule
from engine.core.policy.track_records import StallAlert, TrackRecord
from engine.core.stalling import AT_ONCE, LEASE_S, RULES_KEY
from engine.core.tracks import TrackKey
from engine.store.port import Stale, StoreError
from tests.fakes.carrier import ALL, CODES, manifest, unreachable
from tests.fakes.house import OTHER_TENANT, TENANT, House, house

pytestmark = pytest.mark.anyio

ALPHA = manifest("alpha", (*ALL, "track"), limits={"track": Limit(batch=10, min_interval_s=60.0)})
MUTE = manifest("mute")
NUMBER = "A000000001"
DAY_S = 86_400.0


class NotInLhasa:
    """A judge that looks at the city."""

    def judge(self, rule: StallRule, facts: StallFacts) -> Judgement:
        """See Judge."""
        return Judgement(facts.city != "拉萨")


async def days(scene: House, count: float) -> None:
    """So much later; the loop gets its turns."""
    scene.clock.jump(count * DAY_S)
    await scene.pass_time(2.0)


async def restart(scene: House) -> None:
    """The process dies, and another one starts and checks."""
    await scene.crash()
    await scene.start()
    scene.watch_stalls()
    await scene.pass_time(2.0)


async def told(scene: House, tenant: str = TENANT) -> list[tuple[str, bool]]:
    """What watchers heard of alerts: rule, and whether it is over."""
    news = [one.news.alert for one in await scene.news(tenant)]
    return [(alert.rule, alert.resolved_time is not None) for alert in news if alert]


async def stored(scene: House, number: str = NUMBER, carrier: str = "alpha") -> TrackRecord:
    """The track as the store has it; the carrier is not asked."""
    found = await scene.store.find_track(TENANT, carrier, number)
    assert found is not None
    return found.track


async def followed(scene: House, *numbers: str) -> None:
    """Numbers that are followed from now on."""
    for number in numbers:
        await scene.tracks.follow(TENANT, TrackKey("alpha", number))


async def pushed(scene: House, code: str, city: str = "", when: datetime | None = None) -> None:
    """The carrier pushes a scan."""
    time = when or scene.clock.now()
    event = TrackEvent(NUMBER, time, code, f"{code} at {time:%d %H:%M:%S}", CODES[code], place=Place(city))
    await scene.tracks.ingest_push(scene.accounts["alpha-1"], [event])


async def test_a_booked_parcel_nobody_collects_is_told_once() -> None:
    """A day after the booking and not before, on its track, to watchers and to the metrics; then there is silence."""
    async with house(MUTE) as scene:
        scene.watch_stalls()
        created = await scene.create()
        await days(scene, 0.99)
        early = await told(scene)
        await days(scene, 0.02)
        assert created.order.order.booking is not None
        track = await stored(scene, created.order.order.booking.waybill_number, "mute")
        await days(scene, 30)
        news = [one.news for one in await scene.news()]

    assert early == []
    [alert] = track.alerts
    assert (alert.rule, alert.evidence["status"], track.next_check_time) == ("not-collected", "NOTHING_KNOWN", None)
    assert [(one.alert, one.event, one.order_id) for one in news] == [(alert, None, created.order.order.order_id)]
    assert scene.heard.alerts == ["mute not-collected RAISED"]


async def test_an_alert_comes_at_its_moment() -> None:
    """Within two turns of the loop, however long nothing was due before."""
    async with house(ALPHA) as scene:
        scene.stall_rules = [StallRule("soon", Since.BOOKED, 0.1)]
        await restart(scene)
        await followed(scene, NUMBER)
        begun = scene.clock.now()
        await scene.pass_time(365.0)
        [alert] = (await stored(scene)).alerts

    assert timedelta(0) <= alert.raised_time - (begun + timedelta(minutes=6)) <= timedelta(seconds=2)


async def test_a_scan_resolves_the_alert_in_the_step_that_keeps_it() -> None:
    """Watchers hear the event, then that the alert is over, and the next check is planned."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        await days(scene, 1.1)
        commits = scene.store.track_commits
        await pushed(scene, "got")
        track = await stored(scene)
        news = [one.news for one in await scene.news()]

    assert scene.store.track_commits == commits + 1
    assert (track.alerts, track.next_check_time) == ((), scene.clock.now() + timedelta(hours=48))
    assert [(bool(one.event), bool(one.alert)) for one in news] == [(False, True), (True, False), (False, True)]
    assert scene.heard.alerts == ["alpha not-collected RAISED", "alpha not-collected RESOLVED"]


async def test_a_parcel_that_stalls_again_is_told_again() -> None:
    """Collected late, then lost on its way, then found and delivered."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        await days(scene, 1.1)
        await pushed(scene, "got")
        await days(scene, 2.1)
        await pushed(scene, "moved")
        await days(scene, 2.1)
        await pushed(scene, "signed")
        await days(scene, 30)

    assert await told(scene) == [
        ("not-collected", False),
        ("not-collected", True),
        ("no-movement", False),
        ("no-movement", True),
        ("no-movement", False),
        ("no-movement", True),
    ]


async def test_a_restart_tells_nothing_twice() -> None:
    """Neither when the alert was raised before the crash, nor when its time came while nobody was there."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        await days(scene, 1.1)
        await restart(scene)
        await restart(scene)
        await followed(scene, "A2")
        await scene.crash()
        scene.clock.jump(1.1 * DAY_S)
        await scene.start()
        scene.watch_stalls()
        await scene.pass_time(2.0)
        await restart(scene)

    assert await told(scene) == [("not-collected", False)] * 2
    assert scene.heard.alerts == ["alpha not-collected RAISED"] * 2


async def test_a_check_that_could_not_be_written_is_made_again() -> None:
    """It is reported, and due again after its lease; the alert is told once."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        scene.store.track_faults.append(StoreError("the disk is full"))
        await days(scene, 1.1)
        first = await told(scene)
        await scene.pass_time(LEASE_S + 1.0)

    assert (first, await told(scene)) == ([], [("not-collected", False)])
    assert (scene.troubles, scene.heard.alerts) == (["StoreError"], ["alpha not-collected RAISED"])


async def test_a_check_that_lost_against_an_event_changes_nothing() -> None:
    """Who wrote meanwhile has judged the track: nothing is told, nobody is troubled."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        scene.store.track_faults.append(Stale("somebody was faster"))
        await days(scene, 1.1)

    assert (await told(scene), scene.heard.alerts, scene.troubles) == ([], [], [])


async def test_a_store_that_fails_for_a_while_ends_no_checks() -> None:
    """The loop reports, waits and goes on."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        await days(scene, 1.1 - 3 / DAY_S)
        scene.store.check_faults += [StoreError("the disk is full")] * 2
        await scene.pass_time(5.0)

    assert (await told(scene), scene.troubles) == ([("not-collected", False)], ["StoreError"] * 2)


async def test_what_comes_due_at_once_is_worked_off_in_portions() -> None:
    """A bounded number a turn, all of it soon, each once."""
    count = 3 * AT_ONCE + 5
    async with house(ALPHA) as scene:
        await followed(scene, *[f"A{n}" for n in range(count)])
        scene.clock.jump(1.1 * DAY_S)
        scene.watch_stalls()
        await scene.pass_time(0.05)
        first = len(await told(scene))
        await scene.pass_time(2.0)
        everything = await told(scene)

    assert (first, len(everything)) == (AT_ONCE, count)
    assert await scene.store.count_stalled() == {"not-collected": count}


async def test_who_follows_no_more_is_told_that_it_is_over() -> None:
    """An alert nobody can act on is closed, and no check is left."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        await days(scene, 1.1)
        await scene.tracks.unfollow(TENANT, TrackKey("alpha", NUMBER))
        track = await stored(scene)

    assert await told(scene) == [("not-collected", False), ("not-collected", True)]
    assert (track.alerts, track.next_check_time, track.retired) == ((), None, True)


async def test_an_alert_of_what_was_cancelled_is_over() -> None:
    """Its parcel will never move; no check is left."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        created = await scene.create()
        await scene.pass_time(1.0)
        assert created.order.order.booking is not None
        number = created.order.order.booking.waybill_number
        await days(scene, 1.1)
        await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=5.0))
        await scene.pass_time(1.0)
        track = await stored(scene, number)

    assert await told(scene) == [("not-collected", False), ("not-collected", True)]
    assert (track.alerts, track.next_check_time, track.retired) == ((), None, True)


async def test_a_parcel_that_is_given_up_has_no_alert_left() -> None:
    """Its carrier answers nothing any more; after months nobody asks, and nobody waits."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        scene.follow()
        scene.network.always("alpha", "track", unreachable())
        await followed(scene, NUMBER)
        await days(scene, 1.1)
        await days(scene, 90)
        track = await stored(scene)

    assert await told(scene) == [("not-collected", False), ("not-collected", True)]
    assert (track.alerts, track.retired) == ((), True)


async def test_rules_that_changed_are_applied_to_what_is_followed() -> None:
    """At the next start: a stricter rule finds at once what the old one would have found later; a gone one is over."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        await days(scene, 0.5)
        before = await told(scene)
        scene.stall_rules = [StallRule("half a day", Since.BOOKED, 6.0)]
        await restart(scene)
        stricter = await told(scene)
        scene.stall_rules = []
        await restart(scene)

    assert (before, stricter) == ([], [("half a day", False)])
    assert await told(scene) == [("half a day", False), ("half a day", True)]


async def test_rules_as_they_were_make_nobody_due() -> None:
    """A restart costs no check of everything."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        await followed(scene, NUMBER)
        await days(scene, 0.1)
        before = await stored(scene)
        await restart(scene)

    assert await stored(scene) == before
    assert await scene.store.get_state(RULES_KEY)


async def test_conditions_see_the_newest_events_place() -> None:
    """In the step that brings the event, and when the time has come."""
    rule = StallRule("slow", Since.LAST_EVENT, 24.0, when="city")
    async with house(ALPHA) as scene:
        scene.stall_rules, scene.judge = [rule], NotInLhasa()
        await restart(scene)
        await followed(scene, NUMBER)
        await pushed(scene, "got", "拉萨")
        await days(scene, 1.1)
        in_lhasa = await told(scene)
        await pushed(scene, "moved", "成都", scene.clock.now() - timedelta(days=1))
        raised = await told(scene)
        await pushed(scene, "moved", "拉萨", scene.clock.now() - timedelta(hours=23.99))
        await days(scene, 1.1)

    assert (in_lhasa, raised) == ([], [("slow", False)])
    assert await told(scene) == [("slow", False), ("slow", True)]


async def test_tenants_hear_of_their_own_parcels() -> None:
    """A shared number stalls for both, each on its own track."""
    async with house(ALPHA) as scene:
        scene.watch_stalls()
        for tenant in (TENANT, OTHER_TENANT):
            await scene.tracks.follow(tenant, TrackKey("alpha", NUMBER))
        await days(scene, 1.1)
        mine, theirs = [await scene.news(tenant) for tenant in (TENANT, OTHER_TENANT)]

    assert len({one.news.track_id for one in (*mine, *theirs)}) == len(mine) + len(theirs) == 2
    assert isinstance(mine[0].news.alert, StallAlert)
