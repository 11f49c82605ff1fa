"""The simulator's parcels: where they travel, what the query shows, what is pushed and when."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crossdock_sdk import (
    Address,
    Booking,
    CarrierError,
    Subscribed,
    Tracked,
    TrackEvent,
)
from crossdock_sdk.simulator import Entry, Ledger
from crossdock_zto import track, wire
from crossdock_zto.simulator_postman import deliveries
from crossdock_zto.simulator_route import PLOT_WORDS, PLOTS, journey, plot_of, so_far

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

# Plot -> what the query says at the end, statuses in order without repeats.
STORIES = {
    "": ["PICKED_UP", "IN_TRANSIT", "OUT_FOR_DELIVERY", "DELIVERED"],
    "请放驿站": ["PICKED_UP", "IN_TRANSIT", "OUT_FOR_DELIVERY", "AVAILABLE_FOR_COLLECTION", "DELIVERED"],
    "放快递柜": ["PICKED_UP", "IN_TRANSIT", "OUT_FOR_DELIVERY", "AVAILABLE_FOR_COLLECTION", "DELIVERED"],
    "问题": ["PICKED_UP", "IN_TRANSIT", "OUT_FOR_DELIVERY", "EXCEPTION", "OUT_FOR_DELIVERY", "DELIVERED"],
    "拒收": ["PICKED_UP", "IN_TRANSIT", "OUT_FOR_DELIVERY", "EXCEPTION", "RETURNING", "IN_TRANSIT", "RETURNED"],
}


@pytest.mark.parametrize("remark", STORIES)
def test_parcel_travels_from_booking_to_its_end(world: Any, booking: Booking, remark: str) -> None:
    """The query tells each plot's story as far as it has come, oldest first, and never takes a scan back."""
    number = world.book(booking, remark=remark)
    seen: list[tuple[TrackEvent, ...]] = []
    for _ in range(110):
        seen.append(world.track(number).events)
        world.clock.advance(HOUR_S)

    assert seen[0] == ()
    assert all(late[: len(early)] == early for early, late in pairwise(seen))
    assert world.kit.story(seen[-1]) == STORIES[remark]
    assert [e.time for e in seen[-1]] == sorted(e.time for e in seen[-1])
    assert seen[-1][-1].signer == "本人"


def test_ways_lead_from_the_shipper_to_the_recipient(world: Any, booking: Booking) -> None:
    """Facilities, hubs and couriers belong to the ends of the booking."""
    number = world.book(booking)
    world.clock.advance(5 * DAY_S)

    events = world.track(number).events

    assert [e.place.facility for e in events] == [
        "杭州西湖",
        "杭州西湖",
        "杭州中转部",
        "杭州中转部",
        "成都中转部",
        "成都中转部",
        "成都武侯",
        "成都武侯",
        "成都武侯",
    ]
    assert [bool(e.courier_name) for e in events] == [True, *[False] * 6, True, True]
    assert events[-1].courier_phone == events[-2].courier_phone != events[0].courier_phone


def test_one_hub_serves_a_city(world: Any, booking: Booking) -> None:
    """A parcel within one city does not travel between hubs."""
    near = Address("CN", "浙江省", "杭州市", "滨江区", "", "江南大道1号")
    recipient = msgspec.structs.replace(booking.recipient, address=near)
    number = world.book(booking, recipient=recipient)
    world.clock.advance(5 * DAY_S)

    places = [e.place.facility for e in world.track(number).events]

    assert places.count("杭州中转部") == 2
    assert places[-1] == "杭州滨江"


def test_locker_is_told_as_a_locker(world: Any, booking: Booking) -> None:
    """The text of either vocabulary names the locker, so the milestone is the locker's."""
    number = world.book(booking, remark="放快递柜")

    pushed = {e.code for e in world.pass_time(5 * DAY_S)}

    assert "action:INBOUND/柜" in pushed
    assert world.track(number).events[-2].code in ("scan:ARRIVAL/柜", "scan:44/柜")


def test_both_name_spaces_of_the_query_are_spoken(world: Any, booking: Booking) -> None:
    """Some parcels are told in numbers, the others in words, with the same statuses."""
    numbers = [world.book(booking, reference=f"R{n}") for n in range(12)]
    world.clock.advance(5 * DAY_S)

    told = [world.track(number).events for number in numbers]

    assert {events[0].code for events in told} == {"scan:收件", "scan:1"}
    assert {tuple(world.kit.story(events)) for events in told} == {tuple(STORIES[""])}


def test_speed_scales_days_into_seconds(kit: Any) -> None:
    """At 86,400 a day is a second; the way is the same."""
    slow, fast = (journey(kit.parcel(1), speed) for speed in (1.0, 86_400.0))

    assert [s.leg for s in slow] == [s.leg for s in fast]
    assert fast[-1].time - kit.now == pytest.approx((slow[-1].time - kit.now) / 86_400, abs=timedelta(milliseconds=1))


def test_parcels_differ_and_repeat(kit: Any) -> None:
    """Each number has its own pace and habits, the same every time."""
    ends = {journey(kit.parcel(n), 1.0)[-1].time for n in range(30)}

    assert len(ends) > 20
    assert deliveries(kit.parcel(3), 1.0) == deliveries(kit.parcel(3), 1.0)


def test_remark_words_choose_the_plot() -> None:
    """The word may stand anywhere in the remark; without one the parcel is delivered."""
    assert {plot_of(f"麻烦{word}，谢谢") for word in PLOT_WORDS} == set(PLOTS) - {"delivered"}
    assert plot_of("轻放") == plot_of("") == "delivered"


def test_restart_changes_no_parcel(new_world: Any, clock: Any, booking: Booking, tmp_path: Path) -> None:
    """A restarted simulator shows the same parcels as before, cancelled ones too."""
    ledger = Ledger(tmp_path / "zto.jsonl")
    world = new_world(ledger=ledger)
    numbers = [world.book(booking, reference=f"R{n}", order_type="2", remark="拒收") for n in range(2)]
    clock.advance(DAY_S)
    world.cancel(numbers[1], "R1")
    clock.advance(5 * DAY_S)
    before = [world.track(number, "2222") for number in numbers]
    ledger.close()

    again = new_world(ledger=Ledger(tmp_path / "zto.jsonl"))
    after = [again.track(number, "2222") for number in numbers]
    again.simulator.ledger.close()

    assert after == before
    assert world.kit.story(before[0].events)[-1] == "RETURNED"
    assert 0 < len(before[1].events) < len(before[0].events)


def test_parcels_of_an_older_ledger_travel_too(clock: Any) -> None:
    """A booking without ends and plot gets a plain way."""
    bare = Entry(1, clock(), "BOOKED", "R1", "75400000000001", {"order_code": "1", "order_type": "1"})

    assert [s.leg for s in journey(bare, 1.0)] == list(PLOTS["delivered"])
    assert so_far(bare, clock(), 1.0, None) == []


def test_ledger_remembers_no_person(world: Any, booking: Booking) -> None:
    """Of people only the last four digits of their phones are kept."""
    world.book(booking, remark="拒收，陈小帆")

    text = msgspec.json.encode(world.simulator.ledger.entries).decode()

    assert not [word for word in ("陈小帆", "林小舟", "13900002222", "天府大道", "文三路") if word in text]
    assert world.simulator.ledger.entries[0].facts["phone_tails"] == ["1111", "2222"]


@pytest.mark.parametrize(
    ("number", "tail", "bound", "code"),
    [
        ("own", "", True, "shown"),
        ("own", "2222", True, "shown"),
        ("own", "1111", True, "shown"),
        ("own", "9999", True, "E409"),
        ("own", "", False, "E413"),
        ("own", "2222", False, "shown"),
        ("own", "9999", False, "E409"),
        ("73100135377958", "", True, "E413"),
        ("73100135377958", "2222", True, "nothing"),
    ],
)
@pytest.mark.parametrize("call", ["track", "subscribe"])
def test_phone_tail_is_checked_as_zto_does(
    new_world: Any, clock: Any, booking: Booking, call: str, number: str, tail: str, bound: bool, code: str
) -> None:
    """A bound account's parcels need no tail, others do; a wrong one is refused either way."""
    world = new_world(bound=bound)
    own = world.book(booking)
    clock.advance(5 * DAY_S)
    asked = own if number == "own" else number

    outcome = getattr(world, call)(asked, tail)

    if code.startswith("E"):
        assert isinstance(outcome, CarrierError)
        assert outcome.code == code
    elif call == "track":
        assert isinstance(outcome, Tracked)
        assert bool(outcome.events) is (code == "shown")
    else:
        assert outcome == Subscribed(asked)


def test_strange_number_is_not_ztos(world: Any) -> None:
    """E416 is what ZTO says to a number of another carrier's; the carrier does not even ask."""
    request = wire.call(world.account, track.QUERY_API, track.Waybill("SF1234567890123"))

    answer = world.simulator.handle(request)

    assert msgspec.json.decode(answer.body)["statusCode"] == "E416"
