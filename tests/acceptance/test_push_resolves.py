"""zto books and its answer gets lost: it offers no look-up, so its push settles it, or a person."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.checker import violations
from tests.acceptance.harness import World, eventually, parcel_order, state_of, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(90)]

REVIEW_S = 2.0
PUSH_AFTER_S = 7.0
"""Longer than the engine takes to start again, also beside other work."""


def test_the_order_push_settles_a_lost_answer(tmp_path: Path) -> None:
    """The push names zto's order, zto's answer about it names ours: BOOKED, one entry."""

    async def play() -> None:
        async with world(tmp_path) as w:
            await w.faults("zto", operations=["book"], accept_then_cut_share=1.0)
            order = await w.create(parcel_order("pushed", only=["zto"]))
            order = await w.becomes(order, "BOOKED")
            evidence = await w.evidence()
            accepted = await w.metric("crossdock_pushes_total", carrier="zto", outcome="ACCEPTED")

        assert (state_of(order), order.booking.carrier) == ("BOOKED", "zto")
        assert order.booking.waybill_number == evidence.ledgers["zto"][0].waybill_number
        assert len(evidence.ledgers["zto"]) == 1
        assert accepted == 1
        assert violations(evidence) == []

    asyncio.run(play())


def test_a_push_reaches_the_restarted_engine(tmp_path: Path) -> None:
    """Killed while zto takes its time: the push that follows settles the order after the restart."""

    async def play() -> None:
        async with world(tmp_path) as w:
            await w.faults("zto", operations=["book"], accept_then_cut_share=1.0, latency_s=PUSH_AFTER_S)
            creating = asyncio.create_task(w.create(parcel_order("repeated", only=["zto"])))
            await eventually(lambda: _has_booked(w), 10.0)
            w.sandbox.kill_engine()
            await w.sandbox.start_engine()
            order = await w.becomes(await creating, "BOOKED", "NEEDS_REVIEW")
            evidence = await w.evidence()

        assert (state_of(order), order.booking.carrier) == ("BOOKED", "zto")
        assert violations(evidence) == []

    asyncio.run(play())


def test_without_a_push_a_person_is_asked(tmp_path: Path) -> None:
    """Pushes go astray: NEEDS_REVIEW in time, with event and metric, and no second booking."""
    # The simulator pushes to the port kept for the ingress; the engine listens elsewhere.
    settings: Mapping[str, Mapping[str, Any]] = {
        "ingress": {"listen": "127.0.0.1:0"},
        "booking": {"review_after_s": REVIEW_S},
    }

    async def play() -> None:
        async with world(tmp_path, settings=settings) as w:
            await w.faults("zto", operations=["book"], accept_then_cut_share=1.0)
            order = await w.create(parcel_order("silent", prefer=["zto"]), deadline_s=1.0)
            order = await w.becomes(order, "NEEDS_REVIEW", within_s=REVIEW_S + 5.0)
            evidence = await w.evidence()
            settled = await w.metric("crossdock_orders_settled_total", state="NEEDS_REVIEW")

        assert state_of(order) == "NEEDS_REVIEW"
        assert order.failure.reason == "OUTCOME_UNKNOWN"
        assert order.failure.remedy
        assert [e.kind for e in evidence.events][-1] == "ORDER_NEEDS_REVIEW"
        assert settled == 1
        assert len(evidence.ledgers["zto"]) == 1
        assert evidence.ledgers["sf"] == []
        assert violations(evidence) == []

    asyncio.run(play())


async def _has_booked(w: World) -> bool:
    return bool(w.ledgers()["zto"])
