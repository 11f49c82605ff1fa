"""Where parcels are: the one way in for everything carriers report, and the questions callers ask.

Push and poll end in `ingest`: events are matched to a track, deduplicated, placed in time, the status derived and its
stall alerts judged, all committed together, then watchers hear of it and only then a push is acknowledged. A question
that needs fresher knowledge than there is asks the carrier through the lanes, where equal questions share one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

import msgspec
import uuid_utils
from msgspec.structs import replace

from crossdock_sdk import Account, Carrier, CarrierError
from crossdock_sdk.tracking import Tracked, TrackEvent, TrackRequest
from engine.clock import Clock
from engine.core.calls import BACKGROUND_DEADLINE_S, ask
from engine.core.errors import TrackNotFound
from engine.core.policy import following, tracking
from engine.core.policy.brownout import Brownout, Level
from engine.core.policy.records import BookingRecord, OrderDraft, OrderState
from engine.core.policy.track_records import LoadedTrack, TrackRecord, TrackSource
from engine.core.stalling import Stalls
from engine.outbound import Priority
from engine.outbound.outbound import Outbound
from engine.store.port import Stale, Store
from engine.store.track_port import TrackChange


class TrackKey(msgspec.Struct, frozen=True):
    """A parcel by its number at a carrier."""

    carrier: str
    waybill_number: str
    phone_tail: str = ""

    def __repr__(self) -> str:
        return f"TrackKey({self.carrier}/{self.waybill_number})"


class TrackObserver(Protocol):
    """What metrics hear of tracking. Called after the commit."""

    def events_kept(self, carrier: str, source: TrackSource, new: int, unknown: int) -> None:
        """So many events were new; `unknown` of them have a code no table knows."""

    def track_polled(self, carrier: str, outcome: str) -> None:
        """A question to a carrier: ANSWERED, EMPTY, REFUSED or FAILED."""


class Tracks:
    """The use cases of TrackService that read and learn; following is its own."""

    def __init__(
        self,
        *,
        store: Store,
        outbound: Outbound,
        carriers: Mapping[str, Carrier],
        accounts: Mapping[str, Account],
        clock: Clock,
        observer: TrackObserver,
        stalls: Stalls,
        rules: following.FollowRules = following.DEFAULT_RULES,
        brownout: Brownout | None = None,
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._carriers = carriers
        self._accounts = accounts
        self._clock = clock
        self._observer = observer
        self._stalls = stalls
        self._rules = rules
        self._brownout = brownout or Brownout(enabled=False)

    @property
    def asks_carriers(self) -> bool:
        """Whether carriers are asked at all: not while the engine has too much to do."""
        return self._brownout.level < Level.QUESTIONS

    async def get(self, tenant: str, key: TrackKey, *, max_age_s: float | None, deadline_s: float) -> LoadedTrack:
        """What is known, asked for first when older than `max_age_s` (None: whatever is known).

        Raises TrackNotFound for a number nobody follows at a carrier that cannot be asked.
        """
        known = await self._store.find_track(tenant, key.carrier, key.waybill_number)
        if known is None:
            known = await self._open(tenant, key)
            max_age_s = 0.0 if max_age_s is None else max_age_s
        return await self._fresh(known, max_age_s, deadline_s)

    async def of_order(self, tenant: str, order_id: str, *, max_age_s: float | None, deadline_s: float) -> LoadedTrack:
        """The track of an order booked here, of its first parcel. Raises TrackNotFound."""
        loaded = await self._store.get_order(tenant, order_id)
        if loaded is None or loaded.order.booking is None:
            raise TrackNotFound(order_id)
        booking = loaded.order.booking
        if loaded.order.state is OrderState.BOOKED:
            # Whoever asks right after the booking is faster than the loop that opens tracks.
            await self.open_booked(tenant, order_id, loaded.order.draft, booking)
        known = await self._store.find_track(tenant, booking.carrier, booking.waybill_number)
        if known is None or known.track.order_id != order_id:
            # Never opened, or its number belongs to another parcel by now.
            known = await self._store.track_of_order(tenant, order_id)
        if known is None:
            raise TrackNotFound(order_id)
        return await self._fresh(known, max_age_s, deadline_s)

    async def follow(self, tenant: str, key: TrackKey) -> LoadedTrack:
        """Follow a number that was not booked here. Following twice is one following."""
        known = await self._store.find_track(tenant, key.carrier, key.waybill_number)
        if known is not None and not known.track.retired:
            return known
        return await self._open(tenant, key)

    async def unfollow(self, tenant: str, key: TrackKey) -> LoadedTrack:
        """Ask no more about it; what is known is kept. Raises TrackNotFound."""
        known = await self._store.find_track(tenant, key.carrier, key.waybill_number)
        if known is None:
            raise TrackNotFound(key.waybill_number)
        return await self._apply(known, _ended)

    async def open_booked(self, tenant: str, order_id: str, draft: OrderDraft, booking: BookingRecord) -> None:
        """Follow what was booked here, every piece of it. Again, it changes nothing."""
        tail = draft.recipient.contact.phone[-4:]
        # The first parcel last: the newest track of an order is the one the order is asked by.
        for number in (*booking.sub_waybill_numbers, booking.waybill_number):
            known = await self._store.find_track(tenant, booking.carrier, number)
            if known is not None and known.track.order_id == order_id:
                continue  # opened before, and perhaps let go since: a replay begins no second life
            track = self._new(tenant, booking.carrier, booking.account_id, number, tail, asked_at_once=False)
            track = replace(track, order_id=order_id)
            opened = await self._store.open_track(track)
            if not opened.order_id:
                # Somebody asked by number before it was opened: that track is the order's.
                await self._apply(await self._again(LoadedTrack(opened)), partial(_adopted, track))

    async def end_booked(self, tenant: str, booking: BookingRecord) -> None:
        """Ask no more about a booking that was cancelled."""
        for number in (booking.waybill_number, *booking.sub_waybill_numbers):
            known = await self._store.find_track(tenant, booking.carrier, number)
            if known is not None and not known.track.retired:
                await self._apply(known, _ended)

    async def ingest(self, loaded: LoadedTrack, events: Sequence[TrackEvent], source: TrackSource) -> LoadedTrack:
        """The one way in. Returns the track as it stands after the commit."""
        version = self._carriers[loaded.track.carrier].mapping_version
        while True:
            now = self._clock.now()
            step = tracking.absorb(loaded, events, source=source, now=now, mapping_version=version)
            track = step.track if step else tracking.heard(loaded.track, source, now)
            kept = step.events if step else ()
            change = TrackChange(self._planned(track, source, now), kept, step.news if step else ())
            try:
                await self._stalls.commit(change, loaded.events)
            except Stale:
                stood, loaded = loaded.track, await self._again(loaded)
                told = tracking.absorb(loaded, events, source=source, now=now, mapping_version=version) is None
                if told and loaded.track.source is source and loaded.track.observed_time != stood.observed_time:
                    return loaded  # many waited for one answer, and one of them has written it down
                continue
            self._observer.events_kept(track.carrier, source, len(kept), sum(not k.event.known for k in kept))
            return await self._again(loaded)

    async def ingest_push(self, account: Account, events: Sequence[TrackEvent]) -> int:
        """Events of a verified push, to every track that has their number; returns how many were for nobody."""
        by_number: dict[str, list[TrackEvent]] = {}
        for event in events:
            by_number.setdefault(event.waybill_number, []).append(event)
        nobody = 0
        for number, of_number in by_number.items():
            tracks = await self._store.find_tracks_by_number(account.carrier, account.account_id, number)
            nobody += 0 if tracks else len(of_number)
            for loaded in tracks:
                await self.ingest(loaded, of_number, TrackSource.PUSH)
        return nobody

    async def poll(self, loaded: LoadedTrack, *, priority: Priority, deadline_s: float) -> LoadedTrack:
        """Ask the carrier now. A failure costs freshness only: the next question is put off."""
        track = loaded.track
        outcome = await ask(
            self._outbound,
            track.account_id,
            "track",
            TrackRequest(track.waybill_number, track.phone_tail),
            priority=priority,
            tenant=track.tenant,
            deadline_s=deadline_s,
        )
        if isinstance(outcome, Tracked):
            self._observer.track_polled(track.carrier, "ANSWERED" if outcome.events else "EMPTY")
            return await self.ingest(loaded, outcome.events, TrackSource.POLL)
        self._observer.track_polled(track.carrier, "REFUSED" if isinstance(outcome, CarrierError) else "FAILED")
        return await self._put_off(loaded)

    async def poll_due(self, track: TrackRecord) -> None:
        """Ask about a track that the scheduler claimed."""
        loaded = await self._store.get_track(track.tenant, track.track_id)
        if loaded is not None and not loaded.track.retired:
            await self.poll(loaded, priority=Priority.POLL, deadline_s=BACKGROUND_DEADLINE_S)

    async def _put_off(self, loaded: LoadedTrack) -> LoadedTrack:
        """Plan the next question after a failure, once for all who waited for the same answer."""
        if loaded.track.retired:
            return loaded
        later = following.failed(
            loaded.track,
            now=self._clock.now(),
            min_interval_s=self._min_interval_s(loaded.track),
            rules=self._rules,
        )
        # Stale: whoever wrote meanwhile has planned it.
        with suppress(Stale):
            await self._stalls.commit(TrackChange(later), loaded.events)
        return await self._again(loaded)

    def can_be_asked(self, carrier: str) -> bool:
        """Whether the carrier answers track questions."""
        return carrier in self._carriers and "track" in self._carriers[carrier].manifest.operations

    async def _fresh(self, loaded: LoadedTrack, max_age_s: float | None, deadline_s: float) -> LoadedTrack:
        observed = loaded.track.observed_time
        if max_age_s is None or not self.can_be_asked(loaded.track.carrier) or not self.asks_carriers:
            return loaded
        if observed is not None and (self._clock.now() - observed).total_seconds() <= max_age_s:
            return loaded
        return await self.poll(loaded, priority=Priority.QUERY, deadline_s=deadline_s)

    async def _open(self, tenant: str, key: TrackKey) -> LoadedTrack:
        account = next((a for a in self._accounts.values() if a.carrier == key.carrier), None)
        if account is None or not self.can_be_asked(key.carrier):
            raise TrackNotFound(key.waybill_number)
        track = self._new(
            tenant, key.carrier, account.account_id, key.waybill_number, key.phone_tail, asked_at_once=True
        )
        opened = await self._store.open_track(track)
        return LoadedTrack(opened)

    def _new(
        self, tenant: str, carrier: str, account_id: str, number: str, phone_tail: str, *, asked_at_once: bool
    ) -> TrackRecord:
        now = self._clock.now()
        track = TrackRecord(
            track_id=str(uuid_utils.uuid7()),
            tenant=tenant,
            carrier=carrier,
            account_id=account_id,
            waybill_number=number,
            first_seen_time=now,
            phone_tail=phone_tail if phone_tail.isdigit() else "",
        )
        track = self._stalls.opened(track)
        if not self.can_be_asked(carrier):
            return track
        return following.begin(track, now=now, asked_at_once=asked_at_once)

    def _planned(self, track: TrackRecord, source: TrackSource, now: datetime) -> TrackRecord:
        """The track with the time of its next question, which a push puts off."""
        # A question by hand does not bring back what was let go; the carrier's own news may.
        if not self.can_be_asked(track.carrier) or (track.retired and source is TrackSource.POLL):
            return track
        plan = following.pushed if source is TrackSource.PUSH else following.answered
        return plan(track, now=now, min_interval_s=self._min_interval_s(track), rules=self._rules)

    def _min_interval_s(self, track: TrackRecord) -> float:
        return self._carriers[track.carrier].manifest.limit("track").min_interval_s

    async def _again(self, loaded: LoadedTrack) -> LoadedTrack:
        fresh = await self._store.get_track(loaded.track.tenant, loaded.track.track_id)
        assert fresh is not None, "tracks are never deleted"
        return fresh

    async def _apply(self, loaded: LoadedTrack, make: Callable[[TrackRecord], TrackRecord]) -> LoadedTrack:
        while True:
            try:
                await self._stalls.commit(TrackChange(make(loaded.track)), loaded.events)
            except Stale:
                loaded = await self._again(loaded)
                continue
            return await self._again(loaded)


def _adopted(booked: TrackRecord, track: TrackRecord) -> TrackRecord:
    """The track with what its booking knows of it."""
    return replace(track, order_id=booked.order_id, phone_tail=track.phone_tail or booked.phone_tail)


def _ended(track: TrackRecord) -> TrackRecord:
    return replace(track, next_poll_time=None, retired=True)
