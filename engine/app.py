"""Puts the engine together and runs it: settings in, a serving process out.

    async with running_engine(settings) as engine:
        await engine.until_stopped()

Stopping has two stages: first health says NOT_SERVING and new calls are refused while those under way end (at most
`server.drain_s`), then workers, lanes and the store close in that order. A second signal skips the waiting; even
then nothing is lost, since every step was durable before it was answered.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.api.convert.return_rules import CelReturnRules
from engine.api.convert.rules import CelRules
from engine.api.convert.stall_rules import CelStallRules
from engine.api.gate import Gate
from engine.api.knock import Knock
from engine.api.labels import LabelServicer
from engine.api.orders import OrderServicer
from engine.api.returns import ReturnServicer
from engine.api.server import GrpcServer
from engine.api.tracks import TrackServicer
from engine.background import count_rows
from engine.clock import Clock, SystemClock
from engine.config import Settings
from engine.core.booker import Booker
from engine.core.capacity import Capacity
from engine.core.following import follow
from engine.core.labels import Labels
from engine.core.orders import Orders
from engine.core.overload import Overload
from engine.core.poison import Poison
from engine.core.policy.admission import Admission
from engine.core.policy.breaker import BreakerRules
from engine.core.policy.brownout import Signals, share_of
from engine.core.pushes import Pushes
from engine.core.quotes import LivePrices
from engine.core.reconcile import housekeeping, keep_rates, reconcile, restore_rates
from engine.core.registry import Registry
from engine.core.returning import Returning
from engine.core.returns import Returns
from engine.core.router import Router
from engine.core.stalling import Stalls
from engine.core.standing import Standings
from engine.core.tracks import Tracks
from engine.core.watch import Watch
from engine.ingress.web import IngressServer, ingress
from engine.lifecycle import one_error_group, patiently
from engine.log import failure_log, logger
from engine.metrics import LaneMetrics, Metrics, StoreMetrics
from engine.outbound import LaneSettings
from engine.outbound.outbound import Outbound
from engine.outbound.transport import TransportSettings
from engine.outbound.transport.pyreqwest import PyreqwestTransport
from engine.store.port import Store
from engine.store.sqlite.store import SqliteStore
from engine.wiring import (
    ANONYMOUS,
    OverloadReport,
    account_facts,
    accounts_of,
    booking_rules,
    brownout_of,
    codec_of,
    failback_of,
    in_hand_of,
    proving_of,
    shares_of,
    split_listen,
    stall_rules_of,
    tallies_of,
    tenants_of,
)


class Engine:
    """One running engine. Build it with `running_engine`."""

    def __init__(self, settings: Settings, registry: Registry, store: Store, metrics: Metrics, clock: Clock) -> None:
        self.settings = settings
        self.store = store
        self.metrics = metrics
        self.clock = clock
        self._registry = registry
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        weights = {t.name: t.weight for t in settings.tenant}
        self.accounts = accounts_of(settings, registry)
        self.outbound = Outbound(
            self.accounts,
            registry.carriers,
            lambda: PyreqwestTransport(
                TransportSettings(
                    connect_timeout_s=settings.outbound.connect_timeout_s,
                    allow_plaintext=settings.outbound.allow_plaintext,
                )
            ),
            clock,
            LaneMetrics(metrics),
            LaneSettings(
                queue_limit=settings.outbound.queue_size,
                # Lanes close last: whoever could use an outcome has ended by then or was cut.
                drain_s=0.0,
                breaker=BreakerRules(open_s=settings.outbound.breaker_open_s),
                failback=failback_of(settings),
                tenant_weights=weights,
            ),
        )
        prices = LivePrices(self.outbound, registry.carriers, clock, keep_s=settings.booking.price_cache_s)
        self.capacity = Capacity(tallies_of(settings), clock)
        self.router = Router(
            account_facts(settings, registry),
            registry.manifests,
            CelRules(settings.rule),
            prices,
            live_prices=settings.booking.live_prices,
            capacity=self.capacity,
            shares=shares_of(settings),
        )
        self._return_rules = CelReturnRules(settings.return_rule)
        rules = stall_rules_of(settings)
        self.admission = Admission(brownout_of(settings), weights)
        self.brownout = self.admission.brownout
        self.stalls = Stalls(store=store, rules=rules, judge=CelStallRules(rules), clock=clock, observer=metrics)
        self.proving = proving_of(settings, registry, store=store, outbound=self.outbound, metrics=metrics, clock=clock)
        self.watch = Watch(store)
        self._tenants = tuple(t.name for t in settings.tenant) or (ANONYMOUS,)
        self.failed = ""
        self.grpc_port = 0
        self.http_port = 0

    def stop(self) -> None:
        """Begin to stop; called again, stop at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def until_stopped(self) -> None:
        """Wait for `stop`."""
        await self._stop.wait()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Everything that runs, started in order and stopped in reverse."""
        settings = self.settings
        epoch = await self.store.next_epoch()
        async with self.outbound, one_error_group() as workers:
            await restore_rates(self.store, self.outbound, self.clock)
            await self.capacity.restore(self.store, longest_life_s=settings.booking.give_up_after_s)
            booker = self._booker(workers, epoch)
            orders = self._orders(booker)
            labels = Labels(
                store=self.store,
                orders=orders,
                outbound=self.outbound,
                manifests=self._registry.manifests,
                clock=self.clock,
                extra_fonts=[Path(font) for font in settings.labels.extra_fonts],
            )
            tracks = Tracks(
                store=self.store,
                outbound=self.outbound,
                carriers=self._registry.carriers,
                accounts=self.accounts,
                clock=self.clock,
                observer=self.metrics,
                stalls=self.stalls,
                brownout=self.brownout,
            )
            pushes = await self._pushes(booker, tracks)
            returning = Returning(
                store=self.store, orders=orders, clock=self.clock, hand_over_days=settings.returns.hand_over_days
            )
            gate = Gate(
                tenants_of(settings),
                self.metrics,
                default_deadline_s=settings.server.default_deadline_s,
                longest_deadline_s=settings.server.longest_deadline_s,
                max_calls=settings.server.max_concurrent_calls,
                admission=self.admission,
                knock=Knock(self.clock) if self.brownout.enabled else None,
            )
            slow_s = settings.server.slow_watcher_s
            grpc_server = GrpcServer(
                settings.server,
                gate,
                OrderServicer(orders, self.watch, stream_window=settings.server.stream_window, slow_reader_s=slow_s),
                LabelServicer(labels),
                TrackServicer(tracks, pushes, self.watch, self._registry.manifests, slow_reader_s=slow_s),
                ReturnServicer(self._returns(orders, returning)),
            )
            web = self._ingress(pushes, gate)
            self._observe(booker, gate)
            await self._listen(grpc_server, web)
            background = self._background(booker, tracks, returning, web, gate)
            logger().info("serving", grpc_port=self.grpc_port, http_port=self.http_port, epoch=epoch)
            try:
                yield
            finally:
                await self._shut_down(grpc_server, booker, returning, web, background)

    async def _listen(self, grpc_server: GrpcServer, web: IngressServer) -> None:
        """Take both ports. Raises OSError naming the setting; then neither is kept."""
        web.listen()
        try:
            await grpc_server.start()
        except OSError:
            web.unlisten()
            await grpc_server.stop(0)
            raise
        self.grpc_port, self.http_port = grpc_server.port, web.port

    def _booker(self, workers: asyncio.TaskGroup, epoch: int) -> Booker:
        return Booker(
            store=self.store,
            outbound=self.outbound,
            router=self.router,
            carriers=self._registry.carriers,
            clock=self.clock,
            rules=booking_rules(self.settings),
            stall_rules=self.stalls.rules,
            observer=self.metrics,
            standings=Standings(
                self.outbound, self.capacity, self.clock, divert_wait_s=self.settings.outbound.divert_wait_s
            ),
            group=workers,
            epoch=epoch,
        )

    def _orders(self, booker: Booker) -> Orders:
        return Orders(
            store=self.store,
            booker=booker,
            router=self.router,
            clock=self.clock,
            observer=self.metrics,
            max_open=self.settings.server.max_open_bookings,
            brownout=self.brownout,
        )

    def _returns(self, orders: Orders, returning: Returning) -> Returns:
        return Returns(
            store=self.store,
            orders=orders,
            returning=returning,
            rules=self._return_rules,
            clock=self.clock,
            observer=self.metrics,
        )

    async def _pushes(self, booker: Booker, tracks: Tracks) -> Pushes:
        poison = Poison(self.store, in_hand_of(self.settings))
        await poison.recall()
        return Pushes(
            store=self.store,
            booker=booker,
            outbound=self.outbound,
            carriers=self._registry.carriers,
            accounts=self.accounts,
            clock=self.clock,
            observer=self.metrics,
            tracks=tracks,
            poison=poison,
        )

    def _ingress(self, pushes: Pushes, gate: Gate) -> IngressServer:
        settings = self.settings.ingress
        app = ingress(
            pushes,
            self.metrics,
            lambda: "draining" if gate.draining else "",
            max_body_bytes=settings.max_body_bytes,
            public_metrics=settings.allow_public_metrics,
        )
        return IngressServer(app, *split_listen(settings.listen))

    def _observe(self, booker: Booker, gate: Gate) -> None:
        def refresh() -> None:
            self.metrics.lane_snapshots(self.outbound.snapshots())
            self.metrics.orders_open().set(booker.open_count)
            self.metrics.watchers().set(self.watch.watcher_count)
            self.metrics.tasks().set(len(asyncio.all_tasks()))
            self.metrics.pressed(self.admission.pressure, gate.waits())

        self.metrics.before_scrape.append(refresh)

    def _background(
        self, booker: Booker, tracks: Tracks, returning: Returning, web: IngressServer, gate: Gate
    ) -> list[asyncio.Task[None]]:
        store, most_open = self.settings.store, self.settings.server.max_open_bookings

        def busy() -> Signals:
            return Signals(
                store_share=self.store.write_load(),
                open_share=share_of(booker.open_count, most_open),
                calls_share=gate.load,
            )

        async def purge() -> object:
            now = self.clock.now()
            events_before = now - timedelta(days=store.keep_events_days)
            await self.store.purge_news(before=events_before)
            return await self.store.purge(
                keys_before=now - timedelta(days=store.keep_keys_days), events_before=events_before
            )

        jobs = (
            web.serve_port(),
            reconcile(self.store, booker, self.clock, failure_log("reconcile")),
            housekeeping(purge, self.clock, failure_log("housekeeping")),
            keep_rates(self.store, self.outbound, self.clock, failure_log("keep_rates")),
            count_rows(self.store, self.metrics, self.stalls.rule_names, self.clock),
            follow(self.store, tracks, self.clock, failure_log("following")),
            returning.run(self._tenants, failure_log("returning")),
            self.stalls.run(failure_log("stall checks")),
            self.proving.run(failure_log("proving")),
            Overload(self.admission, busy, gate.waits, self.clock, OverloadReport(self.metrics)).run(),
            gate.measure(),
        )
        return [asyncio.create_task(self._vital(job)) for job in jobs]

    async def _vital(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a background job; the engine cannot do without any of them, so it ends with the first that fails."""
        try:
            await job
        except Exception as error:
            name = getattr(job, "__qualname__", "a background job")
            logger().error("background job failed", job=name, exc_info=error)
            self.failed = name
            self.stop()

    async def _shut_down(
        self,
        grpc_server: GrpcServer,
        booker: Booker,
        returning: Returning,
        web: IngressServer,
        background: list[asyncio.Task[None]],
    ) -> None:
        drain_s = self.settings.server.drain_s
        ends = self.clock.monotonic() + drain_s
        logger().info("stopping", drain_s=drain_s)
        await grpc_server.drain()
        self.watch.close()
        stopping = asyncio.create_task(grpc_server.stop(drain_s))
        await patiently({stopping}, ends, self._hurry, self.clock)
        if not stopping.done():
            await grpc_server.stop(0)
        serving, *others = background
        for task in others:
            task.cancel()
        web.should_exit = True
        resting = asyncio.create_task(booker.rest())
        await patiently({serving, resting}, ends, self._hurry, self.clock)
        web.force_exit = True
        booker.cut()
        await returning.aclose()
        await asyncio.gather(serving, stopping, resting, *others, return_exceptions=True)


@asynccontextmanager
async def running_engine(
    settings: Settings, registry: Registry, *, clock: Clock | None = None
) -> AsyncIterator[Engine]:
    """Open the store, start everything, and stop it again. Raises ConfigError, StoreUnsafe, OSError."""
    metrics = Metrics()
    store = await SqliteStore.open(
        settings.store.path,
        cache_mib=settings.store.cache_mib,
        codec=codec_of(settings),
        observer=StoreMetrics(metrics),
    )
    try:
        engine = Engine(settings, registry, store, metrics, clock or SystemClock())
        async with engine.serving():
            yield engine
    finally:
        await store.aclose()


async def serve(settings: Settings, registry: Registry, ready: Callable[[Engine], None]) -> None:
    """Run until SIGTERM or SIGINT; a second one stops at once."""
    async with running_engine(settings, registry) as engine:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, engine.stop)
        ready(engine)
        await engine.until_stopped()
        if engine.failed:
            raise OSError(f"the engine stopped because {engine.failed} failed; its log tells why")
