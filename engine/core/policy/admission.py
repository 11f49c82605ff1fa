"""Who is let in under pressure: counts what each tenant asks for, and serves each its part of what can be served.

Rules of this file
- What is not in `GIVEN_UP` is always let in.
- Every refusal is decided here but those of a whole level, which `Brownout` knows.
- No randomness: of ten calls of which seven are served, the same seven in every run.
Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import exp

from engine.core.policy.brownout import GIVEN_UP, Brownout
from engine.core.policy.pressure import Pressure, Waits, fair_shares, greedy_ones, held_to_others

MEMORY_S = 1.0
"""What was asked counts for about so long."""
FORGOTTEN = 0.01
"""Calls a second; who asks less asks nothing."""


class _Asked:
    """What tenants ask for by one RPC: calls a second, and the part of them that is served."""

    __slots__ = ("credit", "new", "rates", "served")

    def __init__(self) -> None:
        self.new: dict[str, int] = {}
        self.rates: dict[str, float] = {}
        self.served: Mapping[str, float] | None = None
        self.credit: dict[str, float] = {}

    def count(self, passed_s: float) -> None:
        """Bring the rates up to now."""
        fading = exp(-passed_s / MEMORY_S)
        rates = {tenant: rate * fading for tenant, rate in self.rates.items() if rate > FORGOTTEN}
        for tenant, count in self.new.items():
            rates[tenant] = rates.get(tenant, 0.0) + count * (1 - fading) / passed_s
        self.rates, self.new = rates, {}


class Admission:
    """Decides call by call."""

    def __init__(self, brownout: Brownout, weights: Mapping[str, int] | None = None) -> None:
        self.brownout = brownout
        self._weights = weights or {}
        self._asked = {method: _Asked() for method in GIVEN_UP}
        self._settled_at = float("-inf")
        self.pressure = Pressure(brownout.thresholds.door_wait_s)

    def lets_in(self, method: str, tenant: str) -> bool:
        """Whether a call of an RPC is served now. Ask once a call: it is counted."""
        asked = self._asked.get(method)
        if asked is None:
            return True
        asked.new[tenant] = asked.new.get(tenant, 0) + 1
        if asked.served is None:
            return True
        credit = asked.credit.get(tenant, 0.5) + asked.served.get(tenant, 1.0)
        asked.credit[tenant] = credit - (credit >= 1.0)
        return credit >= 1.0

    def settle(self, waits: Waits, now: float) -> None:
        """Take in how long calls wait at the door; decides what is served until the next time."""
        passed_s, self._settled_at = min(now - self._settled_at, MEMORY_S), now
        if passed_s <= 0:
            return
        greedy = {}
        for method, asked in self._asked.items():
            asked.count(passed_s)
            greedy[method] = greedy_ones(asked.rates, self._weights)
        self.pressure.update(waits, passed_s, greedy=any(greedy.values()))
        for method, asked in self._asked.items():
            asked.served = self._served(method, asked.rates, greedy[method])
            if asked.served is None:
                asked.credit.clear()

    def _served(self, method: str, rates: Mapping[str, float], greedy: Set[str]) -> Mapping[str, float] | None:
        """The part of each tenant's calls; None when all are."""
        span, pressure = GIVEN_UP[method], self.pressure
        kept = 1.0 - span.given_up(pressure.on_all)
        kept_of_greedy = 1.0 - span.given_up(pressure.on_greedy) if greedy else 1.0
        if kept == kept_of_greedy == 1.0:
            return None
        served = fair_shares(rates, self._weights, kept)
        if kept_of_greedy == 1.0:
            return served
        return held_to_others(rates, self._weights, served, greedy, kept_of_greedy)
