"""How tracks read for a person: where a parcel stands, what happened to it, and how fresh that is."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from engine.cli.wording import enum_name, local

if TYPE_CHECKING:
    from crossdock.v1.track_service_pb2 import Freshness, StallAlert, TrackEvent

# Where the newest knowledge came from -> how it reads.
HEARD_BY = {"PUSH": "by push", "POLL": "by asking the carrier"}


def freshness_text(freshness: Freshness, now: datetime, zone: tzinfo | None = None) -> str:
    """How fresh an answer is, in words: `heard 3 min ago by push, next question at 2026-01-02 14:05:00`."""
    heard = "not heard of yet"
    if freshness.HasField("observed_time"):
        age_s = (now - freshness.observed_time.ToDatetime(UTC)).total_seconds()
        by = HEARD_BY.get(enum_name(type(freshness).Source, freshness.source), "")
        heard = f"heard {_span(age_s)} ago {by}".rstrip()
    if not freshness.HasField("next_refresh_time"):
        return f"{heard}, no next question planned"
    return f"{heard}, next question at {local(freshness.next_refresh_time, zone)}"


def status_name(value: int) -> str:
    """`IN_TRANSIT`."""
    from crossdock.v1 import track_status_pb2 as pb

    return enum_name(pb.TrackStatus, value)


def event_status(event: TrackEvent) -> str:
    """What an event means: its status, and the milestone where that says more."""
    status = status_name(event.status) if event.status else ""
    named = dict.fromkeys(name for name in (status, milestone_name(event)) if name)
    return ", ".join(named) or f"unknown code {event.code}".rstrip()


def milestone_name(event: TrackEvent) -> str:
    """`AT_LOCKER`, "" for none."""
    from crossdock.v1 import track_status_pb2 as pb

    return enum_name(pb.Milestone, event.milestone) if event.milestone else ""


def place(event: TrackEvent) -> str:
    """City and facility, as far as they are known."""
    if event.facility.startswith(event.city):
        return event.facility
    return f"{event.city} {event.facility}".rstrip()


def event_text(event: TrackEvent) -> str:
    """The carrier's words, and the number the parcel goes on under."""
    onward = f"(goes on as {event.new_waybill_number})" if event.new_waybill_number else ""
    return f"{event.text} {onward}".strip()


def alert_text(alert: StallAlert, zone: tzinfo | None = None) -> str:
    """What an alert says, and since when: `no scan for 48 h (rule no-movement, raised 2026-01-02 14:05:00)`."""
    over = f", over since {local(alert.resolved_time, zone)}" if alert.HasField("resolved_time") else ""
    return f"{alert.reason} (rule {alert.rule}, raised {local(alert.raised_time, zone)}{over})"


def _span(age_s: float) -> str:
    """A time span in its largest unit that fits."""
    for unit_s, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if age_s >= unit_s:
            return f"{age_s // unit_s:.0f} {name}"
    return f"{max(age_s, 0):.0f} s"
