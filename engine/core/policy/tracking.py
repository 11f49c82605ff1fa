"""Where a parcel stands, out of everything its carrier ever said: the forward-only status machine. Pure.

- Events are put in the order of the carrier's time before the machine runs over them, ties by a fixed rank. So the
  end does not depend on the order in which pushes and polls brought them.
- `NEXT` is the machine. A status may go forward; every step back stands there with its reason. What is not in the
  table is kept as an event and leaves the status alone.
- EXCEPTION is a trouble at a position, not a position: coming out of it, the rules of that position hold.
- An event without a status keeps the last one; one whose code no table knows is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec

from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus
from engine.core.policy.track_records import KeptEvent, LoadedTrack, TrackNews, TrackRecord, TrackSource

S = TrackStatus

TERMINAL = frozenset({S.DELIVERED, S.RETURNED, S.CANCELLED})
"""Statuses after which nothing is expected. Some still know a way back, see `NEXT`."""

OWN_LIFE_STARTS_BEFORE = timedelta(days=2)
"""A number we booked has no life before its booking; so much is left for clocks and time zones that differ."""
ASKED_LIFE_STARTS_BEFORE = timedelta(days=90)
"""How far back the life of a number that we only heard of may reach: numbers are used again after some months."""
REUSED_AFTER = timedelta(days=90)
"""After so long a silence a retired number belongs to another parcel."""


class Next(msgspec.Struct, frozen=True):
    """Where a parcel may go from a status. `back`: corrections, each with its reason."""

    forward: frozenset[TrackStatus]
    back: Mapping[TrackStatus, str] = {}
    resume: frozenset[TrackStatus] = frozenset()
    """Where it may also go once a trouble at this status is over."""


_ENDS = frozenset({S.RETURNING, S.RETURNED, S.CANCELLED, S.EXCEPTION})
_HANDS_OVER = frozenset({S.OUT_FOR_DELIVERY, S.AVAILABLE_FOR_COLLECTION, S.DELIVERY_ATTEMPTED, S.DELIVERED})
_MOVES_ALL_THE_SAME = "a voided number whose parcel is scanned does travel: the scan is the truth"
_TRIED_AGAIN = "after a failed attempt the parcel goes out again"
_TAKEN_OUT = "the courier took it out of the locker or station again"

NEXT: Mapping[TrackStatus, Next] = {
    S.PRE_TRANSIT: Next(_ENDS | _HANDS_OVER | {S.PICKED_UP, S.IN_TRANSIT, S.IN_CUSTOMS}),
    S.PICKED_UP: Next(_ENDS | _HANDS_OVER | {S.IN_TRANSIT, S.IN_CUSTOMS}),
    S.IN_TRANSIT: Next(_ENDS | _HANDS_OVER | {S.IN_CUSTOMS}),
    # Customs lie in the middle of the journey: what is cleared travels on.
    S.IN_CUSTOMS: Next(_ENDS | _HANDS_OVER | {S.IN_TRANSIT}),
    S.OUT_FOR_DELIVERY: Next(
        _ENDS | {S.AVAILABLE_FOR_COLLECTION, S.DELIVERY_ATTEMPTED, S.DELIVERED},
        # Sent on to another place, or back to the depot, because of the trouble.
        resume=frozenset({S.IN_TRANSIT}),
    ),
    S.DELIVERY_ATTEMPTED: Next(
        _ENDS | {S.AVAILABLE_FOR_COLLECTION, S.DELIVERED},
        back={S.OUT_FOR_DELIVERY: _TRIED_AGAIN},
        resume=frozenset({S.IN_TRANSIT}),
    ),
    S.AVAILABLE_FOR_COLLECTION: Next(
        _ENDS | {S.DELIVERED},
        back={S.OUT_FOR_DELIVERY: _TAKEN_OUT, S.DELIVERY_ATTEMPTED: _TAKEN_OUT},
        resume=frozenset({S.IN_TRANSIT}),
    ),
    S.DELIVERED: Next(
        frozenset(),
        back={
            S.AVAILABLE_FOR_COLLECTION: "signed for by a locker or station, where it waits for its recipient",
            S.RETURNING: "refused after the signature",
            S.RETURNED: "refused after the signature, and back already",
        },
    ),
    # The way back has couriers, depots and attempts of its own: they say nothing of the way out.
    S.RETURNING: Next(frozenset({S.RETURNED, S.EXCEPTION})),
    S.RETURNED: Next(frozenset()),
    S.CANCELLED: Next(
        frozenset(),
        back={
            S.PICKED_UP: _MOVES_ALL_THE_SAME,
            S.IN_TRANSIT: _MOVES_ALL_THE_SAME,
            S.OUT_FOR_DELIVERY: _MOVES_ALL_THE_SAME,
            S.AVAILABLE_FOR_COLLECTION: _MOVES_ALL_THE_SAME,
            S.DELIVERED: _MOVES_ALL_THE_SAME,
            S.RETURNING: "stopped on its way, which the carrier calls void first",
            S.RETURNED: "stopped on its way, and back already",
        },
    ),
    # Only for a parcel of which nothing but trouble is known; otherwise the row of its position counts.
    S.EXCEPTION: Next(_ENDS - {S.EXCEPTION} | _HANDS_OVER | {S.PICKED_UP, S.IN_TRANSIT, S.IN_CUSTOMS}),
}

READ_AS: Mapping[tuple[TrackStatus | None, TrackStatus], tuple[TrackStatus, Milestone]] = {
    # Many carriers have one word for a signature: whoever signs for what is on its way back is the shipper.
    (S.RETURNING, S.DELIVERED): (S.RETURNED, Milestone.RETURN_COMPLETED),
}
"""(position, what the carrier says) -> what it means there. Anything else means what it says."""

TIE_RANK: Mapping[TrackStatus | None, int] = {
    None: 0,
    S.PRE_TRANSIT: 1,
    S.PICKED_UP: 2,
    S.IN_TRANSIT: 3,
    S.IN_CUSTOMS: 4,
    S.OUT_FOR_DELIVERY: 5,
    S.EXCEPTION: 6,
    S.DELIVERY_ATTEMPTED: 7,
    S.AVAILABLE_FOR_COLLECTION: 8,
    S.CANCELLED: 9,
    S.DELIVERED: 10,
    S.RETURNING: 11,
    S.RETURNED: 12,
}
"""Order of events that carry the same time: carriers write whole seconds, some whole minutes."""


class TrackState(msgspec.Struct, frozen=True):
    """Where a parcel stands, derived from its events.

    status_time: the carrier's time of the event that changed the status to this one. milestone: of the newest event
    that agreed with the status and named one. unknown_count: events whose code no table knows.
    """

    status: TrackStatus | None = None
    milestone: Milestone = Milestone.NONE
    status_time: datetime | None = None
    last_event_time: datetime | None = None
    event_count: int = 0
    unknown_count: int = 0


class TrackStep(msgspec.Struct, frozen=True):
    """What new events do to a track: the track as it shall be, what to keep, what watchers hear, in time order."""

    track: TrackRecord
    events: tuple[KeptEvent, ...]
    news: tuple[TrackNews, ...]


def fingerprint(event: TrackEvent) -> bytes:
    """Sixteen bytes that know an event again: by the carrier's id of it, else by what it says."""
    if event.carrier_event_id:
        return _digest("id", event.waybill_number, event.carrier_event_id)
    return _digest("said", event.waybill_number, event.code, _instant(event), event.text)


def happening(event: TrackEvent) -> bytes:
    """Sixteen bytes that know what happened, through whichever door it was told.

    A carrier may push an event with an id and one code, and show it to a query without an id and with another code.
    It is one event when time, meaning and words are the same. Without words the code stands in for them.
    """
    said = event.text or event.code
    sense = (event.status or "") if event.known else "?"
    return _digest("happened", _instant(event), sense, event.milestone, said)


def derive(events: Iterable[TrackEvent]) -> TrackState:
    """The state that a parcel's events lead to, in whichever order they are given."""
    return _run(sorted([_Placed(event) for event in events])).state()


def absorb(
    loaded: LoadedTrack, incoming: Sequence[TrackEvent], *, source: TrackSource, now: datetime, mapping_version: int
) -> TrackStep | None:
    """What a push or a poll brings to a track. None when it holds no event that is new.

    The track's polling fields are for `following` to set. Raises ValueError for an event time without a zone.
    """
    placed = sorted([_Placed(kept.event) for kept in loaded.events])
    fresh = sorted(_new_ones(loaded, incoming, placed))
    if not fresh:
        return None
    machine = _run(placed)
    events, news = [], []
    for one in fresh:
        before = machine.status
        if not placed or placed[-1] < one:
            placed.append(one)
            machine.take(one.event)
        else:
            placed.insert(bisect_left(placed, one), one)
            machine = _run(placed)
        events.append(KeptEvent(fingerprint(one.event), one.event, now, source, mapping_version))
        news.append(_tell(loaded.track, one.event, machine, before, source, now))
    return TrackStep(_written(heard(loaded.track, source, now), machine.state()), tuple(events), tuple(news))


def follow_on(
    track: TrackRecord, incoming: Sequence[TrackEvent], *, source: TrackSource, now: datetime, mapping_version: int
) -> TrackStep | None:
    """As `absorb`, out of the track alone, for events that all come after everything known. None: ask `absorb`.

    What has a later time than the last event is new, unless the carrier gave it the id of an older one; so a store
    must refuse the step when it holds one of its fingerprints.
    """
    if track.status is S.EXCEPTION:
        return None  # where it stood before the trouble is not in the record
    last, ordered = track.last_event_time, sorted(incoming, key=_time_of)
    if not ordered or ordered[0].time < _earliest(track):
        return None
    machine = _Machine.of(track)
    events, news = [], []
    for event in ordered:
        if last is not None and event.time <= last:
            return None
        before, last = machine.status, event.time
        machine.take(event)
        events.append(KeptEvent(fingerprint(event), event, now, source, mapping_version))
        news.append(_tell(track, event, machine, before, source, now))
    return TrackStep(_written(heard(track, source, now), machine.state()), tuple(events), tuple(news))


def heard(track: TrackRecord, source: TrackSource, now: datetime) -> TrackRecord:
    """The track after an answer or a push, whether or not it brought events."""
    pushed_time = now if source is TrackSource.PUSH else track.pushed_time
    return msgspec.structs.replace(track, observed_time=now, source=source, pushed_time=pushed_time, failed_polls=0)


def is_another_parcel(track: TrackRecord, event_time: datetime) -> bool:
    """True when a number was used again: its track is retired, and the event comes long after its last."""
    return track.retired and event_time - (track.last_event_time or track.first_seen_time) > REUSED_AFTER


def _new_ones(loaded: LoadedTrack, incoming: Sequence[TrackEvent], placed: Iterable[_Placed]) -> list[_Placed]:
    """What neither its fingerprint nor what it says makes known."""
    earliest = _earliest(loaded.track)
    marks = {kept.fingerprint for kept in loaded.events}
    # One happening has one time: what happened at other times needs no comparison.
    at: dict[datetime, list[_Placed]] = {}
    for one in placed:
        at.setdefault(one.event.time, []).append(one)
    fresh = []
    for event in incoming:
        one, mark = _Placed(event), fingerprint(event)
        same_time = at.setdefault(_time_of(event), [])
        if event.time < earliest or mark in marks or any(one.happening == other.happening for other in same_time):
            continue
        marks.add(mark)
        same_time.append(one)
        fresh.append(one)
    return fresh


def _earliest(track: TrackRecord) -> datetime:
    """What is older belongs to the parcel that had the number before."""
    return track.first_seen_time - (OWN_LIFE_STARTS_BEFORE if track.order_id else ASKED_LIFE_STARTS_BEFORE)


def _tell(
    track: TrackRecord,
    event: TrackEvent,
    machine: _Machine,
    before: TrackStatus | None,
    source: TrackSource,
    now: datetime,
) -> TrackNews:
    return TrackNews(
        tenant=track.tenant,
        track_id=track.track_id,
        carrier=track.carrier,
        waybill_number=track.waybill_number,
        order_id=track.order_id,
        event=event,
        source=source,
        status=machine.status,
        milestone=machine.milestone,
        status_changed=machine.status is not before,
        received_time=now,
    )


def _written(track: TrackRecord, state: TrackState) -> TrackRecord:
    return msgspec.structs.replace(
        track,
        status=state.status,
        milestone=state.milestone,
        status_time=state.status_time,
        last_event_time=state.last_event_time,
        event_count=state.event_count,
        unknown_count=state.unknown_count,
    )


class _Placed:
    """An event with its place in the parcel's life."""

    __slots__ = ("_happening", "event", "rank")

    def __init__(self, event: TrackEvent) -> None:
        self.event = event
        self.rank = TIE_RANK[event.status if event.known else None]
        self._happening = b""

    @property
    def happening(self) -> bytes:
        """See `happening`. Worked out when it is asked for: times alone tell most events apart."""
        if not self._happening:
            self._happening = happening(self.event)
        return self._happening

    def __lt__(self, other: _Placed) -> bool:
        mine, theirs = (self.event.time, self.rank), (other.event.time, other.rank)
        return mine < theirs if mine != theirs else self.happening < other.happening


class _Machine:
    """The status machine at work. Takes events in time order, one by one."""

    def __init__(self) -> None:
        self.status: TrackStatus | None = None
        self.milestone = Milestone.NONE
        self._position: TrackStatus | None = None
        self._status_time: datetime | None = None
        self._last_event_time: datetime | None = None
        self._event_count = 0
        self._unknown_count = 0

    @classmethod
    def of(cls, track: TrackRecord) -> _Machine:
        """Where a track stands, unless in trouble: then its record does not tell its position."""
        machine = cls()
        machine.status = machine._position = track.status
        machine.milestone = track.milestone
        machine._status_time, machine._last_event_time = track.status_time, track.last_event_time
        machine._event_count, machine._unknown_count = track.event_count, track.unknown_count
        return machine

    def take(self, event: TrackEvent) -> None:
        """Go where the event leads, if there is a way."""
        self._event_count += 1
        self._last_event_time = event.time
        if not event.known:
            self._unknown_count += 1
            return
        if event.status is None:
            return
        if event.status is self.status:
            self.milestone = event.milestone or self.milestone
            return
        meant, milestone = READ_AS.get((self._position, event.status), (event.status, event.milestone))
        if self._may_go(meant):
            self.status = meant
            self.milestone = milestone
            self._status_time = event.time
            if meant is not S.EXCEPTION:
                self._position = meant

    def state(self) -> TrackState:
        """Where it stands now."""
        return TrackState(
            self.status,
            self.milestone,
            self._status_time,
            self._last_event_time,
            self._event_count,
            self._unknown_count,
        )

    def _may_go(self, to: TrackStatus) -> bool:
        if self.status is None:
            return True
        row = NEXT[self._position or self.status]
        if to in row.forward or to in row.back:
            return True
        return self.status is S.EXCEPTION and (to is self._position or to in row.resume)


def _run(placed: Iterable[_Placed]) -> _Machine:
    machine = _Machine()
    for one in placed:
        machine.take(one.event)
    return machine


def _time_of(event: TrackEvent) -> datetime:
    """The event's time. Raises ValueError when it has no zone."""
    if event.time.utcoffset() is not None:
        return event.time
    raise ValueError("time of a track event has no zone: the plug-in must add its manifest's")


def _instant(event: TrackEvent) -> str:
    """The event's time, the same for every zone it may be written in, exact to the microsecond."""
    return f"{_time_of(event).timestamp():.6f}"


def _digest(*parts: str) -> bytes:
    """Lengths keep ("ab", "c") and ("a", "bc") apart."""
    data = "".join([f"{len(part)}:{part}" for part in parts])
    return blake2b(data.encode("utf-8", "surrogatepass"), digest_size=16).digest()
