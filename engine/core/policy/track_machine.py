"""The forward-only status machine of parcels: its table, and what runs it over events in their order. Pure.

- `NEXT` is the machine. A status may go forward; every step back stands there with its reason. What is not in the
  table is kept as an event and leaves the status alone.
- EXCEPTION is a trouble at a position, not a position: coming out of it, the rules of that position hold.
- An event without a status keeps the last one; one whose code no table knows is counted.
- Events of one time have a fixed rank, so that the end does not depend on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus
from engine.core.policy.track_identity import happening
from engine.core.policy.track_records import TrackRecord

S = TrackStatus

TERMINAL = frozenset({S.DELIVERED, S.RETURNED, S.CANCELLED})
"""Statuses after which nothing is expected. Some still know a way back, see `NEXT`."""


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


def derive(events: Iterable[TrackEvent]) -> TrackState:
    """The state that a parcel's events lead to, in whichever order they are given."""
    return run(sorted([Placed(event) for event in events])).state()


def run(placed: Iterable[Placed]) -> Machine:
    """The machine after these events, which are in order."""
    machine = Machine()
    for one in placed:
        machine.take(one.event)
    return machine


class Placed:
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

    def __lt__(self, other: Placed) -> bool:
        mine, theirs = (self.event.time, self.rank), (other.event.time, other.rank)
        return mine < theirs if mine != theirs else self.happening < other.happening


class Machine:
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
    def of(cls, track: TrackRecord) -> Machine:
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
