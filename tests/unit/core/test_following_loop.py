"""Following without being asked: every booking has its track, and what is due is asked for once."""

from __future__ import annotations

import pytest

from crossdock_sdk import ErrorClass, Item, Parcel
from crossdock_sdk.limits import Limit
from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus
from engine.core.errors import OrderNotCancellable, TrackNotFound
from engine.core.following import AT_ONCE
from engine.core.new_tracks import new_track
from engine.core.orders import Created
from engine.core.policy.records import BookingRecord, EventKind, OrderState
from engine.core.policy.track_records import LoadedTrack, TrackSource
from engine.core.tracks import TrackKey
from engine.store.port import StoreError
from tests.fakes.carrier import ALL, answer, manifest, refuse, unreachable
from tests.fakes.house import OTHER_TENANT, TENANT, House, house

pytestmark = pytest.mark.anyio

ALPHA = manifest(
    "alpha",
    (*ALL, "track"),
    options=("multi_parcel",),
    limits={"track": Limit(batch=10, min_interval_s=60.0)},
)
MUTE = manifest("mute")
PARCELS = tuple(Parcel(450, items=(Item("红茶"),)) for _ in range(3))


def booking_of(created: Created) -> BookingRecord:
    """The booking of an order that has one."""
    booking = created.order.order.booking
    assert booking is not None
    return booking


async def of_order(scene: House, created: Created) -> LoadedTrack:
    """The track of an order."""
    order_id = created.order.order.order_id
    return await scene.tracks.of_order(TENANT, order_id, max_age_s=None, deadline_s=1.0)


async def hours(scene: House, count: float) -> None:
    """So much later, in steps of five minutes; the engine's loops get a turn after each."""
    for _ in range(round(count * 12)):
        scene.clock.jump(300.0)
        await scene.pass_time(1.0)


async def restart(scene: House) -> None:
    """The process dies, and another one starts."""
    await scene.crash()
    await scene.start()


async def test_what_was_booked_is_followed() -> None:
    """Under its order, with the end of the recipient's phone for carriers that want it."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        found = await of_order(scene, created)

    assert found.track.waybill_number == booking_of(created).waybill_number
    assert (found.track.order_id, found.track.phone_tail) == (created.order.order.order_id, "4321")
    assert found.track.next_poll_time is not None
    assert found.track.next_poll_time > scene.clock.now()


async def test_every_piece_is_followed() -> None:
    """Each parcel of an order travels for itself."""
    async with house(ALPHA) as scene:
        created = await scene.create(parcels=PARCELS)
        booking = booking_of(created)
        numbers = (booking.waybill_number, *booking.sub_waybill_numbers)
        found = [await scene.store.find_track(TENANT, "alpha", number) for number in numbers]

    assert len(found) == 3
    assert {each.track.order_id for each in found if each} == {created.order.order.order_id}


async def test_a_number_that_was_asked_about_first_is_followed_by_the_account_that_booked_it() -> None:
    """Whichever account of the carrier was guessed: pushes come to the one that booked, and only it may ask."""
    async with house(ALPHA) as scene:
        guessed = new_track(
            TENANT,
            "alpha",
            "alpha-0",
            "ALPHA000000001",
            phone_tail="",
            now=scene.clock.now(),
            stall_rules=(),
            can_be_asked=True,
        )
        await scene.store.open_track(guessed)
        created = await scene.create()
        found = await of_order(scene, created)

    assert (found.track.track_id, found.track.account_id) == (guessed.track_id, "alpha-1")


async def test_nothing_comes_between_a_booking_and_its_track() -> None:
    """Both are one write: when it fails there is neither, and the worker that books it again follows it."""
    async with house(ALPHA) as scene:
        scene.store.commit_faults.extend(StoreError("the disk is full") for _ in range(100))
        created = await scene.create(deadline_s=1.0)
        order_id = created.order.order.order_id
        unbooked = (await scene.get(created)).order.booking
        unopened = await scene.store.track_of_order(TENANT, order_id)
        scene.store.commit_faults.clear()
        await restart(scene)
        scene.reconcile()
        await scene.pass_time(130.0)
        found = await of_order(scene, created)
        booked = (await scene.get(created)).order.booking

    assert (unbooked, unopened) == (None, None)
    assert booked is not None
    assert found.track.waybill_number == booked.waybill_number


async def test_of_several_parcels_an_order_is_asked_by_its_first() -> None:
    """Also once the number of the booking belongs to another parcel."""
    async with house(ALPHA) as scene:
        created = await scene.create(parcels=PARCELS)
        found = await of_order(scene, created)
        newest = await scene.store.track_of_order(TENANT, created.order.order.order_id)

    assert found.track.waybill_number == booking_of(created).waybill_number
    assert newest == found


async def test_an_order_that_is_not_there_has_no_track() -> None:
    """Nor has another tenant's."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        order_id = created.order.order.order_id
        with pytest.raises(TrackNotFound):
            await scene.tracks.of_order(OTHER_TENANT, order_id, max_age_s=None, deadline_s=1.0)


async def test_a_booking_told_again_begins_no_second_life() -> None:
    """A cancel that the carrier refuses leaves it booked, and its parcel let go as it was."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        first = await of_order(scene, created)
        scene.follow()
        scene.clock.jump(91 * 86_400.0)  # silent for so long that nobody asks any more
        await scene.pass_time(5.0)
        scene.network.always("alpha", "cancel", refuse(ErrorClass.PERMANENT, executed=False))
        with pytest.raises(OrderNotCancellable):
            await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=5.0))
        found = await of_order(scene, created)
        kinds = [e.event.kind for e in await scene.events()]

    assert kinds.count(EventKind.ORDER_BOOKED) == 2
    assert (found.track.track_id, found.track.retired) == (first.track.track_id, True)


async def test_a_cancelled_order_is_followed_no_more() -> None:
    """None of its pieces is asked for again."""
    async with house(ALPHA) as scene:
        created = await scene.create(parcels=PARCELS)
        await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=5.0))
        scene.follow()
        await hours(scene, 6)
        booking = booking_of(created)
        numbers = (booking.waybill_number, *booking.sub_waybill_numbers)
        found = [await scene.store.find_track(TENANT, "alpha", number) for number in numbers]

    assert [each is not None and each.track.retired for each in found] == [True] * 3
    assert scene.network.count("alpha", "track") == 0


async def test_the_parcels_of_a_cancelled_order_are_void() -> None:
    """Each piece is told as CANCELLED once, with the order's own commit; of the carrier nothing more was heard."""
    async with house(ALPHA) as scene:
        created = await scene.create(parcels=PARCELS)
        for _ in range(2):
            await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=5.0))
        found = await of_order(scene, created)
        news = [one.news for one in await scene.news()]
        booking = booking_of(created)

    numbers = {booking.waybill_number, *booking.sub_waybill_numbers}
    assert (found.track.status, found.track.milestone) == (TrackStatus.CANCELLED, Milestone.VOIDED)
    assert (found.track.observed_time, found.track.source, found.track.retired) == (None, None, True)
    assert [(kept.event.code, kept.source) for kept in found.events] == [("crossdock:cancelled", TrackSource.ENGINE)]
    assert (len(news), {one.waybill_number for one in news}) == (3, numbers)
    assert {(one.status, one.status_changed) for one in news} == {(TrackStatus.CANCELLED, True)}


async def test_a_parcel_that_was_void_and_is_scanned_does_travel() -> None:
    """The scan is the truth, whatever the cancel said."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        await scene.run(scene.orders.cancel(TENANT, created.order.order.order_id, deadline_s=5.0))
        scene.clock.jump(60.0)
        number = booking_of(created).waybill_number
        scan = TrackEvent(number, scene.clock.now(), "got", "collected", TrackStatus.PICKED_UP)
        await scene.run(scene.tracks.ingest_push(scene.accounts["alpha-1"], [scan]))
        found = await of_order(scene, created)

    assert (found.track.status, found.track.retired) == (TrackStatus.PICKED_UP, False)
    assert [kept.event.status for kept in found.events] == [TrackStatus.CANCELLED, TrackStatus.PICKED_UP]


async def test_a_parcel_followed_before_it_was_booked_gets_its_order() -> None:
    """Somebody knew the number first; the track there is becomes the order's."""
    async with house(ALPHA) as scene:
        asked = await scene.tracks.follow(TENANT, TrackKey("alpha", "ALPHA000000001"))
        created = await scene.create()
        found = await of_order(scene, created)

    assert booking_of(created).waybill_number == "ALPHA000000001"
    assert found.track.track_id == asked.track.track_id
    assert (found.track.order_id, found.track.phone_tail) == (created.order.order.order_id, "4321")


async def test_a_number_that_is_used_again_begins_a_new_track() -> None:
    """What was let go belongs to another parcel."""
    async with house(ALPHA) as scene:
        old = await scene.tracks.follow(TENANT, TrackKey("alpha", "ALPHA000000001"))
        await scene.tracks.unfollow(TENANT, TrackKey("alpha", "ALPHA000000001"))
        created = await scene.create()
        found = await of_order(scene, created)

    assert found.track.track_id != old.track.track_id
    assert (found.track.order_id, found.track.retired) == (created.order.order.order_id, False)


async def test_a_number_that_another_order_holds_hinders_no_booking() -> None:
    """A carrier that gives a living number twice cannot keep an order from being booked."""
    async with house(ALPHA) as scene:
        first = await scene.create("A1")
        scene.network.script("alpha", "book", answer(waybill_number=booking_of(first).waybill_number, pieces=[]))
        second = await scene.create("A2")
        found = await of_order(scene, first)

    assert second.order.order.state is OrderState.BOOKED
    assert found.track.order_id == first.order.order.order_id


async def test_a_carrier_that_cannot_be_asked_is_followed_by_its_pushes_only() -> None:
    """Its parcels have tracks, which are never due."""
    async with house(MUTE) as scene:
        scene.follow()
        created = await scene.create()
        await hours(scene, 12)
        found = await of_order(scene, created)

    assert found.track.next_poll_time is None
    assert scene.network.count("mute", "track") == 0


async def test_a_parcel_that_is_due_is_asked_for_once() -> None:
    """Not before its time, and then not again until it is due again."""
    async with house(ALPHA) as scene:
        scene.follow()
        created = await scene.create()
        await hours(scene, 1.9)
        early = scene.network.count("alpha", "track")
        scene.network.ledgers["alpha"].scan(booking_of(created).waybill_number, scene.clock.now(), "got")
        await hours(scene, 0.5)
        found = await of_order(scene, created)

    assert (early, scene.network.count("alpha", "track")) == (0, 1)
    assert found.track.status is TrackStatus.PICKED_UP


async def test_a_parcel_is_followed_to_its_end_and_let_go() -> None:
    """After the grace nobody asks any more."""
    async with house(ALPHA) as scene:
        scene.follow()
        created = await scene.create()
        scene.network.ledgers["alpha"].scan(booking_of(created).waybill_number, scene.clock.now(), "signed")
        await hours(scene, 30)
        asked = scene.network.count("alpha", "track")
        await hours(scene, 30)
        found = await of_order(scene, created)

    assert (found.track.status, found.track.retired) == (TrackStatus.DELIVERED, True)
    assert 1 <= asked == scene.network.count("alpha", "track") <= 3


async def test_failures_are_put_off_further_and_further() -> None:
    """A carrier that is down all day is asked a handful of times about a parcel, not each second."""
    async with house(ALPHA) as scene:
        await scene.tracks.follow(TENANT, TrackKey("alpha", "A1"))
        scene.network.always("alpha", "track", unreachable())
        scene.follow()
        await hours(scene, 12)
        found = await scene.track("A1")

    assert 4 <= found.track.failed_polls <= 10
    assert scene.heard.polls == ["alpha FAILED"] * found.track.failed_polls


async def test_an_outage_is_followed_by_no_storm() -> None:
    """Parcels that failed in one moment come back spread over minutes."""
    async with house(ALPHA) as scene:
        for n in range(200):
            await scene.tracks.follow(TENANT, TrackKey("alpha", f"A{n}"))
        scene.network.always("alpha", "track", unreachable())
        scene.follow()
        await scene.pass_time(2.0)
        scene.network.always("alpha", "track", None)
        found = [await scene.track(f"A{n}") for n in range(200)]

    due = sorted(each.track.next_poll_time for each in found if each.track.next_poll_time)
    assert len(due) == 200
    assert (due[-1] - due[0]).total_seconds() > 90.0
    assert len({time.replace(microsecond=0) for time in due}) > 60


async def test_a_bounded_number_of_questions_is_under_way() -> None:
    """A carrier that hangs is not asked about everything that is due."""
    async with house(ALPHA) as scene:
        for n in range(AT_ONCE + 50):
            await scene.tracks.follow(TENANT, TrackKey("alpha", f"A{n}"))
        scene.network.hold("alpha", "track", 1000)
        scene.follow()
        await scene.pass_time(5.0)
        left = await scene.store.claim_due_tracks(scene.clock.now(), limit=1000)
        scene.network.release()

    assert len(left) == 50


async def test_a_parcel_whose_defect_breaks_its_question_stops_no_other() -> None:
    """It is reported, and is due again after its lease."""
    async with house(ALPHA) as scene:
        await scene.tracks.follow(TENANT, TrackKey("alpha", "A1"))
        await scene.tracks.follow(TENANT, TrackKey("alpha", "A2"))
        scene.store.track_faults.append(RuntimeError("a defect"))
        scene.follow()
        await scene.pass_time(2.0)
        first = [await scene.store.find_track(TENANT, "alpha", number) for number in ("A1", "A2")]
        await scene.pass_time(400.0)
        later = [await scene.store.find_track(TENANT, "alpha", number) for number in ("A1", "A2")]

    assert sum(found is not None and found.track.observed_time is not None for found in first) == 1
    assert sum(found is not None and found.track.observed_time is not None for found in later) == 2
    assert scene.troubles == ["RuntimeError"]
