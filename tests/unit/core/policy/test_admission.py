"""Who is let in under pressure, call by call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from engine.core.policy.admission import Admission
from engine.core.policy.brownout import Brownout
from engine.core.policy.pressure import Waits

TICK_S = 0.05
EVERYTHING = ("ListOrders", "QuoteOrder", "GetTrack", "GetLabel", "CreateOrder", "CancelOrder", "GetOrder")


class Hour:
    """An engine that can serve so many calls a second, and tenants that ask for more; what is not served waits."""

    def __init__(self, capacity: float, weights: Mapping[str, int] | None = None) -> None:
        self.admission = Admission(Brownout(), weights)
        self.now = 0.0
        self._capacity = capacity
        self._waiting = 0.0
        self._due: Counter[tuple[str, str]] = Counter()

    def run(self, seconds: float, asked: Mapping[tuple[str, str], float]) -> tuple[Counter[str], Counter[str]]:
        """What was let in and what was refused, by tenant and RPC; `asked` is calls a second."""
        served, refused = Counter[str](), Counter[str]()
        for _ in range(int(seconds / TICK_S)):
            self.now += TICK_S
            for (tenant, method), rate in asked.items():
                self._due[tenant, method] += rate * TICK_S  # type: ignore[assignment]  # fractions of a call
                while self._due[tenant, method] >= 1:
                    self._due[tenant, method] -= 1
                    let_in = self.admission.lets_in(method, tenant)
                    (served if let_in else refused).update([tenant, method])
                    self._waiting += 1.0 if let_in else 0.1
            self._waiting = max(self._waiting - self._capacity * TICK_S, 0.0)
            wait_s = self._waiting / self._capacity
            self.admission.settle(Waits(wait_s, wait_s, wait_s), self.now)
        return served, refused


def test_without_pressure_everything_is_let_in() -> None:
    """Below what the engine can do."""
    _, refused = Hour(100).run(30, {("shop", method): 12.0 for method in EVERYTHING})

    assert not refused


def test_under_three_times_the_load_nearly_all_that_can_be_served_is() -> None:
    """Least important first: bookings fill the engine, cancels and plain reading are never refused."""
    hour = Hour(100)
    asked = {("shop", method): 5.0 for method in EVERYTHING} | {("shop", "CreateOrder"): 265.0}
    hour.run(10, asked)
    served, refused = hour.run(30, asked)

    assert served["shop"] / 30 > 75  # each refusal costs a tenth of a call, so 78 is all there can be
    assert not refused["CancelOrder"] + refused["GetOrder"]
    assert not served["ListOrders"] + served["QuoteOrder"] + served["GetTrack"] + served["GetLabel"]
    assert hour.admission.pressure.on_all > 3.0


def test_after_the_load_everything_is_let_in_again() -> None:
    """By itself, within ten seconds."""
    hour = Hour(100)
    hour.run(20, {("shop", "CreateOrder"): 400.0})
    hour.run(10, {("shop", method): 5.0 for method in EVERYTHING})
    _, refused = hour.run(10, {("shop", method): 5.0 for method in EVERYTHING})

    assert not refused


@pytest.mark.parametrize("times", [3, 10])
def test_a_greedy_tenant_costs_another_no_refusal(times: int) -> None:
    """Neither at first nor ever; the greedy one still gets what is left."""
    hour = Hour(100)
    quiet = {("quiet", method): 4.0 for method in EVERYTHING}
    hour.run(5, quiet)
    served, refused = hour.run(60, quiet | {("greedy", "CreateOrder"): 50.0 * times})

    assert not refused["quiet"]
    assert served["greedy"] > 60 * (100 - 28 - 5.0 * times) * 0.8


def test_weights_say_whose_share_it_is() -> None:
    """Two that ask alike are served by weight when not all can be."""
    hour = Hour(100, {"large": 3, "small": 1})
    asked = {("large", "CreateOrder"): 150.0, ("small", "CreateOrder"): 150.0}
    hour.run(10, asked)
    served, _ = hour.run(30, asked)

    assert served["large"] / served["small"] == pytest.approx(3.0, rel=0.15)


def test_refusals_are_spread_evenly() -> None:
    """Of equal calls at a steady pressure never many in a row: half of them is every second one."""
    admission = Admission(Brownout())
    for tick in range(200):
        for _ in range(10):
            admission.lets_in("CreateOrder", "shop")
        admission.pressure.on_all = 3.5
        admission.settle(Waits(1.2, 1.2, 1.2), tick * TICK_S)
        admission.pressure.on_all = 3.5
    admission.settle(Waits(1.2, 1.2, 1.2), 11.0)
    answers = [admission.lets_in("CreateOrder", "shop") for _ in range(40)]

    assert 15 <= sum(answers) <= 25
    assert all(any(answers[at : at + 4]) and not all(answers[at : at + 4]) for at in range(36))


def test_two_settlements_at_one_time_are_one() -> None:
    """Nothing has passed."""
    admission = Admission(Brownout())
    admission.settle(Waits(5.0, 5.0, 5.0), 1.0)
    before = admission.pressure.on_all
    admission.settle(Waits(5.0, 5.0, 5.0), 1.0)

    assert admission.pressure.on_all == before
