"""When a parcel is asked for again: by status, pushes, silence and failures, spread out, and let go in the end."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from crossdock_sdk.tracking import TrackStatus
from engine.core.policy.following import POLL_INTERVAL_S, FollowRules, answered, begin, failed, is_over, pushed
from engine.core.policy.track_machine import TERMINAL
from engine.core.policy.track_records import TrackRecord

S = TrackStatus
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
EVEN = FollowRules(spread=0.0, failure_spread=0.0)
HOUR_S = 3_600.0


def track(status: TrackStatus | None = S.IN_TRANSIT, **fields: Any) -> TrackRecord:
    """A parcel whose last event came just now."""
    values: dict[str, Any] = {"status_time": NOW, "last_event_time": NOW, **fields}
    return TrackRecord("t1", "acme", "sf", "sf-main", "SF1", NOW, status=status, **values)


def wait_s(followed: TrackRecord) -> float:
    assert followed.next_poll_time is not None
    return (followed.next_poll_time - NOW).total_seconds()


def test_table_knows_every_status() -> None:
    """No parcel is without an interval, wherever it stands."""
    assert set(POLL_INTERVAL_S) == {None, *TrackStatus}


@pytest.mark.parametrize(
    ("status", "hours"),
    [
        (None, 2), (S.PRE_TRANSIT, 2), (S.PICKED_UP, 4), (S.IN_TRANSIT, 4), (S.IN_CUSTOMS, 12),
        (S.OUT_FOR_DELIVERY, 0.5), (S.AVAILABLE_FOR_COLLECTION, 6), (S.DELIVERY_ATTEMPTED, 2),
        (S.EXCEPTION, 4), (S.RETURNING, 6),
    ],
)  # fmt: skip
def test_interval_depends_on_the_status(status: Any, hours: Any) -> None:
    """A parcel out for delivery is asked for more often than one in customs."""
    followed = answered(track(status), now=NOW, min_interval_s=60, rules=EVEN)

    assert wait_s(followed) == hours * HOUR_S
    assert not followed.retired


def test_configuration_overrides_a_row() -> None:
    """One interval can be changed without writing the others."""
    rules = msgspec.structs.replace(EVEN, intervals_s={S.IN_TRANSIT: 900.0})

    assert wait_s(answered(track(), now=NOW, min_interval_s=60, rules=rules)) == 900
    assert wait_s(answered(track(S.PICKED_UP), now=NOW, min_interval_s=60, rules=rules)) == 4 * HOUR_S


def test_carriers_least_interval_holds_always() -> None:
    """Neither a short row nor a short back-off asks sooner than the carrier allows."""
    often: dict[str, Any] = {"now": NOW, "min_interval_s": 9_000.0}

    waits = [wait_s(move(track(S.OUT_FOR_DELIVERY), **often)) for move in (answered, pushed, failed)]

    assert min(waits) >= 9_000


@pytest.mark.parametrize(("ago_h", "factor"), [(1, 3), (47, 3), (49, 1)])
def test_pushed_parcel_sleeps_longer(ago_h: Any, factor: Any) -> None:
    """Where the carrier tells us of its own accord, it is asked less, until it falls silent."""
    fresh = track(pushed_time=NOW - timedelta(hours=ago_h))

    assert wait_s(answered(fresh, now=NOW, min_interval_s=60, rules=EVEN)) == factor * 4 * HOUR_S
    assert wait_s(pushed(track(pushed_time=NOW), now=NOW, min_interval_s=60, rules=EVEN)) == 12 * HOUR_S


@pytest.mark.parametrize(("silent_h", "hours"), [(5, 0.5), (20, 1), (240, 12), (1_000, 24)])
def test_silent_parcel_is_asked_less_and_less(silent_h: Any, hours: Any) -> None:
    """A parcel that got lost on its last mile is not asked for every half hour for months."""
    lost = track(S.OUT_FOR_DELIVERY, last_event_time=NOW - timedelta(hours=silent_h))

    assert wait_s(answered(lost, now=NOW, min_interval_s=60, rules=EVEN)) == pytest.approx(hours * HOUR_S)


def test_failures_back_off_and_are_forgotten() -> None:
    """Each failure in a row doubles the wait up to the longest, without end of numbers."""
    one, waits = track(), []
    for _ in range(12):
        one = failed(one, now=NOW, min_interval_s=1, rules=EVEN)
        waits.append(wait_s(one))
    far = failed(track(failed_polls=100_000), now=NOW, min_interval_s=1, rules=EVEN)

    assert waits[:4] == [120, 240, 480, 960]
    assert waits[-1] == wait_s(far) == 6 * HOUR_S
    assert one.failed_polls == 12


def test_outage_comes_back_without_a_storm() -> None:
    """10,000 parcels that failed in one moment: no second of any minute gets more than a twentieth of that minute."""
    many = [msgspec.structs.replace(track(), track_id=f"t{i}") for i in range(10_000)]

    seconds = Counter(int(wait_s(failed(one, now=NOW, min_interval_s=60))) for one in many)
    minutes = Counter({second // 60: 0 for second in seconds})
    for second, count in seconds.items():
        minutes[second // 60] += count

    assert len(minutes) >= 2
    assert all(count <= minutes[second // 60] / 20 for second, count in seconds.items())


def test_spread_is_the_tracks_own() -> None:
    """The same track waits the same, another one a little more or less, and a later failure is drawn anew."""
    other = msgspec.structs.replace(track(), track_id="t2")

    waits = [wait_s(answered(one, now=NOW, min_interval_s=60)) for one in (track(), track(), other)]
    drawn = {wait_s(failed(track(failed_polls=n), now=NOW, min_interval_s=1)) / 2**n for n in range(4)}

    assert waits[0] == waits[1] != waits[2]
    assert all(4 * HOUR_S <= wait < 4.4 * HOUR_S for wait in waits)
    assert len(drawn) == 4


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_parcel_at_its_end_is_let_go_after_two_answers(status: Any) -> None:
    """Corrections come soon: two more looks are enough."""
    first = answered(track(status), now=NOW, min_interval_s=60)

    second = answered(first, now=NOW, min_interval_s=60)

    assert (first.retired, first.next_poll_time is None) == (False, False)
    assert (second.retired, second.next_poll_time) == (True, None)


@pytest.mark.parametrize("move", [answered, pushed, failed])
def test_parcel_at_its_end_is_let_go_after_a_day(move: Any) -> None:
    """Pushes and failures do not keep a delivered parcel alive."""
    done = track(S.DELIVERED, status_time=NOW - timedelta(hours=24))

    assert move(done, now=NOW, min_interval_s=60).retired
    assert not move(track(S.DELIVERED), now=NOW, min_interval_s=60).retired


@pytest.mark.parametrize("move", [answered, pushed, failed])
def test_parcel_without_news_is_given_up(move: Any) -> None:
    """After 90 days of silence nobody asks any more, wherever the parcel stands."""
    silent = track(last_event_time=NOW - timedelta(days=90))

    assert move(silent, now=NOW, min_interval_s=60).retired
    assert is_over(track(None, last_event_time=None), now=NOW + timedelta(days=90))
    assert not is_over(track(None, last_event_time=None), now=NOW + timedelta(days=89))


def test_parcel_that_moves_on_is_followed_again() -> None:
    """A delivery that is refused after its track was let go is followed to its new end, with a new grace."""
    back = track(S.RETURNING, retired=True, final_polls=2)

    followed = pushed(back, now=NOW, min_interval_s=60)

    assert (followed.retired, followed.final_polls) == (False, 0)
    assert followed.next_poll_time is not None


def test_new_track_is_asked_for_now_or_later() -> None:
    """A number somebody asks about is looked up at once, a parcel just booked when it may have moved."""
    asked, booked = (begin(track(None), now=NOW, asked_at_once=at_once) for at_once in (True, False))

    assert wait_s(asked) == 0
    assert 2 * HOUR_S <= wait_s(booked) < 2.2 * HOUR_S
