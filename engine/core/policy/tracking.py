"""What news of a parcel does to its track: which events are new, where they lead, what watchers hear. Pure.

Events are put in the order of the carrier's time before the machine runs over them. So the end does not depend on the
order in which pushes and polls brought them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from crossdock_sdk.tracking import TrackEvent, TrackStatus
from engine.core.policy.track_identity import fingerprint, life_starts, time_of
from engine.core.policy.track_machine import Machine, Placed, TrackState, run
from engine.core.policy.track_records import KeptEvent, LoadedTrack, TrackNews, TrackRecord, TrackSource, news_of


class TrackStep(msgspec.Struct, frozen=True):
    """What new events do to a track: the track as it shall be, what to keep, what watchers hear, in time order."""

    track: TrackRecord
    events: tuple[KeptEvent, ...]
    news: tuple[TrackNews, ...]


def absorb(
    loaded: LoadedTrack, incoming: Sequence[TrackEvent], *, source: TrackSource, now: datetime, mapping_version: int
) -> TrackStep | None:
    """What a push or a poll brings to a track. None when it holds no event that is new.

    The track's polling fields are for `following` to set. Raises ValueError for an event time without a zone.
    """
    placed = sorted([Placed(kept.event) for kept in loaded.events])
    fresh = sorted(_new_ones(loaded, incoming, placed))
    if not fresh:
        return None
    machine = run(placed)
    events, news = [], []
    for one in fresh:
        before = machine.status
        if not placed or placed[-1] < one:
            placed.append(one)
            machine.take(one.event)
        else:
            placed.insert(bisect_left(placed, one), one)
            machine = run(placed)
        events.append(KeptEvent(fingerprint(one.event), one.event, now, source, mapping_version))
        moved = machine.status is not before
        news.append(news_of(loaded.track, source, machine.status, machine.milestone, moved, now, event=one.event))
    return TrackStep(_written(heard(loaded.track, source, now), machine.state()), tuple(events), tuple(news))


def follow_on(
    track: TrackRecord, incoming: Sequence[TrackEvent], *, source: TrackSource, now: datetime, mapping_version: int
) -> TrackStep | None:
    """As `absorb`, out of the track alone, for events that all come after everything known. None: ask `absorb`.

    What has a later time than the last event is new, unless the carrier gave it the id of an older one; so a store
    must refuse the step when it holds one of its fingerprints.
    """
    if track.status is TrackStatus.EXCEPTION:
        return None  # where it stood before the trouble is not in the record
    last, ordered = track.last_event_time, sorted(incoming, key=time_of)
    if not ordered or ordered[0].time < life_starts(track):
        return None
    machine = Machine.of(track)
    marks: set[bytes] = set()
    events, news = [], []
    for event in ordered:
        mark = fingerprint(event)
        if (last is not None and event.time <= last) or mark in marks:
            return None
        marks.add(mark)
        before, last = machine.status, event.time
        machine.take(event)
        events.append(KeptEvent(mark, event, now, source, mapping_version))
        moved = machine.status is not before
        news.append(news_of(track, source, machine.status, machine.milestone, moved, now, event=event))
    return TrackStep(_written(heard(track, source, now), machine.state()), tuple(events), tuple(news))


def heard(track: TrackRecord, source: TrackSource, now: datetime) -> TrackRecord:
    """The track after an answer or a push, whether or not it brought events."""
    pushed_time = now if source is TrackSource.PUSH else track.pushed_time
    return msgspec.structs.replace(track, observed_time=now, source=source, pushed_time=pushed_time, failed_polls=0)


def _new_ones(loaded: LoadedTrack, incoming: Sequence[TrackEvent], placed: Iterable[Placed]) -> list[Placed]:
    """What neither its fingerprint nor what it says makes known."""
    oldest = life_starts(loaded.track)
    marks = {kept.fingerprint for kept in loaded.events}
    # One happening has one time: what happened at other times needs no comparison.
    at: dict[datetime, list[Placed]] = {}
    for one in placed:
        at.setdefault(one.event.time, []).append(one)
    fresh = []
    for event in incoming:
        one, mark = Placed(event), fingerprint(event)
        same_time = at.setdefault(time_of(event), [])
        if event.time < oldest or mark in marks or any(one.happening == other.happening for other in same_time):
            continue
        marks.add(mark)
        same_time.append(one)
        fresh.append(one)
    return fresh


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
