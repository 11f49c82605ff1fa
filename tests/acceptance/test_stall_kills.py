"""The engine dies while it raises alerts: each parcel that stands still is told once, none is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import grpc
import pytest

from crossdock.v1 import track_service_pb2, track_service_pb2_grpc
from tests.acceptance.harness import World, eventually, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]
pb = track_service_pb2

NUMBERS = [f"75400000{n:06d}" for n in range(600)]
KILLS = 2
# A moment in which all can be subscribed first, so that their alerts come due together.
RULES = [{"name": "slow", "since": "booked", "after_h": 0.001, "statuses": ["NOTHING_KNOWN"]}]
RAISED = "crossdock_stall_alerts_total"


def test_kills_among_alerts_tell_each_once(tmp_path: Path) -> None:
    """Two kills in the middle of six hundred alerts: each is told, without a gap, and all are open."""
    raised, cursors, stalled, raised_by = asyncio.run(_play(tmp_path))

    assert len(raised_by) == KILLS + 1
    assert all(count > 0 for count in raised_by), f"a kill missed the moment it is for: {raised_by}"
    assert raised == dict.fromkeys(NUMBERS, 1)
    assert cursors == list(range(1, len(NUMBERS) + 1))
    assert stalled == len(NUMBERS)


async def _play(folder: Path) -> tuple[dict[str, int], list[int], float, list[float]]:
    raised_by = []
    async with world(folder, settings={"stall_rule": RULES}) as w:
        tracks = track_service_pb2_grpc.TrackServiceStub(w.channel())
        keys = [pb.TrackKey(carrier="zto", waybill_number=number) for number in NUMBERS]
        for part in (keys[:500], keys[500:]):
            await tracks.SubscribeTracks(pb.SubscribeTracksRequest(keys=part), timeout=20.0)
        for _ in range(KILLS):
            raised_by.append(await eventually(lambda: w.metric(RAISED), 20.0))
            w.sandbox.kill_engine()
            await w.sandbox.start_engine()
        news = await _told(tracks, 60.0)
        await eventually(lambda: _all_counted(w), 10.0)
        raised_by.append(await w.metric(RAISED))
        stalled = await w.metric("crossdock_stalled_parcels")
    counted = Counter(one.news.waybill_number for one in news if not one.news.alert.HasField("resolved_time"))
    return dict(counted), [int(one.cursor) for one in news], stalled, raised_by


async def _all_counted(w: World) -> bool:
    return await w.metric("crossdock_stalled_parcels") >= len(NUMBERS)


async def _told(tracks: track_service_pb2_grpc.TrackServiceAsyncStub, within_s: float) -> list[pb.WatchTracksResponse]:
    """All alerts so far, and those that follow until everything is told or time is up."""
    news: list[pb.WatchTracksResponse] = []
    stream = tracks.WatchTracks(pb.WatchTracksRequest(cursor="0", alerts_only=True), wait_for_ready=True)
    try:
        async with asyncio.timeout(within_s):
            async for message in stream:
                news += [message] if message.HasField("news") else []
                if len(news) >= len(NUMBERS):
                    break
    except (TimeoutError, grpc.aio.AioRpcError):
        pass  # what is missing, the test says
    finally:
        stream.cancel()
    return news
