"""The tracking half of `MemoryStore`: tracks, events, news and dead letters without a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from engine.core.policy.track_records import (
    DeadLetter,
    KeptEvent,
    LoadedTrack,
    NumberedNews,
    TrackNews,
    TrackRecord,
)
from engine.store.listeners import tell_all
from engine.store.port import Stale, StoreError
from engine.store.rules import (
    check_track_step,
    count_stalled,
    followed_text,
    missing_track_text,
    repeat_text,
    stale_track_text,
    stalled_by,
    to_us,
)
from engine.store.track_port import CLAIM_LEASE_S, TrackChange


class MemoryTracks:
    """See `engine.store.track_port.TrackStore` for what every method promises."""

    def __init__(self) -> None:
        self._tracks: dict[str, TrackRecord] = {}
        self._kept: dict[str, dict[bytes, KeptEvent]] = {}
        self._by_number: dict[tuple[str, str], list[str]] = {}
        self._news: list[NumberedNews] = []
        self._last_news_sequence = 0
        self._news_listeners: list[Callable[[Collection[NumberedNews]], None]] = []
        self._letters: dict[str, DeadLetter] = {}
        self._closed = False

    async def open_track(self, track: TrackRecord) -> TrackRecord:
        """Begin to follow a number, unless the tenant does so already."""
        await self._turn()
        check_track(track)
        live = self._live(track)
        if live is not None:
            return live
        if track.track_id in self._tracks:
            raise StoreError(f"track_id {track.track_id} is taken: give each track its own id")
        self._begin(track)
        return track

    async def get_track(self, tenant: str, track_id: str) -> LoadedTrack | None:
        """One track with its events, None when this tenant has none by that id."""
        await self._turn()
        track = self._tracks.get(track_id)
        return None if track is None or track.tenant != tenant else self._load_track(track)

    async def find_track(self, tenant: str, carrier: str, waybill_number: str) -> LoadedTrack | None:
        """The newest track of a number."""
        await self._turn()
        return self._newest(t for t in self._of_number(carrier, waybill_number) if t.tenant == tenant)

    async def find_tracks_by_number(self, carrier: str, account_id: str, waybill_number: str) -> list[TrackRecord]:
        """The newest track of a number of every tenant that follows it at this account."""
        await self._turn()
        here = [t for t in self._of_number(carrier, waybill_number) if t.account_id == account_id]
        newest = {t.tenant: t for t in sorted(here, key=_age)}
        return [newest[tenant] for tenant in sorted(newest)]

    async def track_of_order(self, tenant: str, order_id: str) -> LoadedTrack | None:
        """The newest track that belongs to an order."""
        await self._turn()
        if not order_id:
            return None
        return self._newest(t for t in self._tracks.values() if (t.tenant, t.order_id) == (tenant, order_id))

    async def commit_track(self, change: TrackChange) -> TrackRecord:
        """Write one step; returns the track with its new version. Raises Stale."""
        await self._turn()
        return self._step(change)

    async def claim_due_tracks(self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S) -> list[TrackRecord]:
        """Take due tracks, oldest first, and put their time off by `lease_s` from now."""
        await self._turn()
        to_us(now, "now")
        due = sorted(
            (t.next_poll_time, t.track_id)
            for t in self._tracks.values()
            if t.next_poll_time is not None and not t.retired and t.next_poll_time <= now
        )
        lease_end = now + timedelta(seconds=lease_s)
        taken = [track_id for _, track_id in due[: max(limit, 0)]]
        for track_id in taken:
            self._tracks[track_id] = msgspec.structs.replace(self._tracks[track_id], next_poll_time=lease_end)
        return [self._tracks[track_id] for track_id in taken]

    async def claim_due_checks(self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S) -> list[TrackRecord]:
        """Take tracks whose check is due, oldest first, and put their time off by `lease_s` from now."""
        await self._turn()
        to_us(now, "now")
        due = sorted(
            (t.next_check_time, t.track_id)
            for t in self._tracks.values()
            if t.next_check_time is not None and (not t.retired or t.alerts) and t.next_check_time <= now
        )
        lease_end = now + timedelta(seconds=lease_s)
        taken = [track_id for _, track_id in due[: max(limit, 0)]]
        for track_id in taken:
            self._tracks[track_id] = msgspec.structs.replace(self._tracks[track_id], next_check_time=lease_end)
        return [self._tracks[track_id] for track_id in taken]

    async def recheck_tracks(self, now: datetime) -> int:
        """Make every track that is not retired due for a check."""
        await self._turn()
        to_us(now, "now")
        live = [t for t in self._tracks.values() if not t.retired]
        self._tracks.update((t.track_id, msgspec.structs.replace(t, next_check_time=now)) for t in live)
        return len(live)

    async def count_stalled(self) -> dict[str, int]:
        """Parcels with an open alert by rule."""
        await self._turn()
        return count_stalled((stalled_by(t), 1) for t in self._tracks.values() if t.alerts)

    async def news_after(self, tenant: str, sequence: int, *, limit: int) -> list[NumberedNews]:
        """News of a tenant with a greater sequence, ascending."""
        await self._turn()
        found = [n for n in self._news if n.sequence > sequence and n.news.tenant == tenant]
        return found[: max(limit, 0)]

    async def first_news_sequence(self) -> int:
        """Sequence of the oldest news still kept, 0 when none."""
        await self._turn()
        return self._news[0].sequence if self._news else 0

    async def last_news_sequence(self) -> int:
        """Sequence of the newest committed news, 0 when there never was any."""
        await self._turn()
        return self._last_news_sequence

    async def purge_news(self, *, before: datetime) -> int:
        """Drop old news up to the first that is young."""
        await self._turn()
        to_us(before, "before")
        young = (i for i, n in enumerate(self._news) if n.news.received_time >= before)
        old = next(young, len(self._news))
        del self._news[:old]
        return old

    def on_news(self, listener: Callable[[Collection[NumberedNews]], None]) -> None:
        """Call `listener` in the event loop with the news of every commit, in sequence order."""
        self._news_listeners.append(listener)

    async def put_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a push that could not be applied; the last one under a letter_id wins."""
        await self._turn()
        to_us(letter.received_time, "received_time")
        self._letters[letter.letter_id] = letter

    async def get_dead_letter(self, letter_id: str) -> DeadLetter | None:
        """A kept push."""
        await self._turn()
        return self._letters.get(letter_id)

    async def list_dead_letters(self, *, after: str, limit: int) -> list[DeadLetter]:
        """Kept pushes by ascending letter_id, those greater than `after`."""
        await self._turn()
        found = sorted(letter_id for letter_id in self._letters if letter_id > after)
        return [self._letters[letter_id] for letter_id in found[: max(limit, 0)]]

    async def delete_dead_letter(self, letter_id: str) -> bool:
        """Drop one; False when there was none."""
        await self._turn()
        return self._letters.pop(letter_id, None) is not None

    async def count_dead_letters(self) -> int:
        """How many wait for somebody."""
        await self._turn()
        return len(self._letters)

    def _step(self, change: TrackChange) -> TrackRecord:
        track = change.track
        marks = check_track_step(change)
        check_track(track, change.events, change.news)
        written = self._stepped(track)
        kept = self._kept[track.track_id]
        repeats = {one.fingerprint for one in change.events if one.fingerprint in kept}
        if repeats and change.all_new:
            raise Stale(repeat_text(track))
        self._tracks[track.track_id] = written
        kept.update((one.fingerprint, one) for one in change.events if one.fingerprint not in repeats)
        self._append_news([one for one, mark in zip(change.news, marks, strict=True) if mark not in repeats])
        return msgspec.structs.replace(track, version=track.version + 1)

    def _stepped(self, track: TrackRecord) -> TrackRecord:
        """The track as it is written by a step. Raises Stale."""
        stored = self._tracks.get(track.track_id)
        if stored is None or stored.tenant != track.tenant:
            raise Stale(missing_track_text(track))
        if stored.version != track.version:
            raise Stale(stale_track_text(track, stored.version))
        # What is followed, and since when, is written once.
        written = msgspec.structs.replace(
            track,
            version=track.version + 1,
            carrier=stored.carrier,
            waybill_number=stored.waybill_number,
            first_seen_time=stored.first_seen_time,
        )
        live = self._live(written)
        if not written.retired and live is not None and live.track_id != track.track_id:
            raise StoreError(f"track {track.track_id} clashes with {live.track_id}, which follows its number now")
        return written

    def _begin(self, track: TrackRecord) -> None:
        self._tracks[track.track_id] = track
        self._kept[track.track_id] = {}
        self._by_number.setdefault((track.carrier, track.waybill_number), []).append(track.track_id)

    def _check_tracks(self, opened: Sequence[TrackRecord], tracks: Sequence[TrackChange]) -> None:
        """Refuse what `_put_tracks` could not write whole. Raises Stale, StoreError."""
        ids = [track.track_id for track in opened]
        if len({*ids}) < len(ids) or not self._tracks.keys().isdisjoint(ids):
            raise StoreError(f"track_ids {', '.join(ids)} are not new: give each track its own id")
        numbers = {(track.carrier, track.waybill_number) for track in opened if not track.retired}
        for track in opened:
            if self._live(track) is not None or len(numbers) < len(opened):
                raise Stale(followed_text(track))
        for change in tracks:
            check_track_step(change)
            check_track(change.track, change.events, change.news)
            self._stepped(change.track)

    def _put_tracks(self, opened: Sequence[TrackRecord], tracks: Sequence[TrackChange]) -> None:
        for track in opened:
            self._begin(track)
        for change in tracks:
            self._step(change)

    async def _turn(self) -> None:
        """Let others run first, as a real store does, so that hidden races show up."""
        await asyncio.sleep(0)
        if self._closed:
            raise StoreError("the store is closed: open it again")

    def _of_number(self, carrier: str, waybill_number: str) -> list[TrackRecord]:
        return [self._tracks[track_id] for track_id in self._by_number.get((carrier, waybill_number), ())]

    def _live(self, track: TrackRecord) -> TrackRecord | None:
        same = self._of_number(track.carrier, track.waybill_number)
        return next((t for t in same if t.tenant == track.tenant and not t.retired), None)

    def _newest(self, tracks: Iterable[TrackRecord]) -> LoadedTrack | None:
        newest = max(tracks, key=_age, default=None)
        return None if newest is None else self._load_track(newest)

    def _load_track(self, track: TrackRecord) -> LoadedTrack:
        kept = self._kept[track.track_id].values()  # in the order of arrival, which the sort keeps
        return LoadedTrack(track, tuple(sorted(kept, key=lambda one: one.event.time)))

    def _append_news(self, news: Sequence[TrackNews]) -> None:
        new = [NumberedNews(self._last_news_sequence + i, one) for i, one in enumerate(news, start=1)]
        if new:
            self._last_news_sequence = new[-1].sequence
            self._news += new
            tell_all(self._news_listeners, new)


def _age(track: TrackRecord) -> tuple[datetime, str]:
    return track.first_seen_time, track.track_id


def check_track(track: TrackRecord, events: Sequence[KeptEvent] = (), news: Sequence[TrackNews] = ()) -> None:
    """Refuse times without a zone. Raises StoreError."""
    to_us(track.first_seen_time, "first_seen_time")
    if track.next_poll_time is not None:
        to_us(track.next_poll_time, "next_poll_time")
    if track.next_check_time is not None:
        to_us(track.next_check_time, "next_check_time")
    for kept in events:
        to_us(kept.event.time, "time")
    for one in news:
        to_us(one.received_time, "received_time")
