"""All lanes of the engine: built when first used, closed together.

    async with Outbound(accounts, carriers, PyreqwestTransport, clock, observer) as outbound:
        answer = await outbound.call("sf-main", "book", booking, priority=Priority.BOOK, deadline_s=15)

Leaving the block refuses what waits, lets calls under way end for `drain_s`, then cuts the rest as
Ambiguous. Nothing runs afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

from crossdock_sdk import Account, Carrier
from engine.clock import Clock, SystemClock
from engine.core.policy.batching import NEVER
from engine.core.policy.rate import GcraState
from engine.outbound.call import CarrierCaller
from engine.outbound.errors import NotConfigured
from engine.outbound.job import Answered
from engine.outbound.lane import Lane
from engine.outbound.observe import LaneKey, LaneObserver, LaneSnapshot, NullObserver
from engine.outbound.operations import CLASS_OF, OperationClass, Priority
from engine.outbound.sessions import SessionKeeper
from engine.outbound.settings import LaneSettings
from engine.outbound.transport import Transport

TransportFactory = Callable[[], Transport]


class Outbound:
    """Every carrier call of the engine. `accounts` by account id, `carriers` by code; both may grow
    while it runs.

    transport_factory: builds one transport for each lane, so that a slow carrier exhausts only its
    own pool.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account],
        carriers: Mapping[str, Carrier],
        transport_factory: TransportFactory,
        clock: Clock | None = None,
        observer: LaneObserver | None = None,
        settings: LaneSettings | None = None,
    ) -> None:
        self._accounts = accounts
        self._carriers = carriers
        self._transport_factory = transport_factory
        self._clock = clock or SystemClock()
        self._observer = observer or NullObserver()
        self._settings = settings or LaneSettings()
        self._lanes: dict[tuple[str, OperationClass], Lane] = {}
        self._by_operation: dict[tuple[str, str], Lane] = {}
        self._transports: list[Transport] = []
        self._sessions: dict[str, SessionKeeper] = {}
        self._group: asyncio.TaskGroup | None = None
        self._restarted_at: float | None = None

    async def __aenter__(self) -> Self:
        # asyncio's own group, not anyio's: a task is started per carrier call, and it is cheaper.
        group = asyncio.TaskGroup()
        await group.__aenter__()
        self._group = group
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """See the module. Idempotent."""
        group, self._group = self._group, None
        if group is None:
            return
        running: set[asyncio.Task[None]] = set()
        for lane in self._lanes.values():
            running |= lane.close()
        try:
            if running:
                _, running = await asyncio.wait(running, timeout=self._settings.drain_s)
        finally:
            for task in running:
                task.cancel()
            try:
                await group.__aexit__(None, None, None)
            finally:
                for transport in self._transports:
                    await transport.aclose()

    async def call(
        self,
        account_id: str,
        operation: str,
        item: object,
        *,
        deadline_s: float,
        priority: Priority,
        tenant: str = "",
        is_retry: bool = False,
        start_within_s: float | None = None,
    ) -> Answered:
        """Carry one item to the account's carrier within `deadline_s`.

        start_within_s: send it away unsent when its call has not begun by then. Outcomes as `Lane.submit`.
        """
        lane = self.lane(account_id, operation)
        now = self._clock.monotonic()
        return await lane.submit(
            operation,
            item,
            deadline=now + deadline_s,
            start_by=NEVER if start_within_s is None else now + start_within_s,
            priority=priority,
            tenant=tenant,
            is_retry=is_retry,
        )

    def lane(self, account_id: str, operation: str) -> Lane:
        """The lane an operation uses; built on first use.

        Raises NotConfigured for an unknown account and ValueError for what its carrier does not
        offer.
        """
        lane = self._by_operation.get((account_id, operation))
        if lane is None:
            lane = self._by_operation[account_id, operation] = self._find(account_id, operation)
        return lane

    def wait_s(self, account_id: str, operation: str, *, priority: Priority, tenant: str) -> float:
        """Seconds until an item of `tenant` submitted now would be sent; NEVER when it would be refused."""
        now = self._clock.monotonic()
        lane = self.lane(account_id, operation)
        return NEVER if lane.is_open(now) else lane.predicted_wait_s(now, operation, priority, tenant)

    def may_retry(self, account_id: str, operation: str) -> bool:
        """Whether a retry submitted now would be let in by the lane's budget."""
        return self.lane(account_id, operation).may_retry(self._clock.monotonic())

    def promise(self, account_id: str, operation: str, count: int = 1) -> None:
        """An item will be submitted as soon as it is durable; -1 when it is, or will not be after all."""
        self.lane(account_id, operation).promise(operation, count)

    def ramp_percent(self, account_id: str, operation: str) -> int:
        """Per cent of its orders that the account gets now; less than 100 after a failure."""
        return self.lane(account_id, operation).failback.ramp_percent

    def failback_steps(self) -> dict[str, int]:
        """Account id -> step of its booking lane's way back; those that get all their orders are left out."""
        steps = {a: lane.failback.step for (a, kind), lane in self._lanes.items() if kind is OperationClass.BOOKING}
        return {account_id: step for account_id, step in steps.items() if step is not None}

    def restore_failback(self, steps: Mapping[str, int]) -> None:
        """Go on from `failback_steps`. Accounts that are gone are skipped."""
        for account_id, step in steps.items():
            if self._offers(account_id, "book"):
                self.lane(account_id, "book").failback.restore(step, self._clock.monotonic())

    def snapshots(self) -> Iterator[LaneSnapshot]:
        """All lanes that have been used."""
        return (lane.snapshot() for lane in self._lanes.values())

    def rate_states(self) -> dict[str, dict[str, GcraState]]:
        """Account id -> operation -> what its rate must remember over a restart."""
        states: dict[str, dict[str, GcraState]] = {}
        for (account_id, _), lane in self._lanes.items():
            states.setdefault(account_id, {}).update(lane.rates.states())
        return states

    def restore_rates(self, states: Mapping[str, Mapping[str, GcraState]], *, elapsed_s: float) -> None:
        """Go on from `rate_states` saved `elapsed_s` ago.

        Accounts and operations that are gone are skipped.
        """
        for account_id, by_operation in states.items():
            for operation, state in by_operation.items():
                if self._offers(account_id, operation):
                    lane = self.lane(account_id, operation)
                    lane.rates.restore({operation: state}, elapsed_s=elapsed_s)

    def spend_bursts(self) -> None:
        """After a restart: lanes begin as if each had just sent a burst, those not yet opened included."""
        self._restarted_at = self._clock.monotonic()
        for lane in self._lanes.values():
            lane.rates.spend_bursts(self._restarted_at)

    def _offers(self, account_id: str, operation: str) -> bool:
        account = self._accounts.get(account_id)
        carrier = self._carriers.get(account.carrier) if account else None
        return carrier is not None and operation in carrier.manifest.operations

    def _find(self, account_id: str, operation: str) -> Lane:
        account = self._accounts.get(account_id)
        if account is None:
            raise NotConfigured(f"account {account_id!r} is not configured; add it to the accounts")
        carrier = self._carriers.get(account.carrier)
        if carrier is None:
            raise NotConfigured(
                f"account {account_id!r} wants carrier {account.carrier!r}, which is not loaded; install its plug-in"
            )
        offered = [name for name in carrier.manifest.operations if name in CLASS_OF and name != "sign_in"]
        if operation not in offered:
            raise ValueError(
                f"carrier {account.carrier!r} does not offer {operation!r}; it offers {', '.join(offered)}"
            )
        if self._group is None:
            raise RuntimeError("Outbound is not running; use it inside its `async with` block")
        known = self._lanes.get((account_id, CLASS_OF[operation]))
        return known or self._open(account, carrier, CLASS_OF[operation], self._group)

    def _open(self, account: Account, carrier: Carrier, kind: OperationClass, group: asyncio.TaskGroup) -> Lane:
        transport = self._transport_factory()
        self._transports.append(transport)
        sessions = self._sessions.setdefault(account.account_id, SessionKeeper(self._clock))
        lane = Lane(
            LaneKey(account.carrier, account.account_id, kind),
            carrier.manifest,
            CarrierCaller(carrier, account, transport, self._clock, sessions),
            group=group,
            clock=self._clock,
            observer=self._observer,
            settings=self._settings,
        )
        if self._restarted_at is not None:
            lane.rates.spend_bursts(self._restarted_at)
        self._lanes[account.account_id, kind] = lane
        return lane
