"""What a carrier seems to take a second, learned from its objections.

    rate
    knee |- - - - - - - - - -____-----'      past the knee: slowly, then boldly
         |            __--'
         |         .-'                       back to where it objected, the nearer the slower
         |________/
              cut      _way_s of use        time in which the rate was used

An objection out of the blue costs much, one at the edge of what was known little, unless others follow.
What the carrier objected to is remembered as the knee: the rate returns to it on a cubic, stays near it for long, and
only then asks whether there is more. So a steady limit is nearly all used and rarely touched, and a raised one is found
in minutes. A carrier that objects to everything, however slow, has no limit but an outage: what worked before it is
remembered too, and found again in seconds. A rate nobody uses proves nothing: time counts while it is used. Pure; times
are monotonic seconds.
"""

from __future__ import annotations

from collections import deque

FIRST_CUT = 0.3
"""Share given up at an objection out of the blue: where the limit lies is not known."""
LEAST_CUT = 0.015
"""Share given up when a known limit was touched."""
DEEP_S = 15.0
"""Seconds of use from a deep cut back to the knee."""
TOUCH_CALLS = 250
"""Calls from a touch back to the knee: about one refused call in each round keeps them below half a per cent."""
SHORTEST_S, LONGEST_S = 5.0, 120.0
"""Bounds of that way for fast and for slow rates."""
CALM_S = 4.0
"""Seconds whose objections are counted: as large a share of the calls as they are is given up."""
BACK_SHARE = 1 / 8
"""Of what an outage took: regained as long after the knee as the way there was, all of it after twice that."""
NEAR_SHARE = 0.9
"""Of the knee: an objection this near confirms it, give or take; one below says that the limit has fallen."""


class Estimate:
    """The learned rate; None until the carrier objects for the first time."""

    __slots__ = (
        "_content_at", "_objections", "_start", "_step", "_used_s", "_was_content", "_way_s",
        "knee_per_s", "rate_per_s", "tightened_at", "worked_per_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rate_per_s: float | None = None
        self.knee_per_s = 0.0
        self.worked_per_s = 0.0  # the last rate with which the carrier was content for a while
        self.tightened_at = float("-inf")
        self._start = 0.0  # the rate after the last cut
        self._way_s = DEEP_S
        self._step = 0.0  # what the cubic past the knee gains in its first unit of time
        self._used_s = 0.0
        self._was_content = True
        self._content_at = float("-inf")
        self._objections: deque[float] = deque(maxlen=64)  # when, newest last

    def objected(self, now: float, base: float, floor: float) -> float:
        """The carrier objected at `base` a second: fall at once, never below `floor`. Answers the share given up."""
        self._objections.append(now)
        if self._was_content:
            self.worked_per_s = base
        self._was_content = False
        known = self.knee_per_s
        is_touch = bool(known) and base >= NEAR_SHARE * known
        cut = FIRST_CUT
        if is_touch:
            lately = sum(at > now - CALM_S for at in self._objections)
            cut = min(max(LEAST_CUT, (lately - 1) / (base * CALM_S)), FIRST_CUT)
        # One mishap on the way may have made the carrier object a little early: half of what was known stays.
        knee = (base + known) / 2 if cut == LEAST_CUT and base < known else base
        self._begin(max(base * (1 - cut), floor), knee, is_deep=cut > LEAST_CUT)
        self.tightened_at = self._content_at = now
        return cut

    def content(self, now: float, *, in_use: bool, ceiling: float | None) -> None:
        """The carrier was content. At `ceiling` nothing is left to learn: what is allowed in writing holds again."""
        passed_s, self._content_at, self._was_content = max(now - self._content_at, 0.0), now, True
        if self.rate_per_s is None or not in_use:
            return
        # A rate of a call in ten seconds is in use for the ten seconds between two.
        self._used_s += min(passed_s, max(1.0, 1.1 / self.rate_per_s))
        left_s = self._used_s - self._way_s  # to the knee while negative; past it no slower than from a deep cut
        if left_s < 0:
            way, step = left_s / self._way_s, self.knee_per_s - self._start
        else:
            way, step = left_s / min(self._way_s, DEEP_S), self._step
        rate = self.knee_per_s + step * way * way * way
        self.rate_per_s = None if ceiling is not None and rate >= ceiling else rate

    def restore(self, rate: float, knee: float, worked: float, now: float) -> None:
        """Go on from a rate below its knee that another process had learned, and what had worked before."""
        self.worked_per_s = worked
        self._begin(rate, max(knee, rate * (1 + LEAST_CUT)), is_deep=False)
        self._content_at = now

    def _begin(self, start: float, knee: float, *, is_deep: bool) -> None:
        self.rate_per_s = self._start = start
        self.knee_per_s = max(knee, start * (1 + LEAST_CUT / 2))  # at the floor the way up must not be flat
        self._used_s = 0.0
        lost = max(self.worked_per_s - self.knee_per_s, 0.0)
        self._step = max(self.knee_per_s - start, lost * BACK_SHARE)
        if lost > self.knee_per_s:
            self._way_s = SHORTEST_S
        else:
            self._way_s = DEEP_S if is_deep else min(max(TOUCH_CALLS / knee, SHORTEST_S), LONGEST_S)
