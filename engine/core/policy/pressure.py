"""How hard the engine is pressed: a number from 0 to 4 that follows how long calls wait at its door.

A whole number is a `Level`: at 3 the kinds of work of three levels are given up, at 3.6 also six tenths of what the
fourth gives up. So what is served stays just as much as can be done, in whatever load, where a mere level would serve
all and nothing by turns. After PIE (RFC 8033), with a wait that is borne in place of its target, and levels in place
of its drop probability. Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Set

MOST = 3.98
"""A little of the last kind is always served, or nothing would tell that there is room again."""
RISE = 1.5
"""Levels a second for each second that calls wait longer than is borne."""
RISE_AT_MOST = 3.0
FALL = 0.4
"""Levels a second while nobody waits at all."""
FOLLOW = 0.8
"""Levels for each second by which the wait grows or shrinks; it ends swings."""
FOLLOW_AT_MOST = 0.25
STANDING = 6
"""Samples of which the least counts, a third of a second: who waits in a burst is served before the next one comes."""
GREEDY = 2.0
"""Who asks for so many times what the others ask on average, each by its weight, is cut before they are."""
PATIENCE_S = 1.0
"""So long the greedy alone must have been pressed as hard as can be, and the wait not fallen, until all are."""
LEAST_RATE = 1.0
"""Calls a second; who asks less is no measure for anybody."""


def pressed(pressure: float, wait_s: float, before_s: float, passed_s: float, bearable_s: float) -> float:
    """The next pressure, `passed_s` after the last: what calls wait now, waited then, and may wait."""
    over_s = wait_s - bearable_s
    speed = min(RISE * over_s, RISE_AT_MOST) if over_s > 0 else FALL * over_s / bearable_s
    change = speed * passed_s
    change += min(max(FOLLOW * (wait_s - before_s), -FOLLOW_AT_MOST), FOLLOW_AT_MOST)
    return min(max(pressure + change, 0.0), MOST)


def bearable(wait_s: float, pressure: float) -> float:
    """How long calls may wait before more is given up: twice as long from level to level, as it hurts more."""
    return float(wait_s * 2 ** int(pressure))


class Pressure:
    """Two pressures: on all tenants, and before that on those who ask for far more than the others.

    While there are such, only they are pressed, until nearly all that can be refused to them is, in vain; they are
    held to the wait of the first level, since they have no right to make others wait at all.
    """

    __slots__ = ("_before_s", "_in_vain_s", "_waits_s", "bearable_s", "on_all", "on_greedy")

    def __init__(self, bearable_s: float) -> None:
        self.bearable_s = bearable_s
        self.on_all = 0.0
        self.on_greedy = 0.0
        self._waits_s: deque[float] = deque([0.0] * STANDING, maxlen=STANDING)
        self._before_s = 0.0
        self._in_vain_s = 0.0

    def update(self, wait_s: float, passed_s: float, *, greedy: bool) -> None:
        """Take in how long calls wait at the door, and whether somebody asks for far more than others."""
        self._waits_s.append(wait_s)
        standing_s, before_s = min(self._waits_s), self._before_s
        self._before_s = standing_s
        on_all = pressed(self.on_all, standing_s, before_s, passed_s, bearable(self.bearable_s, self.on_all))
        relieved = max(self.on_all - FALL * passed_s, 0.0)
        if not greedy:
            self.on_all, self.on_greedy = on_all, max(self.on_greedy - FALL * passed_s, 0.0)
            self._in_vain_s = 0.0
            return
        self.on_greedy = pressed(self.on_greedy, standing_s, before_s, passed_s, self.bearable_s)
        is_in_vain = self.on_greedy >= MOST and standing_s >= before_s
        self._in_vain_s = self._in_vain_s + passed_s if is_in_vain else 0.0
        self.on_all = on_all if self._in_vain_s >= PATIENCE_S else relieved


def greedy_ones(rates: Mapping[str, float], weights: Mapping[str, int]) -> Set[str]:
    """Tenants that ask for more than `GREEDY` times what the others ask on average, by their weights."""
    asked = {tenant: rate / weights.get(tenant, 1) for tenant, rate in rates.items() if rate >= LEAST_RATE}
    if len(asked) < 2:
        return frozenset()
    total, others = sum(asked.values()), len(asked) - 1
    return frozenset(tenant for tenant, own in asked.items() if own > GREEDY * (total - own) / others)


def held_to_others(
    rates: Mapping[str, float], weights: Mapping[str, int], served: Mapping[str, float], greedy: Set[str], kept: float
) -> dict[str, float]:
    """The parts that are served when the greedy are cut to `kept` of all calls, but to no less than others get.

    served: the parts as they are without that cut.
    """
    cut = fair_shares(rates, weights, kept)
    others = [rates[t] * served[t] / weights.get(t, 1) for t in rates if t not in greedy]
    least = max(others, default=0.0)
    held = dict(served)
    for tenant in greedy:
        floor = least * weights.get(tenant, 1) / rates[tenant]
        held[tenant] = min(served[tenant], max(cut[tenant], floor))
    return held


def fair_shares(rates: Mapping[str, float], weights: Mapping[str, int], kept: float) -> dict[str, float]:
    """The part of each tenant's calls that is served when `kept` of all calls are (0 to 1).

    Like water in vessels as wide as their weights: who asks for less than its share gets all of it, and what it
    leaves goes to the others.
    """
    left = kept * sum(rates.values())
    width = float(sum(weights.get(tenant, 1) for tenant in rates))
    shares: dict[str, float] = {}
    for tenant, rate in sorted(rates.items(), key=lambda item: item[1] / weights.get(item[0], 1)):
        weight = weights.get(tenant, 1)
        served = min(rate, left * weight / width)
        shares[tenant] = served / rate if rate else float(kept > 0)
        left, width = max(left - served, 0.0), width - weight
    return shares
