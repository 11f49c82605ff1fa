"""How hard the engine is pressed: a number from 0 to 4 that follows how long calls wait at its door.

A whole number is a `Level`: at 3 the kinds of work of three levels are given up, at 3.6 also six tenths of what the
fourth gives up. So what is served stays just as much as can be done, in whatever load, where a mere level would serve
all and nothing by turns. After PIE (RFC 8033), with a wait that is borne in place of its target, and levels in place
of its drop probability. Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Set

import msgspec

from engine.core.policy.brownout import Level

MOST = 3.98
"""A little of the last kind is always served, or nothing would tell that there is room again."""
FALL = 0.4
"""Levels a second while nobody waits at all."""
FOLLOW_AT_MOST = 0.25
STANDING = 6
"""Samples of which the least counts, a third of a second: who waits in a burst is served before the next one comes."""
GREEDY = 2.0
"""A tenant is greedy when it asks for more than twice what the others ask on average, each divided by its weight."""
PATIENCE_S = 1.0
"""So long the greedy alone must have been pressed as hard as can be, and the wait not fallen, until all are."""
FOR_GREEDY = 1 / 3
"""While somebody is greedy, calls may wait a third of `bearable_s` until the greedy are cut harder."""
TRACKS_COUNT = 0.25
"""So much of the wait of tracks counts when it comes to giving up bookings."""
LEAST_RATE = 0.02
"""Calls a second by a memory of one; who has not asked for some seconds is no measure for anybody."""


class Temper(msgspec.Struct, frozen=True):
    """How fast a pressure rises.

    rise: levels a second for each second that calls wait longer than is borne, at most `rise_at_most`. follow: levels
    for each second by which the wait grows or shrinks; it ends swings.
    """

    rise: float
    rise_at_most: float
    follow: float


PATIENT, BRISK = Temper(1.5, 3.0, 0.8), Temper(8.0, 8.0, 1.6)
"""With all tenants, who may have been as busy as this for hours; with those who flood others, before others feel it."""


def pressed(
    pressure: float, wait_s: float, before_s: float, passed_s: float, bearable_s: float, temper: Temper = PATIENT
) -> float:
    """The next pressure, `passed_s` after the last: what calls wait now, waited then, and may wait."""
    over_s = wait_s - bearable_s
    speed = min(temper.rise * over_s, temper.rise_at_most) if over_s > 0 else FALL * over_s / bearable_s
    change = speed * passed_s
    change += min(max(temper.follow * (wait_s - before_s), -FOLLOW_AT_MOST), FOLLOW_AT_MOST)
    return min(max(pressure + change, 0.0), MOST)


def bearable(wait_s: float, pressure: float) -> float:
    """How long calls may wait before more is given up: twice as long from level to level, as it hurts more."""
    return float(wait_s * 2 ** int(pressure))


class Waits(msgspec.Struct, frozen=True):
    """How long calls wait at the door: bookings and tracks, which have queues of their own, and all others."""

    bookings_s: float = 0.0
    tracks_s: float = 0.0
    others_s: float = 0.0

    @property
    def longest_s(self) -> float:
        """Where they wait longest."""
        return max(self.bookings_s, self.tracks_s, self.others_s)

    @property
    def worth_bookings_s(self) -> float:
        """The wait that counts when it comes to giving up bookings."""
        return max(self.bookings_s, self.others_s, self.tracks_s * TRACKS_COUNT)


NO_WAIT = Waits()


class Pressure:
    """Two pressures: on all tenants, and before that on those who ask for far more than the others.

    While there are such, only they are pressed, until pressing them harder is in vain; they are held to a third of
    the wait of the first level, since they have no right to make others wait at all. For a crowd that polls tracks
    hardly any booking is given up: all tracks are refused before, and then it is up to the crowd.
    """

    __slots__ = ("_before", "_in_vain_s", "_seen", "bearable_s", "on_all", "on_greedy")

    def __init__(self, bearable_s: float) -> None:
        self.bearable_s = bearable_s
        self.on_all = 0.0
        self.on_greedy = 0.0
        self._seen: deque[Waits] = deque([NO_WAIT] * STANDING, maxlen=STANDING)
        self._before = NO_WAIT
        self._in_vain_s = 0.0

    def update(self, waits: Waits, passed_s: float, *, greedy: bool) -> None:
        """Take in how long calls wait at the door, and whether somebody asks for far more than others."""
        self._seen.append(waits)
        now = Waits(
            min(seen.bookings_s for seen in self._seen),
            min(seen.tracks_s for seen in self._seen),
            min(seen.others_s for seen in self._seen),
        )
        before, self._before = self._before, now
        on_all = _next(self.on_all, now, before, passed_s, bearable(self.bearable_s, self.on_all), PATIENT)
        if not greedy:
            self.on_all, self.on_greedy = on_all, max(self.on_greedy - FALL * passed_s, 0.0)
            self._in_vain_s = 0.0
            return
        was, for_greedy_s = self.on_greedy, self.bearable_s * FOR_GREEDY
        self.on_greedy = _next(was, now, before, passed_s, for_greedy_s, BRISK)
        is_in_vain = was == self.on_greedy > 0 and now.longest_s >= before.longest_s
        self._in_vain_s = self._in_vain_s + passed_s if is_in_vain else 0.0
        self.on_all = on_all if self._in_vain_s >= PATIENCE_S else max(self.on_all - FALL * passed_s, 0.0)


def _next(pressure: float, now: Waits, before: Waits, passed_s: float, bearable_s: float, temper: Temper) -> float:
    by_any = pressed(pressure, now.longest_s, before.longest_s, passed_s, bearable_s, temper)
    worth_s, was_worth_s = now.worth_bookings_s, before.worth_bookings_s
    by_worth = pressed(pressure, worth_s, was_worth_s, passed_s, bearable_s, temper)
    return max(by_worth, min(by_any, float(Level.LABELS)))


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
