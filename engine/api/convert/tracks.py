"""Tracks between the contract and the engine."""

from __future__ import annotations

from crossdock.v1 import track_service_pb2, track_status_pb2
from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus
from engine.api.convert.values import to_timestamp
from engine.core.policy.recognition import Guess
from engine.core.policy.track_records import LoadedTrack, StallAlert, TrackNews, TrackRecord, TrackSource
from engine.recent import Recent

pb = track_service_pb2

STATUSES: dict[TrackStatus | None, track_status_pb2.TrackStatus.ValueType] = {
    status: track_status_pb2.TrackStatus.Value(f"TRACK_STATUS_{status}") for status in TrackStatus
}
STATUSES[None] = track_status_pb2.TRACK_STATUS_UNSPECIFIED
STATUSES_READ = {number: status for status, number in STATUSES.items() if status is not None}
MILESTONES = {
    milestone: track_status_pb2.Milestone.Value(f"MILESTONE_{milestone or 'UNSPECIFIED'}") for milestone in Milestone
}
MILESTONES_READ = {number: milestone for milestone, number in MILESTONES.items()}
SOURCES: dict[TrackSource | None, pb.Freshness.Source.ValueType] = {
    source: pb.Freshness.Source.Value(f"SOURCE_{source}") for source in TrackSource
}
SOURCES[None] = pb.Freshness.SOURCE_UNSPECIFIED

KNOWN_ANSWERS = 1024
"""Answers kept, of some kilobytes each."""


class Answers:
    """What is answered about tracks, written once for as long as the store gives the same track."""

    def __init__(self, size: int = KNOWN_ANSWERS) -> None:
        self._known: Recent[str, tuple[LoadedTrack, pb.GetTrackResponse]] = Recent(size)

    def about(self, loaded: LoadedTrack) -> pb.GetTrackResponse:
        """The answer; not to be changed, since others are given the same one."""
        known = self._known.get(loaded.track.track_id)
        if known is not None and known[0] is loaded:
            return known[1]
        answer = pb.GetTrackResponse()
        write_track(loaded, answer.track)
        self._known.put(loaded.track.track_id, (loaded, answer))
        return answer


def write_track(loaded: LoadedTrack, message: pb.Track) -> None:
    """A track with its events and how fresh it is, into an empty message."""
    track = loaded.track
    message.track_id = track.track_id
    message.carrier = track.carrier
    message.waybill_number = track.waybill_number
    message.order_id = track.order_id
    message.status = STATUSES[track.status]
    message.milestone = MILESTONES[track.milestone]
    message.unknown_event_count = track.unknown_count
    message.alerts.extend([_write_alert(alert) for alert in track.alerts])
    # Written in place: a message given to another is copied, with everything in it.
    for kept in loaded.events:
        event = message.events.add()
        _fill(event, kept.event)
        event.source = SOURCES[kept.source]
        to_timestamp(kept.received_time, event.receive_time)
    _write_freshness(track, message.freshness)
    if track.status_time is not None:
        to_timestamp(track.status_time, message.status_time)


def _write_freshness(track: TrackRecord, message: pb.Freshness) -> None:
    message.source = SOURCES[track.source]
    for field, time in (
        (message.observed_time, track.observed_time),
        (message.carrier_event_time, track.last_event_time),
        (message.next_refresh_time, track.next_poll_time),
    ):
        if time is not None:
            to_timestamp(time, field)


def _fill(message: pb.TrackEvent, event: TrackEvent) -> None:
    message.status = STATUSES[event.status]
    message.milestone = MILESTONES[event.milestone]
    message.code = event.code
    message.text = event.text
    message.city = event.place.city
    message.facility = event.place.facility
    message.courier_name = event.courier_name
    message.courier_phone = event.courier_phone
    message.signer = event.signer
    message.new_waybill_number = event.new_waybill_number
    to_timestamp(event.time, message.event_time)


def _write_alert(alert: StallAlert) -> pb.StallAlert:
    message = pb.StallAlert(rule=alert.rule, reason=alert.reason, evidence=alert.evidence)
    to_timestamp(alert.raised_time, message.raised_time)
    if alert.resolved_time is not None:
        to_timestamp(alert.resolved_time, message.resolved_time)
    return message


def write_news(news: TrackNews) -> pb.TrackNews:
    """An event that was new or an alert that changed, and where the parcel stands after it."""
    message = pb.TrackNews(
        track_id=news.track_id,
        carrier=news.carrier,
        waybill_number=news.waybill_number,
        order_id=news.order_id,
        status=STATUSES[news.status],
        status_changed=news.status_changed,
    )
    if news.event is not None:
        _fill(message.event, news.event)
        message.event.source = SOURCES[news.source]
        to_timestamp(news.received_time, message.event.receive_time)
    if news.alert is not None:
        message.alert.CopyFrom(_write_alert(news.alert))
    return message


def write_guess(guess: Guess) -> pb.RecognizeCarrierResponse.Guess:
    """A carrier the number may belong to."""
    percent = round(guess.confidence * 100)
    return pb.RecognizeCarrierResponse.Guess(carrier=guess.carrier, confidence_percent=percent, reason=guess.reason)
