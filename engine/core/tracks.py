"""Where parcels are: the one way in for everything carriers report, and the questions callers ask.

Push and poll end in `ingest`, or in `_hear` where a push goes on where the record ends: events are matched to a track,
deduplicated, placed in time, the status derived and its stall alerts judged, all committed together, then watchers hear
of it and only then a push is acknowledged. A question that needs fresher knowledge than there is asks the carrier
through the lanes, where equal questions share one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec.structs import replace

from crossdock_sdk import Account, Carrier, CarrierError, SideEffect
from crossdock_sdk.tracking import Subscribed, Tracked, TrackEvent, TrackRequest
from engine.clock import Clock
from engine.core.calls import ask
from engine.core.errors import TrackNotFound
from engine.core.new_tracks import new_track
from engine.core.policy import following, tracking
from engine.core.policy.booking import COMES_BACK
from engine.core.policy.brownout import Brownout, Level
from engine.core.policy.track_identity import is_another_parcel
from engine.core.policy.track_records import KeptEvent, LoadedTrack, TrackRecord, TrackSource
from engine.core.stalling import Stalls
from engine.outbound import OutboundError, Priority
from engine.outbound.outbound import Outbound
from engine.store.port import Stale, Store
from engine.store.track_port import TrackChange

MOMENT_S = 1.0
"""What was answered so long ago is now, also at carriers that name no least interval between two questions."""


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
        # Tracks that a carrier is being asked about, and what whoever waits for the same will be told.
        self._asked: dict[str, asyncio.Future[LoadedTrack]] = {}
        # Numbers whose track is being written: a crowd that asks about a new one must not fill the store's queue.
        self._opening: dict[tuple[str, str, str], asyncio.Task[TrackRecord]] = {}
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
        if loaded is None:
            raise TrackNotFound(order_id, f"there is no order {order_id or 'without an id'}", "check the id")
        if loaded.order.booking is None:
            why = f"order {order_id} is {loaded.order.state} and was not booked"
            raise TrackNotFound(order_id, why, "get the order: it says what becomes of it")
        booking = loaded.order.booking
        known = await self._store.find_track(tenant, booking.carrier, booking.waybill_number)
        if known is None or known.track.order_id != order_id:
            # Never opened, or its number belongs to another parcel by now.
            known = await self._store.track_of_order(tenant, order_id)
        if known is None:
            raise TrackNotFound(order_id, f"the parcel of order {order_id} is not followed", "ask by its number")
        return await self._fresh(known, max_age_s, deadline_s)

    async def follow(self, tenant: str, key: TrackKey) -> LoadedTrack:
        """Follow a number that was not booked here. Following twice is one following."""
        known = await self._store.find_track(tenant, key.carrier, key.waybill_number)
        if known is not None and not known.track.retired:
            return known
        return await self._open(tenant, key)

    async def unfollow(self, tenant: str, key: TrackKey) -> LoadedTrack:
        """Ask no more about it unless it was booked here; what is known is kept. Raises TrackNotFound."""
        known = await self._store.find_track(tenant, key.carrier, key.waybill_number)
        if known is None:
            raise self._not_found(key)
        if known.track.order_id:
            return known  # followed for its order, which nobody had to wish for
        return await self._apply(known, following.ended)

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
                track = await self._stalls.commit(change, loaded.events)
            except Stale:
                stood, loaded = loaded.track, await self._again(loaded.track)
                told = tracking.absorb(loaded, events, source=source, now=now, mapping_version=version) is None
                if told and loaded.track.source is source and loaded.track.observed_time != stood.observed_time:
                    return loaded  # many waited for one answer, and one of them has written it down
                continue
            self._tell(track.carrier, source, kept)
            return LoadedTrack(track, _in_order(loaded.events, kept))

    async def ingest_push(self, account: Account, events: Sequence[TrackEvent]) -> int:
        """Events of a verified push, to every track that has their number; returns how many were for nobody."""
        by_number: dict[str, list[TrackEvent]] = {}
        for event in events:
            by_number.setdefault(event.waybill_number, []).append(event)
        nobody = 0
        for number, of_number in by_number.items():
            tracks = await self._store.find_tracks_by_number(account.carrier, account.account_id, number)
            nobody += 0 if tracks else len(of_number)
            for track in tracks:
                await self._hear(await self._of_this_parcel(track, of_number), of_number)
        return nobody

    async def _of_this_parcel(self, track: TrackRecord, events: Sequence[TrackEvent]) -> TrackRecord:
        """The track, or a new one when its number was used again for another parcel."""
        if not all(is_another_parcel(track, event.time) for event in events):
            return track
        tail = track.phone_tail if not track.order_id else ""
        return await self._store.open_track(
            new_track(
                track.tenant,
                track.carrier,
                track.account_id,
                track.waybill_number,
                phone_tail=tail,
                now=self._clock.now(),
                stall_rules=self._stalls.rules,
                can_be_asked=self.can_be_asked(track.carrier),
            )
        )

    async def _hear(self, track: TrackRecord, events: Sequence[TrackEvent]) -> None:
        """A push about one track: mostly it goes on where the record ends, and then no event has to be read."""
        now, version = self._clock.now(), self._carriers[track.carrier].mapping_version
        step = None
        if not self._stalls.needs_events:
            step = tracking.follow_on(track, events, source=TrackSource.PUSH, now=now, mapping_version=version)
        if step is not None:
            planned = self._planned(step.track, TrackSource.PUSH, now)
            try:
                await self._stalls.commit(TrackChange(planned, step.events, step.news, all_new=True), ())
            except Stale:
                step = None
        if step is None:
            await self.ingest(await self._again(track), events, TrackSource.PUSH)
        else:
            self._tell(track.carrier, TrackSource.PUSH, step.events)

    async def poll(self, loaded: LoadedTrack, *, priority: Priority, deadline_s: float | None = None) -> LoadedTrack:
        """Ask the carrier now, or wait with whoever asks already: what that one learns is written and read once.

        A failure costs freshness only: the next question is put off. deadline_s: see `calls.ask`.
        """
        asked = self._asked.get(loaded.track.track_id)
        if asked is None:
            return await self._lead(loaded, priority, deadline_s)
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.shield(asked)
        except TimeoutError:
            return loaded
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not asked.cancelled() or (task is not None and task.cancelling()):
                raise
        # Whoever asked has gone away or failed in a way of its own.
        return await self.poll(loaded, priority=priority, deadline_s=deadline_s)

    async def _lead(self, loaded: LoadedTrack, priority: Priority, deadline_s: float | None) -> LoadedTrack:
        track_id = loaded.track.track_id
        asked = self._asked[track_id] = asyncio.get_running_loop().create_future()
        try:
            found = await self._ask(loaded, priority, deadline_s)
        except BaseException:
            asked.cancel()
            raise
        finally:
            del self._asked[track_id]
        asked.set_result(found)
        return found

    async def _ask(self, loaded: LoadedTrack, priority: Priority, deadline_s: float | None) -> LoadedTrack:
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
        if priority is Priority.POLL:
            return await self._put_off(loaded)
        # Who asks by hand, often and in a hurry, puts the planned question off no further. The carrier's least interval
        # holds also after a question whose answer nobody waited for.
        if not isinstance(outcome, OutboundError) or outcome.side_effect is SideEffect.NONE:
            return loaded
        now = self._clock.now()
        return await self._apply(loaded, lambda rows: replace(rows, polled_time=now))

    async def poll_due(self, track: TrackRecord) -> None:
        """Ask about a track that the scheduler claimed."""
        loaded = await self._store.get_track(track.tenant, track.track_id)
        if loaded is None or loaded.track.retired:
            return
        if self._wants_pushes(loaded.track):
            loaded = await self._subscribe(loaded)
        # Whoever wanted to know of a number at once has often asked meanwhile, and planned the next question.
        if not self._was_just_asked(loaded.track):
            await self.poll(loaded, priority=Priority.POLL)

    def _wants_pushes(self, track: TrackRecord) -> bool:
        """Whether its carrier has to be asked to push about it: what an account booked is pushed without."""
        operations = self._carriers[track.carrier].manifest.operations
        return not track.order_id and not track.subscribed and "subscribe" in operations

    async def _subscribe(self, loaded: LoadedTrack) -> LoadedTrack:
        """Ask for pushes, until the carrier has answered for good. Without them it is followed by questions alone."""
        track = loaded.track
        outcome = await ask(
            self._outbound,
            track.account_id,
            "subscribe",
            TrackRequest(track.waybill_number, track.phone_tail),
            priority=Priority.POLL,
            tenant=track.tenant,
        )
        refused = isinstance(outcome, CarrierError) and outcome.error_class not in COMES_BACK
        if not refused and not isinstance(outcome, Subscribed):
            return loaded  # again with the next question
        return await self._apply(loaded, lambda rows: replace(rows, subscribed=True))

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
        try:
            return LoadedTrack(await self._stalls.commit(TrackChange(later), loaded.events), loaded.events)
        except Stale:  # whoever wrote meanwhile has planned it
            return await self._again(loaded.track)

    def can_be_asked(self, carrier: str) -> bool:
        """Whether the carrier answers track questions."""
        return carrier in self._carriers and "track" in self._carriers[carrier].manifest.operations

    async def _fresh(self, loaded: LoadedTrack, max_age_s: float | None, deadline_s: float) -> LoadedTrack:
        observed = loaded.track.observed_time
        if max_age_s is None or not self.can_be_asked(loaded.track.carrier) or not self.asks_carriers:
            return loaded
        if self._was_just_asked(loaded.track):
            return loaded
        if observed is not None and (self._clock.now() - observed).total_seconds() <= max_age_s:
            return loaded
        return await self.poll(loaded, priority=Priority.QUERY, deadline_s=deadline_s)

    def _was_just_asked(self, track: TrackRecord) -> bool:
        """Whether its carrier wants no other question about it yet; what it said a moment ago is all there is."""
        if track.polled_time is None:
            return False
        least_s = max(self._min_interval_s(track), MOMENT_S)
        return (self._clock.now() - track.polled_time).total_seconds() < least_s

    async def _open(self, tenant: str, key: TrackKey) -> LoadedTrack:
        account = next((a for a in self._accounts.values() if a.carrier == key.carrier), None)
        if account is None or not self.can_be_asked(key.carrier):
            raise self._not_found(key)
        number = (tenant, key.carrier, key.waybill_number)
        opening = self._opening.get(number)
        if opening is None:
            track = new_track(
                tenant,
                key.carrier,
                account.account_id,
                key.waybill_number,
                phone_tail=key.phone_tail,
                now=self._clock.now(),
                stall_rules=self._stalls.rules,
                can_be_asked=True,
            )
            opening = self._opening[number] = asyncio.create_task(self._store.open_track(track))
            opening.add_done_callback(lambda _: self._opening.pop(number))
        return LoadedTrack(await asyncio.shield(opening))

    def _not_found(self, key: TrackKey) -> TrackNotFound:
        """Why nothing is known of a parcel: also what a caller who subscribes it can do about it."""
        number, known = key.waybill_number, sorted({account.carrier for account in self._accounts.values()})
        if key.carrier not in known:
            why = f"no account of carrier {key.carrier}"
            return TrackNotFound(number, why, f"known: {', '.join(known) or 'none'}", field="key.carrier")
        if not self.can_be_asked(key.carrier):
            why = f"{key.carrier} cannot be asked about parcels"
            return TrackNotFound(number, why, "only what is booked with it here is followed", field="key.carrier")
        return TrackNotFound(number)

    def _planned(self, track: TrackRecord, source: TrackSource, now: datetime) -> TrackRecord:
        """The track with the time of its next question, which a push puts off."""
        is_answer = source is TrackSource.POLL
        if is_answer:
            track = replace(track, polled_time=now)
        # A question by hand does not bring back what was let go; the carrier's own news may.
        if not self.can_be_asked(track.carrier) or (track.retired and is_answer):
            return track
        plan = following.answered if is_answer else following.pushed
        return plan(track, now=now, min_interval_s=self._min_interval_s(track), rules=self._rules)

    def _min_interval_s(self, track: TrackRecord) -> float:
        return self._carriers[track.carrier].manifest.limit("track").min_interval_s

    def _tell(self, carrier: str, source: TrackSource, kept: Sequence[KeptEvent]) -> None:
        self._observer.events_kept(carrier, source, len(kept), sum(not k.event.known for k in kept))

    async def _again(self, track: TrackRecord) -> LoadedTrack:
        fresh = await self._store.get_track(track.tenant, track.track_id)
        assert fresh is not None, "tracks are never deleted"
        return fresh

    async def _apply(self, loaded: LoadedTrack, make: Callable[[TrackRecord], TrackRecord]) -> LoadedTrack:
        while True:
            try:
                change = TrackChange(make(loaded.track))
                return LoadedTrack(await self._stalls.commit(change, loaded.events), loaded.events)
            except Stale:
                loaded = await self._again(loaded.track)


def _in_order(known: tuple[KeptEvent, ...], new: tuple[KeptEvent, ...]) -> tuple[KeptEvent, ...]:
    """As the store gives them: by the carrier's time, then by arrival."""
    return tuple(sorted([*known, *new], key=lambda kept: kept.event.time)) if new else known
