"""Parcels on their way in the simulator: routes and pushes by a fake clock, from booking to every end."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from sf_kit import BOOKING, PARCEL, SF, change, context, drive, refused
from sf_world import PUSH_URL, World

from crossdock_sdk import (
    Booking,
    Cancelled,
    ErrorClass,
    Subscribed,
    Tracked,
    TrackEvent,
    TrackRequest,
    TrackStatus,
)
from crossdock_sf import simulator_story as story
from crossdock_sf import wire

HAPPY = [
    TrackStatus.PICKED_UP,
    TrackStatus.IN_TRANSIT,
    TrackStatus.OUT_FOR_DELIVERY,
    TrackStatus.DELIVERED,
]
ENDS: dict[str, list[TrackStatus]] = {
    "拒收": [*HAPPY[:3], TrackStatus.DELIVERY_ATTEMPTED, TrackStatus.RETURNING],
    "丰巢": [*HAPPY[:3], TrackStatus.AVAILABLE_FOR_COLLECTION, TrackStatus.DELIVERED],
    "改派": [*HAPPY[:3], TrackStatus.DELIVERY_ATTEMPTED, TrackStatus.OUT_FOR_DELIVERY, TrackStatus.DELIVERED],
    "丢失": [*HAPPY[:2], TrackStatus.EXCEPTION],
    "": HAPPY,
}
WORLD_DAYS = 6


def asking_for(word: str) -> Booking:
    """The demo booking with a remark that chooses the parcel's end."""
    return change(BOOKING, remark=f"样例订单 {word}")


def pushing(**options: Any) -> World:
    """A world whose simulator pushes."""
    return World(push_url=PUSH_URL, **options)


def statuses(events: tuple[TrackEvent, ...] | list[TrackEvent]) -> list[TrackStatus | None]:
    """The statuses in the order of the events' times, repeats left out."""
    found: list[TrackStatus | None] = []
    for event in sorted(events, key=lambda e: e.time):
        if not found or found[-1] is not event.status:
            found.append(event.status)
    return found


@pytest.mark.parametrize("word", ENDS)
def test_parcel_travels_to_its_end_in_the_query(word: str) -> None:
    """Booking, collection, hubs, delivery, and the end that the remark asks for; every code is known."""
    world = World()
    number = world.booked(asking_for(word)).waybill_number

    before = world.route(number)
    world.clock.advance(WORLD_DAYS * 86400)
    events = world.route(number)

    assert before == ()
    assert statuses(events) == ENDS[word]
    assert all(event.known and event.time <= world.clock() for event in events)


@pytest.mark.parametrize("push_format", ["json", "xml"])
@pytest.mark.parametrize("word", ENDS)
def test_parcel_travels_to_its_end_in_the_pushes(word: str, push_format: str) -> None:
    """Put in the order of their times, the pushed events tell the same life, in either form."""
    world = pushing(push_format=push_format)
    number = world.booked(asking_for(word)).waybill_number

    events = [event for event in world.watch(WORLD_DAYS + 2, step_h=4) if event.waybill_number == number]

    assert statuses(events) == ENDS[word]
    assert all(event.known for event in events)


def test_query_and_push_tell_of_the_same_events() -> None:
    """Times and texts agree; only codes differ, since pushes carry no status codes."""
    world = pushing()
    number = world.booked(asking_for("丰巢")).waybill_number

    pushed = {(event.time, event.text) for event in world.watch(6)}

    assert pushed == {(event.time, event.text) for event in world.route(number)}


def test_locker_is_told_in_two_ways_that_mean_the_same() -> None:
    """The push says 125, the query a signature whose words deny it (trap 14)."""
    world = pushing()
    number = world.booked(asking_for("丰巢")).waybill_number

    pushed = world.watch(6)
    asked = world.route(number)

    waiting = TrackStatus.AVAILABLE_FOR_COLLECTION
    assert {event.code for event in pushed if event.status is waiting} == {"op:125"}
    assert {event.code for event in asked if event.status is waiting} == {"status:4/401"}


def test_returned_parcel_goes_home_under_its_new_number() -> None:
    """648 tells the number, and that number is followed to its own delivery in the sender's city."""
    world = World()
    number = world.booked(asking_for("拒收")).waybill_number
    world.clock.advance(8 * 86400)

    (new,) = {event.new_waybill_number for event in world.route(number)} - {""}
    home = world.route(new)

    assert SF.manifest.owns_number(new)
    assert statuses(home) == [TrackStatus.IN_TRANSIT, TrackStatus.OUT_FOR_DELIVERY, TrackStatus.DELIVERED]
    assert home[-1].place.city == BOOKING.shipper.address.city


def test_pieces_travel_together() -> None:
    """Each piece of a booking has a route of its own, at the same times."""
    world = World()
    booked = world.booked(change(asking_for(""), parcels=(PARCEL,) * 3))
    world.clock.advance(86400)

    lives = [world.route(number) for number in (booked.waybill_number, *booked.sub_waybill_numbers)]

    assert len({tuple(event.time for event in life) for life in lives}) == 1
    assert len(lives[0]) > 3


def test_speed_makes_days_seconds_and_keeps_the_order() -> None:
    """A day a second: delivered within half a minute, events a whole second apart."""
    world = World()
    world.simulator.speed = 86400.0
    number = world.booked(asking_for("")).waybill_number
    world.clock.advance(30)

    events = world.route(number)

    assert statuses(events) == HAPPY
    gaps = [later.time - earlier.time for earlier, later in pairwise(events)]
    assert min(gaps) >= timedelta(seconds=1)
    assert events[0].time > world.simulator.ledger.entries[0].time


def test_events_are_a_function_of_entry_and_time() -> None:
    """What has happened once stays, whenever and in whatever steps one looks; a restart changes nothing."""
    world = World()
    world.booked(asking_for("改派"))
    (entry,) = world.simulator.ledger.entries

    last: tuple[story.Scan, ...] = ()
    for hours in range(0, 200, 5):
        now = entry.time + timedelta(hours=hours)
        seen = story.happened(entry, entry.waybill_number, now, 1.0)
        assert seen[: len(last)] == last
        last = seen

    assert last == story.scans(entry, entry.waybill_number, 1.0)


def test_numbers_draw_unhappy_ends_now_and_then() -> None:
    """Without a word in the remark most parcels arrive, and each unhappy end happens."""
    world = World()
    world.booked()
    (entry,) = world.simulator.ledger.entries

    ends = Counter(story.story(change(entry, waybill_number=f"SF7444{serial:09d}")) for serial in range(2_000))

    assert ends.keys() == {story.DELIVERED, story.REFUSED, story.LOCKER, story.REDELIVERED, story.LOST}
    assert ends[story.DELIVERED] > 1_500


@pytest.mark.parametrize("word", ["签收", "退货"])
def test_parcel_that_is_to_arrive_draws_no_lot(word: str) -> None:
    """A word in the remark that asks for delivery spares it what its number would draw."""
    world = World()
    world.booked(asking_for(word))
    (entry,) = world.simulator.ledger.entries

    ends = {story.story(change(entry, waybill_number=f"SF7444{serial:09d}")) for serial in range(200)}

    assert ends == {story.DELIVERED}


def test_cancelled_parcel_never_travels() -> None:
    """No route and no push after a cancel."""
    world = pushing()
    number = world.booked().waybill_number
    world.cancel()

    assert world.watch(3, step_h=6) == []
    assert world.route(number) == ()


def test_collected_parcel_cannot_be_cancelled() -> None:
    """Cancelling is possible until the courier has been; afterwards it is refused and the parcel goes on."""
    world = World()
    number = world.booked(asking_for("")).waybill_number
    world.clock.advance(story.COLLECTED_AFTER_H * 3600 - 1)
    young = world.simulator.ledger.entries[0]
    assert not story.is_collected(young, world.clock(), 1.0)
    world.clock.advance(2)

    error = refused(world.cancel())

    assert (error.code, error.error_class) == ("8168", ErrorClass.PERMANENT)
    assert world.route(number) != ()
    assert not isinstance(error, Cancelled)


@pytest.mark.parametrize(
    ("tail", "bound", "shown"),
    [
        ("", True, True),
        ("0001", True, True),
        ("0002", True, True),
        ("9999", True, False),
        ("", False, False),
        ("0002", False, True),
        ("9999", False, False),
    ],
)
def test_phone_ending_opens_a_route(tail: str, bound: bool, shown: bool) -> None:
    """A wrong ending shows an empty list and no error; without one only the bound account sees its own."""
    world = World(bound=bound)
    number = world.booked().waybill_number
    world.clock.advance(86400)

    assert bool(world.route(number, tail)) is shown


def test_endings_are_matched_in_the_order_of_the_numbers() -> None:
    """Two parcels of different people are both shown in one call, and neither with the other's ending."""
    world = World(bound=False)
    other = change(BOOKING.recipient, contact=change(BOOKING.recipient.contact, phone="13800007777"))
    a = world.booked().waybill_number
    b = world.booked(change(BOOKING, reference="DEMO-2", recipient=other)).waybill_number
    world.clock.advance(86400)

    right = world.ask(TrackRequest(a, "0002"), TrackRequest(b, "7777"))
    wrong = world.ask(TrackRequest(a, "7777"), TrackRequest(b, "0002"))

    assert [bool(o.events) for o in right if isinstance(o, Tracked)] == [True, True]
    assert [bool(o.events) for o in wrong if isinstance(o, Tracked)] == [False, False]


def test_routes_are_kept_for_three_months() -> None:
    """After that the list is empty, as for a number nobody knows."""
    world = World()
    number = world.booked().waybill_number
    world.clock.advance(89 * 86400)
    young = world.route(number)
    world.clock.advance(2 * 86400)

    assert young != ()
    assert world.route(number) == ()
    assert world.route("SF1990000000017") == ()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"trackingNumber": []}, "8013"),
        ({"trackingNumber": "SF1990000000017"}, "8013"),
        ({"trackingNumber": ["SF1990000000017"] * 11}, "8003"),
        ({"trackingNumber": ["SF1990000000017"], "trackingType": "7"}, "6130"),
    ],
)
def test_odd_query_is_refused_with_its_code(body: dict[str, Any], code: str) -> None:
    """More than ten numbers, none, and an unknown type have the document's codes."""
    assert _refusal_of("EXP_RECE_SEARCH_ROUTES", body) == code


def _refusal_of(service_code: str, body: dict[str, Any]) -> str:
    world = World()
    answer = world.simulator.handle(wire.signed(context(world.account), service_code, body))
    inner = msgspec.json.decode(msgspec.json.decode(answer.body)["apiResultData"].encode())
    return str(inner["errorCode"])


def test_own_order_id_finds_the_route() -> None:
    """trackingType 2 asks by our reference."""
    world = World(bound=False)
    number = world.booked().waybill_number
    world.clock.advance(86400)
    body = {"trackingType": "2", "trackingNumber": [BOOKING.reference]}

    answer = world.simulator.handle(wire.signed(context(world.account), "EXP_RECE_SEARCH_ROUTES", body))

    (item,) = msgspec.json.decode(wire.unwrap(answer))["routeResps"]
    assert item["mailNo"] == number
    assert item["routes"]


def test_foreign_waybill_is_registered_with_its_phone_ending() -> None:
    """Registering twice is success; without an ending it is refused."""
    world = World()
    asked = [TrackRequest("SF1990000000017", "0002")] * 2 + [TrackRequest("SF1990000000017")]

    outcomes = drive(SF.subscribe(context(world.account), asked), world.simulator.handle)

    assert outcomes[:2] == [Subscribed("SF1990000000017")] * 2
    assert refused(outcomes[2]).code == "8196"
    assert _refusal_of("EXP_RECE_REGISTER_ROUTE", {"attributeNo": "1", "checkPhoneNo": "0002"}) == "8191"


def test_ledger_keeps_no_phone_ending() -> None:
    """What routes are opened with is kept as a digest."""
    world = World()
    world.booked()

    text = msgspec.json.encode(world.simulator.ledger.entries[0]).decode()

    assert '"0001"' not in text
    assert '"0002"' not in text
