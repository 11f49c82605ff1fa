"""Fifty watchers stop reading: the engine's memory stays, others hear at once, each is sent away and misses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from crossdock.v1 import track_service_pb2, track_service_pb2_grpc
from crossdock_sf.simulator import PUSH_TOKEN
from tests.acceptance.harness import World, eventually, world
from tests.integration.kit import answered

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

pb = track_service_pb2
STALLED = 50
PARCELS = 100
EVENTS = 10
NEWS = PARCELS * EVENTS
TEXT = "快件在【样例中转场】完成分拣，准备发往下一站；" * 12
"""Makes news of more than a kilobyte: what one stalled watcher is owed is far beyond what a connection buffers."""
MAY_GROW_BYTES = 16 * 1024 * 1024
"""What fifty watchers are owed is more than fifty megabytes."""
SLOW_S = 4.0
HEARD_WITHIN_S = 2.0


def test_stalled_watchers_cost_no_memory_and_miss_nothing(tmp_path: Path) -> None:
    """They are cut with WATCHER_TOO_SLOW and the cursor to go on from; who reads hears news as ever."""

    async def play() -> None:
        settings = {"server": {"slow_watcher_s": SLOW_S}}
        async with world(tmp_path, carriers=("sf",), settings=settings) as w:
            await _fill(w)
            async with _watchers(w, 1) as (reader,), AsyncExitStack() as later:
                told = await _read(reader, NEWS)
                before = _resident(w)
                stalled = await later.enter_async_context(_watchers(w, STALLED))
                for call in stalled:
                    assert (await call.read()).cursor == "1"
                await _push(w, range(1), EVENTS)
                async with asyncio.timeout(HEARD_WITHIN_S):
                    told += await _read(reader, 1)
                # A reader that did not go on reading would be cut over the next checkpoint, and rightly so.
                later_heard: list[pb.WatchTracksResponse] = []
                reading = asyncio.create_task(_read_on(reader, later_heard))
                grown = await _peak_until_cut(w) - before

                assert grown < MAY_GROW_BYTES, f"{STALLED} stalled watchers took {grown / 2**20:.1f} MiB"
                assert await _cut(w), "stalled watchers are still served, or the reader is not"
                reading.cancel()
                for call in stalled[:3]:
                    await _resumes(w, call, told)

    asyncio.run(play())


async def _resumes(w: World, call: Any, told: list[pb.WatchTracksResponse]) -> None:
    """What a cut watcher had been sent, then the error, then the rest from its last cursor: the whole log."""
    seen = told[:1]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _read_on(call, seen)
    status = answered(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW")
    assert seen == told[: len(seen)]
    assert len(seen) < NEWS, "it was sent everything: it was not stalled"
    # The message under way when it was cut may have reached it: whoever goes on from the error's cursor hears it again.
    given = int(status.info.metadata["cursor"])
    assert int(seen[-1].cursor) - given in (0, 1)
    async with _watchers(w, 1, str(given)) as (again,):
        rest = await _read(again, len(told) - given)
    assert rest == told[given:]


async def _fill(w: World) -> None:
    """A log of NEWS news about PARCELS parcels."""
    keys = [pb.TrackKey(carrier="sf", waybill_number=_number(n)) for n in range(PARCELS)]
    tracks = track_service_pb2_grpc.TrackServiceStub(w.channel())
    await tracks.SubscribeTracks(pb.SubscribeTracksRequest(keys=keys))
    for event in range(EVENTS):
        await _push(w, range(PARCELS), event)


async def _push(w: World, parcels: Sequence[int], event: int) -> None:
    """SF tells one event of each parcel, ten a push as it does."""
    # Young enough that no stall rule of the sandbox speaks too: the log holds these news and nothing else.
    time = datetime.now(UTC) - timedelta(hours=20) + timedelta(hours=event)
    rows = [
        {
            "id": f"{parcel}-{event}",
            "mailno": _number(parcel),
            "acceptTime": f"{time:%Y-%m-%d %H:%M:%S}",
            "acceptAddress": "深圳市",
            "remark": f"{event} {TEXT}",
            "opCode": "30",
        }
        for parcel in parcels
    ]
    async with httpx.AsyncClient(base_url=w.sandbox.http, trust_env=False) as http:
        for start in range(0, len(rows), 10):
            body = json.dumps({"Body": {"WaybillRoute": rows[start : start + 10]}}).encode()
            answer = await http.post(f"/push/sf-sandbox/{PUSH_TOKEN}", content=body)
            assert answer.json()["return_code"] == "0000"


@asynccontextmanager
async def _watchers(w: World, count: int, cursor: str = "0") -> AsyncIterator[list[Any]]:
    """Watches from `cursor`, each with a connection of its own that takes as little as HTTP/2 allows unread."""
    options = (
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 65_536),
    )
    async with AsyncExitStack() as stack:
        calls = []
        for _ in range(count):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(w.sandbox.server, options=options))
            calls.append(
                track_service_pb2_grpc.TrackServiceStub(channel).WatchTracks(pb.WatchTracksRequest(cursor=cursor))
            )
        yield calls


async def _read(call: Any, count: int) -> list[pb.WatchTracksResponse]:
    """The next `count` messages that tell something."""
    found: list[pb.WatchTracksResponse] = []
    while len(found) < count:
        message = await call.read()
        found += [message] if message.HasField("news") else []
    return found


async def _read_on(call: Any, seen: list[pb.WatchTracksResponse]) -> None:
    while (message := await call.read()) is not grpc.aio.EOF:
        seen.append(message)


async def _peak_until_cut(w: World) -> int:
    """The most memory the engine took until all that stall were cut, or time was up."""
    peak = 0

    async def look() -> bool:
        nonlocal peak
        peak = max(peak, _resident(w))
        return await _cut(w)

    await eventually(look, SLOW_S * 3)
    return peak


async def _cut(w: World) -> bool:
    gone = await w.metric("crossdock_grpc_calls_total", method="WatchTracks", code="RESOURCE_EXHAUSTED")
    return gone == STALLED and await w.metric("crossdock_watchers") == 1


def _resident(w: World) -> int:
    """Bytes of the engine's memory."""
    pages = int(Path(f"/proc/{w.sandbox.engine_pid}/statm").read_text().split()[1])
    return pages * 4096


def _number(parcel: int) -> str:
    return f"SF{7_444_700_000_000 + parcel}"
