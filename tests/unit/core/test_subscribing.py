"""Numbers that others booked: their carrier is asked once to push about them; numbers used again are new parcels."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crossdock_sdk import ErrorClass
from crossdock_sdk.tracking import TrackEvent, TrackStatus
from engine.core.policy.track_identity import REUSED_AFTER
from engine.core.tracks import TrackKey
from tests.fakes.carrier import ALL, manifest, refuse, unreachable
from tests.fakes.house import TENANT, House, house

pytestmark = pytest.mark.anyio
ALPHA = manifest("alpha", (*ALL, "track", "subscribe"))
MUTE = manifest("alpha", (*ALL, "track"))
NUMBER = "A000000001"
KEY = TrackKey("alpha", NUMBER, "4321")


async def followed(scene: House) -> bool:
    """Follow the number for a while; whether its carrier pushes about it as far as we know."""
    scene.follow()
    await scene.tracks.follow(TENANT, KEY)
    await scene.pass_time(5.0)
    found = await scene.store.find_track(TENANT, "alpha", NUMBER)
    assert found is not None
    return found.track.subscribed


async def test_a_number_of_others_is_subscribed_once() -> None:
    """At its first question, and never again."""
    async with house(ALPHA) as scene:
        subscribed = await followed(scene)
        scene.clock.jump(86_400.0)
        await scene.pass_time(5.0)

    assert subscribed
    assert scene.network.ledgers["alpha"].subscribed == [NUMBER]
    assert scene.network.count("alpha", "track") == 2


async def test_what_a_caller_asked_meanwhile_is_not_asked_again() -> None:
    """Its subscription takes a while; by then a question of somebody else has been answered, and one is enough."""
    async with house(ALPHA) as scene:
        scene.network.hold("alpha", "subscribe")
        scene.follow()
        await scene.tracks.follow(TENANT, KEY)
        await scene.pass_time(3.0)
        await scene.run(scene.tracks.get(TENANT, KEY, max_age_s=0.0, deadline_s=5.0))
        scene.network.release()
        await scene.pass_time(0.9)

    assert scene.network.ledgers["alpha"].subscribed == [NUMBER]
    assert scene.network.count("alpha", "track") == 1


async def test_what_was_booked_here_is_pushed_without_it() -> None:
    """The account's own bookings need no subscription."""
    async with house(ALPHA) as scene:
        scene.follow()
        await scene.create()
        scene.clock.jump(86_400.0)
        await scene.pass_time(5.0)

    assert scene.network.count("alpha", "track") == 1
    assert scene.network.count("alpha", "subscribe") == 0


@pytest.mark.parametrize(("error_class", "again"), [(ErrorClass.PERMANENT, 0), (ErrorClass.TEMPORARY, 1)])
async def test_a_refusal_costs_pushes_only(error_class: ErrorClass, again: int) -> None:
    """A final one is not asked again, one that may pass is, with the next question; the parcel is followed by polls."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "subscribe", refuse(error_class))
        settled = await followed(scene)
        scene.clock.jump(86_400.0)
        await scene.pass_time(5.0)

    assert settled is (again == 0)
    assert scene.network.count("alpha", "subscribe") == 1 + again
    assert scene.network.count("alpha", "track") == 2


async def test_a_carrier_out_of_reach_is_asked_again() -> None:
    """Nothing is taken for an answer that is none."""
    async with house(ALPHA) as scene:
        scene.network.script("alpha", "subscribe", unreachable())

        assert not await followed(scene)


async def test_a_carrier_without_subscriptions_is_only_asked() -> None:
    """The manifest says what it offers."""
    async with house(MUTE) as scene:
        assert not await followed(scene)
    assert scene.network.count("alpha", "subscribe") == 0


async def test_a_number_used_again_is_another_parcel() -> None:
    """Months after its last parcel was let go, a push begins a new track; the old one stays as it was."""
    async with house(ALPHA) as scene:
        first = (await scene.tracks.follow(TENANT, KEY)).track
        await scene.tracks.unfollow(TENANT, KEY)
        before = await scene.store.get_track(TENANT, first.track_id)
        scene.clock.jump((REUSED_AFTER + timedelta(days=1)).total_seconds())
        event = TrackEvent(NUMBER, scene.clock.now(), "got", "collected", TrackStatus.PICKED_UP)
        nobody = await scene.run(scene.tracks.ingest_push(scene.accounts["alpha-1"], [event]))
        newest = await scene.store.find_track(TENANT, "alpha", NUMBER)

    assert nobody == 0
    assert newest is not None
    assert newest.track.track_id != first.track_id
    assert (newest.track.status, newest.track.phone_tail) == (TrackStatus.PICKED_UP, "4321")
    assert await scene.store.get_track(TENANT, first.track_id) == before
