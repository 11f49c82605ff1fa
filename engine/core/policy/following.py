"""When a parcel is asked for again, and when it is let go. Pure: `now` is passed in, chance is drawn from the id.

- How often depends on where the parcel stands: `POLL_INTERVAL_S`.
- A carrier that pushes is asked less. A parcel that has long been silent is asked less and less.
- Times are spread by the track's id, so that parcels which met in an outage do not come back in one moment.
- The carrier's own least interval between two questions always holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec

from crossdock_sdk.tracking import TrackStatus
from engine.core.policy.track_machine import TERMINAL
from engine.core.policy.track_records import TrackRecord

_MINUTE_S = 60.0
_HOUR_S = 3_600.0
_DAY_S = 86_400.0

POLL_INTERVAL_S: Mapping[TrackStatus | None, float] = {
    None: 2 * _HOUR_S,
    TrackStatus.PRE_TRANSIT: 2 * _HOUR_S,
    TrackStatus.PICKED_UP: 4 * _HOUR_S,
    TrackStatus.IN_TRANSIT: 4 * _HOUR_S,
    TrackStatus.IN_CUSTOMS: 12 * _HOUR_S,
    TrackStatus.OUT_FOR_DELIVERY: 30 * _MINUTE_S,
    TrackStatus.AVAILABLE_FOR_COLLECTION: 6 * _HOUR_S,
    TrackStatus.DELIVERY_ATTEMPTED: 2 * _HOUR_S,
    TrackStatus.EXCEPTION: 4 * _HOUR_S,
    TrackStatus.RETURNING: 6 * _HOUR_S,
    # Only until the grace is over: corrections come soon or never.
    TrackStatus.DELIVERED: 8 * _HOUR_S,
    TrackStatus.RETURNED: 8 * _HOUR_S,
    TrackStatus.CANCELLED: 8 * _HOUR_S,
}
"""Seconds between two questions about a parcel that moves as it should."""


class FollowRules(msgspec.Struct, frozen=True):
    """How parcels are followed.

    intervals_s: overrides rows of POLL_INTERVAL_S. pushed_factor: a parcel that was pushed within pushed_for_s waits
    so many times longer. silence_share: it is not asked again before this share of its silence has passed once more,
    up to longest_interval_s. first_backoff_s doubles with each failure in a row up to longest_backoff_s.
    spread: a wait is drawn out by up to this share, a wait after a failure likewise by failure_spread.
    grace_polls, grace_s: a parcel at its end is let go after so many answers or so long, whichever comes first.
    give_up_s: any parcel is let go after so long without an event.
    """

    intervals_s: Mapping[TrackStatus | None, float] = {}
    pushed_factor: float = 3.0
    pushed_for_s: float = 2 * _DAY_S
    silence_share: float = 0.05
    longest_interval_s: float = _DAY_S
    first_backoff_s: float = 2 * _MINUTE_S
    longest_backoff_s: float = 6 * _HOUR_S
    spread: float = 0.1
    failure_spread: float = 1.0
    grace_polls: int = 2
    grace_s: float = _DAY_S
    give_up_s: float = 90 * _DAY_S


DEFAULT_RULES = FollowRules()


def begin(track: TrackRecord, *, now: datetime, asked_at_once: bool, rules: FollowRules = DEFAULT_RULES) -> TrackRecord:
    """A track that is opened: asked for now, or, just booked, after its first interval."""
    wait_s = 0.0 if asked_at_once else _spread_out(_interval_s(track, rules, now), rules.spread, track)
    return msgspec.structs.replace(track, next_poll_time=now + timedelta(seconds=wait_s))


def answered(
    track: TrackRecord, *, now: datetime, min_interval_s: float, rules: FollowRules = DEFAULT_RULES
) -> TrackRecord:
    """The track after the carrier answered a question about it: `absorb` or `heard` went before."""
    final_polls = track.final_polls + 1 if track.status in TERMINAL else 0
    return _scheduled(msgspec.structs.replace(track, final_polls=final_polls), now, min_interval_s, rules)


def pushed(
    track: TrackRecord, *, now: datetime, min_interval_s: float, rules: FollowRules = DEFAULT_RULES
) -> TrackRecord:
    """The track after a push: its next question is put off. One that was let go is followed again if it moves on."""
    final_polls = track.final_polls if track.status in TERMINAL else 0
    return _scheduled(msgspec.structs.replace(track, final_polls=final_polls), now, min_interval_s, rules)


def failed(
    track: TrackRecord, *, now: datetime, min_interval_s: float, rules: FollowRules = DEFAULT_RULES
) -> TrackRecord:
    """The track after a question that got no answer: tried again later and later, or let go."""
    failures = track.failed_polls + 1
    track = msgspec.structs.replace(track, failed_polls=failures)
    if is_over(track, now=now, rules=rules):
        return ended(track)
    # 2**16 times the first wait is beyond any longest one; higher powers would only overflow.
    backoff_s = min(rules.first_backoff_s * 2.0 ** min(failures - 1, 16), rules.longest_backoff_s)
    wait_s = _spread_out(max(backoff_s, min_interval_s), rules.failure_spread, track)
    return msgspec.structs.replace(track, next_poll_time=now + timedelta(seconds=wait_s), retired=False)


def is_over(track: TrackRecord, *, now: datetime, rules: FollowRules = DEFAULT_RULES) -> bool:
    """True when nothing more is expected of a parcel: its grace is over, or it was silent for too long."""
    if track.status in TERMINAL and track.status_time is not None:
        at_its_end_s = (now - track.status_time).total_seconds()
        if track.final_polls >= rules.grace_polls or at_its_end_s >= rules.grace_s:
            return True
    return _silence_s(track, now) >= rules.give_up_s


def ended(track: TrackRecord) -> TrackRecord:
    """The track when nobody shall ask about it any more."""
    return msgspec.structs.replace(track, next_poll_time=None, retired=True)


def _scheduled(track: TrackRecord, now: datetime, min_interval_s: float, rules: FollowRules) -> TrackRecord:
    if is_over(track, now=now, rules=rules):
        return ended(track)
    wait_s = _spread_out(max(_interval_s(track, rules, now), min_interval_s), rules.spread, track)
    return msgspec.structs.replace(track, next_poll_time=now + timedelta(seconds=wait_s), retired=False)


def _interval_s(track: TrackRecord, rules: FollowRules, now: datetime) -> float:
    usual_s = rules.intervals_s.get(track.status, POLL_INTERVAL_S[track.status])
    if track.pushed_time is not None and (now - track.pushed_time).total_seconds() <= rules.pushed_for_s:
        usual_s *= rules.pushed_factor
    patient_s = min(_silence_s(track, now) * rules.silence_share, rules.longest_interval_s)
    return max(usual_s, patient_s)


def _silence_s(track: TrackRecord, now: datetime) -> float:
    """Seconds since the carrier's last event, or since the parcel was first seen when there was none."""
    return (now - (track.last_event_time or track.first_seen_time)).total_seconds()


def _spread_out(wait_s: float, share: float, track: TrackRecord) -> float:
    """Longer by a part of `share` that is the track's own, and another after each failure."""
    drawn = blake2b(f"{track.track_id}/{track.failed_polls}".encode(), digest_size=8).digest()
    return wait_s * (1.0 + share * int.from_bytes(drawn, "big") / 2**64)
