"""Measures how busy the engine is and sets what is given up. The shell around `policy.brownout` and `.admission`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from engine.clock import Clock
from engine.core.policy.admission import Admission
from engine.core.policy.brownout import Reading, Signals
from engine.core.policy.pressure import Waits

PERIOD_S = 0.05
SAMPLES = 20
"""The lags of the last second; the second largest of twenty is their 95th percentile."""


class OverloadObserver(Protocol):
    """What metrics and log hear."""

    def brownout_changed(self, reading: Reading) -> None:
        """Another level is in force, because of the named signal."""


class Overload:
    """Samples the event loop's lag and asks for the other signals, twenty times a second."""

    def __init__(
        self,
        admission: Admission,
        signals: Callable[[], Signals],
        waits: Callable[[], Waits],
        clock: Clock,
        observer: OverloadObserver,
    ) -> None:
        self._admission = admission
        self._brownout = admission.brownout
        self._signals = signals
        self._waits = waits
        self._clock = clock
        self._observer = observer
        self._lags_s: deque[float] = deque(maxlen=SAMPLES)

    async def run(self) -> None:
        """Run until cancelled."""
        while self._brownout.enabled:
            asleep_at = self._clock.monotonic()
            await self._clock.sleep(PERIOD_S)
            self.sample(self._clock.monotonic() - asleep_at - PERIOD_S)

    def sample(self, lag_s: float) -> None:
        """Take in one measurement of the loop."""
        self._lags_s.append(max(lag_s, 0.0))
        self._settle(sorted(self._lags_s)[-2] if len(self._lags_s) > 1 else 0.0)

    def _settle(self, lag_s: float) -> None:
        signals, now = replace(self._signals(), loop_lag_s=lag_s), self._clock.monotonic()
        self._admission.settle(self._waits(), now)
        for changed in (
            self._brownout.update(signals, now),
            self._brownout.press(self._admission.pressure.on_all),
        ):
            if changed is not None:
                self._observer.brownout_changed(changed)
