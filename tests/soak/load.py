"""What a soak does to the engine while it lives and dies: orders, questions, watchers of three tempers, faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from crossdock.v1 import track_service_pb2, track_service_pb2_grpc
from tests.acceptance.harness import CHANNEL, World, parcel_order
from tests.chaos.plan import Wish, lives

tracks_pb = track_service_pb2
ORDER_EVERY_S = 0.5
QUESTION_EVERY_S = 1.0
FAULTS_EVERY_S = 12.0
CALM_EVERY_S = 6.0
DAWDLE_S = 0.2
PAUSE_S = 0.1
PATIENCE_S = 120.0
INTERRUPTED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})

Job = Callable[[], Coroutine[Any, Any, None]]


async def orders(w: World, wishes: Iterator[Wish], stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
    """A new order now and then, whether or not the former ones are done."""
    while not stop.is_set():
        group.create_task(_fulfil(w, next(wishes)))
        await asyncio.sleep(ORDER_EVERY_S)


async def _fulfil(w: World, wish: Wish) -> None:
    order = parcel_order(wish.reference, only=wish.only, prefer=wish.prefer)
    created = await w.create(order, deadline_s=wish.deadline_s, patience_s=PATIENCE_S)
    if wish.cancels:
        try:
            await w.cancel(created, deadline_s=wish.deadline_s, patience_s=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:  # in review or failed: a proper answer
                raise
    elif wish.repeats:
        await w.create(order, deadline_s=wish.deadline_s, patience_s=PATIENCE_S)


async def questions(w: World, random: Random, stop: asyncio.Event) -> None:
    """Asks for parcels of others, at once and from the carrier: polls."""
    stub = track_service_pb2_grpc.TrackServiceStub(w.channel())
    while not stop.is_set():
        key = tracks_pb.TrackKey(carrier="sf", waybill_number=f"SF{7_444_600_000_000 + random.randrange(200)}")
        try:
            await stub.GetTrack(tracks_pb.GetTrackRequest(key=key, max_age=Duration()), timeout=5.0)
        except grpc.aio.AioRpcError as error:
            if error.code() not in INTERRUPTED:
                raise
        await asyncio.sleep(QUESTION_EVERY_S)


async def faults(w: World, random: Random, stop: asyncio.Event) -> None:
    """Carriers misbehave for a while, then behave for a while."""
    while not stop.is_set():
        [life] = lives(random, 1)
        for carrier, kinds in life.faults.items():
            await w.faults(carrier, **kinds)
        await asyncio.sleep(FAULTS_EVERY_S)
        await w.heal()
        await asyncio.sleep(CALM_EVERY_S)


async def dawdling(w: World, cut: list[str]) -> None:
    """A watcher that takes its time with each message; it resumes from its last cursor. Ends when cancelled."""
    cursor = "0"
    while True:
        try:
            async with _channel(w) as channel:
                stub = track_service_pb2_grpc.TrackServiceStub(channel)
                async for message in stub.WatchTracks(tracks_pb.WatchTracksRequest(cursor=cursor)):
                    cursor = message.cursor
                    await asyncio.sleep(DAWDLE_S)
        except grpc.aio.AioRpcError as error:
            cut.append(error.code().name)
        await asyncio.sleep(PAUSE_S)


async def stalled(w: World, cut: list[str], stall_s: float) -> None:
    """A watcher that reads one message and then nothing, hangs up at last and comes again. Ends when cancelled."""
    while True:
        try:
            async with _channel(w) as channel:
                stub = track_service_pb2_grpc.TrackServiceStub(channel)
                call = stub.WatchTracks(tracks_pb.WatchTracksRequest(cursor="0"))
                await call.read()
                await asyncio.sleep(stall_s)
                # What was under way may still be read; then comes why it ended.
                while await call.read() is not grpc.aio.EOF:
                    pass
        except grpc.aio.AioRpcError as error:
            cut.append(error.code().name)
        await asyncio.sleep(PAUSE_S)


def _channel(w: World) -> grpc.aio.Channel:
    options = (*CHANNEL, ("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0))
    return grpc.aio.insecure_channel(w.sandbox.server, options=options)
