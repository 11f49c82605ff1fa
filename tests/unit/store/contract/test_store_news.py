"""News of tracks, their gap-free sequence and purge, and pushes that were set aside, for every backend."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from engine.core.policy.track_records import NumberedNews, TrackNews
from engine.store.port import Stale, StoreError
from engine.store.track_port import TrackChange

pytestmark = pytest.mark.anyio


async def tell(store: Any, make: Any, track_id: str = "t1", count: int = 1, **fields: Any) -> list[TrackNews]:
    """A track of its own number with so many events, each told."""
    track = await store.open_track(make.track(track_id, waybill_number=f"SF-{track_id}", **fields))
    change = make.step(track, *(make.kept(i) for i in range(count)))
    await store.commit_track(change)
    return list(change.news)


async def test_new_store_has_no_news(store: Any) -> None:
    """Both ends of the sequence are 0 before the first news."""
    ends = (await store.first_news_sequence(), await store.last_news_sequence())

    assert ends == (0, 0)
    assert await store.news_after("acme", 0, limit=10) == []


async def test_news_come_back_in_sequence(store: Any, make: Any) -> None:
    """News are read as written, personal data included, after a cursor and up to a limit."""
    news = await tell(store, make, count=3, order_id="o1")

    found = await store.news_after("acme", 1, limit=10)
    limited = await store.news_after("acme", 0, limit=2)

    assert found == [NumberedNews(2, news[1]), NumberedNews(3, news[2])]
    assert [one.sequence for one in limited] == [1, 2]


async def test_long_and_short_reads_agree(store: Any, make: Any) -> None:
    """A large page holds the same news as small ones."""
    await tell(store, make, count=5)

    large = await store.news_after("acme", 0, limit=1_000)

    assert large == await store.news_after("acme", 0, limit=5)
    assert len(large) == 5


async def test_tenant_sees_its_own_news_only(store: Any, make: Any) -> None:
    """Sequence numbers run over all tenants; each reads its own."""
    await tell(store, make, "t1")
    await tell(store, make, "t2", tenant="other")
    await tell(store, make, "t3")

    found = await store.news_after("acme", 0, limit=10)

    assert [one.sequence for one in found] == [1, 3]


async def test_news_have_a_sequence_of_their_own(store: Any, make: Any) -> None:
    """Events of orders and news of tracks do not take each other's numbers."""
    await make.accepted(store, "o1")
    await tell(store, make)
    await make.accepted(store, "o2")

    assert (await store.last_sequence(), await store.last_news_sequence()) == (2, 1)


async def test_failing_items_burn_no_numbers(store: Any, make: Any) -> None:
    """Steps that fail among others that succeed leave no gap in the sequence."""
    tracks = [await store.open_track(make.track(f"t{i:02}", waybill_number=f"SF{i}")) for i in range(30)]
    wrong = [msgspec.structs.replace(one, version=7) if i % 3 == 0 else one for i, one in enumerate(tracks)]

    results = await asyncio.gather(
        *(store.commit_track(make.step(one, make.kept(1), make.kept(2))) for one in wrong), return_exceptions=True
    )
    found = await store.news_after("acme", 0, limit=1_000)

    assert sum(isinstance(one, Stale) for one in results) == 10
    assert [one.sequence for one in found] == list(range(1, 2 * 20 + 1))


async def test_a_repeat_among_many_is_told_once(store: Any, make: Any) -> None:
    """An event that its track holds is dropped with its news; what else is written in the same moment is whole."""
    tracks = [await store.open_track(make.track(f"t{i:02}", waybill_number=f"SF{i}")) for i in range(30)]
    moved = [await store.commit_track(make.step(track, make.kept(1))) for track in tracks[:3]]

    steps = [make.step(track, make.kept(1), make.kept(2)) for track in moved + tracks[3:]]
    await asyncio.gather(*(store.commit_track(step) for step in steps))
    found = await store.news_after("acme", 0, limit=1_000)

    assert [one.sequence for one in found] == list(range(1, 61))
    assert {len((await store.get_track("acme", track.track_id)).events) for track in tracks} == {2}


async def test_listeners_hear_all_news_in_order(store: Any, make: Any) -> None:
    """A listener hears committed news in sequence before the writer's caller goes on, and can read it at once."""
    heard: list[NumberedNews] = []
    events: list[Any] = []
    store.on_news(heard.extend)
    store.on_commit(events.extend)

    await asyncio.gather(*(tell(store, make, f"t{i:02}", count=2) for i in range(20)))

    assert [one.sequence for one in heard] == list(range(1, 41))
    assert heard == await store.news_after("acme", 0, limit=100)
    assert events == []


async def test_failing_listener_harms_nobody(store: Any, make: Any) -> None:
    """A listener that raises keeps neither the caller nor the other listeners from their due."""
    heard: list[NumberedNews] = []

    def fail(_news: object) -> None:
        raise RuntimeError("deaf")

    store.on_news(fail)
    store.on_news(heard.extend)

    await tell(store, make)

    assert [one.sequence for one in heard] == [1]


async def test_event_may_be_kept_in_silence(store: Any, make: Any) -> None:
    """A step without news wakes nobody."""
    heard: list[NumberedNews] = []
    store.on_news(heard.extend)
    track = await store.open_track(make.track())

    await store.commit_track(TrackChange(track, (make.kept(),)))

    assert heard == []
    assert await store.last_news_sequence() == 0


async def test_purge_drops_old_news_and_keeps_events_and_count(store: Any, make: Any) -> None:
    """After a purge of everything the events are there, and the sequence goes on where it stood."""
    await tell(store, make, count=3)

    dropped = await store.purge_news(before=make.now + timedelta(seconds=1))
    ends = (await store.first_news_sequence(), await store.last_news_sequence())
    await tell(store, make, "t2")

    assert (dropped, ends) == (3, (0, 3))
    assert (await store.first_news_sequence(), await store.last_news_sequence()) == (4, 4)
    assert len((await store.get_track("acme", "t1")).events) == 3


async def test_purge_stops_at_the_first_young_news(store: Any, make: Any) -> None:
    """What is left is one run without gaps, even when old news stands behind young."""
    track = await store.open_track(make.track())
    kept = [make.kept(i) for i in range(3)]
    days = (-9, 0, -9)
    news = [
        make.news(track, one, received_time=make.now + timedelta(days=n)) for one, n in zip(kept, days, strict=True)
    ]
    await store.commit_track(TrackChange(track, tuple(kept), tuple(news)))

    dropped = await store.purge_news(before=make.now - timedelta(days=1))

    assert dropped == 1
    assert [one.sequence for one in await store.news_after("acme", 0, limit=9)] == [2, 3]


async def test_dead_letter_is_read_back(store: Any, make: Any) -> None:
    """A push that was set aside keeps everything a replay needs, and the last state of it wins."""
    await store.put_dead_letter(make.letter(attempts=1))
    await store.put_dead_letter(make.letter())

    assert await store.get_dead_letter("l1") == make.letter()
    assert await store.get_dead_letter("l2") is None
    assert await store.count_dead_letters() == 1


async def test_dead_letters_are_paged_by_id(store: Any, make: Any) -> None:
    """Letters come by ascending id, after a cursor and up to a limit, in short pages and long."""
    for i in (2, 0, 1):
        await store.put_dead_letter(make.letter(f"l{i}"))

    page = await store.list_dead_letters(after="l0", limit=1)
    everything = await store.list_dead_letters(after="", limit=1_000)

    assert page == [make.letter("l1")]
    assert everything == [make.letter(f"l{i}") for i in range(3)]


async def test_dropped_dead_letter_is_gone(store: Any, make: Any) -> None:
    """A letter is dropped once; the second time there is nothing to drop."""
    await store.put_dead_letter(make.letter())

    dropped = [await store.delete_dead_letter("l1") for _ in range(2)]

    assert dropped == [True, False]
    assert await store.count_dead_letters() == 0


async def test_dead_letter_needs_an_aware_time(store: Any, make: Any) -> None:
    """A letter that does not say when it came is not kept."""
    with pytest.raises(StoreError, match="received_time has no time zone"):
        await store.put_dead_letter(make.letter(received_time=datetime(2026, 11, 11)))

    assert await store.count_dead_letters() == 0


async def test_closed_store_tells_nothing(store: Any, make: Any) -> None:
    """After closing, every call about tracks raises StoreError."""
    await store.aclose()

    calls: list[Any] = [
        lambda: store.open_track(make.track()),
        lambda: store.get_track("acme", "t1"),
        lambda: store.commit_track(make.step(make.track(), make.kept())),
        lambda: store.claim_due_tracks(make.now, limit=1),
        lambda: store.news_after("acme", 0, limit=1_000),
        lambda: store.purge_news(before=make.now),
        lambda: store.put_dead_letter(make.letter()),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="closed"):
            await call()
