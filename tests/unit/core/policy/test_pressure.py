"""How hard calls press, from how long they wait; whom it holds to; how what can be served is shared out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.pressure import MOST, Pressure, Waits, bearable, fair_shares, greedy_ones, pressed

TICK_S = 0.05


def _after(waits_s: list[float], *, greedy: bool = False, pressure: Pressure | None = None) -> Pressure:
    """A pressure that has seen these waits, twenty a second."""
    found = pressure or Pressure(0.15)
    for wait_s in waits_s:
        found.update(Waits(wait_s, wait_s, wait_s), TICK_S, greedy=greedy)
    return found


def test_no_wait_is_no_pressure() -> None:
    """At rest nothing is given up."""
    assert _after([0.0] * 100).on_all == 0.0


def test_a_wait_that_is_borne_presses_nothing() -> None:
    """A few calls that come at once are no overload."""
    assert _after([0.14] * 400).on_all == pytest.approx(0.8 * 0.14, abs=0.12)
    assert _after([0.14] * 400).on_all < 0.01


def test_one_stall_of_the_machine_presses_nothing() -> None:
    """Two seconds seen for a fifth of one: whoever waited is served before the next ones come."""
    assert _after([0.0] * 20 + [2.0] * 4 + [0.0] * 4).on_all == 0.0


def test_a_standing_wait_presses_harder_and_harder_up_to_a_limit() -> None:
    """A little of the last kind is always served, to see when there is room again."""
    a_second, long = _after([3.0] * 25), _after([3.0] * 400)

    assert 2.0 < a_second.on_all < MOST
    assert long.on_all == MOST < 4.0


def test_without_a_wait_it_is_over_in_ten_seconds() -> None:
    """From the worst there is."""
    pressure = _after([3.0] * 400)
    _after([0.0] * 200, pressure=pressure)

    assert pressure.on_all == 0.0


def test_each_level_may_wait_twice_as_long() -> None:
    """Giving up bookings takes more than giving up lists."""
    assert [bearable(0.15, pressure) for pressure in (0.0, 0.9, 1.0, 2.5, 3.9)] == [0.15, 0.15, 0.3, 0.6, 1.2]


def test_a_growing_wait_is_met_before_it_is_long() -> None:
    """So the pressure does not swing around what it has to be."""
    rising = pressed(1.0, 0.3, 0.1, TICK_S, 0.3)
    standing = pressed(1.0, 0.3, 0.3, TICK_S, 0.3)
    falling = pressed(1.0, 0.3, 0.5, TICK_S, 0.3)

    assert rising > standing > falling


def test_the_greedy_are_pressed_before_others() -> None:
    """While there are some, others lose nothing until nearly all of theirs is refused."""
    pressure = _after([0.5] * 16, greedy=True)
    assert pressure.on_all == 0.0 < 1.0 < pressure.on_greedy
    _after([2.0] * 400, greedy=True, pressure=pressure)
    assert pressure.on_greedy == MOST
    assert pressure.on_all > 3.0
    _after([0.0] * 400, pressure=pressure)
    assert pressure.on_greedy == pressure.on_all == 0.0


def test_the_greedy_are_pressed_sooner_and_for_a_shorter_wait() -> None:
    """Others are not to feel a flood: a wait that all may share is too long when one tenant makes it."""
    borne = [0.1] * 40

    assert _after(borne).on_all < 0.1
    assert _after(borne, greedy=True).on_greedy > 0.3
    assert _after([1.0] * 12, greedy=True).on_greedy > 3 * _after([1.0] * 12).on_all


@pytest.mark.parametrize("greedy", [False, True])
def test_for_a_crowd_that_polls_tracks_no_booking_is_given_up(greedy: bool) -> None:
    """Tracks have a queue of their own, and all of them are refused before; what waits elsewhere counts in full."""
    pressure = Pressure(0.15)
    for _ in range(600):
        pressure.update(Waits(bookings_s=0.04, tracks_s=4.0, others_s=0.1), TICK_S, greedy=greedy)
    by_tracks = pressure.on_all
    for _ in range(600):
        pressure.update(Waits(others_s=9.0), TICK_S, greedy=greedy)

    assert by_tracks == 3.0
    assert pressure.on_all == MOST


def test_while_the_wait_falls_the_others_are_left_alone() -> None:
    """What had piled up before the flood was refused goes away by itself."""
    pressure = _after([5.0] * 20, greedy=True)
    _after([5.0 - tick / 20 for tick in range(90)], greedy=True, pressure=pressure)

    assert pressure.on_greedy == MOST
    assert pressure.on_all == 0.0


@pytest.mark.parametrize(
    ("rates", "weights", "greedy"),
    [
        ({}, {}, set()),
        ({"a": 100.0}, {}, set()),
        ({"a": 100.0, "b": 10.0}, {}, {"a"}),
        ({"a": 19.0, "b": 10.0}, {}, set()),
        ({"a": 100.0, "b": 10.0}, {"a": 10}, set()),
        ({"a": 100.0, "b": 0.01}, {}, set()),
        ({"a": 50.0, "b": 50.0, "c": 5.0}, {}, set()),
        ({"a": 500.0, "b": 5.0, "c": 5.0}, {}, {"a"}),
    ],
)
def test_greedy_is_who_asks_more_than_twice_what_others_do(
    rates: Mapping[str, float], weights: Mapping[str, int], greedy: set[str]
) -> None:
    """By weight; nobody is alone, and who asks next to nothing is no measure."""
    assert greedy_ones(rates, weights) == greedy


def test_who_asks_little_is_served_in_full() -> None:
    """What is left goes to those who ask for more, by weight."""
    shares = fair_shares({"a": 100.0, "b": 10.0, "c": 100.0}, {"c": 3}, 90 / 210)

    assert shares["b"] == 1.0
    assert shares["a"] == pytest.approx(0.2)
    assert shares["c"] == pytest.approx(0.6)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.0, 1e4), min_size=1),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100)),
    st.floats(0.0, 1.0),
)
def test_all_that_can_be_served_is_and_no_more(rates: dict[str, float], weights: dict[str, int], kept: float) -> None:
    """Over all tenants; and of two, the one that gets less by weight gets all it asks for."""
    shares = fair_shares(rates, weights, kept)
    served = {tenant: rates[tenant] * share for tenant, share in shares.items()}

    assert all(0.0 <= share <= 1.0 + 1e-9 for share in shares.values())
    assert sum(served.values()) == pytest.approx(kept * sum(rates.values()), rel=1e-6, abs=1e-6)
    most = max(served[t] / weights.get(t, 1) for t in served)
    for tenant, share in shares.items():
        assert share > 1.0 - 1e-6 or served[tenant] / weights.get(tenant, 1) >= most * (1 - 1e-6) - 1e-6
