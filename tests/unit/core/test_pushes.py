"""Carriers' pushes: verified first, applied to attempts in doubt, acknowledged after the commit."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest

from crossdock_sdk import PushRefused, PushRequest
from crossdock_sdk.manifest import BookingFacts
from crossdock_sdk.tracking import TrackStatus
from engine.core.errors import PushNotGenuine
from engine.core.orders import Created
from engine.core.policy.records import OrderState
from engine.core.policy.track_records import DeadLetter, LoadedTrack, TrackSource
from engine.core.pushes import PushUndecided, UnknownPushAccount
from engine.core.tracks import TrackKey
from engine.store.port import StoreError
from tests.fakes.carrier import ALL, lost, manifest, signature, silent
from tests.fakes.house import OTHER_TENANT, TENANT, House, house, states

pytestmark = pytest.mark.anyio

FACTS = BookingFacts(confirmed_by_push=True)
BLIND = manifest("blind", ("book", "find_by_carrier_order", "cancel", "push"), booking=FACTS)
BETA = manifest("beta")
ALPHA = manifest("alpha", (*ALL, "track"))
NUMBER = "A000000001"


def push(signature: str = "good", **news: str) -> PushRequest:
    """News as the fake carrier sends it."""
    return PushRequest({"signature": signature}, json.dumps({"state": "LIVE", **news}).encode())


async def doubtful(scene: House) -> Created:
    """An order that the carrier has booked, with its answer lost."""
    scene.network.script("blind", "book", lost())
    return await scene.create(deadline_s=1.0)


async def test_a_push_confirms_a_booking_in_doubt() -> None:
    """It names the carrier's order; the carrier is asked for it, and its answer carries our reference."""
    async with house(BLIND, BETA) as scene:
        created = await doubtful(scene)
        news = push(carrier_order_id=f"order-{created.order.attempts[0].reference}")
        acknowledged = await scene.run(scene.pushes.handle("blind-1", news))
        after = await scene.get(created)

    assert created.order.order.state is OrderState.BOOKING
    assert (acknowledged.status, acknowledged.body) == (200, b"thanks")
    assert (after.order.state, states(after)) == (OrderState.BOOKED, ["blind CONFIRMED"])
    assert (scene.heard.pushes, scene.heard.settled) == (["blind ACCEPTED"], [OrderState.BOOKED])


async def test_a_push_ends_a_review() -> None:
    """Hours later, without anybody's help."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        scene.reconcile()
        await scene.pass_time(70.0)
        reviewed = await scene.get(created)
        attempt = created.order.attempts[0]
        await scene.run(scene.pushes.handle("blind-1", push(reference=attempt.reference, waybill_number="W9")))
        after = await scene.get(created)

    assert reviewed.order.state is OrderState.NEEDS_REVIEW
    assert after.order.state is OrderState.BOOKED
    assert after.order.booking is not None
    assert after.order.booking.waybill_number == "W9"


async def test_a_push_about_a_cancelled_booking_lets_the_next_carrier_take_over() -> None:
    """The carrier says that nothing is live under our reference: that is proof."""
    async with house(BLIND, BETA) as scene:
        scene.network.script("blind", "book", silent())
        created = await scene.create(deadline_s=1.0)
        reference = created.order.attempts[0].reference
        await scene.run(scene.pushes.handle("blind-1", push(state="CANCELLED", reference=reference)))
        await scene.pass_time(1.0)
        after = await scene.get(created)

    assert states(after) == ["blind ABSENT", "beta CONFIRMED"]


async def test_a_push_confirms_an_order_whose_cancel_is_wanted() -> None:
    """It is cancelled at once: nothing stays live."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=0.0))
        reference = created.order.attempts[0].reference
        await scene.run(scene.pushes.handle("blind-1", push(carrier_order_id=f"order-{reference}")))
        await scene.pass_time(1.0)
        after = await scene.get(created)

    assert (after.order.state, scene.network.live) == (OrderState.CANCELLED, [])


async def test_a_forged_push_is_refused_before_anything_is_read() -> None:
    """No commit, no question to the carrier."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        sent = len(scene.network.sent)
        with pytest.raises(PushRefused):
            await scene.pushes.handle("blind-1", push("bad", reference=created.order.attempts[0].reference))
        after = await scene.get(created)

    assert (after.order.state, len(scene.network.sent)) == (OrderState.BOOKING, sent)
    assert scene.heard.pushes == ["blind REFUSED"]


@pytest.mark.parametrize("account", ["nobody", "dumb-1"])
async def test_a_push_for_no_account_of_ours_is_unknown(account: str) -> None:
    """Nor does one count whose carrier sends no pushes."""
    async with house(BLIND, manifest("dumb", ("book",))) as scene:
        with pytest.raises(UnknownPushAccount):
            await scene.pushes.handle(account, push(reference="x"))


async def test_a_push_that_cannot_be_applied_yet_is_not_acknowledged() -> None:
    """The carrier sends it again; nothing was believed meanwhile."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        scene.network.script("blind", "find_by_carrier_order", silent())
        with pytest.raises(PushUndecided):
            await scene.run(scene.pushes.handle("blind-1", push(carrier_order_id="order-x")))
        after = await scene.get(created)

    assert after.order.state is OrderState.BOOKING


async def test_a_live_booking_without_its_number_is_not_believed() -> None:
    """Else the order would be booked under an empty waybill number."""
    async with house(BLIND) as scene:
        created = await doubtful(scene)
        with pytest.raises(PushUndecided):
            await scene.run(scene.pushes.handle("blind-1", push(reference=created.order.attempts[0].reference)))
        after = await scene.get(created)

    assert after.order.booking is None


async def test_pushes_about_known_bookings_ask_nobody() -> None:
    """Repeated or late, they are acknowledged and change nothing."""
    async with house(BLIND) as scene:
        created = await scene.create()
        booking = created.order.order.booking
        assert booking is not None
        sent = len(scene.network.sent)
        for _ in range(3):
            news = push(carrier_order_id="order-x", waybill_number=booking.waybill_number)
            await scene.run(scene.pushes.handle("blind-1", news))
        after = await scene.get(created)

    assert (len(scene.network.sent), after) == (sent, created.order)


@pytest.mark.parametrize(
    "news",
    [{"state": "OTHER", "carrier_order_id": "x"}, {"reference": "somebody-elses-1", "waybill_number": "W1"}],
    ids=["other news", "not our booking"],
)
async def test_pushes_that_concern_no_order_are_acknowledged(news: dict[str, str]) -> None:
    """The account may be used by other systems too."""
    async with house(BLIND) as scene:
        acknowledged = await scene.run(scene.pushes.handle("blind-1", push(**news)))

    assert acknowledged.status == 200


def scan(scene: House, code: str, *, minutes_ago: int = 0, number: str = NUMBER) -> dict[str, str]:
    """The parcel is scanned."""
    time = scene.clock.now() - timedelta(minutes=minutes_ago)
    return scene.network.ledgers["alpha"].scan(number, time, code)


def told(*scans: dict[str, str]) -> PushRequest:
    """A push of scans, signed over its body."""
    body = json.dumps({"scans": scans}).encode()
    return PushRequest({"signature": signature(body)}, body)


async def followed(scene: House, *tenants: str) -> None:
    """The tenants follow the parcel."""
    for tenant in tenants or (TENANT,):
        await scene.tracks.follow(tenant, TrackKey("alpha", NUMBER))


def codes(loaded: LoadedTrack) -> list[str]:
    """The codes of a track's events, in its order."""
    return [kept.event.code for kept in loaded.events]


async def letters(scene: House) -> list[DeadLetter]:
    """The pushes that were set aside."""
    return await scene.store.list_dead_letters(after="", limit=10)


async def test_a_push_moves_a_parcel_without_a_question() -> None:
    """The carrier has told everything: it is not asked, and its next question is put off."""
    async with house(ALPHA) as scene:
        await followed(scene)
        acknowledged = await scene.run(scene.pushes.handle("alpha-1", told(scan(scene, "got"))))
        found = await scene.track(NUMBER)

    assert acknowledged.body == b"thanks"
    assert (found.track.status, found.track.source) == (TrackStatus.PICKED_UP, TrackSource.PUSH)
    assert found.track.next_poll_time is not None
    assert found.track.next_poll_time > scene.clock.now()
    assert scene.network.count("alpha", "track") == 0


async def test_push_and_poll_of_one_event_are_one_event() -> None:
    """Whichever door it came through first, it is told once, as it came first."""
    async with house(ALPHA) as scene:
        await followed(scene)
        row = scan(scene, "got")
        await scene.run(scene.pushes.handle("alpha-1", told(row)))
        await scene.pass_time(1.0)
        found = await scene.track(NUMBER, max_age_s=0.0)
        await scene.run(scene.pushes.handle("alpha-1", told(row)))
        news = await scene.news()

    assert codes(found) == ["got"]
    assert [n.news.source for n in news] == [TrackSource.PUSH]


async def test_a_push_reaches_every_tenant_who_follows_the_number() -> None:
    """Each has its own track and hears its own news."""
    async with house(ALPHA) as scene:
        await followed(scene, TENANT, OTHER_TENANT)
        await scene.run(scene.pushes.handle("alpha-1", told(scan(scene, "got"))))
        news = [await scene.news(tenant) for tenant in (TENANT, OTHER_TENANT)]

    assert [[n.news.tenant for n in heard] for heard in news] == [[TENANT], [OTHER_TENANT]]


async def test_a_push_about_a_parcel_nobody_follows_is_acknowledged() -> None:
    """It came to the right door and concerns no one; no track is begun by it."""
    async with house(ALPHA) as scene:
        acknowledged = await scene.run(scene.pushes.handle("alpha-1", told(scan(scene, "got"))))
        found = await scene.store.find_track(TENANT, "alpha", NUMBER)

    assert (acknowledged.status, found, scene.heard.pushes) == (200, None, ["alpha ACCEPTED"])


@pytest.mark.parametrize("seed", range(12))
async def test_repeated_and_shuffled_pushes_end_the_same(seed: int) -> None:
    """Order and number of tellings decide nothing: one story, each event told once."""
    dice = random.Random(seed)
    async with house(ALPHA) as scene:
        await followed(scene)
        rows = [scan(scene, code, minutes_ago=9 - n) for n, code in enumerate(("got", "moved", "out", "signed"))]
        tellings = rows * 3
        dice.shuffle(tellings)
        for row in tellings:
            await scene.run(scene.pushes.handle("alpha-1", told(row)))
        found = await scene.track(NUMBER)
        news = await scene.news()

    assert codes(found) == ["got", "moved", "out", "signed"]
    assert found.track.status is TrackStatus.DELIVERED
    assert sorted(n.news.event.code for n in news if n.news.event) == ["got", "moved", "out", "signed"]


async def test_a_flipped_byte_changes_nothing() -> None:
    """Wherever it is, the push is refused before anything is written."""
    async with house(ALPHA) as scene:
        await followed(scene)
        genuine = told(scan(scene, "got"))
        before = await scene.track(NUMBER)
        commits = scene.store.track_commits
        for place in range(len(genuine.body)):
            forged = bytearray(genuine.body)
            forged[place] ^= 1
            with pytest.raises(PushRefused):
                await scene.pushes.handle("alpha-1", PushRequest(genuine.headers, bytes(forged)))
        after = await scene.track(NUMBER)

    assert after == before
    assert (scene.store.track_commits, await letters(scene)) == (commits, [])


async def test_a_push_is_acknowledged_only_once_it_is_written() -> None:
    """A store that fails leaves it unacknowledged; sent again, it is applied."""
    async with house(ALPHA) as scene:
        await followed(scene)
        genuine = told(scan(scene, "got"))
        scene.store.track_faults.append(StoreError("the disk is full"))
        with pytest.raises(StoreError):
            await scene.run(scene.pushes.handle("alpha-1", genuine))
        unwritten = await scene.track(NUMBER)
        acknowledged = await scene.run(scene.pushes.handle("alpha-1", genuine))
        written = await scene.track(NUMBER)

    assert (codes(unwritten), codes(written), acknowledged.status) == ([], ["got"], 200)
    assert scene.heard.pushes == ["alpha UNDECIDED", "alpha ACCEPTED"]
    assert await letters(scene) == []


async def test_a_push_that_cannot_be_applied_is_set_aside_with_its_cause() -> None:
    """It is acknowledged, so that it does not come for ever, and kept byte for byte."""
    async with house(ALPHA) as scene:
        await followed(scene)
        genuine = told(scan(scene, "got"))
        scene.store.track_faults.append(RuntimeError(f"a defect at {NUMBER}"))
        acknowledged = await scene.run(scene.pushes.handle("alpha-1", genuine))
        [letter] = await letters(scene)

    assert (acknowledged.body, scene.heard.pushes) == (b"thanks", ["alpha SET_ASIDE"])
    assert (letter.account_id, letter.body, letter.headers) == ("alpha-1", genuine.body, genuine.headers)
    assert (letter.cause, letter.attempts) == ("RuntimeError", 1)
    assert NUMBER not in repr(letter)


async def test_a_push_set_aside_is_replayed_once() -> None:
    """Applied and gone; a second replay of the same letter changes nothing."""
    async with house(ALPHA) as scene:
        await followed(scene)
        scene.store.track_faults.append(RuntimeError("a defect"))
        await scene.run(scene.pushes.handle("alpha-1", told(scan(scene, "got"))))
        [letter] = await letters(scene)
        await scene.pass_time(3600.0)
        causes = [await scene.run(scene.pushes.replay(letter)) for _ in range(2)]
        found = await scene.track(NUMBER)

    assert causes == ["", ""]
    assert (codes(found), len(await scene.news()), await letters(scene)) == (["got"], 1, [])


async def test_a_replay_that_fails_stays_with_its_new_cause() -> None:
    """How often it was tried is counted."""
    async with house(ALPHA) as scene:
        await followed(scene)
        scene.store.track_faults += [RuntimeError("a defect"), ValueError("another")]
        await scene.run(scene.pushes.handle("alpha-1", told(scan(scene, "got"))))
        [letter] = await letters(scene)
        cause = await scene.run(scene.pushes.replay(letter))
        [kept] = await letters(scene)

    assert (cause, kept.cause, kept.attempts) == ("ValueError", "ValueError", 2)


async def test_a_push_passed_on_is_verified_as_at_our_own_door() -> None:
    """A genuine one is applied and its acknowledgement handed back."""
    async with house(ALPHA) as scene:
        await followed(scene)
        answer = await scene.run(scene.pushes.passed_on("alpha-1", told(scan(scene, "got"))))
        found = await scene.track(NUMBER)

    assert (answer.status, codes(found)) == (200, ["got"])


@pytest.mark.parametrize(
    ("account", "signed"), [("alpha-1", "bad"), ("nobody", "good")], ids=["forged", "unknown account"]
)
async def test_a_push_passed_on_that_is_not_genuine_says_why(account: str, signed: str) -> None:
    """The caller learns which account it was for and to pass on every byte; nothing is written."""
    async with house(ALPHA) as scene:
        with pytest.raises(PushNotGenuine, match=f"account {account} .* byte for byte"):
            await scene.pushes.passed_on(account, PushRequest({"signature": signed}, b"{}"))


async def test_a_push_passed_on_too_early_is_answered_as_the_carrier_needs_it() -> None:
    """503 has it sent again."""
    async with house(BLIND) as scene:
        await doubtful(scene)
        scene.network.script("blind", "find_by_carrier_order", silent())
        answer = await scene.run(scene.pushes.passed_on("blind-1", push(carrier_order_id="order-x")))

    assert answer.status == 503
