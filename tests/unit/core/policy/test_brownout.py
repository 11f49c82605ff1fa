"""What is given up under overload, from when on, and how it comes back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.v1 import label_service_pb2, order_service_pb2, return_service_pb2, track_service_pb2
from engine.core.policy.brownout import (
    ESSENTIAL,
    GIVEN_UP,
    Brownout,
    Level,
    Reading,
    Signals,
    Thresholds,
    read,
    share_of,
)

SERVICES = (label_service_pb2, order_service_pb2, return_service_pb2, track_service_pb2)
RPCS = {m.name for file in SERVICES for s in file.DESCRIPTOR.services_by_name.values() for m in s.methods}
CALM, BUSY = Signals(), Signals(loop_lag_s=4.0)


def test_the_table_names_calls_that_exist() -> None:
    """A misspelt one would never be given up."""
    assert GIVEN_UP.keys() | ESSENTIAL <= RPCS
    assert not GIVEN_UP.keys() & ESSENTIAL


@pytest.mark.parametrize(
    "method", ["CancelOrder", "IngestPush", "GetOrder", "WatchTracks", "WatchOrders", "CancelReturn"]
)
def test_cancels_pushes_and_plain_reading_are_never_given_up(method: str) -> None:
    """Not at any level."""
    brownout = Brownout()
    brownout.update(BUSY, 0.0)

    assert brownout.level is Level.BOOKINGS
    assert not brownout.gives_up(method)


def test_each_level_gives_up_more_in_the_order_of_harm() -> None:
    """Listings and merged files, quotes, tracks and labels, at last bookings."""
    brownout, given = Brownout(), []
    for level in Level:
        brownout.level = level
        given.append({method for method in RPCS if brownout.gives_up(method)})

    assert given[0] == set()
    assert given[1] == {"ListOrders", "ListReturns", "MergeLabels"}
    assert given[2] - given[1] == {"QuoteOrder"}
    assert given[3] - given[2] == {"GetTrack", "BatchGetTracks", "GetLabel"}
    assert given[4] - given[3] == {
        "CreateOrder", "BatchCreateOrders", "StreamCreateOrders", "CreateReturn", "ApproveReturn"
    }  # fmt: skip
    assert all(less <= more for less, more in pairwise(given))


@pytest.mark.parametrize(
    ("signals", "level", "signal"),
    [
        (Signals(), 0, ""),
        (Signals(loop_lag_s=0.49), 0, ""),
        (Signals(loop_lag_s=0.5), 1, "loop_lag"),
        (Signals(loop_lag_s=1.0), 2, "loop_lag"),
        (Signals(loop_lag_s=2.0), 3, "loop_lag"),
        (Signals(loop_lag_s=4.0), 4, "loop_lag"),
        (Signals(store_share=0.5), 1, "store_share"),
        (Signals(open_share=0.86), 2, "open_share"),
        (Signals(calls_share=0.87), 3, "calls_share"),
        (Signals(calls_share=0.95), 4, "calls_share"),
        (Signals(loop_lag_s=0.6, open_share=0.95), 4, "open_share"),
    ],
)
def test_the_worst_signal_decides(signals: Signals, level: int, signal: str) -> None:
    """And is named as the cause."""
    assert read(signals, Thresholds()) == Reading(Level(level), signal)


def test_it_rises_at_once_and_falls_step_by_step_after_calm() -> None:
    """Five seconds of calm for each step."""
    brownout, told = Brownout(), []
    for tenth in range(260):
        changed = brownout.update(BUSY if tenth < 10 else CALM, tenth / 10)
        if changed:
            told.append((tenth / 10, int(changed.level), changed.signal))

    assert told == [(0.0, 4, "loop_lag"), (6.0, 3, "calm"), (11.0, 2, "calm"), (16.0, 1, "calm"), (21.0, 0, "calm")]


def test_a_busy_moment_starts_the_calm_again() -> None:
    """Up and down every few seconds would serve nobody."""
    brownout = Brownout()
    brownout.update(BUSY, 0.0)
    brownout.update(CALM, 1.0)
    brownout.update(BUSY, 5.0)
    brownout.update(CALM, 5.1)

    assert brownout.update(CALM, 10.0) is None
    assert brownout.update(CALM, 10.1) == Reading(Level.LABELS, "calm")


def test_a_lower_reading_lets_it_fall_to_that_and_no_further() -> None:
    """Half as busy is not calm."""
    brownout = Brownout()
    brownout.update(BUSY, 0.0)
    for second in range(1, 60):
        brownout.update(Signals(loop_lag_s=1.2), float(second))

    assert brownout.level is Level.QUESTIONS


def test_switched_off_it_gives_up_nothing() -> None:
    """Whatever the signals say."""
    brownout = Brownout(enabled=False)

    assert brownout.update(BUSY, 0.0) is None
    assert not any(brownout.gives_up(method) for method in RPCS)


@pytest.mark.parametrize(("count", "limit", "share"), [(50, 100, 0.5), (99, 99, 0.0), (1, 1, 0.0), (0, 4096, 0.0)])
def test_of_a_small_limit_a_share_says_nothing(count: int, limit: int, share: float) -> None:
    """One call of one is no overload."""
    assert share_of(count, limit) == share


@given(st.lists(st.tuples(st.floats(0.01, 8.0), st.floats(0.0, 6.0)), max_size=80))
def test_over_any_load_it_rises_to_what_is_read_and_falls_by_single_steps(load: list[tuple[float, float]]) -> None:
    """Never below the reading of the moment, never down by more than one, never down within the calm time."""
    brownout, now, last_change = Brownout(), 0.0, float("-inf")
    for passed_s, lag_s in load:
        now += passed_s
        before = brownout.level
        brownout.update(Signals(loop_lag_s=lag_s), now)
        reading = read(Signals(loop_lag_s=lag_s), brownout.thresholds).level

        assert brownout.level >= min(reading, Level.BOOKINGS)
        assert brownout.level in (before, reading, before - 1)
        if brownout.level < before:
            assert now - last_change >= brownout.thresholds.calm_s or last_change == float("-inf")
        if brownout.level != before:
            last_change = now


def test_between_two_levels_a_part_is_given_up_in_the_order_of_harm() -> None:
    """Nothing of what hurts more before all of what hurts less."""
    spans = [GIVEN_UP[m] for m in ("ListOrders", "QuoteOrder", "GetTrack", "GetLabel", "CreateOrder")]

    for hundredth in range(500):
        parts = [span.given_up(hundredth / 100) for span in spans]
        assert all(less == 1.0 or more == 0.0 for less, more in pairwise(parts)), (hundredth, parts)
    assert [span.given_up(3.25) for span in spans] == [1.0, 1.0, 1.0, 1.0, 0.25]


def test_the_pressure_at_the_door_sets_the_level_and_lets_it_fall_without_waiting() -> None:
    """It moves steadily by itself; only around a level it must fall a little below to leave it."""
    brownout, told = Brownout(), []
    for pressure in (0.5, 1.0, 0.9, 1.1, 0.8, 3.9, 2.8, 2.7, 0.0):
        changed = brownout.press(pressure)
        told.append((int(changed.level), changed.signal) if changed else None)

    assert told == [None, (1, "door_wait"), None, None, None, (3, "door_wait"), None, (2, "calm"), (0, "calm")]


def test_the_higher_of_pressure_and_signals_holds() -> None:
    """And the one that holds says why."""
    brownout = Brownout()
    first = brownout.press(1.5)
    second = brownout.update(Signals(store_share=0.9), 0.0)
    third = brownout.press(0.0)

    assert (first, second, third) == (Reading(Level.EXPORTS, "door_wait"), Reading(Level.LABELS, "store_share"), None)
    assert brownout.level is Level.LABELS


def test_switched_off_pressure_gives_up_nothing() -> None:
    """However long calls wait."""
    brownout = Brownout(enabled=False)

    assert brownout.press(4.0) is None
    assert brownout.level is Level.NORMAL
