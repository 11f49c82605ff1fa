"""Asking for parcels: fresh enough or asked for, one question for many, and one event however often it is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import permutations

import pytest

from crossdock_sdk import ErrorClass
from crossdock_sdk.limits import Limit
from crossdock_sdk.tracking import TrackStatus
from engine.core.errors import TrackNotFound
from engine.core.policy.track_records import LoadedTrack, TrackRecord, TrackSource
from engine.core.tracks import TrackKey
from engine.store.port import Stale
from tests.fakes.carrier import ALL, manifest, refuse, silent, unreachable
from tests.fakes.house import OTHER_TENANT, TENANT, House, house
from tests.fakes.ledger import Ledger

pytestmark = pytest.mark.anyio

ALPHA = manifest("alpha", (*ALL, "track"), limits={"track": Limit(batch=10, min_interval_s=60.0)})
MUTE = manifest("mute")
NUMBER = "A000000001"


def scan(scene: House, code: str, *, number: str = NUMBER, minutes_ago: int = 0) -> dict[str, str]:
    """The parcel is scanned."""
    ledger: Ledger = scene.network.ledgers["alpha"]
    return ledger.scan(number, scene.clock.now() - timedelta(minutes=minutes_ago), code)


def codes(loaded: LoadedTrack) -> list[str]:
    """The codes of a track's events, in its order."""
    return [kept.event.code for kept in loaded.events]


def polls(scene: House) -> int:
    """How often the carrier was asked."""
    return scene.network.count("alpha", "track")


async def at_once(scene: House, numbers: list[str], tenants: tuple[str, ...] = (TENANT,)) -> list[LoadedTrack]:
    """Everybody asks for everything in one moment, and wants it fresh."""
    keys = [(tenant, TrackKey("alpha", number)) for tenant in tenants for number in numbers]
    asked = [scene.tracks.get(tenant, key, max_age_s=0.0, deadline_s=30.0) for tenant, key in keys]

    async def answers() -> list[LoadedTrack]:
        return await asyncio.gather(*asked)

    return await scene.run(answers())


async def test_a_number_nobody_follows_is_asked_for_at_once() -> None:
    """Also without a wish for freshness: nothing is known that could be told instead."""
    async with house(ALPHA) as scene:
        scan(scene, "got")
        found = await scene.track(NUMBER)

    assert (found.track.status, codes(found), polls(scene)) == (TrackStatus.PICKED_UP, ["got"], 1)
    assert (found.track.source, found.track.observed_time) == (TrackSource.POLL, scene.clock.now())
    assert scene.heard.polls == ["alpha ANSWERED"]


@pytest.mark.parametrize(
    ("carrier", "why"),
    [("mute", "mute cannot be asked about parcels"), ("nobody", "no account of carrier nobody; known: alpha, mute")],
)
async def test_a_number_whose_carrier_cannot_be_asked_is_not_found(carrier: str, why: str) -> None:
    """Asked about, subscribed or ended, the error says that it is for the carrier, and which ones there are."""
    key = TrackKey(carrier, NUMBER)
    async with house(ALPHA, MUTE) as scene:
        for act in (scene.track(NUMBER, carrier=carrier), scene.tracks.follow(TENANT, key)):
            with pytest.raises(TrackNotFound, match=why) as refusal:
                await act
            assert (refusal.value.key, refusal.value.field) == (NUMBER, "key.carrier")
        with pytest.raises(TrackNotFound, match=why):
            await scene.tracks.unfollow(TENANT, key)


async def test_a_carrier_that_knows_nothing_yet_leaves_a_track_without_events() -> None:
    """It was heard, and said nothing: that is fresh knowledge too."""
    async with house(ALPHA) as scene:
        found = await scene.track(NUMBER)

    assert (found.events, found.track.status) == ((), None)
    assert found.track.observed_time is not None
    assert scene.heard.polls == ["alpha EMPTY"]


@pytest.mark.parametrize(("max_age_s", "asked"), [(None, 1), (60.0, 1), (59.0, 2), (0.0, 2)])
async def test_only_what_is_too_old_is_asked_for_again(max_age_s: float | None, asked: int) -> None:
    """A minute later: whatever is known or a minute old asks nobody, less asks."""
    async with house(ALPHA) as scene:
        await scene.track(NUMBER)
        await scene.pass_time(60.0)
        await scene.track(NUMBER, max_age_s=max_age_s)

    assert polls(scene) == asked


@pytest.mark.parametrize("fault", [silent(), unreachable(), refuse(ErrorClass.TEMPORARY)])
async def test_a_carrier_that_does_not_answer_costs_freshness_only(fault: object) -> None:
    """What was known is told, with the time it was learnt."""
    async with house(ALPHA) as scene:
        scan(scene, "got")
        known = await scene.track(NUMBER)
        await scene.pass_time(100.0)
        scene.network.always("alpha", "track", fault)  # type: ignore[arg-type]  # parametrised
        found = await scene.track(NUMBER, max_age_s=0.0)

    assert (codes(found), found.track.observed_time) == (["got"], known.track.observed_time)
    assert found.track.next_poll_time is not None
    assert found.track.next_poll_time > scene.clock.now()


async def test_two_hundred_equal_questions_are_one_call() -> None:
    """They wait for the same answer and find it written down; the store is not asked again and again."""
    async with house(ALPHA) as scene:
        scan(scene, "got")
        await scene.track(NUMBER)
        await scene.pass_time(61.0)
        scan(scene, "moved")
        commits = scene.store.track_commits
        found = await at_once(scene, [NUMBER] * 200)

    assert polls(scene) == 2
    assert {tuple(codes(each)) for each in found} == {("got", "moved")}
    assert [n.sequence for n in await scene.news()] == [1, 2]
    assert scene.store.track_commits - commits == 1


async def test_a_carrier_is_not_asked_again_before_its_least_interval_is_over() -> None:
    """A crowd comes in drops: what it said less than its minute ago is the answer, then it is asked again."""
    async with house(ALPHA) as scene:
        await scene.track(NUMBER)
        await scene.track(NUMBER, max_age_s=0.0)
        at_once_asked = polls(scene)
        await scene.pass_time(61.0)
        await scene.track(NUMBER, max_age_s=0.0)

    assert (at_once_asked, polls(scene)) == (1, 2)


async def test_who_waits_for_anothers_question_asks_when_that_one_goes_away() -> None:
    """A caller that hangs up takes nobody's answer with it."""
    async with house(ALPHA) as scene:
        scan(scene, "got")
        known = await scene.track(NUMBER)
        await scene.pass_time(61.0)
        scan(scene, "moved")
        ask = [scene.tracks.get(TENANT, TrackKey("alpha", NUMBER), max_age_s=0.0, deadline_s=30.0) for _ in range(2)]

        async def answers() -> LoadedTrack:
            first, second = [asyncio.create_task(each) for each in ask]
            await asyncio.sleep(0)
            first.cancel()
            return await second

        found = await scene.run(answers())

    assert codes(known) == ["got"]
    assert codes(found) == ["got", "moved"]


@pytest.mark.parametrize("fault", [silent(), unreachable(), refuse(ErrorClass.TEMPORARY)])
async def test_failures_of_questions_by_hand_put_the_planned_one_off_no_further(fault: object) -> None:
    """Else a crowd, or a page that is looked at while the carrier is away, would do so for hours."""
    async with house(ALPHA) as scene:
        before = await scene.track(NUMBER)
        await scene.pass_time(61.0)
        scene.network.always("alpha", "track", fault)  # type: ignore[arg-type]  # parametrised
        for _ in range(9):
            await at_once(scene, [NUMBER] * 5)
            await scene.pass_time(61.0)
        after = await scene.store.find_track(TENANT, "alpha", NUMBER)

    assert after is not None
    assert (after.track.failed_polls, after.track.next_poll_time) == (0, before.track.next_poll_time)


@pytest.mark.parametrize("fault", [silent(), None])
async def test_the_carriers_least_interval_holds_also_after_a_lost_answer(fault: object) -> None:
    """And of a parcel that was let go as of any other."""
    async with house(ALPHA) as scene:
        scan(scene, "signed")
        await scene.track(NUMBER)
        await scene.run(scene.tracks.unfollow(TENANT, TrackKey("alpha", NUMBER)))
        await scene.pass_time(61.0)
        if fault is not None:
            scene.network.always("alpha", "track", fault)  # type: ignore[arg-type]  # parametrised
        before = polls(scene)
        for _ in range(3):
            await scene.track(NUMBER, max_age_s=0.0)
            await scene.pass_time(2.0)
        soon = polls(scene) - before
        await scene.pass_time(61.0)
        await scene.track(NUMBER, max_age_s=0.0)

    assert (soon, polls(scene) - before) == (1, 2)


async def test_fifty_numbers_travel_in_batches_of_ten() -> None:
    """As many numbers a call as the manifest allows, each with its own answer."""
    numbers = [f"A{n:09d}" for n in range(50)]
    async with house(ALPHA) as scene:
        for number in numbers:
            scan(scene, "got", number=number)
        found = await at_once(scene, numbers)

    assert polls(scene) <= 5
    assert [[kept.event.waybill_number for kept in each.events] for each in found] == [[n] for n in numbers]


async def test_tenants_who_follow_one_number_are_kept_apart() -> None:
    """Each has a track of its own and hears its own news; a question of both at once is one call."""
    async with house(ALPHA) as scene:
        scan(scene, "got")
        mine, theirs = await at_once(scene, [NUMBER], (TENANT, OTHER_TENANT))
        news = [await scene.news(tenant) for tenant in (TENANT, OTHER_TENANT)]
        foreign = await scene.store.get_track(OTHER_TENANT, mine.track.track_id)

    assert polls(scene) == 1
    assert mine.track.track_id != theirs.track.track_id
    assert [[n.news.track_id for n in heard] for heard in news] == [[mine.track.track_id], [theirs.track.track_id]]
    assert foreign is None


async def test_an_unknown_code_keeps_the_last_status_and_is_counted() -> None:
    """The event is kept and told; nothing is guessed."""
    async with house(ALPHA) as scene:
        scan(scene, "got", minutes_ago=2)
        scan(scene, "beamed-up", minutes_ago=1)
        found = await scene.track(NUMBER)
        [_, told] = await scene.news()

    assert (found.track.status, found.track.unknown_count) == (TrackStatus.PICKED_UP, 1)
    assert (told.news.event and told.news.event.code, told.news.status_changed) == ("beamed-up", False)
    assert scene.heard.kept == [("POLL", 2, 1)]


async def test_what_is_asked_again_is_kept_once() -> None:
    """A query shows all events each time; only new ones are kept and told."""
    async with house(ALPHA) as scene:
        scan(scene, "got")
        await scene.track(NUMBER)
        await scene.pass_time(61.0)
        scan(scene, "moved")
        found = await scene.track(NUMBER, max_age_s=0.0)
        await scene.pass_time(61.0)
        again = await scene.track(NUMBER, max_age_s=0.0)

    assert codes(again) == codes(found) == ["got", "moved"]
    assert [n.news.event and n.news.event.code for n in await scene.news()] == ["got", "moved"]


async def test_a_write_that_came_too_late_is_made_again() -> None:
    """Another writer was faster: the answer is absorbed into what stands there now."""
    async with house(ALPHA) as scene:
        scan(scene, "got")
        scene.store.track_faults.append(Stale("somebody was faster"))
        found = await scene.track(NUMBER)

    assert codes(found) == ["got"]


async def test_events_arrive_in_any_order_and_end_the_same() -> None:
    """Every order of three answers leads to one story."""
    stories = set()
    for order in permutations(range(3)):
        async with house(ALPHA) as scene:
            rows = [scan(scene, code, minutes_ago=9 - n) for n, code in enumerate(("got", "out", "signed"))]
            shown = scene.network.ledgers["alpha"].scans[NUMBER]
            for end in range(1, 4):
                shown[:] = [rows[n] for n in order[:end]]
                await scene.track(NUMBER, max_age_s=0.0)
                await scene.pass_time(61.0)
            found = await scene.track(NUMBER)
            stories.add((found.track.status, found.track.status_time, tuple(codes(found))))

    assert len(stories) == 1
    assert next(iter(stories))[2] == ("got", "out", "signed")


async def test_a_crowd_that_asks_about_a_new_number_writes_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand such writes would fill the store's queue. Whoever goes away first takes nobody's answer along."""
    async with house(ALPHA) as scene:
        opened: list[str] = []
        real, go_on = scene.store.open_track, asyncio.Event()

        async def slow(track: TrackRecord) -> TrackRecord:
            opened.append(track.waybill_number)
            await go_on.wait()
            return await real(track)

        monkeypatch.setattr(scene.store, "open_track", slow)
        crowd = [asyncio.create_task(scene.tracks.follow(TENANT, TrackKey("alpha", NUMBER))) for _ in range(20)]
        await scene.clock.settle()
        crowd[0].cancel()
        await scene.clock.settle()
        go_on.set()
        first, *others = await asyncio.gather(*crowd, return_exceptions=True)
        again = await scene.tracks.follow(TENANT, TrackKey("alpha", NUMBER))

    assert opened == [NUMBER]
    assert isinstance(first, asyncio.CancelledError)
    assert {found.track.track_id for found in others if isinstance(found, LoadedTrack)} == {again.track.track_id}
    assert len(others) == 19


async def test_following_twice_is_one_following() -> None:
    """The second gets the track of the first."""
    async with house(ALPHA) as scene:
        first = await scene.tracks.follow(TENANT, TrackKey("alpha", NUMBER))
        second = await scene.tracks.follow(TENANT, TrackKey("alpha", NUMBER))

    assert first.track.track_id == second.track.track_id
    assert first.track.next_poll_time == scene.clock.now()


async def test_what_is_followed_no_more_is_kept_and_not_asked_for() -> None:
    """Its events are still told; the scheduler leaves it alone."""
    async with house(ALPHA) as scene:
        scan(scene, "got")
        await scene.track(NUMBER)
        await scene.tracks.unfollow(TENANT, TrackKey("alpha", NUMBER))
        scene.follow()
        scene.clock.jump(86_400.0)
        await scene.pass_time(61.0)
        found = await scene.track(NUMBER)

    assert (codes(found), found.track.retired, polls(scene)) == (["got"], True, 1)


async def test_what_was_booked_here_stays_followed() -> None:
    """Nobody asked for it to be followed, so nobody's wish ends it; also where somebody had subscribed it before."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        booking = created.order.order.booking
        assert booking is not None
        key = TrackKey("alpha", booking.waybill_number)
        await scene.tracks.follow(TENANT, key)
        ended = await scene.tracks.unfollow(TENANT, key)
        stored = await scene.store.get_track(TENANT, ended.track.track_id)

    assert ended == stored
    assert (ended.track.retired, ended.track.next_poll_time is None) == (False, False)


async def test_a_question_does_not_bring_back_what_was_let_go() -> None:
    """Somebody who looks once wants an answer, not to follow it again."""
    async with house(ALPHA) as scene:
        await scene.track(NUMBER)
        await scene.tracks.unfollow(TENANT, TrackKey("alpha", NUMBER))
        await scene.pass_time(61.0)
        scan(scene, "got")
        found = await scene.track(NUMBER, max_age_s=0.0)

    assert codes(found) == ["got"]
    assert (found.track.retired, found.track.next_poll_time) == (True, None)


async def test_what_nobody_follows_cannot_be_ended() -> None:
    """It is said so, to this tenant as to any."""
    async with house(ALPHA) as scene:
        await scene.tracks.follow(OTHER_TENANT, TrackKey("alpha", NUMBER))
        with pytest.raises(TrackNotFound):
            await scene.tracks.unfollow(TENANT, TrackKey("alpha", NUMBER))


async def test_a_number_followed_again_has_a_new_track() -> None:
    """Numbers are used again; ids are not."""
    async with house(ALPHA) as scene:
        first = await scene.tracks.follow(TENANT, TrackKey("alpha", NUMBER))
        await scene.tracks.unfollow(TENANT, TrackKey("alpha", NUMBER))
        await scene.pass_time(1.0)
        second = await scene.tracks.follow(TENANT, TrackKey("alpha", NUMBER))

    assert second.track.track_id != first.track.track_id
    assert not second.track.retired


def test_a_key_shows_no_phone() -> None:
    """The last digits of a phone are personal data."""
    shown = repr(TrackKey("alpha", NUMBER, "4321"))

    assert "4321" not in shown
