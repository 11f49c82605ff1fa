"""The status machine of parcels: what leads where, what is a repeat, and that arrival does not matter."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus
from engine.core.policy.track_identity import fingerprint, happening, is_another_parcel
from engine.core.policy.track_machine import NEXT, TERMINAL, TIE_RANK, derive
from engine.core.policy.track_records import LoadedTrack, TrackRecord, TrackSource
from engine.core.policy.tracking import absorb, heard

S = TrackStatus
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TRACK = TrackRecord("t1", "acme", "sf", "sf-main", "SF1", NOW, phone_tail="4321")

FORWARD_RANK = {
    S.PRE_TRANSIT: 0, S.PICKED_UP: 1, S.IN_TRANSIT: 2, S.IN_CUSTOMS: 2, S.OUT_FOR_DELIVERY: 3, S.DELIVERY_ATTEMPTED: 4,
    S.AVAILABLE_FOR_COLLECTION: 5, S.DELIVERED: 6, S.RETURNING: 7, S.RETURNED: 8, S.CANCELLED: 9,
}  # fmt: skip
STEPS_BACK = {
    (S.DELIVERY_ATTEMPTED, S.OUT_FOR_DELIVERY),
    (S.AVAILABLE_FOR_COLLECTION, S.OUT_FOR_DELIVERY),
    (S.AVAILABLE_FOR_COLLECTION, S.DELIVERY_ATTEMPTED),
    (S.DELIVERED, S.AVAILABLE_FOR_COLLECTION),
    (S.CANCELLED, S.PICKED_UP),
    (S.CANCELLED, S.IN_TRANSIT),
    (S.CANCELLED, S.OUT_FOR_DELIVERY),
    (S.CANCELLED, S.AVAILABLE_FOR_COLLECTION),
    (S.CANCELLED, S.DELIVERED),
    (S.CANCELLED, S.RETURNING),
    (S.CANCELLED, S.RETURNED),
}
BACK_TO_TRANSIT_AFTER_TROUBLE = {S.OUT_FOR_DELIVERY, S.DELIVERY_ATTEMPTED, S.AVAILABLE_FOR_COLLECTION}


def event(hours: float, status: TrackStatus | None, text: str = "", **fields: Any) -> TrackEvent:
    code = f"op:{status}/{fields.get('milestone')}/{fields.get('known')}"  # a table maps a code to one meaning
    values: dict[str, Any] = {"code": code, "text": text or f"{status} {hours}", **fields}
    return TrackEvent("SF1", NOW + timedelta(hours=hours), status=status, **values)


def life(*statuses: TrackStatus | None) -> list[TrackEvent]:
    return [event(hour, status) for hour, status in enumerate(statuses)]


def absorbed(loaded: LoadedTrack, events: Sequence[TrackEvent], **fields: Any) -> LoadedTrack:
    """The track as it is after it was read, changed and read again."""
    values: dict[str, Any] = {"source": TrackSource.POLL, "now": NOW, "mapping_version": 1, **fields}
    step = absorb(loaded, events, **values)
    return loaded if step is None else LoadedTrack(step.track, (*loaded.events, *step.events))


def first_step(events: Sequence[TrackEvent], **fields: Any) -> Any:
    return absorb(
        LoadedTrack(msgspec.structs.replace(TRACK, **fields)),
        events,
        source=TrackSource.PUSH,
        now=NOW,
        mapping_version=3,
    )


@pytest.mark.parametrize(
    ("statuses", "end"),
    [
        ([S.PRE_TRANSIT, S.PICKED_UP, S.IN_TRANSIT, S.OUT_FOR_DELIVERY, S.DELIVERED], S.DELIVERED),
        ([S.OUT_FOR_DELIVERY, S.IN_TRANSIT], S.OUT_FOR_DELIVERY),
        ([S.IN_TRANSIT, S.IN_CUSTOMS, S.IN_TRANSIT], S.IN_TRANSIT),
        ([S.DELIVERY_ATTEMPTED, S.IN_TRANSIT], S.DELIVERY_ATTEMPTED),
        ([S.DELIVERY_ATTEMPTED, S.OUT_FOR_DELIVERY], S.OUT_FOR_DELIVERY),
        ([S.DELIVERED, S.OUT_FOR_DELIVERY], S.DELIVERED),
        ([S.DELIVERED, S.EXCEPTION], S.DELIVERED),
        ([S.DELIVERED, S.AVAILABLE_FOR_COLLECTION], S.AVAILABLE_FOR_COLLECTION),
        ([S.DELIVERED, S.RETURNING], S.RETURNING),
        ([S.RETURNING, S.OUT_FOR_DELIVERY, S.DELIVERY_ATTEMPTED], S.RETURNING),
        ([S.RETURNING, S.OUT_FOR_DELIVERY, S.DELIVERED], S.RETURNED),
        ([S.RETURNING, S.EXCEPTION, S.OUT_FOR_DELIVERY], S.EXCEPTION),
        ([S.RETURNING, S.EXCEPTION, S.DELIVERED], S.RETURNED),
        ([S.RETURNED, S.DELIVERED], S.RETURNED),
        ([S.EXCEPTION, S.PICKED_UP], S.PICKED_UP),
        ([S.OUT_FOR_DELIVERY, S.EXCEPTION, S.IN_TRANSIT], S.IN_TRANSIT),
        ([S.OUT_FOR_DELIVERY, S.EXCEPTION, S.PICKED_UP], S.EXCEPTION),
        ([S.OUT_FOR_DELIVERY, S.EXCEPTION, S.OUT_FOR_DELIVERY], S.OUT_FOR_DELIVERY),
        ([S.CANCELLED, S.IN_TRANSIT], S.IN_TRANSIT),
        ([S.CANCELLED, S.PRE_TRANSIT], S.CANCELLED),
        ([S.DELIVERED, S.CANCELLED], S.DELIVERED),
        ([S.IN_TRANSIT, None, None], S.IN_TRANSIT),
        ([None], None),
        ([], None),
    ],
)
def test_events_lead_to_their_end(statuses: Any, end: Any) -> None:
    """A parcel goes forward, and back only where a correction is listed."""
    state = derive(life(*statuses))

    assert state.status is end


def test_table_knows_every_status() -> None:
    """No status of the contract lacks its row or its rank."""
    assert set(NEXT) == set(TrackStatus)
    assert set(TIE_RANK) == {None, *TrackStatus}
    assert len(set(TIE_RANK.values())) == len(TIE_RANK)


def test_only_listed_steps_go_back() -> None:
    """Every step of the table that is no progress is a correction with a reason, and every correction is known here."""
    back = {
        (a, b)
        for a, row in NEXT.items()
        if a is not S.EXCEPTION
        for b in (*row.forward, *row.back)
        if b is not S.EXCEPTION and FORWARD_RANK[b] < FORWARD_RANK[a]
    }

    assert back == STEPS_BACK
    assert all(reason for row in NEXT.values() for reason in row.back.values())
    assert {a for a, row in NEXT.items() if row.resume} == BACK_TO_TRANSIT_AFTER_TROUBLE


def test_terminal_statuses_lead_on_by_correction_only() -> None:
    """Nothing is expected after the end of a life."""
    assert not any(NEXT[status].forward for status in TERMINAL)


def test_unknown_code_keeps_the_status_and_is_counted() -> None:
    """A code no table knows moves nothing, even when it claims a status; a known one without status is not counted."""
    events = [*life(S.IN_TRANSIT), event(5, None, known=False), event(6, S.DELIVERED, known=False), event(7, None)]

    state = derive(events)

    assert (state.status, state.unknown_count, state.event_count) == (S.IN_TRANSIT, 2, 4)
    assert state.last_event_time == NOW + timedelta(hours=7)


def test_milestone_follows_the_status_it_belongs_to() -> None:
    """Within a status the newest named milestone counts; events that were not followed leave it alone."""
    events = [
        event(1, S.IN_TRANSIT, milestone=Milestone.DEPARTED_FACILITY),
        event(2, S.IN_TRANSIT, milestone=Milestone.ARRIVED_AT_FACILITY),
        event(3, S.IN_TRANSIT),
        event(4, S.PICKED_UP, milestone=Milestone.COLLECTED),
    ]

    state = derive(events)

    assert state.milestone is Milestone.ARRIVED_AT_FACILITY
    assert state.status_time == NOW + timedelta(hours=1)


def test_signature_on_the_way_back_is_the_shippers() -> None:
    """A carrier with one word for every signature does not turn a return into a delivery."""
    state = derive([*life(S.RETURNING), event(2, S.DELIVERED, milestone=Milestone.SIGNED_BY_RECIPIENT)])

    assert (state.status, state.milestone) == (S.RETURNED, Milestone.RETURN_COMPLETED)


def test_events_of_one_second_stand_in_the_order_of_a_life() -> None:
    """Carriers write whole minutes: collected, left and out for delivery at one time are no step back."""
    same = [event(1, S.OUT_FOR_DELIVERY), event(1, S.PICKED_UP), event(1, S.IN_TRANSIT)]

    assert derive(same).status is S.OUT_FOR_DELIVERY
    assert derive([event(1, S.DELIVERED), event(1, S.AVAILABLE_FOR_COLLECTION)]).status is S.DELIVERED


def test_fingerprint_prefers_the_carriers_id() -> None:
    """With an id, wording does not matter; without one, each of number, code, time and text does."""
    plain = event(1, S.IN_TRANSIT, "left")
    named = msgspec.structs.replace(plain, carrier_event_id="177")
    variants = [
        msgspec.structs.replace(plain, **{field: value})
        for field, value in {"code": "x", "text": "y", "waybill_number": "SF2", "time": NOW}.items()
    ]

    prints = {fingerprint(one) for one in (plain, named, *variants)}

    assert len(prints) == 6
    assert fingerprint(msgspec.structs.replace(named, text="corrected")) == fingerprint(named)
    assert {len(one) for one in prints} == {16}


def test_zone_makes_no_difference() -> None:
    """The same instant written in two zones is the same event."""
    utc = event(1, S.IN_TRANSIT)
    local = msgspec.structs.replace(utc, time=utc.time.astimezone(timezone(timedelta(hours=8))))

    assert fingerprint(local) == fingerprint(utc)
    assert happening(local) == happening(utc)


def test_time_without_zone_is_refused() -> None:
    """An event that does not say when it happened cannot be placed."""
    naive = msgspec.structs.replace(event(1, S.IN_TRANSIT), time=datetime(2026, 11, 21))

    with pytest.raises(ValueError, match="time of a track event has no zone"):
        first_step([naive])


def test_new_events_are_kept_and_told_in_time_order() -> None:
    """Watchers hear what is new in the carrier's order, each with where the parcel stood then."""
    events = life(S.PICKED_UP, S.IN_TRANSIT, S.IN_TRANSIT, S.OUT_FOR_DELIVERY)

    step = first_step(events[::-1])

    assert [kept.event for kept in step.events] == events
    assert {(kept.source, kept.mapping_version, kept.received_time) for kept in step.events} == {("PUSH", 3, NOW)}
    assert [(one.status, one.status_changed) for one in step.news] == [
        (S.PICKED_UP, True),
        (S.IN_TRANSIT, True),
        (S.IN_TRANSIT, False),
        (S.OUT_FOR_DELIVERY, True),
    ]


def test_track_sums_up_its_events() -> None:
    """After a step the track says what it stands at, since when, and when and how it was heard."""
    step = first_step(life(S.PICKED_UP, S.OUT_FOR_DELIVERY, None), failed_polls=3, version=7, event_count=99)

    expected = msgspec.structs.replace(
        TRACK,
        status=S.OUT_FOR_DELIVERY,
        status_time=NOW + timedelta(hours=1),
        last_event_time=NOW + timedelta(hours=2),
        observed_time=NOW,
        pushed_time=NOW,
        source=TrackSource.PUSH,
        event_count=3,
        version=7,
    )
    assert step.track == expected


def test_late_event_changes_no_status_it_has_no_say_in() -> None:
    """An event that comes late is placed, kept and told, and the parcel stays where it is."""
    loaded = absorbed(LoadedTrack(TRACK), [event(9, S.DELIVERED)])

    step = absorb(loaded, [event(5, S.IN_TRANSIT)], source=TrackSource.POLL, now=NOW, mapping_version=1)

    assert step is not None
    assert [(one.event and one.event.status, one.status, one.status_changed) for one in step.news] == [
        (S.IN_TRANSIT, S.DELIVERED, False)
    ]
    assert step.track.last_event_time == NOW + timedelta(hours=9)


def test_repeat_is_no_news() -> None:
    """What was pushed is not new when it is polled: with an id or without, under another code, in one batch or two."""
    pushed = event(1, S.IN_TRANSIT, "离开", code="op:36", carrier_event_id="177")
    polled = msgspec.structs.replace(pushed, code="status:2/201", carrier_event_id="")
    loaded = absorbed(LoadedTrack(TRACK), [pushed, pushed, polled], source=TrackSource.PUSH)

    again = absorb(loaded, [polled, pushed], source=TrackSource.POLL, now=NOW, mapping_version=1)

    assert again is None
    assert loaded.track.event_count == 1


def test_answer_without_news_is_still_heard() -> None:
    """Freshness moves on, failures are forgotten, and only a push counts as pushed."""
    later = NOW + timedelta(hours=1)
    track = msgspec.structs.replace(TRACK, failed_polls=4, pushed_time=NOW)

    polled, pushed = (heard(track, source, later) for source in (TrackSource.POLL, TrackSource.PUSH))

    assert (polled.observed_time, polled.failed_polls, polled.pushed_time) == (later, 0, NOW)
    assert (pushed.pushed_time, pushed.source) == (later, TrackSource.PUSH)


@pytest.mark.parametrize(("order_id", "days", "kept"), [("o1", 3, 0), ("o1", 1, 1), ("", 80, 1), ("", 100, 0)])
def test_former_life_of_a_number_is_left_out(order_id: Any, days: Any, kept: Any) -> None:
    """Numbers are used again: what happened long before the track began was another parcel's."""
    step = first_step([event(-24 * days, S.DELIVERED), event(1, None)], order_id=order_id)

    assert len(step.events) == kept + 1


@pytest.mark.parametrize(("retired", "days", "another"), [(True, 91, True), (True, 89, False), (False, 400, False)])
def test_long_silent_retired_number_is_another_parcel(retired: Any, days: Any, another: Any) -> None:
    """An event months after the end belongs to whoever has the number now."""
    track = msgspec.structs.replace(TRACK, retired=retired, last_event_time=NOW)

    assert is_another_parcel(track, NOW + timedelta(days=days)) is another


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


def unique(events: Iterable[TrackEvent]) -> list[TrackEvent]:
    return list({happening(one): one for one in events}.values())


@given(some_events)
def test_status_never_goes_back_but_by_correction(events: list[TrackEvent]) -> None:
    """Whatever carriers send, each step along the parcel's life is progress or a listed correction."""
    ordered = [kept.event for kept in first.events] if (first := first_step(unique(events))) else []
    position: TrackStatus | None = None
    in_trouble = False

    for count in range(1, len(ordered) + 1):
        status = derive(ordered[:count]).status
        if status is not None and status is not S.EXCEPTION:
            if position is not None and FORWARD_RANK[status] < FORWARD_RANK[position]:
                resumed = in_trouble and status is S.IN_TRANSIT and position in BACK_TO_TRANSIT_AFTER_TROUBLE
                assert resumed or (position, status) in STEPS_BACK
            position = status
        in_trouble = status is S.EXCEPTION


@settings(max_examples=200, deadline=None)
@given(some_events, st.randoms(use_true_random=False))
def test_arrival_does_not_matter(events: list[TrackEvent], dice: random.Random) -> None:
    """Shuffled, repeated and in any batches, the events end where the sorted ones do, and a return is never undone."""
    loaded, told = LoadedTrack(TRACK), []
    queue = [*events, *events]
    dice.shuffle(queue)

    while queue:
        batch, queue = queue[: (size := dice.randint(1, 4))], queue[size:]
        step = absorb(loaded, batch, source=TrackSource.POLL, now=NOW, mapping_version=1)
        if step is not None:
            told += [one.status for one in step.news]
            loaded = LoadedTrack(step.track, (*loaded.events, *step.events))

    reached = told[told.index(S.RETURNED) :] if S.RETURNED in told else []
    assert summed(loaded.track) == summed(derive(unique(events)))
    assert set(reached) <= {S.RETURNED}


def summed(state: Any) -> tuple[Any, ...]:
    fields = ("status", "milestone", "status_time", "last_event_time", "event_count", "unknown_count")
    return tuple(getattr(state, field) for field in fields)


def test_hundred_thousand_events_end_like_the_sorted_ones() -> None:
    """5,000 parcels, 20 events each, repeated, late, by push and poll in random batches: every one ends right."""
    dice = random.Random(20261111)
    statuses = [None, *TrackStatus, *[S.IN_TRANSIT] * 6]
    wrong = 0

    for _ in range(5_000):
        truth = [event(dice.randint(0, 72), dice.choice(statuses), f"e{i}", carrier_event_id=f"{i}") for i in range(20)]
        polled = [msgspec.structs.replace(one, carrier_event_id="", code="other") for one in dice.sample(truth, 12)]
        late = sorted([*truth, *polled, *truth[:4]], key=lambda one: one.time.timestamp() + dice.expovariate(1e-5))
        loaded = LoadedTrack(TRACK)
        while late:
            size = dice.randint(4, 20)
            loaded = absorbed(loaded, late[:size], source=dice.choice(list(TrackSource)))
            late = late[size:]
        wrong += summed(loaded.track) != summed(derive(truth))

    assert wrong == 0
