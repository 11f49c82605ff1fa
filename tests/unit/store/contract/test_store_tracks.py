"""Tracks and their events, for every backend: opening, finding, steps, claims."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from crossdock_sdk.tracking import Milestone, TrackStatus
from engine.core.policy.track_records import LoadedTrack, StallAlert, TrackSource
from engine.store.port import Stale, StoreError
from engine.store.track_port import TrackChange

pytestmark = pytest.mark.anyio


def full(track: Any, now: datetime) -> Any:
    """The track with every changing field set."""
    return msgspec.structs.replace(
        track,
        account_id="sf-other",
        order_id="o1",
        phone_tail="9999",
        status=TrackStatus.DELIVERED,
        milestone=Milestone.SIGNED_BY_AGENT,
        status_time=now,
        last_event_time=now + timedelta(microseconds=1),
        observed_time=now + timedelta(seconds=2),
        pushed_time=now + timedelta(seconds=3),
        source=TrackSource.POLL,
        event_count=5,
        unknown_count=1,
        failed_polls=2,
        final_polls=1,
        subscribed=True,
        polled_time=now + timedelta(seconds=4),
        next_poll_time=None,
        next_check_time=now + timedelta(seconds=4),
        alerts=(StallAlert("slow", "stands still", {"after_h": "48"}, now),),
        retired=True,
    )


async def test_opened_track_is_read_back(store: Any, make: Any) -> None:
    """A new track is what was given, without events."""
    track = make.track(order_id="o1")

    opened = await store.open_track(track)

    assert opened == track
    assert await store.get_track("acme", "t1") == LoadedTrack(track)


async def test_number_is_followed_once(store: Any, make: Any) -> None:
    """Opening a number that is followed gives the track that is there, as it is now."""
    track = await store.open_track(make.track())
    there = await store.commit_track(make.step(track, make.kept()))

    again = await store.open_track(make.track("t2", order_id="o2"))

    assert again == there
    assert await store.get_track("acme", "t2") is None


async def test_racing_openers_share_one_track(store: Any, make: Any) -> None:
    """Of many who open a number at once one creates it, and all get it."""
    opened = await asyncio.gather(*(store.open_track(make.track(f"t{i}")) for i in range(20)))

    assert len({track.track_id for track in opened}) == 1


@pytest.mark.parametrize("fields", [{"tenant": "other"}, {"carrier": "zto"}, {"waybill_number": "SF2"}])
async def test_other_numbers_have_tracks_of_their_own(store: Any, make: Any, fields: Any) -> None:
    """Tenant, carrier and number together are what is followed."""
    await store.open_track(make.track())

    opened = await store.open_track(make.track("t2", **fields))

    assert opened.track_id == "t2"


async def test_taken_track_id_is_refused(store: Any, make: Any) -> None:
    """Two tracks never share an id, not even between tenants."""
    await store.open_track(make.track())

    with pytest.raises(StoreError):
        await store.open_track(make.track(tenant="other"))

    assert await store.get_track("other", "t1") is None


async def test_number_used_again_gets_a_new_track(store: Any, make: Any) -> None:
    """After a track is retired its number starts a new life, and the newest is found."""
    old = await store.open_track(make.track())
    retired = await store.commit_track(TrackChange(msgspec.structs.replace(old, retired=True)))
    new = await store.open_track(make.track("t2", first_seen_time=make.now + timedelta(days=200)))

    found = await store.find_track("acme", "sf", "SF1")
    with pytest.raises(StoreError, match="clash"):
        await store.commit_track(TrackChange(msgspec.structs.replace(retired, retired=False)))

    assert found == LoadedTrack(new)
    assert (await store.get_track("acme", "t1")).track == retired


async def test_tenant_sees_its_own_tracks_only(store: Any, make: Any) -> None:
    """No read by tenant shows another's track."""
    await store.open_track(make.track(order_id="o1"))

    found = [
        await store.get_track("other", "t1"),
        await store.find_track("other", "sf", "SF1"),
        await store.track_of_order("other", "o1"),
    ]

    assert found == [None, None, None]


async def test_track_is_found_as_it_is_now(store: Any, make: Any) -> None:
    """However often a number was looked up, the next look sees what was committed or claimed in between."""
    track = await store.open_track(make.track(next_poll_time=make.now))
    seen = [await store.find_track("acme", "sf", "SF1")]
    track = await store.commit_track(make.step(track, make.kept(1)))
    seen.append(await store.find_track("acme", "sf", "SF1"))
    track = await store.commit_track(make.step(track, make.kept(2)))
    seen.append(await store.find_track("acme", "sf", "SF1"))
    await store.claim_due_tracks(make.now, limit=1, lease_s=60)
    seen.append(await store.find_track("acme", "sf", "SF1"))

    again = await store.find_track("acme", "sf", "SF1")

    assert [len(one.events) for one in seen] == [0, 1, 2, 2]
    assert [one.track.version for one in seen] == [0, 1, 2, 2]
    assert seen[3].track.next_poll_time == make.now + timedelta(seconds=60)
    assert again == seen[3] == await store.get_track("acme", "t1")


async def test_push_finds_the_number_of_every_tenant(store: Any, make: Any) -> None:
    """By carrier, account and number: the newest track of each tenant."""
    old = await store.open_track(make.track("t1"))
    await store.commit_track(TrackChange(msgspec.structs.replace(old, retired=True)))
    new = await store.open_track(make.track("t2", first_seen_time=make.now + timedelta(days=1)))
    await store.commit_track(make.step(new, make.kept(1), make.kept(2)))
    await store.open_track(make.track("t3", tenant="aaa"))
    await store.open_track(make.track("t4", tenant="zzz", account_id="sf-two"))

    found = await store.find_tracks_by_number("sf", "sf-main", "SF1")

    assert [(one.track_id, one.version) for one in found] == [("t3", 0), ("t2", 1)]
    assert await store.find_tracks_by_number("zto", "sf-main", "SF1") == []
    assert await store.find_tracks_by_number("sf", "sf-main", "SF2") == []


async def test_step_that_was_to_be_all_new_is_refused_whole(store: Any, make: Any) -> None:
    """Its track was worked out without the event that is held: nothing of it may be written, nothing told."""
    track = await store.commit_track(make.step(await store.open_track(make.track()), make.kept(1)))
    later = msgspec.structs.replace(track, event_count=9)
    step = msgspec.structs.replace(make.step(later, make.kept(2), make.kept(1)), all_new=True)

    with pytest.raises(Stale, match="holds one of the events"):
        await store.commit_track(step)

    loaded = await store.get_track("acme", "t1")
    assert loaded.track == track
    assert [one.event.time for one in loaded.events] == [make.now + timedelta(hours=1)]
    assert await store.last_news_sequence() == 1
    await store.commit_track(msgspec.structs.replace(make.step(track, make.kept(2)), all_new=True))
    assert await store.last_news_sequence() == 2


async def test_track_of_an_order_is_its_newest(store: Any, make: Any) -> None:
    """An order that changed its carrier has the later waybill's track; no order has none."""
    await store.open_track(make.track("t2", order_id="o1"))
    await store.open_track(
        make.track("t1", order_id="o1", carrier="zto", first_seen_time=make.now + timedelta(seconds=1))
    )
    await store.open_track(make.track("t3", waybill_number="SF3"))

    found = await store.track_of_order("acme", "o1")

    assert found.track.track_id == "t1"
    assert await store.track_of_order("acme", "o2") is None
    assert await store.track_of_order("acme", "") is None


async def test_steps_of_many_tracks_at_once_are_each_written(store: Any, make: Any) -> None:
    """Whatever each changes and however many events it brings: every track is read back as its own step left it."""
    tracks = [await store.open_track(make.track(f"t{i:02}", waybill_number=f"SF{i}")) for i in range(70)]
    changed = [full(track, make.now) if i % 4 == 0 else track for i, track in enumerate(tracks)]
    wanted = []
    for hours in ([1], [3, 2], []):
        events = [tuple(make.kept(hour) for hour in hours[: i % 3]) for i in range(len(changed))]
        steps = [make.step(track, *new) for track, new in zip(changed, events, strict=True)]
        wanted.append(events)
        changed = await asyncio.gather(*(store.commit_track(step) for step in steps))

    read = [await store.get_track("acme", track.track_id) for track in changed]

    assert [loaded.track for loaded in read] == changed
    for loaded, first, second in zip(read, *wanted[:2], strict=True):
        assert loaded.events == tuple(sorted((*first, *second), key=lambda kept: kept.event.time))


async def test_step_is_read_back_with_a_new_version(store: Any, make: Any) -> None:
    """A commit returns and stores the track one version on, and every changing field survives."""
    track = await store.open_track(make.track())
    changed = full(track, make.now)

    written = await store.commit_track(TrackChange(changed, (make.kept(),)))
    read = await store.get_track("acme", "t1")

    assert written == msgspec.structs.replace(changed, version=1)
    assert read == LoadedTrack(written, (make.kept(),))


async def test_what_is_followed_never_changes(store: Any, make: Any) -> None:
    """A step cannot move a track to another number or another beginning."""
    track = await store.open_track(make.track())
    moved = msgspec.structs.replace(
        track, carrier="zto", waybill_number="SF9", first_seen_time=make.now + timedelta(days=1)
    )

    await store.commit_track(TrackChange(moved))

    assert (await store.get_track("acme", "t1")).track == msgspec.structs.replace(track, version=1)
    assert await store.find_track("acme", "zto", "SF9") is None


async def test_events_come_in_carrier_time_then_arrival(store: Any, make: Any) -> None:
    """Whenever they arrived, events are read in the order in which they happened."""
    track = await store.open_track(make.track())
    for kept in (make.kept(5), make.kept(1), make.kept(5, "late", text="x"), make.kept(3)):
        track = await store.commit_track(make.step(track, kept))

    read = await store.get_track("acme", "t1")

    assert [kept.fingerprint for kept in read.events] == [b"1", b"3", b"5", b"late"]


async def test_old_version_is_stale_and_changes_nothing(store: Any, make: Any) -> None:
    """A step from an outdated reading is refused whole: track, events and news."""
    track = await store.open_track(make.track())
    await store.commit_track(make.step(track, make.kept(1)))

    with pytest.raises(Stale, match="t1 is at version 1, not 0"):
        await store.commit_track(make.step(full(track, make.now), make.kept(2)))

    read = await store.get_track("acme", "t1")
    assert (read.track.status, len(read.events)) == (None, 1)
    assert await store.last_news_sequence() == 1


async def test_racing_steps_from_one_reading_let_one_win(store: Any, make: Any) -> None:
    """A push and a poll that absorb into the same reading cannot both be written."""
    track = await store.open_track(make.track())

    results = await asyncio.gather(
        *(store.commit_track(make.step(track, make.kept(i))) for i in range(10)), return_exceptions=True
    )

    assert sum(isinstance(one, Stale) for one in results) == 9
    assert len((await store.get_track("acme", "t1")).events) == 1


@pytest.mark.parametrize("fields", [{"tenant": "other"}, {"track_id": "t9"}])
async def test_unknown_track_cannot_be_stepped(store: Any, make: Any, fields: Any) -> None:
    """A tenant cannot write a track it does not have."""
    track = await store.open_track(make.track())

    with pytest.raises(Stale, match="not in the store for its tenant"):
        await store.commit_track(TrackChange(msgspec.structs.replace(track, **fields)))


async def test_repeat_is_dropped_with_its_news(store: Any, make: Any) -> None:
    """An event the track holds already is neither kept nor told twice; what came with it is."""
    track = await store.open_track(make.track())
    track = await store.commit_track(make.step(track, make.kept(1)))
    await store.open_track(make.track("t2", waybill_number="SF2"))

    await store.commit_track(make.step(track, make.kept(1, text="in other words"), make.kept(2)))
    other = await store.get_track("acme", "t2")
    await store.commit_track(make.step(other.track, make.kept(1)))
    news = await store.news_after("acme", 0, limit=10)

    assert (await store.get_track("acme", "t1")).events == (make.kept(1), make.kept(2))
    assert [(one.sequence, one.news.track_id, one.news.event) for one in news] == [
        (1, "t1", make.kept(1).event),
        (2, "t1", make.kept(2).event),
        (3, "t2", make.kept(1).event),
    ]


async def test_step_of_mixed_parts_is_refused(store: Any, make: Any) -> None:
    """News without its event, of another track, or one fingerprint twice: nothing is written."""
    track = await store.open_track(make.track())
    kept, other = make.kept(1), make.track("t2")
    mixed = [
        TrackChange(track, (), (make.news(track, kept),)),
        TrackChange(track, (kept,), (make.news(other, kept),)),
        TrackChange(track, (), (make.news(track, kept, event=None),)),
        TrackChange(track, (kept,), (make.news(track, kept, alert=make.alert()),)),
        TrackChange(track, (), (make.alert_news(track),)),
        TrackChange(
            msgspec.structs.replace(track, alerts=(make.alert(),)),
            (),
            (make.alert_news(track, resolved_time=make.now),),
        ),
        TrackChange(track, (kept,), (make.news(track, kept, received_time=datetime(2026, 11, 11)),)),
        make.step(track, kept, make.kept(2, "1")),
    ]

    for change in mixed:
        with pytest.raises(StoreError, match=r"news: (one|the alert)|events: two|received_time has no time zone"):
            await store.commit_track(change)

    assert await store.get_track("acme", "t1") == LoadedTrack(track)


@pytest.mark.parametrize("field", ["first_seen_time", "next_poll_time", "next_check_time"])
async def test_time_without_zone_is_refused(store: Any, make: Any, field: Any) -> None:
    """A track that does not say when is not kept."""
    with pytest.raises(StoreError, match=f"{field} has no time zone"):
        await store.open_track(make.track(**{field: datetime(2026, 11, 11)}))

    assert await store.get_track("acme", "t1") is None


async def test_claim_takes_due_tracks_oldest_first(store: Any, make: Any) -> None:
    """Tracks are claimed when due, in the order of their times, up to the limit; others wait."""
    for name, seconds in (("t1", 3), ("t2", 1), ("t3", 2), ("t4", 60)):
        due = make.now + timedelta(seconds=seconds)
        await store.open_track(make.track(name, waybill_number=name, next_poll_time=due))
    await store.open_track(make.track("t5", waybill_number="t5", next_poll_time=None))
    await store.open_track(make.track("t6", waybill_number="t6", next_poll_time=make.now, retired=True))
    now = make.now + timedelta(seconds=3)

    first = await store.claim_due_tracks(now, limit=2)
    rest = await store.claim_due_tracks(now, limit=10)

    assert [track.track_id for track in first] == ["t2", "t3"]
    assert [track.track_id for track in rest] == ["t1"]
    assert await store.claim_due_tracks(now, limit=0) == []


async def test_claim_that_is_never_answered_is_due_again(store: Any, make: Any) -> None:
    """A claim puts a track off by its lease and leaves its version, so that whoever asks can still write."""
    track = await store.open_track(make.track(next_poll_time=make.now))

    [claimed] = await store.claim_due_tracks(make.now, limit=10, lease_s=60)
    early = await store.claim_due_tracks(make.now + timedelta(seconds=59), limit=10)
    [again] = await store.claim_due_tracks(make.now + timedelta(seconds=60), limit=10)
    written = await store.commit_track(make.step(claimed, make.kept()))

    assert claimed == msgspec.structs.replace(track, next_poll_time=make.now + timedelta(seconds=60))
    assert early == []
    assert again.track_id == "t1"
    assert written.version == 1


async def test_racing_claims_share_nothing(store: Any, make: Any) -> None:
    """No track is given to two claimants."""
    for i in range(30):
        await store.open_track(make.track(f"t{i:02}", waybill_number=f"SF{i}", next_poll_time=make.now))

    claims = await asyncio.gather(*(store.claim_due_tracks(make.now, limit=7) for _ in range(6)))

    assert sorted(track.track_id for claim in claims for track in claim) == [f"t{i:02}" for i in range(30)]
