"""The demo's parcels on their way: watched to delivery through a cut connection, and a forged push."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, suppress

import httpx

from crossdock import Client
from crossdock.v1 import track_service_pb2, track_status_pb2
from engine.cli.demo.story import Story, demo_order
from engine.cli.sandbox import Sandbox

DELIVERY_TIMEOUT_S = 60.0
CUTS = 2
CUT_AFTER = 4  # news more, each time
FOLLOWED = {"sf": "DEMO-LOST-0", "zto": "DEMO-PARCEL-1"}


async def follow_parcels(story: Story, sandbox: Sandbox) -> None:
    """Watch one parcel of each carrier to delivery; forge a push on the way."""
    async with Client(sandbox.server) as client:
        await client.create_order(demo_order(FOLLOWED["zto"], only="zto"), timeout_s=20)
        orders = [await client.get_order(reference=reference) for reference in FOLLOWED.values()]
    numbers = [order.booking.waybill_number for order in orders]
    story.say("Parcels move now, days in seconds; carriers push what happens, repeated and out of order, as they do.")
    await _forge(story, sandbox, numbers[1])
    news = await _watch(story, sandbox, numbers)
    cursors = [int(message.cursor) for message in news]
    problems = [] if cursors == sorted(set(cursors)) else ["a cursor came twice or went back"]
    problems += [f"{number} was not seen delivered" for number in numbers if not _delivered(news, number)]
    story.check(f"both were watched to delivery, through {CUTS} cut connections, without a gap or a repeat", problems)
    await _compare(story, sandbox, numbers, news)


async def _watch(story: Story, sandbox: Sandbox, numbers: list[str]) -> list[track_service_pb2.WatchTracksResponse]:
    """Everything that happens to the parcels, as far as it happens in time; the reader is cut CUTS times."""
    seen: list[track_service_pb2.WatchTracksResponse] = []
    with suppress(TimeoutError):  # the check says what was not seen
        async with asyncio.timeout(DELIVERY_TIMEOUT_S):
            cursor = "0"
            for cut in range(1, CUTS + 1):
                cursor = await _read_on(story, sandbox, numbers, cursor, seen, most=CUT_AFTER * cut)
            await _read_on(story, sandbox, numbers, cursor, seen)
    return seen


async def _read_on(
    story: Story,
    sandbox: Sandbox,
    numbers: list[str],
    cursor: str,
    seen: list[track_service_pb2.WatchTracksResponse],
    *,
    most: int = sys.maxsize,
) -> str:
    """Read over a connection of its own until `most` news are seen or all parcels are delivered; the cursor then."""
    async with Client(sandbox.server) as client, aclosing(client.watch_tracks(cursor, waybill_numbers=numbers)) as news:
        async for message in news:
            cursor = message.cursor
            if message.HasField("news"):
                seen.append(message)
                _tell(story, message.news)
            if len(seen) >= most or all(_delivered(seen, number) for number in numbers):
                break
    return cursor


def _tell(story: Story, news: track_service_pb2.TrackNews) -> None:
    if news.status_changed:
        status = track_status_pb2.TrackStatus.Name(news.status).removeprefix("TRACK_STATUS_")
        story.say(f"  {news.carrier} {news.waybill_number} {status:17} {news.event.text[:40]}")


def _delivered(news: list[track_service_pb2.WatchTracksResponse], number: str) -> bool:
    delivered = track_status_pb2.TRACK_STATUS_DELIVERED
    return any(m.news.waybill_number == number and m.news.status == delivered for m in news)


async def _compare(
    story: Story, sandbox: Sandbox, numbers: list[str], news: list[track_service_pb2.WatchTracksResponse]
) -> None:
    problems = []
    async with Client(sandbox.server) as client:
        for carrier, number in zip(FOLLOWED, numbers, strict=True):
            track = await client.get_track(carrier=carrier, waybill_number=number)
            told = sum(m.news.waybill_number == number and m.news.HasField("event") for m in news)
            if len(track.events) < told:
                problems.append(f"{number}: the watcher heard {told} events, the track holds {len(track.events)}")
    story.check("what the watcher heard is what the parcels' tracks hold", problems)


async def _forge(story: Story, sandbox: Sandbox, number: str) -> None:
    data = f'{{"billCode":"{number}","action":"SIGNED","actionTime":"2026-01-01 00:00:00"}}'
    forged = f"data={data}&data_digest=AAAA&msg_type=Traces"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{sandbox.http}/push/zto-sandbox",
            content=forged.encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
    problems = [] if answer.status_code == 403 else [f"it was answered {answer.status_code}"]
    story.check("a forged push that says DELIVERED is refused", problems)
