"""A carrier is asked again for what it does not hold: under which reference, and that one booking comes of it."""

from __future__ import annotations

import msgspec
import pytest

from crossdock_sdk import Repeat
from crossdock_sdk.manifest import BookingFacts
from engine.core.orders import Created
from engine.core.policy.records import AttemptRecord, AttemptState, LoadedOrder
from tests.fakes.carrier import lost, manifest, silent
from tests.fakes.house import House, house, states
from tests.fakes.rows import attempt

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("repeat", "same"), [(Repeat.REPLAYS, True), (Repeat.REFUSES, True), (Repeat.BOOKS_AGAIN, False)]
)
async def test_a_reference_found_absent_is_used_again_only_where_repeats_are_harmless(
    repeat: Repeat, same: bool
) -> None:
    """A booking that surfaces after all then stays the only one."""
    only = manifest("alpha", booking=BookingFacts(repeat=repeat, lookup_settles_s=2.0))
    async with house(only) as scene:
        scene.network.script("alpha", "book", silent())
        scene.reconcile()
        booked = await _settled(scene, await scene.create())

    first, second = booked.attempts
    assert (first.state, second.state) == (AttemptState.ABSENT, AttemptState.CONFIRMED)
    assert (first.reference == second.reference) is same


@pytest.mark.parametrize("repeat", [Repeat.REPLAYS, Repeat.REFUSES])
async def test_a_booking_voided_before_we_knew_of_it_is_made_anew(repeat: Repeat) -> None:
    """Under a new reference: the old one can only bring the dead waybill back, or refusals without end."""
    only = manifest("alpha", booking=BookingFacts(repeat=repeat, lookup_settles_s=5.0))
    async with house(only) as scene:
        ledger = scene.network.ledgers["alpha"]
        scene.network.script("alpha", "book", lost())
        scene.network.always("alpha", "find", silent())
        scene.reconcile()
        created = await scene.create(deadline_s=1.0)
        ledger.cancel(ledger.live[0].waybill_number)
        scene.network.always("alpha", "find", None)
        booked = await _settled(scene, created)

    assert states(booked) == ["alpha ABSENT", "alpha CONFIRMED"]
    assert booked.order.booking is not None
    assert scene.network.live == [booked.order.booking.waybill_number]
    assert ledger.live[0].reference == booked.attempts[1].reference != booked.attempts[0].reference


def test_attempts_stored_before_references_could_burn_are_still_read() -> None:
    """They count as not burnt."""
    known = msgspec.to_builtins(attempt(1, "alpha", AttemptState.ABSENT))
    del known["burnt"]

    read = msgspec.msgpack.decode(msgspec.msgpack.encode(known), type=AttemptRecord)

    assert read == attempt(1, "alpha", AttemptState.ABSENT)


async def _settled(scene: House, created: Created) -> LoadedOrder:
    await scene.pass_time(40.0)
    return await scene.get(created)
