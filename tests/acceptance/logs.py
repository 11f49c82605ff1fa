"""The store's two logs as they lie on disk once the engine has stopped, told as the API tells them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from engine.api.convert.candidates import write_event
from engine.api.convert.tracks import write_news
from engine.store.sqlite.store import SqliteStore

TENANT = "sandbox"
ALL = 10_000_000


async def stored_logs(folder: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Sequence and message of everything. Fails unless each event that is kept of a parcel is news, once."""
    store = await SqliteStore.open(folder / "crossdock.db")
    try:
        events = await store.events_after(TENANT, 0, limit=ALL)
        news = await store.news_after(TENANT, 0, limit=ALL)
        for track_id, count in Counter(n.news.track_id for n in news).items():
            track = await store.get_track(TENANT, track_id)
            assert track is not None
            assert len(track.events) == count, f"{count} news of {len(track.events)} events of {track.track}"
    finally:
        await store.aclose()
    return {
        "orders": [(e.sequence, write_event(e.event).SerializeToString(deterministic=True)) for e in events],
        "tracks": [(n.sequence, write_news(n.news).SerializeToString(deterministic=True)) for n in news],
    }
