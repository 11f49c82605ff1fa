"""TrackService end to end: parcels booked here and elsewhere, asked for, watched and pushed; their carriers hurry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2

from crossdock.v1 import track_service_pb2, track_status_pb2
from crossdock_sdk.simulator import Faults
from crossdock_zto.simulator_wire import trace_push
from tests.integration.kit import booked, only, refusal
from tests.integration.world import World, running_world

pytestmark = pytest.mark.anyio
pb = track_service_pb2
DELIVERED = track_status_pb2.TRACK_STATUS_DELIVERED
PICKED_UP = track_status_pb2.TRACK_STATUS_PICKED_UP
NOW = Duration()
A_DAY_A_SECOND = 86_400.0
HELD_BACK_S = 90.0
"""Longer than the shortest life of a parcel, whose scans are whole seconds apart."""


@pytest.fixture(scope="module")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Carriers whose parcels live a day in a second; tests use numbers of their own and undo what they set."""
    async with running_world(tmp_path_factory.mktemp("tracks"), speed=A_DAY_A_SECOND) as world:
        yield world


class Watcher:
    """A watch of parcels, read message by message, each within a few seconds."""

    def __init__(self, world: World, cursor: str = "", tenant: str = "amber", **wanted: Any) -> None:
        request = pb.WatchTracksRequest(cursor=cursor, **wanted)
        self.call = world.caller(tenant).WatchTracks(request, timeout=None)

    async def take(self, count: int) -> list[pb.WatchTracksResponse]:
        """The next messages that tell something."""
        seen: list[pb.WatchTracksResponse] = []
        async with asyncio.timeout(10):
            while len(seen) < count:
                message = await self.call.read()
                seen += [message] if message.HasField("news") else []
        return seen


def by_number(carrier: str, number: str, **fields: Any) -> pb.GetTrackRequest:
    """A question about a number."""
    return pb.GetTrackRequest(key=pb.TrackKey(carrier=carrier, waybill_number=number), **fields)


FULL_WIDTH = {ord("0") + digit: ord("０") + digit for digit in range(10)}


def key(carrier: str, number: str) -> pb.TrackKey:
    """A parcel's key."""
    return pb.TrackKey(carrier=carrier, waybill_number=number)


def batch(*requests: pb.GetTrackRequest) -> pb.BatchGetTracksRequest:
    """Many questions at once."""
    return pb.BatchGetTracksRequest(requests=requests)


def asked(world: World, code: str) -> int:
    """How often a carrier was asked for parcels."""
    return world.simulators[code].stats.calls.get("track", 0)


def scan_of(number: str, action: str = "GOT", time: str = "2026-11-21 10:00:00") -> dict[str, object]:
    """A scan as ZTO pushes it."""
    return {"billCode": number, "action": action, "actionTime": time, "desc": "快件已揽收", "city": "杭州市"}


async def push(world: World, **scan: Any) -> int:
    """ZTO pushes a scan; returns the status of the answer."""
    sent = trace_push("", scan_of(**scan))
    answer = await world.http.post("/push/zto-main", content=sent.body, headers=dict(sent.headers))
    return answer.status_code


async def test_parcels_are_followed_to_their_door_by_a_watcher_that_is_cut(world: World) -> None:
    """One booked at each carrier, both delivered; a reader cut three times misses nothing and hears nothing twice."""
    world.hold_back(HELD_BACK_S)
    placed = [await booked(world.caller(), f"life-{code}", routing=only(code)) for code in ("sf", "zto")]
    numbers = [order.booking.waybill_number for order in placed]
    begun = [await world.caller().GetTrack(pb.GetTrackRequest(order_id=order.order_id)) for order in placed]
    world.hold_back(0.0)

    seen: list[pb.WatchTracksResponse] = []
    for _ in range(3):
        watcher = Watcher(world, seen[-1].cursor if seen else "0", waybill_numbers=numbers)
        seen += await watcher.take(3)
        watcher.call.cancel()
    last = Watcher(world, seen[-1].cursor, waybill_numbers=numbers)
    while {m.news.waybill_number for m in seen if m.news.status == DELIVERED} != set(numbers):
        seen += await last.take(1)
    last.call.cancel()

    assert [answer.track.waybill_number for answer in begun] == numbers
    again = Watcher(world, "0", waybill_numbers=numbers)
    assert await again.take(len(seen)) == seen
    again.call.cancel()
    assert [int(m.cursor) for m in seen] == sorted({int(m.cursor) for m in seen})
    told = [(m.news.track_id, m.news.event.SerializeToString(deterministic=True)) for m in seen]
    assert len(told) == len(set(told))
    assert {m.news.order_id for m in seen} == {order.order_id for order in placed}
    found = [await world.caller().GetTrack(pb.GetTrackRequest(order_id=order.order_id)) for order in placed]
    assert [answer.track.status for answer in found] == [DELIVERED] * 2
    for answer in found:
        times = [event.event_time.ToNanoseconds() for event in answer.track.events]
        assert times == sorted(times)


async def test_zero_asks_and_a_fresh_answer_asks_nobody(world: World) -> None:
    """`freshness` says how old it is, where it came from and when the carrier is asked next."""
    before = asked(world, "sf")
    first = await world.caller().GetTrack(by_number("sf", "SF7444900000001", max_age=NOW))
    once = asked(world, "sf")
    await world.caller().GetTrack(by_number("sf", "SF7444900000001", max_age=Duration(seconds=3600)))
    again = await world.caller().GetTrack(by_number("sf", "SF7444900000001", max_age=NOW))

    assert (once, asked(world, "sf")) == (before + 1, before + 1)
    assert again.track.freshness == first.track.freshness
    freshness = first.track.freshness
    assert freshness.source == pb.Freshness.SOURCE_POLL
    assert freshness.next_refresh_time.ToNanoseconds() > freshness.observed_time.ToNanoseconds()


async def test_a_carrier_that_fails_costs_freshness_only(world: World) -> None:
    """The answer is what was known, which says that nothing was heard; once the carrier answers, it is asked again."""
    wanted = by_number("sf", "SF7444900000002", max_age=NOW)
    await world.simulators["sf"].set_faults(Faults(operations=("track",), error_share=1.0))
    try:
        unheard = await world.caller().GetTrack(wanted)
    finally:
        await world.simulators["sf"].set_faults(Faults())
    heard = await world.caller().GetTrack(wanted)

    assert not unheard.track.freshness.HasField("observed_time")
    assert heard.track.freshness.HasField("observed_time")


async def test_equal_questions_share_a_call(world: World) -> None:
    """Two hundred readers who want it now are one question to the carrier."""
    before = asked(world, "sf")
    request = by_number("sf", "SF7444900000003", max_age=NOW)

    answer = await world.caller().BatchGetTracks(batch(*[request] * 200))

    assert asked(world, "sf") - before == 1
    assert {each.track.waybill_number for each in answer.results} == {"SF7444900000003"}


async def test_different_numbers_travel_together(world: World) -> None:
    """SF takes ten numbers a call: fifty are five calls, a few more where they come in drops."""
    numbers = [f"SF7444910000{n:03d}" for n in range(50)]
    before = asked(world, "sf")

    answer = await world.caller().BatchGetTracks(batch(*[by_number("sf", n, max_age=NOW) for n in numbers]))

    assert asked(world, "sf") - before <= 10
    assert [each.track.waybill_number for each in answer.results] == numbers


async def test_each_question_of_a_batch_has_a_track_or_a_status(world: World) -> None:
    """In the order of the questions; one that fails harms no other."""
    requests = [by_number("sf", "SF7444900000004"), by_number("nobody", "123456"), pb.GetTrackRequest(order_id="x")]

    answer = await world.caller().BatchGetTracks(batch(*requests))

    assert [each.WhichOneof("result") for each in answer.results] == ["track", "status", "status"]
    assert [each.status.code for each in answer.results] == [code_pb2.OK] + [code_pb2.NOT_FOUND] * 2


async def test_an_unknown_number_of_an_unknown_carrier_is_not_found(world: World) -> None:
    """The reason is TRACK_NOT_FOUND, with the number beside it."""
    status = await refusal(world.caller().GetTrack(by_number("nobody", "123456")))

    assert (status.code, status.reason) == (grpc.StatusCode.NOT_FOUND, "TRACK_NOT_FOUND")
    assert status.info.metadata["waybillNumber"] == "123456"


async def test_a_question_without_a_parcel_is_refused(world: World) -> None:
    """It says which field is missing."""
    status = await refusal(world.caller().GetTrack(pb.GetTrackRequest()))

    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert list(status.violations) == ["parcel"]


async def test_another_tenants_order_has_no_track(world: World) -> None:
    """Orders are invisible across tenants, and so are their tracks."""
    placed = await booked(world.caller("birch"), "track-foreign", routing=only("sf"))

    status = await refusal(world.caller("amber").GetTrack(pb.GetTrackRequest(order_id=placed.order_id)))

    assert status.reason == "TRACK_NOT_FOUND"


async def test_numbers_are_subscribed_once_and_ended_once(world: World) -> None:
    """Twice is one subscription; ending keeps what is known; ending a stranger is an item's own status."""
    caller, keys = world.caller(), [key("zto", "75400000900001"), key("zto", "75400000900002")]
    first = await caller.SubscribeTracks(pb.SubscribeTracksRequest(keys=keys))
    again = await caller.SubscribeTracks(pb.SubscribeTracksRequest(keys=keys))
    ended = await caller.UnsubscribeTracks(pb.UnsubscribeTracksRequest(keys=[keys[0], key("zto", "75400000900003")]))
    known = await caller.GetTrack(by_number("zto", "75400000900001"))

    ids = [each.track.track_id for each in first.results]
    assert ids == [each.track.track_id for each in again.results]
    assert all(ids)
    assert [each.WhichOneof("result") for each in ended.results] == ["track", "status"]
    assert known.track.track_id == ids[0]
    assert not known.track.freshness.HasField("next_refresh_time")


async def test_each_tenant_hears_its_own_news_of_a_shared_number(world: World) -> None:
    """Two shops follow one parcel: each is told once, about its own track."""
    number, keys = "75400000900010", [key("zto", "75400000900010")]
    tracks = {}
    for tenant in ("amber", "birch"):
        answer = await world.caller(tenant).SubscribeTracks(pb.SubscribeTracksRequest(keys=keys))
        tracks[tenant] = answer.results[0].track.track_id

    assert await push(world, number=number) == 200

    for tenant, track_id in tracks.items():
        watcher = Watcher(world, "0", tenant, waybill_numbers=[number])
        [seen] = await watcher.take(1)
        watcher.call.cancel()
        assert (seen.news.track_id, seen.news.status) == (track_id, PICKED_UP)


async def test_pushes_again_and_in_disorder_tell_each_event_once(world: World) -> None:
    """The story ends the same, whatever came first."""
    number = "75400000900011"
    await world.caller().SubscribeTracks(pb.SubscribeTracksRequest(keys=[key("zto", number)]))
    scans = [("SIGNED", "2026-11-21 12:00:00"), ("GOT", "2026-11-21 10:00:00"), ("DISPATCH", "2026-11-21 11:00:00")]
    for action, time in scans * 3:
        await push(world, number=number, action=action, time=time)

    found = await world.caller().GetTrack(by_number("zto", number))
    watcher = Watcher(world, "0", waybill_numbers=[number])
    seen = await watcher.take(3)
    watcher.call.cancel()

    codes = [event.code for event in found.track.events]
    assert [code.rpartition(":")[2] for code in codes] == ["GOT", "DISPATCH", "SIGNED"]
    assert sorted(m.news.event.code for m in seen) == sorted(codes)
    assert found.track.status == DELIVERED


async def test_a_watch_of_a_number_hears_it_however_it_is_typed(world: World) -> None:
    """As every other call takes it; what can be nobody's number is refused with its place."""
    number = "75400000900019"
    await world.caller().SubscribeTracks(pb.SubscribeTracksRequest(keys=[key("zto", number)]))
    await push(world, number=number)

    watcher = Watcher(world, "0", waybill_numbers=[f" {number.translate(FULL_WIDTH)} "])
    [seen] = await watcher.take(1)
    watcher.call.cancel()
    status = await refusal(Watcher(world, "0", waybill_numbers=[number, "a b"]).take(1))

    assert seen.news.waybill_number == number
    assert (status.code, list(status.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, ["waybill_numbers[1]"])


async def test_an_unknown_code_keeps_the_status_and_is_counted(world: World) -> None:
    """Nothing is guessed from words."""
    number = "75400000900012"
    await world.caller().SubscribeTracks(pb.SubscribeTracksRequest(keys=[key("zto", number)]))
    await push(world, number=number)
    await push(world, number=number, action="BEAMED_UP", time="2026-11-21 11:00:00")

    found = await world.caller().GetTrack(by_number("zto", number))

    assert (found.track.status, found.track.unknown_event_count) == (PICKED_UP, 1)
    assert found.track.events[1].status == track_status_pb2.TRACK_STATUS_UNSPECIFIED


async def test_filters_narrow_a_watch_of_parcels(world: World) -> None:
    """Carrier, status, number and changes only: what does not fit passes unseen."""
    number = "75400000900013"
    await world.caller().SubscribeTracks(pb.SubscribeTracksRequest(keys=[key("zto", number)]))
    scans = ["GOT", "DEPARTURE", "ARRIVAL", "DISPATCH", "SIGNED"]
    for hour, action in enumerate(scans, 10):
        await push(world, number=number, action=action, time=f"2026-11-21 {hour}:00:00")

    heard = []
    for wanted in (
        {"statuses": [DELIVERED]},
        {"status_changes_only": True},
        {"milestones": [track_status_pb2.MILESTONE_DEPARTED_FACILITY]},
    ):
        watcher = Watcher(world, "0", waybill_numbers=[number], carriers=["zto"], **wanted)
        [first] = await watcher.take(1)
        heard.append(first.news.event.code.rpartition(":")[2])
        watcher.call.cancel()

    changes = Watcher(world, "0", waybill_numbers=[number], status_changes_only=True)
    told = [m.news.event.code.rpartition(":")[2] for m in await changes.take(4)]
    changes.call.cancel()
    assert heard == ["SIGNED", "GOT", "DEPARTURE"]
    assert told == ["GOT", "DEPARTURE", "DISPATCH", "SIGNED"]


async def test_a_watch_of_parcels_from_now_begins_with_a_checkpoint(world: World) -> None:
    """It says where "now" is, so that a cut before the first news loses nothing."""
    watcher = Watcher(world)
    async with asyncio.timeout(5):
        start = await watcher.call.read()
    watcher.call.cancel()

    assert not start.HasField("news")
    assert start.cursor.isdigit()


@pytest.mark.parametrize("cursor", ["abc", "-1", "１２", "9" * 30])
async def test_an_invented_cursor_of_parcels_is_refused(world: World, cursor: str) -> None:
    """What this engine did not give, or lies in the future, is CURSOR_INVALID."""
    status = await refusal(Watcher(world, cursor).call.read())

    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CURSOR_INVALID")


@pytest.mark.parametrize(("number", "likeliest"), [("SF 7444 0000 00001", "sf"), ("75400000900001", "zto")])
async def test_a_number_is_recognised_with_its_reason(world: World, number: str, likeliest: str) -> None:
    """As typed, with blanks; never certain."""
    answer = await world.caller().RecognizeCarrier(pb.RecognizeCarrierRequest(waybill_number=number))

    guess = answer.guesses[0]
    assert guess.carrier == likeliest
    assert 0 < guess.confidence_percent < 100
    assert guess.reason


async def test_what_fits_no_carrier_is_nobodys(world: World) -> None:
    """No guess is better than a wrong one."""
    answer = await world.caller().RecognizeCarrier(pb.RecognizeCarrierRequest(waybill_number="??!!"))

    assert not answer.guesses


def passed_on(number: str, account: str = "zto-main") -> pb.IngestPushRequest:
    """A push that came in at the caller's own door."""
    sent = trace_push("", scan_of(number))
    return pb.IngestPushRequest(account_id=account, headers=dict(sent.headers), body=sent.body)


async def test_a_push_passed_on_is_applied_and_answered(world: World) -> None:
    """The caller gets what the carrier wants to hear."""
    number = "75400000900020"
    await world.caller().SubscribeTracks(pb.SubscribeTracksRequest(keys=[key("zto", number)]))

    answer = await world.caller().IngestPush(passed_on(number))

    found = await world.caller().GetTrack(by_number("zto", number))
    assert (answer.status, found.track.status) == (200, PICKED_UP)
    assert found.track.freshness.source == pb.Freshness.SOURCE_PUSH


async def test_a_forged_push_passed_on_is_refused_and_changes_nothing(world: World) -> None:
    """So is one for an account that is not there; a byte is enough."""
    number = "75400000900021"
    await world.caller().SubscribeTracks(pb.SubscribeTracksRequest(keys=[key("zto", number)]))
    forged = passed_on(number)
    forged.body = forged.body.replace(b"GOT", b"GOX")

    statuses = [await refusal(world.caller().IngestPush(r)) for r in (forged, passed_on(number, "nobody"))]

    found = await world.caller().GetTrack(by_number("zto", number))
    assert [s.code for s in statuses] == [grpc.StatusCode.PERMISSION_DENIED] * 2
    assert [s.reason for s in statuses] == ["PUSH_REFUSED"] * 2
    assert not found.track.events
