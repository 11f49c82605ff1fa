"""What an engine consists of, built from its settings. Nothing runs and nothing listens here; see app.py for that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from engine.api.gate import Gate
from engine.api.knock import Knock
from engine.api.labels import LabelServicer
from engine.api.orders import OrderServicer
from engine.api.returns import ReturnServicer
from engine.api.server import GrpcServer
from engine.api.tracks import TrackServicer
from engine.clock import Clock
from engine.config import Settings
from engine.core.booker import Booker
from engine.core.capacity import Capacity
from engine.core.labels import Labels
from engine.core.orders import Orders
from engine.core.poison import Poison
from engine.core.policy.admission import Admission
from engine.core.policy.breaker import BreakerRules
from engine.core.pushes import Pushes
from engine.core.quotes import LivePrices
from engine.core.registry import Registry
from engine.core.returning import Returning
from engine.core.returns import Returns
from engine.core.router import Router
from engine.core.stalling import Stalls
from engine.core.standing import Standings
from engine.core.tracks import Tracks
from engine.core.watch import Watch
from engine.ingress.web import IngressServer, ingress
from engine.metrics import LaneMetrics, Metrics
from engine.outbound import LaneSettings
from engine.outbound.outbound import Outbound
from engine.outbound.transport import TransportSettings
from engine.outbound.transport.pyreqwest import PyreqwestTransport
from engine.startup import prepare
from engine.store.port import Store
from engine.wiring import (
    ANONYMOUS,
    account_facts,
    booking_rules,
    brownout_of,
    failback_of,
    in_hand_of,
    proving_of,
    shares_of,
    split_listen,
    tallies_of,
)


class Parts:
    """What is there before the store has said who holds it: lanes, routing, and what decides for all callers.

    Raises ConfigError.
    """

    def __init__(self, settings: Settings, registry: Registry, store: Store, metrics: Metrics, clock: Clock) -> None:
        self.settings = settings
        self.registry = registry
        self.store = store
        self.metrics = metrics
        metrics.expect_orders_of({a.carrier for a in settings.account})
        self.clock = clock
        ready = prepare(settings, registry)
        weights = {t.name: t.weight for t in settings.tenant}
        self.weights = weights
        self.callers = ready.tenants
        self.tenants = tuple(t.name for t in settings.tenant) or (ANONYMOUS,)
        self.accounts = ready.accounts
        self.outbound = self._outbound(weights)
        prices = LivePrices(self.outbound, registry.carriers, clock, keep_s=settings.booking.price_cache_s)
        self.capacity = Capacity(tallies_of(settings), clock)
        self.router = Router(
            account_facts(settings, registry),
            registry.manifests,
            ready.rules,
            prices,
            live_prices=settings.booking.live_prices,
            capacity=self.capacity,
            shares=shares_of(settings),
        )
        self.return_rules = ready.return_rules
        self.admission = Admission(brownout_of(settings), weights)
        self.brownout = self.admission.brownout
        self.stalls = Stalls(
            store=store, rules=ready.stall_rules, judge=ready.stall_conditions, clock=clock, observer=metrics
        )
        self.proving = proving_of(settings, registry, store=store, outbound=self.outbound, metrics=metrics, clock=clock)
        self.watch = Watch(store)

    def _outbound(self, weights: dict[str, int]) -> Outbound:
        given = self.settings.outbound
        return Outbound(
            self.accounts,
            self.registry.carriers,
            lambda: PyreqwestTransport(
                TransportSettings(connect_timeout_s=given.connect_timeout_s, allow_plaintext=given.allow_plaintext)
            ),
            self.clock,
            LaneMetrics(self.metrics),
            LaneSettings(
                queue_size=given.queue_size,
                # Lanes close last: whoever could use an outcome has ended by then or was cut.
                drain_s=0.0,
                breaker=BreakerRules(open_s=given.breaker_open_s),
                failback=failback_of(self.settings),
                tenant_weights=weights,
            ),
        )


class Rooms(msgspec.Struct, frozen=True):
    """The use cases and the doors to them, of one engine that holds the store."""

    booker: Booker
    tracks: Tracks
    returning: Returning
    gate: Gate
    grpc: GrpcServer
    web: IngressServer


async def furnish(parts: Parts, workers: asyncio.TaskGroup, epoch: int) -> Rooms:
    """Build them. `workers`: where bookings run; `epoch`: this engine's number at the store."""
    settings = parts.settings
    booker = _booker(parts, workers, epoch)
    orders = Orders(
        store=parts.store,
        booker=booker,
        router=parts.router,
        clock=parts.clock,
        observer=parts.metrics,
        max_open=settings.server.max_open_bookings,
        weights=parts.weights,
        brownout=parts.brownout,
    )
    tracks = Tracks(
        store=parts.store,
        outbound=parts.outbound,
        carriers=parts.registry.carriers,
        accounts=parts.accounts,
        clock=parts.clock,
        observer=parts.metrics,
        stalls=parts.stalls,
        brownout=parts.brownout,
    )
    pushes = await _pushes(parts, booker, tracks)
    returning = Returning(
        store=parts.store, orders=orders, clock=parts.clock, hand_over_days=settings.returns.hand_over_days
    )
    gate = _gate(parts)
    slow_s = settings.server.slow_watcher_s
    grpc = GrpcServer(
        settings.server,
        gate,
        OrderServicer(orders, parts.watch, stream_window=settings.server.stream_window, slow_reader_s=slow_s),
        LabelServicer(_labels(parts, orders)),
        TrackServicer(tracks, pushes, parts.watch, parts.registry.manifests, slow_reader_s=slow_s),
        ReturnServicer(_returns(parts, orders, returning)),
    )
    return Rooms(booker, tracks, returning, gate, grpc, _web(parts, pushes, gate))


def _booker(parts: Parts, workers: asyncio.TaskGroup, epoch: int) -> Booker:
    divert_wait_s = parts.settings.outbound.divert_wait_s
    return Booker(
        store=parts.store,
        outbound=parts.outbound,
        router=parts.router,
        carriers=parts.registry.carriers,
        clock=parts.clock,
        rules=booking_rules(parts.settings),
        stall_rules=parts.stalls.rules,
        observer=parts.metrics,
        standings=Standings(parts.outbound, parts.capacity, parts.clock, divert_wait_s=divert_wait_s),
        group=workers,
        epoch=epoch,
    )


def _labels(parts: Parts, orders: Orders) -> Labels:
    return Labels(
        store=parts.store,
        orders=orders,
        outbound=parts.outbound,
        manifests=parts.registry.manifests,
        clock=parts.clock,
        extra_fonts=[Path(font) for font in parts.settings.labels.extra_fonts],
    )


def _returns(parts: Parts, orders: Orders, returning: Returning) -> Returns:
    return Returns(
        store=parts.store,
        orders=orders,
        returning=returning,
        rules=parts.return_rules,
        clock=parts.clock,
        observer=parts.metrics,
    )


async def _pushes(parts: Parts, booker: Booker, tracks: Tracks) -> Pushes:
    poison = Poison(parts.store, in_hand_of(parts.settings))
    await poison.recall()
    return Pushes(
        store=parts.store,
        booker=booker,
        outbound=parts.outbound,
        carriers=parts.registry.carriers,
        accounts=parts.accounts,
        clock=parts.clock,
        observer=parts.metrics,
        tracks=tracks,
        poison=poison,
    )


def _gate(parts: Parts) -> Gate:
    server = parts.settings.server
    return Gate(
        parts.callers,
        parts.metrics,
        default_deadline_s=server.default_deadline_s,
        longest_deadline_s=server.longest_deadline_s,
        max_calls=server.max_concurrent_calls,
        admission=parts.admission,
        knock=Knock(parts.clock) if parts.brownout.enabled else None,
    )


def _web(parts: Parts, pushes: Pushes, gate: Gate) -> IngressServer:
    given = parts.settings.ingress
    app = ingress(
        pushes,
        parts.metrics,
        lambda: "draining" if gate.draining else "",
        max_body_bytes=given.max_body_bytes,
        public_metrics=given.allow_public_metrics,
    )
    return IngressServer(app, *split_listen(given.listen))
