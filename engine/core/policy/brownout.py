"""What is given up first when the engine has too much to do: data, and a level that rises at once and falls slowly.

Level 0 is normal. Each level gives up one more kind of work, the one that hurts least first; cancels, pushes, reading
one order and health are never given up. Between two levels `policy.pressure` gives up a part. Pure: `now` is
monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import msgspec


class Level(IntEnum):
    """How much is given up; each level includes those below it."""

    NORMAL = 0
    EXPORTS = 1
    """Listings, merged labels and live quotes are refused."""
    QUESTIONS = 2
    """Tracks are answered from what is known, carriers are not asked; quotes are refused."""
    LABELS = 3
    """Tracks and labels are refused."""
    BOOKINGS = 4
    """New orders and returns are refused."""


class Span(msgspec.Struct, frozen=True):
    """From which pressure on a kind of work is given up, and where all of it is."""

    begins: float
    ends: float

    def given_up(self, pressure: float) -> float:
        """The part that is given up, 0 to 1."""
        return min(max((pressure - self.begins) / (self.ends - self.begins), 0.0), 1.0)


EXPORTS, QUOTES = Span(0.0, Level.EXPORTS), Span(Level.EXPORTS, Level.QUESTIONS)
TRACKS, LABELS = Span(Level.QUESTIONS, 2.5), Span(2.5, Level.LABELS)
BOOKINGS = Span(Level.LABELS, Level.BOOKINGS)

GIVEN_UP: Mapping[str, Span] = {
    "ListOrders": EXPORTS,
    "ListReturns": EXPORTS,
    "MergeLabels": EXPORTS,
    "QuoteOrder": QUOTES,
    "GetTrack": TRACKS,
    "BatchGetTracks": TRACKS,
    "GetLabel": LABELS,
    "CreateOrder": BOOKINGS,
    "BatchCreateOrders": BOOKINGS,
    "StreamCreateOrders": BOOKINGS,
    "CreateReturn": BOOKINGS,
    "ApproveReturn": BOOKINGS,
}
"""RPC -> the pressure at which it is refused before it is read; all others never are."""

ESSENTIAL = frozenset({"CancelOrder", "CancelReturn", "IngestPush", "ConfirmReturnReceived"})
"""RPCs that are served while there is any room at all: they end work, or carry facts that come once."""


class Signals(msgspec.Struct, frozen=True):
    """How busy the engine is.

    loop_lag_s: how late the event loop is, p95 over the last second. Shares: what waits to be written, orders in work,
    calls under way, each of its limit.
    """

    loop_lag_s: float = 0.0
    store_share: float = 0.0
    open_share: float = 0.0
    calls_share: float = 0.0


class Thresholds(msgspec.Struct, frozen=True):
    """Where level 1 begins for each signal. Lag doubles from level to level; shares rise evenly to FULL at level 4.

    door_wait_s: how long calls may wait until the engine sees them; it doubles too, see `policy.pressure`.
    """

    loop_lag_s: float = 0.5
    door_wait_s: float = 0.15
    store_share: float = 0.5
    open_share: float = 0.8
    calls_share: float = 0.7
    calm_s: float = 5.0


FULL = 0.95
"""The share at which nothing new is taken: a little room is left for what is never refused."""


LEAST_LIMIT = 100
"""Of a smaller limit a share says nothing: one call more or less would jump a level."""


def share_of(count: int, limit: int) -> float:
    """How much of a limit is taken; nothing of one that is too small to tell."""
    return count / limit if limit >= LEAST_LIMIT else 0.0


class Reading(msgspec.Struct, frozen=True):
    """The level that signals ask for, and the signal that does."""

    level: Level
    signal: str = ""


def read(signals: Signals, thresholds: Thresholds) -> Reading:
    """The highest level that any signal asks for."""
    lag_s, first_lag_s = signals.loop_lag_s, thresholds.loop_lag_s
    readings = [("loop_lag", sum(lag_s >= first_lag_s * 2**step for step in range(4)))]
    for name in ("store_share", "open_share", "calls_share"):
        share, first = getattr(signals, name), getattr(thresholds, name)
        readings.append((name, sum(share >= first + (FULL - first) * step / 3 for step in range(4))))
    signal, level = max(readings, key=lambda reading: reading[1])
    return Reading(Level(level), signal if level else "")


BACK = 0.25
"""Hysteresis: a level is left when the pressure is this far below it, so that it does not flicker at the border."""


class Brownout:
    """The level in force. That of the signals: up at once, down one step after each calm time without a reading as
    high. That of the pressure at the door, which rises and falls steadily by itself: as it is. The higher one holds.
    """

    __slots__ = ("_calm_since", "_of_door", "_of_signals", "enabled", "level", "thresholds")

    def __init__(self, thresholds: Thresholds | None = None, *, enabled: bool = True) -> None:
        self.thresholds = thresholds or Thresholds()
        self.enabled = enabled
        self.level = Level.NORMAL
        self._of_signals = Level.NORMAL
        self._of_door = Level.NORMAL
        self._calm_since: float | None = None

    def update(self, signals: Signals, now: float) -> Reading | None:
        """Take in the signals; answers the new level and its cause when it changed, "calm" when it fell."""
        if not self.enabled:
            return None
        reading = read(signals, self.thresholds)
        if reading.level >= self._of_signals:
            self._calm_since = None
            self._of_signals = reading.level
            return self._changed(reading.signal)
        if self._calm_since is None:
            self._calm_since = now
        if now - self._calm_since < self.thresholds.calm_s:
            return None
        self._calm_since = now
        self._of_signals = Level(self._of_signals - 1)
        return self._changed("calm")

    def press(self, pressure: float) -> Reading | None:
        """Take in the pressure at the door; answers as `update`."""
        if not self.enabled:
            return None
        if pressure >= self._of_door + 1 or pressure < self._of_door - BACK:
            self._of_door = Level(int(pressure))
        return self._changed("door_wait" if self._of_door > self.level else "calm")

    def gives_up(self, method: str) -> bool:
        """Whether all calls of an RPC are refused now."""
        return self.level > Level.NORMAL and method in GIVEN_UP and GIVEN_UP[method].ends <= self.level

    def _changed(self, cause: str) -> Reading | None:
        level = max(self._of_signals, self._of_door)
        if level == self.level:
            return None
        self.level = level
        return Reading(level, cause)
