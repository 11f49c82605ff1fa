"""Targets of accounts that could take the same order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy.shares import WINDOW, Shares


def send(shares: Shares, group: tuple[str, ...], count: int, away: frozenset[str] = frozenset()) -> dict[str, int]:
    """Send orders one by one to whoever lags most and is not away."""
    sent = dict.fromkeys(group, 0)
    for _ in range(count):
        lag = shares.lag(group)
        chosen = min((a for a in group if a not in away), key=lambda a: (lag[a], a))
        shares.assigned(group, chosen)
        sent[chosen] += 1
    return sent


@given(st.lists(st.integers(1, 100), min_size=2, max_size=5), st.integers(200, 2000))
def test_each_gets_its_share(targets: list[int], count: int) -> None:
    """Targets are taken in proportion; within one per cent of all orders and one order."""
    group = tuple(f"a{n}" for n in range(len(targets)))
    total = sum(targets) if sum(targets) >= 100 else 100
    rest = total - sum(targets)
    accounts = (*group, "free") if rest else group
    sent = send(Shares(dict(zip(group, targets, strict=True))), accounts, count)

    for account, target in zip(group, targets, strict=True):
        assert abs(sent[account] - count * target / total) <= 0.01 * count + 2


def test_what_the_targets_leave_goes_to_the_others_by_price() -> None:
    """Two accounts without a target lag alike, so that price decides between them."""
    shares = Shares({"alpha": 60})
    lag = shares.lag(("alpha", "beta", "gamma"))

    assert lag["beta"] == lag["gamma"] > lag["alpha"]
    assert send(shares, ("alpha", "beta"), 100) == {"alpha": 60, "beta": 40}


def test_targets_that_leave_nothing_leave_the_others_last() -> None:
    """They are backups."""
    lag = Shares({"alpha": 60, "beta": 40}).lag(("alpha", "beta", "gamma"))

    assert lag["gamma"] == float("inf")


@pytest.mark.parametrize("group", [("alpha",), ("beta", "gamma"), ()])
def test_where_nobody_competes_for_a_share_nothing_is_counted(group: tuple[str, ...]) -> None:
    """One account, or none with a target."""
    shares = Shares({"alpha": 60})
    shares.assigned(group, group[0] if group else "")

    assert set(shares.lag(group).values()) <= {0.0}
    assert shares._assigned == {}


def test_an_account_that_was_away_does_not_get_everything_when_it_is_back() -> None:
    """It catches up on a few hundred orders, not on a day's."""
    shares, group = Shares({"alpha": 50, "beta": 50}), ("alpha", "beta")
    send(shares, group, 10_000, away=frozenset({"alpha"}))
    sent = send(shares, group, 2 * WINDOW)

    assert WINDOW <= sent["alpha"] <= 1.6 * WINDOW


def test_groups_do_not_count_for_each_other() -> None:
    """Orders that only one could take say nothing about its share of the others."""
    shares = Shares({"alpha": 50, "beta": 50})
    for _ in range(100):
        shares.assigned(("alpha", "gamma"), "alpha")

    assert send(shares, ("alpha", "beta"), 10) == {"alpha": 5, "beta": 5}


def test_without_targets_there_are_no_shares() -> None:
    """Zero is none; only a target has a reason to show."""
    assert not Shares({"alpha": 0})
    assert (Shares().reason("alpha"), Shares({"alpha": 60}).reason("alpha")) == (
        "",
        "share of 60 % among those that could take it",
    )
