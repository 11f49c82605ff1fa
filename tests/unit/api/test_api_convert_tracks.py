"""Answers about tracks: written once for one track, anew for a track that changed."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from engine.api.convert.tracks import Answers
from engine.core.policy.track_records import LoadedTrack, TrackRecord

TRACK = TrackRecord(
    track_id="t1",
    tenant="acme",
    carrier="sf",
    account_id="sf-main",
    waybill_number="SF1",
    first_seen_time=datetime(2026, 11, 1, tzinfo=UTC),
)


def test_same_track_is_written_once() -> None:
    """Whoever asks about an unchanged track is given the answer that is there."""
    answers, loaded = Answers(), LoadedTrack(TRACK)

    first = answers.about(loaded)

    assert answers.about(loaded) is first
    assert first.track.waybill_number == "SF1"


def test_track_that_changed_is_written_anew() -> None:
    """An answer is never older than the track it is asked for."""
    answers = Answers()
    answers.about(LoadedTrack(TRACK))

    answer = answers.about(LoadedTrack(replace(TRACK, unknown_count=7)))

    assert answer.track.unknown_event_count == 7


def test_answers_kept_are_bounded() -> None:
    """A crowd of different parcels leaves no more than the last ones behind."""
    answers = Answers(size=1)
    loaded = LoadedTrack(TRACK)
    first = answers.about(loaded)

    answers.about(LoadedTrack(replace(TRACK, track_id="t2")))

    assert answers.about(loaded) is not first
