"""What the engine remembers of parcels on their way. Frozen values, no behaviour.

A track is one parcel's life at one carrier: numbers are used again after months, so a track is known by its id, and
(carrier, number) finds the newest. Raw events are kept for ever beside the version of the table that mapped them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus


class TrackSource(StrEnum):
    """How an event or an answer came to us. ENGINE: nobody told us, it is what the engine itself did to the parcel."""

    PUSH = "PUSH"
    POLL = "POLL"
    ENGINE = "ENGINE"


class StallAlert(msgspec.Struct, frozen=True):
    """A parcel that a stall rule found standing still: raised once, resolved by what happens to the parcel.

    reason: for people. evidence: what the rule went by, without anything personal. resolved_time: None while open.
    """

    rule: str
    reason: str
    evidence: dict[str, str]
    raised_time: datetime
    resolved_time: datetime | None = None


class TrackRecord(msgspec.Struct, frozen=True):
    """One parcel's life at one carrier.

    status: None until the first event with a known code. status_time: the carrier's time of the event that gave it.
    observed_time: when we last heard anything from the carrier about it, events or not; source: how.
    next_poll_time: when it is asked for again, None when it is not followed (any more). unknown_count: events whose
    code no table knows. last_event_time: the newest event's carrier time. pushed_time: when the carrier last pushed
    about it. failed_polls: polls without an answer since the last one; final_polls: polls answered since the parcel
    came to its end. alerts: the open ones. next_check_time: when a stall rule may find it standing still,
    None for never unless something happens to it. subscribed: its carrier was asked to push about it and has answered.
    polled_time: when a question about it last went out.
    """

    track_id: str
    tenant: str
    carrier: str
    account_id: str
    waybill_number: str
    first_seen_time: datetime
    order_id: str = ""
    phone_tail: str = ""
    status: TrackStatus | None = None
    milestone: Milestone = Milestone.NONE
    status_time: datetime | None = None
    last_event_time: datetime | None = None
    observed_time: datetime | None = None
    source: TrackSource | None = None
    event_count: int = 0
    unknown_count: int = 0
    pushed_time: datetime | None = None
    failed_polls: int = 0
    final_polls: int = 0
    next_poll_time: datetime | None = None
    retired: bool = False
    alerts: tuple[StallAlert, ...] = ()
    next_check_time: datetime | None = None
    subscribed: bool = False
    polled_time: datetime | None = None
    version: int = 0

    def __repr__(self) -> str:
        return f"TrackRecord({self.carrier}/{self.waybill_number} {self.status})"


class KeptEvent(msgspec.Struct, frozen=True):
    """An event as it is kept. `fingerprint` knows a repeat, whichever way it came."""

    fingerprint: bytes
    event: TrackEvent
    received_time: datetime
    source: TrackSource
    mapping_version: int


class TrackNews(msgspec.Struct, frozen=True):
    """What watchers hear: an event that was new to us, or an alert that was raised or resolved.

    And where the parcel stands after it. Exactly one of `event` and `alert` is there; source: of the newest knowledge,
    None before the first.
    """

    tenant: str
    track_id: str
    carrier: str
    waybill_number: str
    order_id: str
    source: TrackSource | None
    status: TrackStatus | None
    milestone: Milestone
    status_changed: bool
    received_time: datetime
    event: TrackEvent | None = None
    alert: StallAlert | None = None


def news_of(
    track: TrackRecord,
    source: TrackSource | None,
    status: TrackStatus | None,
    milestone: Milestone,
    status_changed: bool,
    received_time: datetime,
    *,
    event: TrackEvent | None = None,
    alert: StallAlert | None = None,
) -> TrackNews:
    """What watchers hear of a track. Of its record only names are taken: news may be ahead of it, or of its past."""
    return TrackNews(
        tenant=track.tenant,
        track_id=track.track_id,
        carrier=track.carrier,
        waybill_number=track.waybill_number,
        order_id=track.order_id,
        source=source,
        status=status,
        milestone=milestone,
        status_changed=status_changed,
        received_time=received_time,
        event=event,
        alert=alert,
    )


class NumberedNews(msgspec.Struct, frozen=True):
    """Committed news. Sequence numbers rise by one without gaps over all tenants of a store."""

    sequence: int
    news: TrackNews


class LoadedTrack(msgspec.Struct, frozen=True):
    """A track with all its events, ascending by carrier time, then by arrival."""

    track: TrackRecord
    events: tuple[KeptEvent, ...] = ()


class DeadLetter(msgspec.Struct, frozen=True):
    """A push that was verified and could not be applied: kept with its cause until somebody replays or drops it."""

    letter_id: str
    account_id: str
    received_time: datetime
    cause: str
    attempts: int
    headers: dict[str, str]
    body: bytes
    path: str = ""
    query: str = ""

    def __repr__(self) -> str:
        return f"DeadLetter({self.letter_id} {self.account_id} {len(self.body)} bytes)"
