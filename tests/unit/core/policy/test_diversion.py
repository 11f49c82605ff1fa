"""Which account an order goes to: what stands in the way, who is passed over, how time is shared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.booking import Candidate
from engine.core.policy.diversion import HARD, Choice, Hindrance, choose, hindrance_of, share_of_deadline_s

ALPHA, BETA, GAMMA = (Candidate(code, f"{code}-1", "std") for code in ("alpha", "beta", "gamma"))
ALL = (ALPHA, BETA, GAMMA)
H = Hindrance


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((H.NONE, H.NONE, H.NONE), Choice(ALPHA, others=2)),
        ((H.NONE, H.BREAKER_OPEN, H.QUEUE_WAIT), Choice(ALPHA, others=1)),
        ((H.BREAKER_OPEN, H.NONE, H.NONE), Choice(BETA, ALPHA, H.BREAKER_OPEN, 1)),
        ((H.QUEUE_WAIT, H.DAILY_CAP, H.NONE), Choice(GAMMA, ALPHA, H.QUEUE_WAIT, 1)),
        ((H.QUEUE_WAIT, H.FAILBACK, H.BREAKER_OPEN), Choice(ALPHA, others=1)),
        ((H.DEADLINE, H.FAILBACK, H.QUEUE_WAIT), Choice(BETA, ALPHA, H.DEADLINE, 1)),
        ((H.DEADLINE, H.BREAKER_OPEN, H.DAILY_CAP), None),
    ],
    ids=["all free", "only one free", "shut", "busy", "all hindered", "one shut, two hindered", "all shut"],
)
def test_the_first_that_is_free_takes_the_order_else_the_first_that_could(
    found: tuple[Hindrance, ...], expected: Choice | None
) -> None:
    """The choice says who was passed over, why, and how many others are left."""
    standing = dict(zip([c.account_id for c in ALL], found, strict=True))

    assert choose(ALL, standing.__getitem__) == expected


def test_without_candidates_there_is_no_choice() -> None:
    """Nothing is asked."""
    assert choose((), lambda account_id: H.NONE) is None


@given(st.lists(st.sampled_from(Hindrance), min_size=1, max_size=6))
def test_an_order_is_never_left_unsent_for_a_soft_hindrance_nor_sent_against_a_hard_one(found: list[Hindrance]) -> None:
    """Over any standing of any candidates; nobody free is passed over for somebody hindered."""
    candidates = [Candidate("c", f"c-{n}", "std") for n in range(len(found))]
    standing = dict(zip([c.account_id for c in candidates], found, strict=True))

    choice = choose(candidates, standing.__getitem__)

    assert (choice is None) == all(hindrance in HARD for hindrance in found)
    if choice is not None:
        taken = standing[choice.candidate.account_id]
        assert taken not in HARD
        assert not taken or all(found)
        assert (choice.passed_over is None) == (choice.candidate == candidates[0])


def test_a_reason_names_carrier_and_account_for_people() -> None:
    """It stands in the attempt and in the event."""
    assert Choice(BETA, ALPHA, H.QUEUE_WAIT).reason == "not alpha (alpha-1): its queue is too long"
    assert Choice(ALPHA).reason == ""


@pytest.mark.parametrize(
    ("wait_s", "is_shut", "is_held_back", "expected"),
    [
        (0.0, False, False, H.NONE),
        (5.0, False, False, H.NONE),
        (5.1, False, False, H.QUEUE_WAIT),
        (5.1, False, True, H.QUEUE_WAIT),
        (20.1, False, False, H.DEADLINE),
        (0.0, False, True, H.FAILBACK),
        (0.0, True, False, H.BREAKER_OPEN),
    ],
)
def test_what_a_wait_means(wait_s: float, is_shut: bool, is_held_back: bool, expected: Hindrance) -> None:
    """5 s are tolerated, 20 s are left."""
    found = hindrance_of(
        wait_s, left_s=20.0, share_s=10.0, divert_wait_s=5.0, is_shut=is_shut, is_held_back=is_held_back
    )

    assert found is expected


def test_a_wait_beyond_the_share_of_the_deadline_is_too_long_whatever_the_setting_allows() -> None:
    """The first candidate must not eat the time of the second."""
    found = hindrance_of(3.0, left_s=4.0, share_s=2.0, divert_wait_s=60.0, is_shut=False, is_held_back=False)

    assert found is H.QUEUE_WAIT


@given(st.floats(0.0, 120.0), st.integers(0, 10))
def test_waiting_at_every_candidate_in_turn_never_takes_longer_than_there_is_time(left_s: float, others: int) -> None:
    """Shares of what is left each time add up to no more than was left at first."""
    spent_s = 0.0
    for still in range(others, -1, -1):
        spent_s += share_of_deadline_s(left_s - spent_s, still)

    assert spent_s == pytest.approx(left_s)
    assert share_of_deadline_s(-1.0, others) == 0.0
