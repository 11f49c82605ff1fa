"""Decides what goes wrong with one call: pure functions of the faults, a seeded generator and the
time.

The shares of `Faults` exclude each other: one draw per call picks at most one of them. Latency
comes on top.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from random import Random

import msgspec

from crossdock_sdk.simulator.faults import Faults


class Mishap(StrEnum):
    """What happens to one call. DONE ones reach the carrier's books, the others do not."""

    NOTHING = "nothing"
    ERROR = "error"
    CUT = "cut"
    ACCEPT_THEN_CUT = "accept_then_cut"
    HALF_ANSWER = "half_answer"
    ODD_BODY = "odd_body"
    SILENCE = "silence"

    @property
    def is_done(self) -> bool:
        """True when the carrier does what was asked, whatever the caller gets to see."""
        return self not in (Mishap.ERROR, Mishap.CUT)


_SHARES = (
    (Mishap.ERROR, "error_share"),
    (Mishap.CUT, "cut_share"),
    (Mishap.ACCEPT_THEN_CUT, "accept_then_cut_share"),
    (Mishap.HALF_ANSWER, "half_answer_share"),
    (Mishap.ODD_BODY, "odd_body_share"),
    (Mishap.SILENCE, "silence_share"),
)


class Fate(msgspec.Struct, frozen=True):
    """One call's mishap and the delay before whatever is sent, in seconds."""

    mishap: Mishap = Mishap.NOTHING
    delay_s: float = 0.0


_UNHARMED = Fate()
_NO_FAULTS = Faults()


def is_hit(faults: Faults, operation: str) -> bool:
    """Whether the faults aim at this operation ("" for requests that are none)."""
    return not faults.operations or operation in faults.operations


def draw(faults: Faults, operation: str, random: Random) -> Fate:
    """Decide one call's fate. Draws nothing while there are no faults, so seeds stay comparable."""
    if faults == _NO_FAULTS or not is_hit(faults, operation):
        return _UNHARMED
    delay_s = faults.latency_s
    if faults.latency_jitter_s:
        delay_s += random.uniform(0.0, faults.latency_jitter_s)
    return Fate(_mishap(faults, random), delay_s)


def _mishap(faults: Faults, random: Random) -> Mishap:
    point = random.random()
    for mishap, share in _SHARES:
        point -= getattr(faults, share)
        if point < 0:
            return mishap
    return Mishap.NOTHING


class SlidingSecond:
    """Counts calls of the last second exactly, by keeping their times."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.peak = 0

    def add(self, now_s: float) -> None:
        """Count a call at `now_s` (any monotonic clock)."""
        self._forget(now_s, 1.0)
        self._times.append(now_s)
        self.peak = max(self.peak, len(self._times))

    def try_add(self, now_s: float, quota_per_s: float) -> bool:
        """Count a call unless the quota of its window is used up; refused calls cost no quota.

        Quotas below one a second stretch the window: 0.5 means one call in any two seconds.
        """
        if quota_per_s <= 0:
            return False
        self._forget(now_s, max(1.0, 1.0 / quota_per_s))
        if len(self._times) >= max(1, int(quota_per_s)):
            return False
        self._times.append(now_s)
        return True

    def _forget(self, now_s: float, window_s: float) -> None:
        while self._times and self._times[0] <= now_s - window_s:
            self._times.popleft()
