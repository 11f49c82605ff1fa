"""Going on from a track's record alone, as most pushes do: it must end as with all events, or not be done at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus
from engine.core.policy.track_records import LoadedTrack, TrackRecord, TrackSource
from engine.core.policy.tracking import absorb, follow_on

S = TrackStatus
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TRACK = TrackRecord("t1", "acme", "sf", "sf-main", "SF1", NOW, phone_tail="4321")


def event(hours: float, status: TrackStatus | None, text: str = "", **fields: Any) -> TrackEvent:
    """What a carrier says so many hours from now."""
    values: dict[str, Any] = {"code": f"op:{status}", "text": text or f"{status} {hours}", **fields}
    return TrackEvent("SF1", NOW + timedelta(hours=hours), status=status, **values)


def told(events: Sequence[TrackEvent]) -> LoadedTrack:
    """The track once these are known."""
    step = absorb(LoadedTrack(TRACK), events, source=TrackSource.POLL, now=NOW, mapping_version=1)
    return LoadedTrack(step.track, step.events) if step else LoadedTrack(TRACK)


some_events = st.lists(
    st.builds(
        event,
        st.integers(0, 6),
        st.sampled_from([None, *TrackStatus]),
        st.sampled_from(["", "a", "b"]),
        milestone=st.sampled_from([Milestone.NONE, Milestone.DELAYED]),
        known=st.sampled_from([True, True, True, False]),
    ),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(some_events, some_events)
def test_going_on_from_the_record_ends_as_with_all_events(known: list[TrackEvent], incoming: list[TrackEvent]) -> None:
    """Where the record is enough, it leads to the same track, the same events and the same news."""
    loaded = told(known)
    later = [msgspec.structs.replace(one, time=one.time + timedelta(hours=4)) for one in incoming]

    short = follow_on(loaded.track, later, source=TrackSource.PUSH, now=NOW, mapping_version=2)

    if short is not None:
        assert short == absorb(loaded, later, source=TrackSource.PUSH, now=NOW, mapping_version=2)


@pytest.mark.parametrize(
    ("known", "incoming", "enough"),
    [
        ([], [event(0, S.PICKED_UP)], True),
        ([event(0, S.PICKED_UP)], [event(1, S.IN_TRANSIT), event(2, None, known=False)], True),
        ([event(0, S.PICKED_UP)], [event(2, S.OUT_FOR_DELIVERY), event(1, S.IN_TRANSIT)], True),
        ([event(1, S.PICKED_UP)], [event(1, S.IN_TRANSIT)], False),
        ([event(1, S.PICKED_UP)], [event(2, S.IN_TRANSIT), event(2, S.PICKED_UP)], False),
        ([], [event(1, S.PICKED_UP, carrier_event_id="a"), event(2, S.PICKED_UP, carrier_event_id="a")], False),
        ([event(0, S.EXCEPTION)], [event(1, S.IN_TRANSIT)], False),
        ([], [event(-24 * 91, S.PICKED_UP)], False),
        ([], [], False),
    ],
)
def test_record_is_enough_for_what_comes_after_all_that_is_known(known: Any, incoming: Any, enough: Any) -> None:
    """Ties, troubles and former lives want the events."""
    step = follow_on(told(known).track, incoming, source=TrackSource.PUSH, now=NOW, mapping_version=1)

    assert (step is not None) is enough
