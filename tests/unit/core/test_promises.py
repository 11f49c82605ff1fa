"""Promises about time and room: what is durable before what goes out, known for how long, and what stays bounded."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from crossdock_sdk import ErrorClass, PushRequest
from engine.core.policy.records import Event
from engine.core.policy.track_records import DeadLetter
from engine.core.tracks import TrackKey
from engine.core.watch import EventFilter, Watch
from tests.fakes.carrier import ALL, manifest, refuse, signature
from tests.fakes.house import TENANT, House, house, states

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha", (*ALL, "track")), manifest("beta")
NUMBER = "A000000001"
MOST_AHEAD = 256


def scanned(scene: House) -> PushRequest:
    """A push of one scan, signed over its body."""
    row = scene.network.ledgers["alpha"].scan(NUMBER, scene.clock.now(), "got")
    body = json.dumps({"scans": [row]}).encode()
    return PushRequest({"signature": signature(body)}, body)


async def told(scene: House) -> list[int]:
    """Which news were of an event, and not of a parcel that stands still."""
    return [news.sequence for news in await scene.news() if news.news.event is not None]


async def test_a_further_attempt_is_durable_before_a_byte_goes_out() -> None:
    """While the backup carrier still thinks, the store already knows that it was asked."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.CAPACITY))
        scene.network.hold("beta", "book")
        creating = asyncio.ensure_future(scene.create())
        await scene.pass_time(0.0)
        stored = await scene.store.get_order_by_reference(TENANT, "A1")
        scene.network.release()
        await creating

    assert stored is not None
    assert states(stored) == ["alpha REJECTED", "beta INTENT"]


async def test_a_push_repeated_for_weeks_is_no_news() -> None:
    """Carriers send again for days: an event once told stays known as long as its parcel is."""
    async with house(ALPHA) as scene:
        await scene.tracks.follow(TENANT, TrackKey("alpha", NUMBER))
        genuine = scanned(scene)
        await scene.run(scene.pushes.handle("alpha-1", genuine))
        before = await told(scene)
        for days in (1, 6, 21):
            scene.clock.advance(timedelta(days=days).total_seconds())
            await scene.run(scene.pushes.handle("alpha-1", genuine))
        after = await told(scene)

    assert len(before) == 1
    assert after == before


async def test_a_replay_is_counted_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that ends the process has been tried all the same."""

    class ProcessEnds(BaseException):
        """Whatever follows does not happen."""

    async def dies(*_: object) -> None:
        raise ProcessEnds

    async with house(ALPHA) as scene:
        genuine = scanned(scene)
        letter = DeadLetter(
            letter_id="l1",
            account_id="alpha-1",
            received_time=scene.clock.now(),
            cause="RuntimeError",
            attempts=1,
            headers=dict(genuine.headers),
            body=genuine.body,
            path="",
            query="",
        )
        await scene.store.put_dead_letter(letter)
        monkeypatch.setattr(scene.tracks, "ingest_push", dies)
        with pytest.raises(ProcessEnds):
            await scene.pushes.replay(letter)
        kept = await scene.store.get_dead_letter("l1")

    assert kept is not None
    assert (kept.attempts, kept.cause) == (2, "RuntimeError")


async def test_a_stalled_watcher_is_read_no_further_than_a_page() -> None:
    """Whatever has happened since its cursor waits in the store, and not in memory."""

    class Log:
        """A store with a million events that counts what it hands out."""

        def __init__(self) -> None:
            self.handed_out = 0

        async def last_sequence(self) -> int:
            return 1_000_000

        async def first_sequence(self) -> int:
            return 1

        async def events_after(self, tenant: str, sequence: int, *, limit: int) -> list[Event]:
            self.handed_out += min(limit, 10_000)
            return [event] * min(limit, 10_000)

        def __getattr__(self, name: str) -> object:
            return lambda *_: None

    async with house(ALPHA) as scene:
        await scene.create()
        event = (await scene.events())[0]
    log = Log()
    stream = Watch(log).orders(TENANT, "0", EventFilter())  # type: ignore[arg-type]

    await anext(stream)
    await asyncio.sleep(0)

    assert 0 < log.handed_out <= MOST_AHEAD
