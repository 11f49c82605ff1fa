"""TrackService: reads the contract, calls the use cases, writes the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import grpc

from crossdock.v1 import track_service_pb2, track_service_pb2_grpc
from crossdock_sdk import Manifest, PushRequest
from engine.api import validation
from engine.api.convert.tracks import MILESTONES_READ, STATUSES_READ, Answers, write_guess, write_news
from engine.api.errors import RequestInvalid
from engine.api.gate import Caller, current, status_or_defect
from engine.api.watching import SLOW_READER_S, tell
from engine.core.policy.fields import FieldViolation
from engine.core.policy.recognition import normalise, recognise
from engine.core.policy.track_records import LoadedTrack
from engine.core.policy.validation import check_waybill_number
from engine.core.pushes import Pushes
from engine.core.tracks import TrackKey, Tracks
from engine.core.watch import Checkpoint, TrackFilter, Watch

pb = track_service_pb2

MOST_ITEMS = 500
"""As the contract says of every list here, whose items are checked one by one: a bad one must not fail the others."""


class TrackServicer(track_service_pb2_grpc.TrackServiceServicer):
    """See proto/crossdock/v1/track_service.proto."""

    def __init__(
        self,
        tracks: Tracks,
        pushes: Pushes,
        watch: Watch,
        manifests: Mapping[str, Manifest],
        *,
        slow_reader_s: float = SLOW_READER_S,
    ) -> None:
        self._tracks = tracks
        self._pushes = pushes
        self._watch = watch
        self._manifests = manifests
        self._slow_reader_s = slow_reader_s
        self._answers = Answers()

    async def GetTrack(self, request: pb.GetTrackRequest, context: object) -> pb.GetTrackResponse:
        """One parcel."""
        return self._answers.about(await self._get(request, current.get()))

    async def BatchGetTracks(self, request: pb.BatchGetTracksRequest, context: object) -> pb.BatchGetTracksResponse:
        """Item or status each; equal questions meet in the lane."""
        if not 1 <= len(request.requests) <= MOST_ITEMS:
            validation.check(request)
        caller = current.get()
        return pb.BatchGetTracksResponse(
            results=await self._all([self._get(each, caller) for each in request.requests])
        )

    async def SubscribeTracks(self, request: pb.SubscribeTracksRequest, context: object) -> pb.SubscribeTracksResponse:
        """Follow numbers booked elsewhere."""
        if not 1 <= len(request.keys) <= MOST_ITEMS:
            validation.check(request)
        following = [self._of_key(self._tracks.follow, key) for key in request.keys]
        return pb.SubscribeTracksResponse(results=await self._all(following))

    async def UnsubscribeTracks(
        self, request: pb.UnsubscribeTracksRequest, context: object
    ) -> pb.UnsubscribeTracksResponse:
        """Follow them no more."""
        if not 1 <= len(request.keys) <= MOST_ITEMS:
            validation.check(request)
        ending = [self._of_key(self._tracks.unfollow, key) for key in request.keys]
        return pb.UnsubscribeTracksResponse(results=await self._all(ending))

    async def WatchTracks(  # type: ignore[override]  # answers with context.write, which grpc.aio allows too
        self,
        request: pb.WatchTracksRequest,
        context: grpc.aio.ServicerContext[pb.WatchTracksRequest, pb.WatchTracksResponse],
    ) -> None:
        """News and checkpoints; a reader that takes nothing for a while is sent away with its cursor."""
        validation.check(request)
        wanted = TrackFilter(
            statuses=frozenset(STATUSES_READ[s] for s in request.statuses if s in STATUSES_READ),
            milestones=frozenset(MILESTONES_READ[m] for m in request.milestones),
            carriers=frozenset(request.carriers),
            waybill_numbers=_numbers(request.waybill_numbers),
            status_changes_only=request.status_changes_only,
            alerts_only=request.alerts_only,
        )
        cursor = request.cursor
        async for seen in self._watch.tracks(current.get().tenant, cursor, wanted):
            message = pb.WatchTracksResponse(cursor=str(seen.sequence))
            if not isinstance(seen, Checkpoint):
                message.news.CopyFrom(write_news(seen.news))
            await tell(context, message, cursor=cursor, slow_reader_s=self._slow_reader_s)
            cursor = message.cursor

    async def RecognizeCarrier(
        self, request: pb.RecognizeCarrierRequest, context: object
    ) -> pb.RecognizeCarrierResponse:
        """Whose number it may be."""
        validation.check(request)
        guesses = recognise(request.waybill_number, self._manifests.values())
        return pb.RecognizeCarrierResponse(guesses=[write_guess(guess) for guess in guesses])

    async def IngestPush(self, request: pb.IngestPushRequest, context: object) -> pb.IngestPushResponse:
        """A push that came in at another door."""
        validation.check(request)
        pushed = PushRequest(
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.body,
            path=request.path,
            query=request.query,
        )
        answer = await self._pushes.passed_on(request.account_id, pushed)
        return pb.IngestPushResponse(status=answer.status, headers=dict(answer.headers), body=answer.body)

    async def _get(self, request: pb.GetTrackRequest, caller: Caller) -> LoadedTrack:
        validation.check(request)
        max_age_s = request.max_age.ToMicroseconds() / 1e6 if request.HasField("max_age") else None
        if request.WhichOneof("parcel") == "order_id":
            return await self._tracks.of_order(
                caller.tenant, request.order_id, max_age_s=max_age_s, deadline_s=caller.deadline_s
            )
        return await self._tracks.get(
            caller.tenant, _key(request.key), max_age_s=max_age_s, deadline_s=caller.deadline_s
        )

    async def _of_key(self, act: Callable[[str, TrackKey], Awaitable[LoadedTrack]], key: pb.TrackKey) -> LoadedTrack:
        """One item of a list of keys, which is checked by itself."""
        validation.check(key, prefix="key.")
        return await act(current.get().tenant, _key(key))

    async def _all(self, questions: Sequence[Awaitable[LoadedTrack]]) -> list[pb.TrackResult]:
        return await asyncio.gather(*[self._result(question) for question in questions])

    async def _result(self, question: Awaitable[LoadedTrack]) -> pb.TrackResult:
        try:
            return pb.TrackResult(track=self._answers.about(await question).track)
        except Exception as error:  # also a defect: one item never fails the others
            return pb.TrackResult(status=status_or_defect("GetTrack", error))


def _numbers(numbers: Sequence[str]) -> frozenset[str]:
    """As tracks are kept under, however they were typed. Raises RequestInvalid for what can be nobody's."""
    found = [
        violation
        for index, number in enumerate(numbers)
        for violation in check_waybill_number(number, f"waybill_numbers[{index}]")
    ]
    if found:
        raise RequestInvalid(found)
    return frozenset(normalise(number) for number in numbers)


def _key(key: pb.TrackKey) -> TrackKey:
    """The key a parcel is known by. Raises RequestInvalid for what can be nobody's."""
    found = list(check_waybill_number(key.waybill_number, "key.waybill_number"))
    if not key.carrier:
        found.append(FieldViolation("key.carrier", "is empty", "give the carrier's code, such as sf"))
    if found:
        raise RequestInvalid(found)
    return TrackKey(key.carrier, normalise(key.waybill_number), key.phone_tail)
