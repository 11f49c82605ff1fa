"""Runs an engine: settings in, a serving process out.

    async with running_engine(settings) as engine:
        await engine.until_stopped()

Stopping has two stages: first health says NOT_SERVING and new calls are refused while those under way end (at most
`server.drain_s`), then workers, lanes and the store close in that order. A second signal skips the waiting; even
then nothing is lost, since every step was durable before it was answered.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from engine.background import jobs_of
from engine.clock import Clock, SystemClock
from engine.config import Settings
from engine.core.reconcile import restore_rates
from engine.core.registry import Registry
from engine.lifecycle import one_error_group, patiently
from engine.log import logger
from engine.metrics import Metrics, StoreMetrics
from engine.parts import Parts, Rooms, furnish
from engine.store.sqlite.store import SqliteStore
from engine.wiring import codec_of


class EngineFailed(Exception):
    """A job that the engine cannot do without has failed, so it stopped by itself."""


class Engine:
    """One running engine. Build it with `running_engine`."""

    def __init__(self, parts: Parts, settings_file: str = "") -> None:
        self.parts = parts
        self._settings_file = settings_file
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
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
        parts = self.parts
        epoch = await parts.store.next_epoch()
        async with parts.outbound, one_error_group() as workers:
            await restore_rates(parts.store, parts.outbound, parts.clock)
            await parts.capacity.restore(parts.store, longest_life_s=parts.settings.booking.give_up_after_s)
            rooms = await furnish(parts, workers, epoch)
            self._observe(rooms)
            await self._listen(rooms)
            web = asyncio.create_task(self._vital(rooms.web.serve_port()))
            jobs = [asyncio.create_task(self._vital(job)) for job in jobs_of(parts, rooms)]
            logger().info(
                "serving",
                grpc_port=self.grpc_port,
                http_port=self.http_port,
                epoch=epoch,
                settings=self._settings_file or "defaults",
            )
            try:
                yield
            finally:
                await self._shut_down(rooms, web, jobs)

    async def _listen(self, rooms: Rooms) -> None:
        """Take both ports. Raises OSError naming the setting; then neither is kept."""
        rooms.web.listen()
        try:
            await rooms.grpc.start()
        except OSError:
            rooms.web.unlisten()
            await rooms.grpc.stop(0)
            raise
        self.grpc_port, self.http_port = rooms.grpc.port, rooms.web.port

    def _observe(self, rooms: Rooms) -> None:
        parts, metrics = self.parts, self.parts.metrics

        def refresh() -> None:
            metrics.lane_snapshots(parts.outbound.snapshots())
            metrics.orders_open().set(rooms.booker.open_count)
            metrics.watchers().set(parts.watch.watcher_count)
            metrics.tasks().set(len(asyncio.all_tasks()))
            metrics.pressed(parts.admission.pressure, rooms.gate.waits())

        metrics.before_scrape.append(refresh)

    async def _vital(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a background job; the engine cannot do without any of them, so it ends with the first that fails."""
        try:
            await job
        except Exception as error:
            name = getattr(job, "__qualname__", "a background job")
            logger().error("background job failed", job=name, exc_info=error)
            self.failed = name
            self.stop()

    async def _shut_down(self, rooms: Rooms, web: asyncio.Task[None], jobs: Sequence[asyncio.Task[None]]) -> None:
        clock, drain_s = self.parts.clock, self.parts.settings.server.drain_s
        ends = clock.monotonic() + drain_s
        logger().info("stopping", drain_s=drain_s)
        await rooms.grpc.drain()
        self.parts.watch.close()
        stopping = asyncio.create_task(rooms.grpc.stop(drain_s))
        await patiently({stopping}, ends, self._hurry, clock)
        if not stopping.done():
            await rooms.grpc.stop(0)
        for job in jobs:
            job.cancel()
        rooms.web.should_exit = True
        resting = asyncio.create_task(rooms.booker.rest())
        await patiently({web, resting}, ends, self._hurry, clock)
        rooms.web.force_exit = True
        rooms.booker.cut()
        await rooms.returning.aclose()
        await asyncio.gather(web, stopping, resting, *jobs, return_exceptions=True)


@asynccontextmanager
async def running_engine(
    settings: Settings, registry: Registry, *, clock: Clock | None = None, settings_file: str = ""
) -> AsyncIterator[Engine]:
    """Open the store, start everything, and stop it again. Raises ConfigError, StoreUnsafe, OSError.

    settings_file: where the settings come from, for the log.
    """
    metrics = Metrics()
    store = await SqliteStore.open(
        settings.store.path,
        cache_mib=settings.store.cache_mib,
        codec=codec_of(settings),
        observer=StoreMetrics(metrics),
    )
    try:
        engine = Engine(Parts(settings, registry, store, metrics, clock or SystemClock()), settings_file)
        async with engine.serving():
            yield engine
    finally:
        await store.aclose()


async def serve(
    settings: Settings, registry: Registry, ready: Callable[[Engine], None], *, settings_file: str = ""
) -> None:
    """Run until SIGTERM or SIGINT; a second one stops at once. Raises EngineFailed, and as `running_engine`."""
    async with running_engine(settings, registry, settings_file=settings_file) as engine:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, engine.stop)
        ready(engine)
        await engine.until_stopped()
        if engine.failed:
            raise EngineFailed(f"the engine stopped because {engine.failed} failed; its log tells why")
