"""Alerts of parcels that stand still, for every backend: kept with their news, checks claimed, counted."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.core.policy.track_records import NumberedNews
from engine.store.port import Stale
from engine.store.track_port import TrackChange

pytestmark = pytest.mark.anyio


async def opened(store: Any, make: Any, name: str, **fields: Any) -> Any:
    """A track of a number of its own."""
    return await store.open_track(make.track(name, waybill_number=f"SF-{name}", **fields))


async def due(store: Any, make: Any, name: str, seconds: float, **fields: Any) -> Any:
    """A track whose check is due so many seconds from now."""
    return await opened(store, make, name, next_check_time=make.now + timedelta(seconds=seconds), **fields)


async def test_alert_is_read_back_with_its_news(store: Any, make: Any) -> None:
    """On the track, and in the one sequence of news beside the events."""
    track = await opened(store, make, "t1", order_id="o1")
    track = await store.commit_track(make.step(track, make.kept(1)))

    written = await store.commit_track(make.raised(track, "slow", "lost"))
    news = await store.news_after("acme", 1, limit=10)

    assert (await store.get_track("acme", "t1")).track == written
    assert written.alerts == (make.alert("slow"), make.alert("lost"))
    assert news == [
        NumberedNews(2, make.alert_news(track, "slow")),
        NumberedNews(3, make.alert_news(track, "lost")),
    ]
    assert await store.news_after("acme", 1, limit=1_000) == news


async def test_event_and_what_it_resolves_are_one_step(store: Any, make: Any) -> None:
    """News of the event and of the alert come in their order, and the alert is off the track."""
    track = await opened(store, make, "t1")
    track = await store.commit_track(make.raised(track, "slow"))
    step = make.step(track, make.kept(1))
    over = make.alert_news(track, resolved_time=make.now)

    written = await store.commit_track(
        TrackChange(msgspec.structs.replace(track, alerts=()), step.events, (*step.news, over))
    )
    news = await store.news_after("acme", 1, limit=10)

    assert written.alerts == ()
    assert [(one.sequence, one.news.event is None, one.news.alert) for one in news] == [
        (2, False, None),
        (3, True, make.alert(resolved_time=make.now)),
    ]


async def test_two_who_raise_from_one_reading_tell_it_once(store: Any, make: Any) -> None:
    """The version decides: one alert, one news."""
    track = await opened(store, make, "t1")

    results = await asyncio.gather(
        *(store.commit_track(make.raised(track, "slow")) for _ in range(5)), return_exceptions=True
    )

    assert sum(isinstance(one, Stale) for one in results) == 4
    assert await store.last_news_sequence() == 1


async def test_news_of_an_alert_survive_the_drop_of_a_repeated_event(store: Any, make: Any) -> None:
    """Only the repeat's own news goes."""
    track = await opened(store, make, "t1")
    track = await store.commit_track(make.step(track, make.kept(1)))
    step, raised = make.step(track, make.kept(1, text="again")), make.raised(track, "slow")

    await store.commit_track(TrackChange(raised.track, step.events, (*step.news, *raised.news)))

    assert [one.news.alert is not None for one in await store.news_after("acme", 0, limit=9)] == [False, True]


async def test_purge_takes_news_of_alerts_too(store: Any, make: Any) -> None:
    """The alert itself stays on its track."""
    track = await opened(store, make, "t1")
    await store.commit_track(make.raised(track, "slow"))

    dropped = await store.purge_news(before=make.now + timedelta(seconds=1))

    assert dropped == 1
    assert (await store.get_track("acme", "t1")).track.alerts == (make.alert(),)


async def test_check_is_claimed_when_due_oldest_first(store: Any, make: Any) -> None:
    """Up to the limit; what is not followed, or can become nothing by itself, is never due."""
    for name, seconds in (("t1", 3), ("t2", 1), ("t3", 2), ("t4", 60)):
        await due(store, make, name, seconds)
    await opened(store, make, "t5", next_check_time=None)
    await due(store, make, "t6", 0, retired=True)
    now = make.now + timedelta(seconds=3)

    first = await store.claim_due_checks(now, limit=2)
    rest = await store.claim_due_checks(now, limit=10)

    assert [track.track_id for track in first] == ["t2", "t3"]
    assert [track.track_id for track in rest] == ["t1"]
    assert await store.claim_due_checks(now, limit=0) == []


async def test_claimed_check_that_died_is_due_again(store: Any, make: Any) -> None:
    """The lease puts off the check and nothing else: not the version, not the next question."""
    track = await due(store, make, "t1", 0)

    [claimed] = await store.claim_due_checks(make.now, limit=10, lease_s=60)
    early = await store.claim_due_checks(make.now + timedelta(seconds=59), limit=10)
    [again] = await store.claim_due_checks(make.now + timedelta(seconds=60), limit=10)
    written = await store.commit_track(make.raised(claimed, "slow"))

    assert claimed == msgspec.structs.replace(track, next_check_time=make.now + timedelta(seconds=60))
    assert (early, again.track_id, written.version) == ([], "t1", 1)


async def test_racing_claims_share_no_check(store: Any, make: Any) -> None:
    """No track is given to two claimants."""
    for i in range(20):
        await due(store, make, f"t{i:02}", 0)

    claims = await asyncio.gather(*(store.claim_due_checks(make.now, limit=7) for _ in range(4)))

    assert sorted(track.track_id for claim in claims for track in claim) == [f"t{i:02}" for i in range(20)]


async def test_all_that_is_followed_can_be_made_due(store: Any, make: Any) -> None:
    """Of every tenant, whenever it was due before; what was let go stays so, and no version moves."""
    await due(store, make, "t1", 3600)
    await opened(store, make, "t2", next_check_time=None, tenant="other")
    await due(store, make, "t3", 3600, retired=True)

    count = await store.recheck_tracks(make.now)
    found = await store.claim_due_checks(make.now, limit=10)

    assert count == 2
    assert [(track.track_id, track.version) for track in found] == [("t1", 0), ("t2", 0)]
    assert await store.recheck_tracks(make.now) == 2


async def test_many_tracks_are_made_due(store: Any, make: Any) -> None:
    """More than one slice of them, each once."""
    for i in range(1_100):
        await opened(store, make, f"t{i:04}")

    count = await store.recheck_tracks(make.now)

    assert count == 1_100
    assert len(await store.claim_due_checks(make.now, limit=2_000)) == 1_100


async def test_stalled_parcels_are_counted_by_rule(store: Any, make: Any) -> None:
    """A parcel with two alerts counts for both; one whose alert is over counts no more."""
    assert await store.count_stalled() == {}
    for name, rules in (("t1", ("slow",)), ("t2", ("slow", "lost")), ("t3", ("lost, so to say",)), ("t4", ("slow",))):
        await store.commit_track(make.raised(await opened(store, make, name), *rules))
    last = (await store.get_track("acme", "t4")).track
    await store.commit_track(
        TrackChange(msgspec.structs.replace(last, alerts=()), (), (make.alert_news(last, resolved_time=make.now),))
    )

    assert await store.count_stalled() == {"slow": 2, "lost": 1, "lost, so to say": 1}
