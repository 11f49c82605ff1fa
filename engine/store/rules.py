"""What every backend decides the same way: who holds a key, whether a change is sound, what is due.

Pure and synchronous. A backend only fetches and writes; it never decides by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from crossdock_sdk.tracking import TrackEvent
from engine.core.policy.records import (
    FINAL_STATES,
    AttemptRecord,
    NewEvent,
    OrderRecord,
    OrderState,
)
from engine.core.policy.return_records import ReturnRecord
from engine.core.policy.track_records import TrackNews, TrackRecord
from engine.store.port import AcceptKind, Idempotency, StoreError
from engine.store.track_port import TrackChange

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

REFERENCE_FREE_STATES = frozenset({OrderState.FAILED, OrderState.CANCELLED})
"""States in which an order gives its reference back."""

UNFINISHED_STATES = frozenset(OrderState) - FINAL_STATES - {OrderState.NEEDS_REVIEW}
"""States in which an order whose engine is gone must be looked at, even if it names no due time."""

NO_DUE_US = 1 << 62
"""Sorts an unfinished order without a due time behind all others: due only for a later engine."""


class KeyHolder(msgspec.Struct, frozen=True):
    """The order that holds an idempotency key, and the digest the key was given with."""

    order_id: str
    body_hash: bytes
    state: OrderState


def decide_accept(
    keys: Idempotency, by_request: KeyHolder | None, by_reference: KeyHolder | None
) -> tuple[AcceptKind, KeyHolder | None]:
    """How a creation ends, and the order that already holds the key (None for CREATED)."""
    if by_request is not None:
        if by_request.body_hash == keys.body_hash:
            return AcceptKind.REPLAYED, by_request
        return AcceptKind.REQUEST_ID_REUSED, by_request
    if by_reference is None:
        return AcceptKind.CREATED, None
    if keys.request_id and by_reference.state in REFERENCE_FREE_STATES:
        return AcceptKind.CREATED, None
    if by_reference.body_hash == keys.body_hash:
        return AcceptKind.REPLAYED, by_reference
    return AcceptKind.REFERENCE_REUSED, by_reference


def check_step(
    order: OrderRecord,
    attempts: Sequence[AttemptRecord],
    events: Sequence[NewEvent],
    tracks: Iterable[TrackRecord] = (),
) -> None:
    """Refuse a step whose parts do not belong together. Raises StoreError."""
    for attempt in attempts:
        if attempt.order_id != order.order_id:
            raise StoreError(
                f"attempts: attempt {attempt.number} is of order {attempt.order_id}, "
                f"not of {order.order_id}: write it with its own order"
            )
    for event in events:
        if event.tenant != order.tenant or event.order_id != order.order_id:
            raise StoreError(
                f"events: {event.kind} is not about order {order.order_id} of its tenant: write it with its own order"
            )
    for track in tracks:
        if track.tenant != order.tenant:
            raise StoreError(
                f"tracks: track {track.track_id} is not of the tenant of order {order.order_id}: "
                "write it with an order of its own tenant"
            )


def due_us(order: OrderRecord) -> int | None:
    """The key of the due index: None for an order nobody must look at."""
    if order.due_time is not None:
        return to_us(order.due_time, "due_time")
    return NO_DUE_US if order.state in UNFINISHED_STATES else None


def to_us(time: datetime, field: str) -> int:
    """Microseconds since 1970 UTC, exact. Raises StoreError for a time without a zone."""
    try:
        span = time - _EPOCH
    except TypeError:
        raise StoreError(f"{field} has no time zone: give an aware datetime") from None
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def first_id_of(time_us: int) -> str:
    """The least UUIDv7 of that millisecond or later: order ids sort by the time at which they were made."""
    digits = f"{max(time_us, 0) // 1000:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def stale_text(change: OrderRecord, version: int, lease_epoch: int) -> str:
    """Why a step of `change` is refused, given what is stored."""
    if lease_epoch > change.lease_epoch:
        return (
            f"order {change.order_id} is held by epoch {lease_epoch}, not {change.lease_epoch}: "
            "a later engine took it over"
        )
    return f"order {change.order_id} is at version {version}, not {change.version}: read it again"


def missing_text(order: OrderRecord) -> str:
    """Why a step of an order that this tenant does not have is refused."""
    return f"order {order.order_id} is not in the store for its tenant: accept it first"


def check_track_step(change: TrackChange) -> list[bytes | None]:
    """The fingerprint of each news' event, None for news of an alert.

    Raises StoreError for a step whose parts do not belong together.
    """
    track = change.track
    marks = {kept.event: kept.fingerprint for kept in change.events}
    if len({kept.fingerprint for kept in change.events}) < len(change.events):
        raise StoreError(f"events: two of track {track.track_id} have one fingerprint: give each event once")
    return [_mark_of(track, news, marks) for news in change.news]


def _mark_of(track: TrackRecord, news: TrackNews, marks: Mapping[TrackEvent, bytes]) -> bytes | None:
    if news.tenant != track.tenant or news.track_id != track.track_id:
        raise StoreError(f"news: one is not about track {track.track_id} of its tenant: write it with its own track")
    if (news.event is None) is (news.alert is None):
        raise StoreError(f"news: one of track {track.track_id} must be about either an event or an alert: give one")
    if news.alert is not None:
        # Nobody may hear of an alert that the track does not show, nor of the end of one that it does.
        if (news.alert.resolved_time is None) is not any(a.rule == news.alert.rule for a in track.alerts):
            raise StoreError(f"news: the alert {news.alert.rule} of track {track.track_id} is not as the track has it")
        return None
    if news.event is None or news.event not in marks:
        raise StoreError(f"news: one of track {track.track_id} is about no event of this step: write both together")
    return marks[news.event]


def stalled_by(track: TrackRecord) -> str:
    """The rules of a track's open alerts, one a line; names have no line feeds. What counting goes by."""
    return "\n".join(sorted(alert.rule for alert in track.alerts))


def count_stalled(groups: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Parcels per rule, out of how many are stalled by the same rules."""
    counts: Counter[str] = Counter()
    for rules, parcels in groups:
        counts.update(dict.fromkeys(rules.split("\n"), parcels))
    return dict(counts)


def stale_track_text(change: TrackRecord, version: int) -> str:
    """Why a step of `change` is refused, given what is stored."""
    return f"track {change.track_id} is at version {version}, not {change.version}: read it again"


def followed_text(track: TrackRecord) -> str:
    """Why a track cannot begin."""
    return f"{track.carrier}/{track.waybill_number} is followed already by its tenant: read that track first"


def repeat_text(change: TrackRecord) -> str:
    """Why a step whose events were said to be new is refused."""
    return f"track {change.track_id} holds one of the events already: read it again, with its events"


def missing_track_text(track: TrackRecord) -> str:
    """Why a step of a track that this tenant does not have is refused."""
    return f"track {track.track_id} is not in the store for its tenant: open it first"


def check_return_step(record: ReturnRecord, events: Sequence[NewEvent]) -> None:
    """Refuse a step whose parts do not belong together. Raises StoreError."""
    for field in ("create_time", "update_time"):
        to_us(getattr(record, field), field)
    if record.due_time is not None:
        to_us(record.due_time, "due_time")
    for event in events:
        to_us(event.time, "time")
        if event.tenant != record.tenant or event.return_id != record.return_id:
            raise StoreError(
                f"events: {event.kind} is not about return {record.return_id} of its tenant: "
                "write it with its own return"
            )


def more_returns_text(record: ReturnRecord) -> str:
    """Why a return is not opened, given that others came in between."""
    return f"order {record.wish.order_id} has other returns than were seen: read them again"


def stale_return_text(record: ReturnRecord, version: int) -> str:
    """Why a step of a return is refused, given what is stored."""
    return f"return {record.return_id} is at version {version}, not {record.version}: read it again"


def missing_return_text(record: ReturnRecord) -> str:
    """Why a step of a return that this tenant does not have is refused."""
    return f"return {record.return_id} is not in the store for its tenant: open it first"
