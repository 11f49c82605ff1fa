"""Follows parcels without being asked: asks carriers about what is due.

It starts from rows alone, so a crash costs nothing. Questions go out as POLL, behind everything else, coalesced and
batched by the lanes; a bounded number is under way, and what a carrier does not answer is put off and spread: no storm
after an outage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.clock import Clock
from engine.core.policy.track_records import TrackRecord
from engine.core.tracks import Tracks
from engine.store.port import Store, StoreError

PERIOD_S = 1.0
AT_ONCE = 256


async def follow(store: Store, tracks: Tracks, clock: Clock, on_error: Callable[[Exception], None]) -> None:
    """Ask about due parcels until cancelled."""
    running: set[asyncio.Task[None]] = set()

    async def one(track: TrackRecord) -> None:
        try:
            await tracks.poll_due(track)
        except Exception as error:  # one parcel's defect must not end the following of all
            on_error(error)

    try:
        while True:
            try:
                room = AT_ONCE - len(running) if tracks.asks_carriers else 0
                due = await store.claim_due_tracks(clock.now(), limit=room)
            except StoreError as error:
                on_error(error)
                due = []
            for track in due:
                task = asyncio.create_task(one(track))
                running.add(task)
                task.add_done_callback(running.discard)
            await clock.sleep(PERIOD_S)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
