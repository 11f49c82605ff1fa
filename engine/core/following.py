"""Follows parcels without being asked: opens a track for every booking, and asks carriers about what is due.

Both loops start from rows alone, so a crash costs nothing: bookings are found again by a kept position in the event
log, due parcels by their time. Questions go out as POLL, behind everything else, coalesced and batched by the lanes;
a bounded number is under way, and what a carrier does not answer is put off and spread: no storm after an outage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.clock import Clock
from engine.core.policy.records import Event, EventKind
from engine.core.policy.track_records import TrackRecord
from engine.core.tracks import Tracks
from engine.store.port import Store, StoreError

OPENED_KEY = "tracks.opened"
PAGE = 256
GATHER_S = 0.02
"""How long bookings gather before their tracks are opened together."""
PERIOD_S = 1.0
AT_ONCE = 256


class Opener:
    """Opens the tracks of what was booked, in the order of the event log, each booking at least once."""

    def __init__(self, store: Store, tracks: Tracks, clock: Clock, tenants: Sequence[str]) -> None:
        self._store = store
        self._tracks = tracks
        self._clock = clock
        self._tenants = tenants
        self._changed = asyncio.Event()
        store.on_commit(lambda events: self._changed.set())

    async def run(self, on_error: Callable[[Exception], None]) -> None:
        """Run until cancelled."""
        seen = int(await self._store.get_state(OPENED_KEY) or b"0")
        while True:
            self._changed.clear()
            try:
                seen = await self._catch_up(seen)
            except StoreError as error:
                on_error(error)
                await self._clock.sleep(PERIOD_S)
                continue
            await self._changed.wait()
            await self._clock.sleep(GATHER_S)

    async def _catch_up(self, seen: int) -> int:
        newest = await self._store.last_sequence()
        for tenant in self._tenants:
            after = seen
            while events := await self._store.events_after(tenant, after, limit=PAGE):
                await asyncio.gather(*[self._take_all(of_order) for of_order in _by_order(events)])
                after = events[-1].sequence
        if newest != seen:
            await self._store.put_state(OPENED_KEY, str(newest).encode())
        return newest

    async def _take_all(self, events: Sequence[Event]) -> None:
        """Events of one order, in turn: a cancel must find what the booking opened."""
        for event in events:
            await self._take(event)

    async def _take(self, event: Event) -> None:
        happened = event.event
        if happened.kind not in (EventKind.ORDER_BOOKED, EventKind.ORDER_CANCELLED):
            return
        loaded = await self._store.get_order(happened.tenant, happened.order_id)
        if loaded is None or loaded.order.booking is None:
            return
        if happened.kind is EventKind.ORDER_BOOKED:
            order = loaded.order
            await self._tracks.open_booked(order.tenant, order.order_id, order.draft, loaded.order.booking)
        else:
            await self._tracks.end_booked(loaded.order.tenant, loaded.order.booking)


def _by_order(events: Sequence[Event]) -> list[list[Event]]:
    orders: dict[str, list[Event]] = {}
    for event in events:
        orders.setdefault(event.event.order_id, []).append(event)
    return list(orders.values())


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
