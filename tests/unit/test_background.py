"""Jobs beside the calls: what the store holds is counted often, and never at the price of the work itself."""

from __future__ import annotations

import asyncio

import pytest

from engine.background import GAUGE_PERIOD_S, count_rows
from engine.core.policy.records import OrderState
from engine.metrics import Metrics
from engine.store.memory import MemoryStore
from engine.store.port import StoreError
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio


class SlowlyCounted(MemoryStore):
    """A store whose orders take a while to count."""

    def __init__(self, clock: FakeClock, takes_s: float) -> None:
        super().__init__()
        self.counted = 0
        self._clock = clock
        self._takes_s = takes_s

    async def count_by_state(self) -> dict[OrderState, int]:
        """So many days of orders."""
        self.counted += 1
        self._clock.advance(self._takes_s)
        return {OrderState.BOOKED: 7}


class CountedAtTheSecondTry(MemoryStore):
    """A store whose disk fails the first count."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Exception] = [StoreError("the store cannot be read: check the disk, then try again")]

    async def count_by_state(self) -> dict[OrderState, int]:
        """The fault, then seven."""
        if self.faults:
            raise self.faults.pop()
        return {OrderState.BOOKED: 7}


@pytest.mark.parametrize(("takes_s", "period_s"), [(0.0, GAUGE_PERIOD_S), (0.04, GAUGE_PERIOD_S), (0.5, 50.0)])
async def test_rows_are_counted_as_often_as_a_hundredth_of_the_time_allows(takes_s: float, period_s: float) -> None:
    """Every few seconds while that is quick; a store of millions of orders is counted more seldom."""
    clock = FakeClock()
    store, metrics = SlowlyCounted(clock, takes_s), Metrics()
    failures: list[Exception] = []
    counting = asyncio.create_task(count_rows(store, metrics, (), clock, failures.append))
    await clock.settle()
    await clock.settle(period_s - 1.0)
    early = store.counted
    await clock.settle(1.0)
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)

    assert (early, store.counted, failures) == (1, 2, [])
    assert b'crossdock_orders{state="BOOKED"} 7.0' in metrics.expose()


async def test_a_count_that_fails_is_told_and_tried_again() -> None:
    """The engine cannot do without the job, and ends with it: a disk that hiccups must not end either."""
    clock, store, metrics = FakeClock(), CountedAtTheSecondTry(), Metrics()
    failures: list[Exception] = []
    counting = asyncio.create_task(count_rows(store, metrics, (), clock, failures.append))
    await clock.settle()
    told = [str(failure) for failure in failures]
    await clock.settle(GAUGE_PERIOD_S)
    ended = counting.done()
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)

    assert told == ["the store cannot be read: check the disk, then try again"]
    assert not ended
    assert len(failures) == 1
    assert b'crossdock_orders{state="BOOKED"} 7.0' in metrics.expose()
