"""Which events are one, and which parcel a number stands for. Pure.

Carriers tell an event many times, by push and by query, and use a number again after some months.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b

from crossdock_sdk.tracking import TrackEvent
from engine.core.policy.track_records import TrackRecord

OWN_LIFE_STARTS_BEFORE = timedelta(days=2)
"""A number we booked has no life before its booking; so much is left for clocks and time zones that differ."""
ASKED_LIFE_STARTS_BEFORE = timedelta(days=90)
"""How far back the life of a number that we only heard of may reach: numbers are used again after some months."""
REUSED_AFTER = timedelta(days=90)
"""After so long a silence a retired number belongs to another parcel."""


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


def time_of(event: TrackEvent) -> datetime:
    """The event's time. Raises ValueError when it has no zone."""
    if event.time.utcoffset() is not None:
        return event.time
    raise ValueError("time of a track event has no zone: the plug-in must add its manifest's")


def life_starts(track: TrackRecord) -> datetime:
    """From when on events are of this parcel: what is older belongs to the one that had the number before."""
    return track.first_seen_time - (OWN_LIFE_STARTS_BEFORE if track.order_id else ASKED_LIFE_STARTS_BEFORE)


def is_another_parcel(track: TrackRecord, event_time: datetime) -> bool:
    """True when a number was used again: its track is retired, and the event comes long after its last."""
    return track.retired and event_time - (track.last_event_time or track.first_seen_time) > REUSED_AFTER


def _instant(event: TrackEvent) -> str:
    """The event's time, the same for every zone it may be written in, exact to the microsecond."""
    return f"{time_of(event).timestamp():.6f}"


def _digest(*parts: str) -> bytes:
    """Lengths keep ("ab", "c") and ("a", "bc") apart."""
    data = "".join([f"{len(part)}:{part}" for part in parts])
    return blake2b(data.encode("utf-8", "surrogatepass"), digest_size=16).digest()
