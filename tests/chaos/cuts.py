"""Power cuts under the store: writers at once on a disk that forgets what was not synced, then what is still there.

A machine lives many lives. Each ends with a cut at a random operation of its disk, inside opening, committing or
checkpointing; the next life finds what is left, and every row ever acknowledged must be in it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from unittest.mock import patch

import apsw
import msgspec
from msgspec.structs import replace

from engine.core.policy.records import (
    AttemptRecord,
    AttemptState,
    EventKind,
    LoadedOrder,
    NewEvent,
    OrderRecord,
    OrderState,
    StoredLabel,
)
from engine.store.port import AcceptKind, Change, Idempotency, StoreError
from engine.store.sqlite import SqliteStore
from tests.fakes import rows
from tests.fakes.power import Disk, Failure

LIVES_A_MACHINE = 10
CLIENTS = 8
LATEST = {"": 140, "sync": 25, "write of store.db": 40}
"""Where a life may end at the latest: any operation, a sync, since there promises are made, or inside a checkpoint."""
CHECKPOINT_PAGES = 60
"""Checkpoints in nearly every life."""
TENANT = "acme"
_LABEL = b"%PDF-" + bytes(range(256)) * 24


class Promises(msgspec.Struct):
    """What clients were told. orders: id -> the furthest state acknowledged."""

    orders: dict[str, OrderState] = {}
    labels: dict[str, bytes] = {}

    @property
    def count(self) -> int:
        """Rows that somebody relies on."""
        return len(self.orders) + len(self.labels)


class Cuts(msgspec.Struct):
    """What a search showed. where: what the cuts hit -> how often. lost: every row acknowledged and not there."""

    cuts: int = 0
    acknowledged: int = 0
    where: dict[str, int] = {}
    lost: list[str] = []
    damage: list[str] = []


async def play_cuts(folder: Path, *, seed: int, cuts: int, synchronous: str = "FULL") -> Cuts:
    """Cut the power `cuts` times. `seed` decides when, and what a cut leaves of what was not synced."""
    random = Random(seed)
    found = Cuts()
    machine = 0
    with patch("engine.store.sqlite.checkpoints.CHECKPOINT_PAGES", CHECKPOINT_PAGES):
        while found.cuts < cuts and not (found.lost or found.damage):
            machine += 1
            lives = min(LIVES_A_MACHINE, cuts - found.cuts)
            await _machine(folder / f"machine-{machine}", random, lives, synchronous, found)
    return found


async def _machine(folder: Path, random: Random, lives: int, synchronous: str, found: Cuts) -> None:
    await asyncio.to_thread(folder.mkdir, parents=True)
    promises = Promises()
    disk = Disk(random)
    for life in range(lives):
        disk.load(folder)
        kind = random.choice(tuple(LATEST))
        disk.fail_at(random.randint(1, LATEST[kind]), Failure.CUT, kind)
        before = promises.count
        with disk.mounted(folder):
            await live(folder, disk, promises, f"m{life}", synchronous)
        found.cuts += 1
        found.acknowledged += promises.count - before
        where = disk.failed[-1]
        found.where[where] = found.where.get(where, 0) + 1
        disk.unload(folder)
        lost, damage = await missing(folder, promises)
        found.lost += [f"life {life}, cut at {where}: {text}" for text in lost]
        found.damage += [f"life {life}, cut at {where}: {text}" for text in damage]
        if lost or damage:
            return  # later lives would only tell it again


async def live(folder: Path, disk: Disk, promises: Promises, prefix: str, synchronous: str = "FULL") -> None:
    """Clients at work until the store takes nothing any more."""
    try:
        store = await SqliteStore.open(folder / "store.db", synchronous=synchronous, fatal=disk.stop)
    except StoreError:
        return  # cut while opening
    try:
        await asyncio.gather(*[_client(store, promises, f"{prefix}-{n}") for n in range(CLIENTS)])
    finally:
        await store.aclose()


async def _client(store: SqliteStore, promises: Promises, prefix: str) -> None:
    """Orders accepted, booked, labelled, one after the other, until something is refused."""
    number = 0
    try:
        while True:
            number += 1
            await _one_order(store, promises, f"{prefix}-{number}")
    except StoreError:
        return


async def _one_order(store: SqliteStore, promises: Promises, order_id: str) -> None:
    await accept_one(store, promises, order_id)
    await confirm_one(store, promises, order_id)
    await label_one(store, promises, order_id)


async def accept_one(store: SqliteStore, promises: Promises, order_id: str) -> AcceptKind:
    """An order with its first attempt, as a creation writes it."""
    order = _order(order_id)
    keys = Idempotency(f"key-{order_id}", b"body")
    accepted = await store.accept(order, [_attempt(order_id)], [_event(order, EventKind.ORDER_ACCEPTED)], keys)
    promises.orders[order_id] = OrderState.BOOKING
    return accepted.kind


async def confirm_one(store: SqliteStore, promises: Promises, order_id: str) -> None:
    """The carrier's answer, as a worker writes it. Raises Stale when it is written already."""
    booked = replace(_order(order_id), state=OrderState.BOOKED, booking=rows.booking(), due_time=None)
    confirmed = replace(_attempt(order_id), state=AttemptState.CONFIRMED)
    await store.commit(Change(booked, (confirmed,), (_event(booked, EventKind.ORDER_BOOKED),)))
    promises.orders[order_id] = OrderState.BOOKED


async def label_one(store: SqliteStore, promises: Promises, order_id: str) -> None:
    """The carrier's file: several pages."""
    content = order_id.encode() + _LABEL
    await store.put_label(TENANT, StoredLabel(order_id, "W1", "PDF", content, rows.NOW))
    promises.labels[order_id] = content


async def missing(folder: Path, promises: Promises) -> tuple[list[str], list[str]]:
    """Rows acknowledged and not there; what is wrong with the file itself. Opens the store as a restart does."""
    lost: list[str] = []
    store = await SqliteStore.open(folder / "store.db")
    try:
        for order_id, state in promises.orders.items():
            loaded = await store.get_order(TENANT, order_id)
            if not _kept(loaded, state):
                lost.append(f"order {order_id} was {state}, now it is {loaded.order.state if loaded else 'gone'}")
            elif (await store.get_order_by_reference(TENANT, order_id)) is None:
                lost.append(f"the reference of {order_id} is gone")
        for order_id, content in promises.labels.items():
            label = await store.get_label(TENANT, order_id, "W1")
            if label is None or label.content != content:
                lost.append(f"the label of {order_id} is gone or damaged")
        told = [event.sequence for event in await store.events_after(TENANT, 0, limit=1_000_000)]
        damage = [] if told == list(range(1, len(told) + 1)) else [f"events have gaps: {told}"]
    finally:
        await store.aclose()
    checked = apsw.Connection(str(folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        answer = str(checked.pragma("integrity_check"))
    finally:
        checked.close()
    return lost, damage + ([] if answer == "ok" else [f"integrity_check: {answer}"])


def _kept(loaded: LoadedOrder | None, state: OrderState) -> bool:
    """An order may be further than its client was told: the answer was on its way."""
    if loaded is None:
        return False
    return loaded.order.state is state or (state is OrderState.BOOKING and loaded.order.state is OrderState.BOOKED)


def _order(order_id: str) -> OrderRecord:
    return rows.loaded(order_id=order_id, draft=rows.draft(reference=order_id)).order


def _attempt(order_id: str) -> AttemptRecord:
    return rows.attempt(1, "alpha", AttemptState.INTENT, order_id=order_id, reference=order_id)


def _event(order: OrderRecord, kind: EventKind) -> NewEvent:
    return NewEvent(order.tenant, order.order_id, kind, order.create_time, order.draft.reference, order.state)
