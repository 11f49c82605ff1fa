"""Orders in doubt while somebody sets the machine's clock: a carrier's search gets the time it needs all the same."""

from __future__ import annotations

import asyncio

import pytest

from crossdock_sdk import Repeat
from crossdock_sdk.manifest import BookingFacts
from tests.fakes.carrier import answer, lost, manifest, silent
from tests.fakes.house import TENANT, draft, house, states, turns

pytestmark = pytest.mark.anyio

ALPHA = manifest("alpha", booking=BookingFacts(repeat=Repeat.BOOKS_AGAIN, lookup_settles_s=10.0))
BETA = manifest("beta")


async def test_a_clock_set_forward_makes_no_early_absence_a_proof() -> None:
    """The search shows a booking after 8 s; a clock that jumps by 20 must not have it booked at another carrier."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", lost())
        scene.network.always("alpha", "find", answer(absent=True))
        scene.reconcile()
        creating = asyncio.ensure_future(scene.orders.create(TENANT, draft(), request_id="r", deadline_s=30.0))
        await turns(200)
        scene.clock.jump(20.0)
        await scene.pass_time(8.0)
        scene.network.always("alpha", "find", None)
        await scene.pass_time(10.0)
        loaded = await scene.get(await creating)

    assert states(loaded) == ["alpha CONFIRMED"]
    assert scene.network.count("beta", "book") == 0


async def test_a_clock_set_forward_puts_a_proof_off_by_no_more_than_it_must() -> None:
    """After the time that a search needs, passed and not set, an absence is believed."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", silent())
        scene.reconcile()
        creating = asyncio.ensure_future(scene.orders.create(TENANT, draft(), request_id="r", deadline_s=30.0))
        await turns(200)
        scene.clock.jump(20.0)
        await scene.pass_time(16.0)
        loaded = await scene.get(await creating)

    assert states(loaded) == ["alpha ABSENT", "beta CONFIRMED"]
