"""Keys of parcels: what can be nobody's is refused, item by item, before a carrier is asked about it."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2

from crossdock.v1 import track_service_pb2
from tests.integration.kit import refusal
from tests.integration.world import World

pytestmark = pytest.mark.anyio
pb = track_service_pb2


def key(carrier: str, number: str) -> pb.TrackKey:
    """A parcel's key."""
    return pb.TrackKey(carrier=carrier, waybill_number=number)


def batch(*requests: pb.GetTrackRequest) -> pb.BatchGetTracksRequest:
    """Many questions at once."""
    return pb.BatchGetTracksRequest(requests=requests)


def asked(world: World, code: str) -> int:
    """How often a carrier was asked for parcels."""
    return world.simulators[code].stats.calls.get("track", 0)


NO_KEYS = [
    ({"carrier": "zto"}, {"key.waybill_number"}),
    ({"carrier": "zto", "waybill_number": " "}, {"key.waybill_number"}),
    ({"carrier": "zto", "waybill_number": "\U0001f600\u0000 x"}, {"key.waybill_number"}),
    ({"waybill_number": "75400000900005"}, {"key.carrier"}),
    ({}, {"key.carrier", "key.waybill_number"}),
    ({"carrier": "zto", "waybill_number": "1" * 41}, {"key.waybill_number"}),
]


@pytest.mark.parametrize(("fields", "named"), NO_KEYS)
async def test_a_key_that_is_nobodys_is_refused(world: World, fields: dict[str, str], named: set[str]) -> None:
    """Asked about alone, in a list, or subscribed: the field is named, and no carrier is ever asked about it."""
    caller, no_key = world.caller(), pb.TrackKey(**fields)
    before = asked(world, "zto")

    status = await refusal(caller.GetTrack(pb.GetTrackRequest(key=no_key)))
    items = [
        *(await caller.BatchGetTracks(batch(pb.GetTrackRequest(key=no_key)))).results,
        *(await caller.SubscribeTracks(pb.SubscribeTracksRequest(keys=[no_key]))).results,
        *(await caller.UnsubscribeTracks(pb.UnsubscribeTracksRequest(keys=[no_key]))).results,
    ]

    assert (status.reason, status.violations.keys()) == ("REQUEST_INVALID", named)
    assert [each.status for each in items] == [status.status] * 3
    assert asked(world, "zto") == before


async def test_a_bad_item_fails_no_other(world: World) -> None:
    """Neither among questions nor among subscriptions, whatever is wrong with it."""
    good, bad = key("zto", "75400000900006"), [key("ZTO", "1"), key("zto", ""), key("ups", "1Z999")]
    past = pb.GetTrackRequest(key=good, max_age=Duration(seconds=-1))

    subscribed = await world.caller().SubscribeTracks(pb.SubscribeTracksRequest(keys=[*bad, good]))
    found = await world.caller().BatchGetTracks(batch(past, pb.GetTrackRequest(), pb.GetTrackRequest(key=good)))

    codes = [each.status.code for each in subscribed.results]
    assert codes == [code_pb2.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT, code_pb2.NOT_FOUND, code_pb2.OK]
    assert [each.status.code for each in found.results] == [code_pb2.INVALID_ARGUMENT] * 2 + [code_pb2.OK]
    assert found.results[2].track.track_id == subscribed.results[3].track.track_id


async def test_a_carrier_without_an_account_is_named(world: World) -> None:
    """Whoever subscribes it is not told to subscribe it."""
    status = await refusal(world.caller().GetTrack(pb.GetTrackRequest(key=key("ups", "1Z999"))))
    answer = await world.caller().SubscribeTracks(pb.SubscribeTracksRequest(keys=[key("ups", "1Z999")]))

    assert status.violations == {"key.carrier": "no account of carrier ups; known: sf, zto"}
    assert answer.results[0].status == status.status


@pytest.mark.parametrize("method", ["BatchGetTracks", "SubscribeTracks", "UnsubscribeTracks"])
async def test_a_list_of_the_wrong_size_is_refused(world: World, method: str) -> None:
    """As a whole, empty or of 501."""
    of_keys = {"SubscribeTracks": pb.SubscribeTracksRequest, "UnsubscribeTracks": pb.UnsubscribeTracksRequest}
    good = key("zto", "75400000900007")
    for count in (0, 501):
        kind = of_keys.get(method)
        wanted = kind(keys=[good] * count) if kind else batch(*[pb.GetTrackRequest(key=good)] * count)
        status = await refusal(getattr(world.caller(), method)(wanted))
        assert status.violations.keys() == {"keys" if kind else "requests"}
