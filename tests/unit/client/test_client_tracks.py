"""Parcels: questions by number and by order, results item by item, a watch that goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import pytest

import crossdock
from crossdock import Client, ConfigurationError, track_request
from crossdock.v1 import track_service_pb2 as pb
from crossdock.v1 import track_status_pb2 as vocabulary
from tests.unit.client.twin import UNAVAILABLE, FakeTime, Twin, retry_after, status

pytestmark = pytest.mark.anyio
CODE = grpc.StatusCode
KEY = pb.TrackKey(carrier="sf", waybill_number="SF1", phone_tail="0015")
FOUND = pb.Track(track_id="t-1", carrier="sf", waybill_number="SF1")


async def test_a_parcel_is_asked_for_by_its_number(client: Client, twin: Twin) -> None:
    """Carrier, number and phone ending go out as given; no age means whatever is known."""
    twin.will(pb.GetTrackResponse(track=FOUND))

    track = await client.get_track(carrier="sf", waybill_number="SF1", phone_tail="0015")

    assert track == FOUND
    assert twin.requests() == [pb.GetTrackRequest(key=KEY)]


@pytest.mark.parametrize(("max_age_s", "seconds", "nanos"), [(0, 0, 0), (0.5, 0, 500_000_000), (3600, 3600, 0)])
async def test_an_age_of_nothing_is_not_no_age(
    client: Client, twin: Twin, max_age_s: float, seconds: int, nanos: int
) -> None:
    """0 asks the carrier now: it must arrive as a duration, not as an absent one."""
    twin.will(UNAVAILABLE, pb.GetTrackResponse(track=FOUND))

    await client.get_track(order_id="o-1", max_age_s=max_age_s)

    first, second = twin.requests()
    assert first == second
    assert (first.order_id, first.HasField("max_age")) == ("o-1", True)
    assert (first.max_age.seconds, first.max_age.nanos) == (seconds, nanos)


async def test_an_unknown_parcel_is_not_found(client: Client, twin: Twin) -> None:
    """The refusal comes as the class it is, with its reason."""
    twin.will(status(CODE.NOT_FOUND, "TRACK_NOT_FOUND"))

    with pytest.raises(crossdock.NotFound) as caught:
        await client.get_track(order_id="o-1")

    assert caught.value.reason == "TRACK_NOT_FOUND"


@pytest.mark.parametrize("method", ["batch_get_tracks", "subscribe_tracks", "unsubscribe_tracks"])
async def test_one_refused_parcel_fails_no_other(client: Client, twin: Twin, method: str) -> None:
    """Results come in the order of the questions, a refusal as an error in its place."""
    refused = pb.TrackResult(status=status(CODE.NOT_FOUND, "TRACK_NOT_FOUND"))
    results = [pb.TrackResult(track=FOUND), refused, pb.TrackResult()]
    answers: dict[str, tuple[Any, Any]] = {
        "batch_get_tracks": (track_request(order_id="o-1"), pb.BatchGetTracksResponse(results=results)),
        "subscribe_tracks": (KEY, pb.SubscribeTracksResponse(results=results)),
        "unsubscribe_tracks": (KEY, pb.UnsubscribeTracksResponse(results=results)),
    }
    question, answer = answers[method]
    twin.will(answer)
    call: Callable[..., Awaitable[list[Any]]] = getattr(client, method)

    first, second, third = await call([question] * 3)

    sent = twin.requests()[0]
    assert twin.calls[0].method.lower() == method.replace("_", "")
    assert list(sent.requests if method == "batch_get_tracks" else sent.keys) == [question] * 3
    assert first == FOUND
    assert isinstance(second, crossdock.NotFound)
    assert isinstance(third, crossdock.Internal)


async def test_a_watch_of_parcels_resumes_with_its_filters(client: Client, twin: Twin, fake_time: FakeTime) -> None:
    """A cut is unseen by the reader, and every filter is sent again with the last cursor."""
    draining = status(CODE.UNAVAILABLE, "ENGINE_DRAINING", retry_after(1.0))
    twin.will([pb.WatchTracksResponse(cursor="7"), draining], [pb.WatchTracksResponse(cursor="8")])
    filters: dict[str, Any] = {
        "statuses": [vocabulary.TRACK_STATUS_DELIVERED],
        "milestones": [vocabulary.MILESTONE_AT_LOCKER],
        "carriers": ["sf"],
        "waybill_numbers": ["SF1"],
        "status_changes_only": True,
        "alerts_only": True,
    }
    seen = []
    async with aclosing(client.watch_tracks("6", **filters)) as answers:
        async for answer in answers:
            seen.append(answer.cursor)
            if len(seen) == 2:
                break

    assert seen == ["7", "8"]
    assert twin.requests() == [pb.WatchTracksRequest(cursor=cursor, **filters) for cursor in ("6", "7")]
    assert fake_time.waits_s == pytest.approx([1.1])


async def test_guesses_come_likeliest_first(client: Client, twin: Twin) -> None:
    """A list in the engine's order."""
    guesses = [pb.RecognizeCarrierResponse.Guess(carrier=code) for code in ("zto", "sf")]
    twin.will(pb.RecognizeCarrierResponse(guesses=guesses))

    answered = await client.recognize_carrier("7312 3456")

    assert answered == guesses
    assert twin.requests() == [pb.RecognizeCarrierRequest(waybill_number="7312 3456")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give both, or order_id"),
        ({"carrier": "sf"}, "give both, or order_id"),
        ({"waybill_number": "SF1"}, "give both, or order_id"),
        ({"order_id": "o-1", "phone_tail": "0015"}, "order_id: names the parcel already"),
        ({"order_id": "o-1", "max_age_s": -1}, "max_age_s"),
        ({"order_id": "o-1", "max_age_s": float("nan")}, "max_age_s"),
        ({"order_id": "o-1", "max_age_s": float("inf")}, "max_age_s"),
    ],
)
async def test_a_question_that_cannot_be_asked_is_not_sent(
    client: Client, twin: Twin, arguments: dict[str, Any], message: str
) -> None:
    """The mistake names its argument and costs no call."""
    with pytest.raises(ConfigurationError, match=message):
        await client.get_track(**arguments)

    assert twin.calls == []
