"""Which parcels stand still: alerts that rules raise and that what happens to a parcel resolves. Pure.

- A rule has a clock (`since`) and a time on it (`after_h`), so the moment at which it can become true is known
  exactly. What else it asks (`when`) depends on facts alone, which change only with the track: there is no clock in it.
- An open alert stays while its rule holds. It is never raised twice without having been resolved in between.
- A condition that cannot be evaluated raises the alert and says so: it is never taken as "no".
- An alert is a finding beside the status. It never moves one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol

import msgspec
from msgspec.structs import replace

from crossdock_sdk.tracking import TrackStatus
from engine.core.policy.track_machine import TERMINAL
from engine.core.policy.track_records import LoadedTrack, StallAlert, TrackNews, TrackRecord, news_of

NOTHING_KNOWN = "NOTHING_KNOWN"
"""How rules name a parcel that no event has given a status yet."""


class Since(StrEnum):
    """Which moment a rule counts from. Without an event the last two count from the booking, too."""

    BOOKED = "booked"
    """When the parcel was booked here, or began to be followed."""
    LAST_EVENT = "last_event"
    """The carrier's time of its newest event."""
    STATUS = "status"
    """The carrier's time of the event that gave the status."""


class StallRule(msgspec.Struct, frozen=True):
    """When a parcel stands still.

    after_h: hours on the clock. statuses: where the parcel must stand, None for nothing known yet; empty means
    anywhere but at its end. when: the condition on `StallFacts` as it was written, empty for none. reason: for people.
    """

    name: str
    since: Since
    after_h: float
    statuses: frozenset[TrackStatus | None] = frozenset()
    when: str = ""
    reason: str = ""


DEFAULT_STALL_RULES = (
    StallRule(
        "not-collected",
        Since.BOOKED,
        24.0,
        frozenset({None, TrackStatus.PRE_TRANSIT}),
        reason="not collected 24 h after the booking: ask the carrier for its courier",
    ),
    StallRule(
        "no-movement",
        Since.LAST_EVENT,
        48.0,
        frozenset({TrackStatus.PICKED_UP, TrackStatus.IN_TRANSIT, TrackStatus.RETURNING}),
        reason="no scan for 48 h on its way: ask the carrier to look for it",
    ),
    StallRule(
        "out-for-delivery-too-long",
        Since.STATUS,
        12.0,
        frozenset({TrackStatus.OUT_FOR_DELIVERY}),
        reason="out for delivery for longer than 12 h: ask the carrier what happened",
    ),
    StallRule(
        "not-fetched",
        Since.STATUS,
        72.0,
        frozenset({TrackStatus.AVAILABLE_FOR_COLLECTION}),
        reason="waits at its locker or station for more than 72 h: remind the recipient before it goes back",
    ),
)
"""What is watched for when no rule is configured."""


class StallFacts(msgspec.Struct, frozen=True):
    """What a rule's condition may ask. city: where the newest event happened, as the carrier names it."""

    carrier: str
    status: str
    milestone: str
    of_order: bool
    event_count: int
    city: str


class Judgement(msgspec.Struct, frozen=True):
    """What a condition said. failed: why it could not be evaluated, without the values it failed on."""

    holds: bool
    failed: str = ""


class Judge(Protocol):
    """Evaluates the rules' conditions."""

    def judge(self, rule: StallRule, facts: StallFacts) -> Judgement:
        """Whether the condition of a rule holds; the same facts always give the same answer."""


class Unconditional:
    """The judge of rules without conditions."""

    def judge(self, rule: StallRule, facts: StallFacts) -> Judgement:
        """Every rule holds."""
        return Judgement(True)


class Resolution(StrEnum):
    """Why an alert is over; stands in its evidence."""

    MOVED_ON = "MOVED_ON"
    """Something happened to the parcel, and the rule holds no more."""
    ENDED = "ENDED"
    """The parcel came to its end."""
    LET_GO = "LET_GO"
    """Nobody follows the parcel any more."""
    RULE_GONE = "RULE_GONE"
    """The rule was taken out of the configuration."""


class Settled(msgspec.Struct, frozen=True):
    """A track as its rules leave it, and the news of alerts that were resolved and raised."""

    track: TrackRecord
    news: tuple[TrackNews, ...] = ()


def settle(loaded: LoadedTrack, rules: Sequence[StallRule], judge: Judge, *, now: datetime) -> Settled:
    """Judge a track that changed, or whose check is due: its open alerts, and when it is to be looked at again.

    Its events may come in any order.
    """
    track = loaded.track
    there = {alert.rule: alert for alert in track.alerts}
    still: dict[str, StallAlert] = {}
    raised: list[StallAlert] = []
    next_time: datetime | None = None
    facts: StallFacts | None = None
    for rule in rules:
        due_time = becomes_true(rule, track)
        if due_time is None:
            continue
        if due_time > now:
            next_time = due_time if next_time is None else min(next_time, due_time)
            continue
        facts = facts or facts_of(loaded)
        judgement = judge.judge(rule, facts) if rule.when else Judgement(True)
        if not judgement.holds and not judgement.failed:
            continue
        if rule.name in there:
            still[rule.name] = there[rule.name]
        else:
            raised.append(_raised(rule, track, judgement, now))
    resolved = [_resolved(a, track, rules, now) for a in track.alerts if a.rule not in still]
    if not resolved and not raised and track.next_check_time == next_time:
        return Settled(track)
    settled = replace(track, alerts=(*still.values(), *raised), next_check_time=next_time)
    news = [
        news_of(
            track, track.source, track.status, track.milestone, status_changed=False, received_time=now, alert=alert
        )
        for alert in (*resolved, *raised)
    ]
    return Settled(settled, tuple(news))


def opened(track: TrackRecord, rules: Sequence[StallRule]) -> TrackRecord:
    """A track that begins now, with its first check."""
    times = [time for rule in rules if (time := becomes_true(rule, track)) is not None]
    return replace(track, next_check_time=min(times, default=None))


def becomes_true(rule: StallRule, track: TrackRecord) -> datetime | None:
    """From when on the rule's clock and statuses are fulfilled if nothing happens; None for never."""
    if track.retired or track.status in TERMINAL or (rule.statuses and track.status not in rule.statuses):
        return None
    return _since_time(rule, track) + timedelta(hours=rule.after_h)


def facts_of(loaded: LoadedTrack) -> StallFacts:
    """What conditions may ask about a track."""
    track = loaded.track
    # From the end, so that of events with one time the last to arrive counts.
    newest = max(reversed(loaded.events), key=lambda kept: kept.event.time, default=None)
    return StallFacts(
        carrier=track.carrier,
        status=_name(track.status),
        milestone=track.milestone.value,
        of_order=bool(track.order_id),
        event_count=track.event_count,
        city=newest.event.place.city if newest else "",
    )


def reason_of(rule: StallRule) -> str:
    """The rule's text for people; one made of its parts when it has none."""
    if rule.reason:
        return rule.reason
    text = {
        Since.BOOKED: f"{rule.after_h:g} h after the booking",
        Since.LAST_EVENT: f"no event for {rule.after_h:g} h",
        Since.STATUS: f"in one status for {rule.after_h:g} h",
    }[rule.since]
    statuses = sorted(map(_name, rule.statuses))
    return f"{text} ({' or '.join(statuses)})" if statuses else text


def digest_of(rules: Sequence[StallRule]) -> bytes:
    """Sixteen bytes that change with the rules: tracks that were judged by others must be judged again."""
    parts = [(r.name, r.since, r.after_h, sorted(map(_name, r.statuses)), r.when) for r in rules]
    return blake2b(msgspec.json.encode(parts), digest_size=16).digest()


def _name(status: TrackStatus | None) -> str:
    return NOTHING_KNOWN if status is None else status.value


def _since_time(rule: StallRule, track: TrackRecord) -> datetime:
    if rule.since is Since.LAST_EVENT and track.last_event_time is not None:
        return track.last_event_time
    if rule.since is Since.STATUS and track.status_time is not None:
        return track.status_time
    return track.first_seen_time


def _raised(rule: StallRule, track: TrackRecord, judgement: Judgement, now: datetime) -> StallAlert:
    evidence = {
        "since": rule.since.value,
        "since_time": _since_time(rule, track).isoformat(),
        "after_h": f"{rule.after_h:g}",
        "status": _name(track.status),
        "event_count": str(track.event_count),
    }
    if track.observed_time is not None:
        # How fresh the finding is: whoever reads it can tell silence of the parcel from silence of its carrier.
        evidence["observed_time"] = track.observed_time.isoformat()
    reason = reason_of(rule)
    if judgement.failed:
        evidence["rule_failed"] = judgement.failed
        reason = f"{reason}; its condition could not be evaluated: {judgement.failed}"
    return StallAlert(rule.name, reason, evidence, now)


def _resolved(alert: StallAlert, track: TrackRecord, rules: Sequence[StallRule], now: datetime) -> StallAlert:
    if track.status in TERMINAL:
        why = Resolution.ENDED
    elif track.retired:
        why = Resolution.LET_GO
    else:
        known = any(rule.name == alert.rule for rule in rules)
        why = Resolution.MOVED_ON if known else Resolution.RULE_GONE
    return replace(alert, evidence={**alert.evidence, "resolved_by": why.value}, resolved_time=now)
