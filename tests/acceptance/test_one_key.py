"""Many clients, one idempotency key, a kill in the middle: one order, one waybill."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.checker import violations
from tests.acceptance.harness import eventually, parcel_order, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(90)]

CLIENTS = 64


def test_one_key_from_many_clients_is_one_order(tmp_path: Path) -> None:
    """Whoever asks, before or after the kill, is told the same order; all but one as a replay."""

    async def play() -> None:
        async with world(tmp_path) as w:
            await w.faults("sf", operations=["book"], latency_s=0.5)
            order = parcel_order("one-key")
            clients = [asyncio.create_task(w.create(order, request_id="one-key")) for _ in range(CLIENTS)]

            async def has_booked() -> bool:
                return bool(w.ledgers()["sf"])

            await eventually(has_booked, 10.0)
            w.sandbox.kill_engine()
            await w.sandbox.start_engine()
            order_ids = {created.order_id for created in await asyncio.gather(*clients)}
            await w.at_rest()
            evidence = await w.evidence()

        fresh = [call for call in w.calls if call.acknowledged and not call.replayed]
        assert len(order_ids) == 1
        assert len(fresh) <= 1
        assert len(evidence.ledgers["sf"]) == 1
        assert violations(evidence) == []

    asyncio.run(play())
