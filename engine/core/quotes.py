"""Live prices: asked from the carriers on demand, remembered per lane for a while.

A lane is (account, product, origin city, destination city, weight in started half kilograms): what tariffs
depend on. A carrier that does not answer in time costs its price, never the quote.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import anyio

from crossdock_sdk import Carrier, CarrierError, ErrorClass, Lane
from engine.clock import Clock
from engine.core.calls import ask
from engine.core.policy.booking import Candidate
from engine.core.policy.records import OrderDraft
from engine.core.policy.routing import LivePrice
from engine.outbound import Priority
from engine.outbound.outbound import Outbound

_Place: TypeAlias = tuple[str, str, int]
CACHE_SIZE = 50_000


class LivePrices:
    """Carriers' own prices, with a bounded memory."""

    def __init__(self, outbound: Outbound, carriers: Mapping[str, Carrier], clock: Clock, *, keep_s: float) -> None:
        self._outbound = outbound
        self._carriers = carriers
        self._clock = clock
        self._keep_s = keep_s
        self._known: OrderedDict[_Place, dict[tuple[str, str], tuple[float, LivePrice]]] = OrderedDict()

    def known(self, draft: OrderDraft) -> dict[tuple[str, str], LivePrice]:
        """Prices of this lane that are fresh enough, by (account_id, service)."""
        if not self._known:
            return {}
        now = self._clock.monotonic()
        prices = self._known.get(_place(draft), {})
        return {key: price for key, (time, price) in prices.items() if now - time <= self._keep_s}

    async def ask(
        self, questions: Sequence[tuple[Candidate, Lane]], *, tenant: str, deadline_s: float
    ) -> dict[str, str]:
        """Ask all candidates at once; returns the refusals ("destination stopped") by account_id."""
        refusals: dict[str, str] = {}
        async with anyio.create_task_group() as group:
            for candidate, lane in questions:
                if "quote" in self._carriers[candidate.carrier].manifest.operations:
                    group.start_soon(self._ask_one, candidate, lane, tenant, deadline_s, refusals)
        return refusals

    async def _ask_one(
        self, candidate: Candidate, lane: Lane, tenant: str, deadline_s: float, refusals: dict[str, str]
    ) -> None:
        outcome = await ask(
            self._outbound,
            candidate.account_id,
            "quote",
            lane,
            priority=Priority.QUERY,
            deadline_s=deadline_s,
            tenant=tenant,
        )
        if isinstance(outcome, CarrierError) and outcome.error_class is ErrorClass.NO_SERVICE:
            refusals[candidate.account_id] = outcome.message or "does not serve this lane"
        if not isinstance(outcome, tuple):
            return  # no price; the candidate stays
        prices = self._known.setdefault(_place(lane), {})
        for quote in outcome:
            price = LivePrice(quote.freight, quote.transit_s)
            prices[candidate.account_id, quote.service or candidate.service] = (self._clock.monotonic(), price)
        while len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)


def _place(lane: Lane | OrderDraft) -> _Place:
    ends = tuple(
        f"{p.address.country_code}/{p.address.province}/{p.address.city}" for p in (lane.shipper, lane.recipient)
    )
    return ends[0], ends[1], -(-lane.weight_g // 500)
