"""Has accounts prove that they work, at least daily: the backup too, which may get no order for weeks.

Bookings prove an account by themselves. Who had none is asked for the price of a parcel nobody sends: that changes
nothing in the world and needs the account's credentials, signature and contract. Proofs survive a restart. Carriers
that cannot be asked for a price are proved by bookings alone; the age of the proof tells all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from crossdock_sdk import Address, CarrierError, Contact, Item, Lane, Manifest, Parcel, Party
from engine.clock import Clock
from engine.core.calls import ask
from engine.core.policy.proving import Proofs, is_proof
from engine.outbound import LaneRefused, Priority, TransportError
from engine.outbound.outbound import Outbound
from engine.store.port import Store, StoreError

PROOFS_KEY = "proving.proofs"
PERIOD_S = 60.0
COUNTRY = "CN"
# From one museum to another: places that every carrier of the country serves, and nobody's home.
LANE = Lane(
    Party(
        Contact("上海博物馆", "021-60000000"),
        Address(COUNTRY, "上海市", "上海市", "黄浦区", street="人民大道201号"),
    ),
    Party(
        Contact("中国国家博物馆", "010-60000000"),
        Address(COUNTRY, "北京市", "北京市", "东城区", street="东长安街16号"),
    ),
    (Parcel(1000, items=(Item("图书"),)),),
)


class ProvingObserver(Protocol):
    """What metrics hear of proving calls."""

    def account_asked(self, carrier: str, account_id: str, failure: str) -> None:
        """A call ended. failure: why it proved nothing, in words without data; empty when it was proof."""


class Proving:
    """The proofs of all accounts at work. One per engine. carriers: account id -> code of its carrier."""

    def __init__(
        self,
        *,
        proofs: Proofs,
        carriers: Mapping[str, str],
        store: Store,
        outbound: Outbound,
        clock: Clock,
        observer: ProvingObserver,
    ) -> None:
        self.proofs = proofs
        self.carriers = carriers
        self._store = store
        self._outbound = outbound
        self._clock = clock
        self._observer = observer
        self._kept: dict[str, datetime] = {}

    async def run(self, on_error: Callable[[Exception], None]) -> None:
        """Keep every account proved until cancelled."""
        running: set[asyncio.Task[None]] = set()
        while not await self._restored(on_error):
            await self._clock.sleep(PERIOD_S)
        try:
            while True:
                for account_id in self.proofs.due(self._clock.now()):
                    task = asyncio.create_task(self._prove(account_id, on_error))
                    running.add(task)
                    task.add_done_callback(running.discard)
                await self._keep(on_error)
                await self._clock.sleep(PERIOD_S)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _restored(self, on_error: Callable[[Exception], None]) -> bool:
        try:
            kept = await self._store.get_state(PROOFS_KEY)
        except StoreError as error:
            on_error(error)
            return False
        if kept is not None:
            self._kept = msgspec.msgpack.decode(kept, type=dict[str, datetime])
            self.proofs.restore(self._kept)
        return True

    async def _keep(self, on_error: Callable[[Exception], None]) -> None:
        times = self.proofs.times()
        if times == self._kept:
            return
        try:
            await self._store.put_state(PROOFS_KEY, msgspec.msgpack.encode(times))
            self._kept = times
        except StoreError as error:
            on_error(error)

    async def _prove(self, account_id: str, on_error: Callable[[Exception], None]) -> None:
        failure = "the call broke"
        try:
            answer = await ask(self._outbound, account_id, "quote", LANE, priority=Priority.POLL, tenant="")
            failure = "" if is_proof(answer) else _failure(answer)
        except Exception as error:  # one account's defect must not end the proving of all
            on_error(error)
        self.proofs.answered(account_id, is_proof=not failure, now=self._clock.now())
        self._observer.account_asked(self.carriers[account_id], account_id, failure)


def can_be_asked(manifest: Manifest) -> bool:
    """Whether a carrier prices parcels of the country in which we ask."""
    return "quote" in manifest.operations and COUNTRY in manifest.countries


def _failure(answer: object) -> str:
    """Why an answer proves nothing: class and the carrier's code, never its text."""
    match answer:
        case CarrierError():
            return f"{answer.error_class} {answer.code}".strip()
        case LaneRefused():
            return str(answer.reason)
        case TransportError():
            return str(answer.kind)
    return type(answer).__name__
