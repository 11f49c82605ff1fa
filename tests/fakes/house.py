"""The engine's core put together over the memory store, a fake clock and fake carriers; nothing real but the code.

    async with house(manifest("alpha"), manifest("beta")) as scene:
        created = await scene.create("A1")

`run` lets everything happen that an awaitable waits for, moving the clock from timer to timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from crossdock_sdk import Account, Address, Contact, Item, Manifest, Parcel, Party
from engine.core.booker import Booker
from engine.core.capacity import Capacity
from engine.core.following import follow
from engine.core.orders import Created, Orders
from engine.core.poison import Poison
from engine.core.policy.booking import Rules
from engine.core.policy.breaker import BreakerRules
from engine.core.policy.records import AttemptRecord, Event, LoadedOrder, OrderDraft, OrderState
from engine.core.policy.references import order_id_of
from engine.core.policy.return_records import ReturnReason, Verdict
from engine.core.policy.routing import AccountFacts
from engine.core.policy.shares import Shares
from engine.core.policy.stalls import DEFAULT_STALL_RULES, Judge, StallRule, Unconditional
from engine.core.policy.tallies import DailyCap, Tallies
from engine.core.policy.track_records import LoadedTrack, NumberedNews, TrackSource
from engine.core.pushes import Pushes
from engine.core.quotes import LivePrices
from engine.core.reconcile import reconcile
from engine.core.returning import Returning
from engine.core.returns import NoReturnRules, ReturnRules, Returns
from engine.core.router import NoRules, Router, RuleEngine
from engine.core.stalling import Stalls
from engine.core.standing import Standings
from engine.core.tracks import TrackKey, Tracks
from engine.core.watch import Watch
from engine.outbound import LaneSettings, Outbound
from engine.store.in_hand import InHand
from tests.fakes.carrier import FakeCarrier, Network
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import Ledger
from tests.fakes.store import FaultyStore

T = TypeVar("T")
TENANT = "acme"
OTHER_TENANT = "birch"
TURNS = 40
RULES = Rules(review_after_s=60.0, give_up_after_s=3600.0, retry_base_s=1.0, retry_cap_s=30.0, unavailable_retry_s=2.0)
PARTY = Party(Contact("欧阳小满", "13987654321"), Address("CN", "广东省", "深圳市", "福田区", street="建设街357号"))


def draft(reference: str = "A1", **fields: Any) -> OrderDraft:
    """A sound order; keyword arguments replace fields."""
    values = {"shipper": PARTY, "recipient": PARTY, "parcels": (Parcel(450, items=(Item("红茶"),)),), **fields}
    return OrderDraft(reference, **values)


class Heard:
    """Remembers what an observer is told, in order."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.fallbacks: list[tuple[str, str, str]] = []
        self.diversions: list[tuple[str, str, str]] = []
        self.settled: list[OrderState] = []
        self.failed: list[str] = []
        self.accepted: list[bool] = []
        self.refused: list[str] = []
        self.pushes: list[str] = []
        self.polls: list[str] = []
        self.kept: list[tuple[str, int, int]] = []
        self.returns: list[str] = []
        self.alerts: list[str] = []

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """See BookingObserver."""
        self.attempts.append(f"{attempt.carrier} {attempt.state}")

    def fell_back(self, from_carrier: str, to_carrier: str, reason: str) -> None:
        """See BookingObserver."""
        self.fallbacks.append((from_carrier, to_carrier, reason))

    def diverted(self, from_carrier: str, to_carrier: str, reason: str) -> None:
        """See BookingObserver and OrdersObserver."""
        self.diversions.append((from_carrier, to_carrier, str(reason)))

    def order_settled(self, order: LoadedOrder) -> None:
        """See BookingObserver."""
        self.settled.append(order.order.state)

    def worker_failed(self, order_id: str, error: BaseException) -> None:
        """See BookingObserver."""
        self.failed.append(type(error).__name__)

    def order_accepted(self, replayed: bool) -> None:
        """See OrdersObserver."""
        self.accepted.append(replayed)

    def order_refused(self, reason: str) -> None:
        """See OrdersObserver."""
        self.refused.append(reason)

    def push_received(self, carrier: str, outcome: str) -> None:
        """See PushObserver."""
        self.pushes.append(f"{carrier} {outcome}")

    def events_kept(self, carrier: str, source: TrackSource, new: int, unknown: int) -> None:
        """See TrackObserver."""
        self.kept.append((source, new, unknown))

    def track_polled(self, carrier: str, outcome: str) -> None:
        """See TrackObserver."""
        self.polls.append(f"{carrier} {outcome}")

    def return_requested(self, reason: ReturnReason, verdict: Verdict) -> None:
        """See ReturnsObserver."""
        self.returns.append(f"{reason} {verdict}")

    def refund_due(self, reason: ReturnReason) -> None:
        """See ReturnsObserver."""
        self.returns.append(f"{reason} REFUND")

    def alert_changed(self, rule: str, carrier: str, change: str) -> None:
        """See StallObserver."""
        self.alerts.append(f"{carrier} {rule} {change}")


class House:
    """One store and one network; `start` is a new engine process on them, `crash` its sudden end."""

    def __init__(self, manifests: Sequence[Manifest], rules: RuleEngine, *, max_open: int, live_prices: bool) -> None:
        self.clock = FakeClock()
        self.network = Network(self.clock)
        self.store = FaultyStore()
        self.heard = Heard()
        self.troubles: list[str] = []
        self.carriers = {m.code: FakeCarrier(m) for m in manifests}
        self.accounts = {f"{m.code}-1": Account(f"{m.code}-1", m.code, m.base_url) for m in manifests}
        self.disabled: set[str] = set()  # accounts that a new engine gives no new bookings
        self.network.ledgers = {m.code: Ledger(m.code, m.booking.repeat) for m in manifests}
        self._rules = rules
        self._max_open = max_open
        self.caps: Sequence[DailyCap] = ()
        self.targets: Mapping[str, int] = {}
        self.weights: Mapping[str, int] = {}
        self.divert_wait_s = 1e9
        self._live_prices = live_prices
        self.stall_rules: Sequence[StallRule] = DEFAULT_STALL_RULES
        self.judge: Judge = Unconditional()
        self._workers: asyncio.Task[None] | None = None
        self.return_rules: ReturnRules = NoReturnRules()

    async def start(self) -> None:
        """A new engine process. Earlier ones must have crashed."""
        self.outbound = Outbound(
            self.accounts,
            self.carriers,
            lambda: self.network,
            self.clock,
            settings=LaneSettings(drain_s=0.0, breaker=BreakerRules(jitter=0.0)),
        )
        await self.outbound.__aenter__()
        self.prices = LivePrices(self.outbound, self.carriers, self.clock, keep_s=3600.0)
        self.capacity = Capacity(Tallies(self.caps), self.clock)
        await self.capacity.restore(self.store, longest_life_s=RULES.give_up_after_s)
        self.router = Router(
            [
                AccountFacts(a, account.carrier, n)
                for n, (a, account) in enumerate(self.accounts.items())
                if a not in self.disabled
            ],
            {code: carrier.manifest for code, carrier in self.carriers.items()},
            self._rules,
            self.prices,
            live_prices=self._live_prices,
            capacity=self.capacity,
            shares=Shares(self.targets),
        )
        self.watch = Watch(self.store)
        ready: asyncio.Future[asyncio.TaskGroup] = asyncio.get_running_loop().create_future()
        self._workers = asyncio.create_task(_hold_group(ready))
        self._connect(await ready, await self.store.next_epoch())

    def _connect(self, group: asyncio.TaskGroup, epoch: int) -> None:
        self.group = group
        self.booker = Booker(
            store=self.store,
            outbound=self.outbound,
            router=self.router,
            carriers=self.carriers,
            clock=self.clock,
            rules=RULES,
            stall_rules=self.stall_rules,
            observer=self.heard,
            standings=Standings(self.outbound, self.capacity, self.clock, divert_wait_s=self.divert_wait_s),
            group=group,
            epoch=epoch,
        )
        self.orders = Orders(
            store=self.store,
            booker=self.booker,
            router=self.router,
            clock=self.clock,
            observer=self.heard,
            max_open=self._max_open,
            weights=self.weights,
        )
        self.stalls = Stalls(
            store=self.store, rules=self.stall_rules, judge=self.judge, clock=self.clock, observer=self.heard
        )
        self.tracks = Tracks(
            store=self.store,
            outbound=self.outbound,
            carriers=self.carriers,
            accounts=self.accounts,
            clock=self.clock,
            observer=self.heard,
            stalls=self.stalls,
        )
        self.returning = Returning(store=self.store, orders=self.orders, clock=self.clock, hand_over_days=14.0)
        self.returns = Returns(
            store=self.store,
            orders=self.orders,
            returning=self.returning,
            rules=self.return_rules,
            clock=self.clock,
            observer=self.heard,
        )
        self.hands = InHand()
        self.poison = Poison(self.store, self.hands)
        self.pushes = Pushes(
            store=self.store,
            booker=self.booker,
            outbound=self.outbound,
            carriers=self.carriers,
            accounts=self.accounts,
            clock=self.clock,
            observer=self.heard,
            tracks=self.tracks,
            poison=self.poison,
        )

    def carry_returns(self) -> None:
        """Run the loop that carries returns on, until the engine ends."""
        self.group.create_task(self.returning.run((TENANT, OTHER_TENANT), self._trouble))

    def follow(self) -> None:
        """Run the loop that asks about parcels that are due, until the engine ends."""
        self.group.create_task(follow(self.store, self.tracks, self.clock, self._trouble))

    def watch_stalls(self) -> None:
        """Run the loop that checks parcels to which nothing happens, until the engine ends."""
        self.group.create_task(self.stalls.run(self._trouble))

    def reconcile(self) -> None:
        """Run the loop that takes up what is due, until the engine ends."""
        self.group.create_task(reconcile(self.store, self.booker, self.clock, self._no_store_errors))

    async def crash(self) -> None:
        """The process is gone: nothing of it goes on, the rows stay."""
        if self._workers is not None:
            self._workers.cancel()
            with suppress(asyncio.CancelledError):
                await self._workers
        await self.returning.aclose()
        await self.outbound.aclose()

    async def run(self, awaitable: Awaitable[T], *, limit_s: float = 600.0) -> T:
        """The result of `awaitable`, with time passing as fast as nothing else is left to do."""
        task = asyncio.ensure_future(awaitable)
        ends = self.clock.monotonic() + limit_s
        while not task.done():
            await turns()
            if task.done():
                break
            wait_s = self.clock.next_in_s
            assert wait_s is not None, "nothing is left that could end the wait"
            assert self.clock.monotonic() + wait_s <= ends, f"not done after {limit_s} s"
            self.clock.advance(wait_s)
        return await task

    async def pass_time(self, seconds: float) -> None:
        """Let everything happen that happens in the next seconds."""
        ends = self.clock.monotonic() + seconds
        await turns()
        while (wait_s := self.clock.next_in_s) is not None and self.clock.monotonic() + wait_s <= ends:
            self.clock.advance(wait_s)
            await turns()
        self.clock.advance(max(0.0, ends - self.clock.monotonic()))
        await turns()

    async def create(self, reference: str = "A1", *, deadline_s: float = 30.0, **fields: Any) -> Created:
        """Create an order and wait for it as a caller would."""
        request_id = fields.pop("request_id", f"request-{reference}")
        made = self.orders.create(TENANT, draft(reference, **fields), request_id=request_id, deadline_s=deadline_s)
        return await self.run(made)

    async def get(self, created: Created | LoadedOrder) -> LoadedOrder:
        """The order as the store has it now."""
        order = created.order.order if isinstance(created, Created) else created.order
        return await self.orders.get(TENANT, order_id=order.order_id)

    async def track(
        self, number: str, *, carrier: str = "alpha", tenant: str = TENANT, max_age_s: float | None = None
    ) -> LoadedTrack:
        """Ask for a parcel as a caller would."""
        key = TrackKey(carrier, number)
        return await self.run(self.tracks.get(tenant, key, max_age_s=max_age_s, deadline_s=30.0))

    async def news(self, tenant: str = TENANT) -> list[NumberedNews]:
        """All news of a tenant's parcels."""
        return await self.store.news_after(tenant, 0, limit=10_000)

    async def events(self) -> list[Event]:
        """All events of the tenant."""
        return await self.store.events_after(TENANT, 0, limit=10_000)

    def _trouble(self, error: Exception) -> None:
        self.troubles.append(type(error).__name__)

    def _no_store_errors(self, error: Exception) -> None:
        raise AssertionError(f"the store failed: {error}")


@asynccontextmanager
async def house(
    *manifests: Manifest,
    rules: RuleEngine | None = None,
    max_open: int = 1000,
    live_prices: bool = False,
    caps: Sequence[DailyCap] = (),
    targets: Mapping[str, int] | None = None,
    weights: Mapping[str, int] | None = None,
    divert_wait_s: float = 1e9,
) -> AsyncIterator[House]:
    """A running core; afterwards the events must have no gap and no order two live bookings."""
    scene = House(manifests, rules or NoRules(), max_open=max_open, live_prices=live_prices)
    scene.caps, scene.targets, scene.divert_wait_s = caps, targets or {}, divert_wait_s
    scene.weights = weights or {}
    await scene.start()
    try:
        yield scene
    finally:
        await scene.crash()
    told = [e for tenant in (TENANT, OTHER_TENANT) for e in await scene.store.events_after(tenant, 0, limit=1_000_000)]
    sequences = sorted(e.sequence for e in told)
    assert sequences == list(range(sequences[0], sequences[-1] + 1)) if sequences else True
    owners = [order_id_of(s.reference) for ledger in scene.network.ledgers.values() for s in ledger.live]
    assert len(owners) == len(set(owners)), "an order has two live bookings"


async def turns(count: int = TURNS) -> None:
    """Let every task run as far as it can without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _hold_group(ready: asyncio.Future[asyncio.TaskGroup]) -> None:
    async with asyncio.TaskGroup() as group:
        ready.set_result(group)
        await asyncio.Event().wait()


def states(loaded: LoadedOrder) -> list[str]:
    """The attempts in short: carrier and state."""
    return [f"{a.carrier} {a.state}" for a in loaded.attempts]
