"""One run from the open file to results.csv: send, follow, print, write. Results are written however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from engine.cli.ship.channel import Endpoint, Stubs, open_channel, stubs
from engine.cli.ship.columns import ColumnMapping, Layout, read_header
from engine.cli.ship.desk import Desk
from engine.cli.ship.following import Follower, mark_open
from engine.cli.ship.labelling import LabelFiles, Labeller
from engine.cli.ship.orders import OrderReader
from engine.cli.ship.problems import Interrupted, ShipError
from engine.cli.ship.progress import Progress
from engine.cli.ship.reading import Row, check_encoding, detect_encoding, read_rows
from engine.cli.ship.results import write_results
from engine.cli.ship.screen import Screen
from engine.cli.ship.shipping import Shipper
from engine.cli.ship.summary import Summary, summarise
from engine.cli.signals import stoppable
from engine.clock import Clock

RESULTS_NAME = "results.csv"
SANDBOX_NAME = "sandbox"
TICK_S = 1.0


class Settings(msgspec.Struct, frozen=True):
    """What was asked for. `endpoint` None means the sandbox."""

    folder: Path
    endpoint: Endpoint | None
    retry_failed: bool = False
    label_size: str = "100x150"
    label_format: str = "pdf"
    reconnect_s: float = 60.0
    first_connect_s: float = 10.0
    follow_s: float = 90.0


class OrderFile(msgspec.Struct, frozen=True):
    """An order file that has been opened and whose header has been understood."""

    encoding: str
    layout: Layout
    reader: OrderReader
    rows: Iterator[Row]


def open_file(path: Path, mapping: ColumnMapping, encoding: str = "") -> OrderFile:
    """Check the encoding, read the header. Raises ShipError before anything is sent."""
    named = encoding or mapping.encoding
    found = check_encoding(path, named) if named else detect_encoding(path)
    rows = read_rows(path, found)
    layout = read_header(next(rows).cells, mapping)
    return OrderFile(found, layout, OrderReader(layout, mapping), rows)


class Run:
    """One run over one file."""

    def __init__(self, file: OrderFile, settings: Settings, progress: Progress, clock: Clock, screen: Screen) -> None:
        self._file = file
        self._settings = settings
        self._progress = progress
        self._clock = clock
        self._screen = screen
        self._desk = Desk(file.rows, file.reader, progress, retry_failed=settings.retry_failed)
        self._started_s = clock.monotonic()
        self._sending_from_s = self._sending_s = 0.0
        self._phase = "starting"
        self._labels = LabelFiles()

    async def run(self) -> Summary:
        """Ship the file. ShipError and signals end it early; results.csv and the summary come all the same."""
        stop: ShipError | None = None
        ticker = asyncio.create_task(self._tick())
        try:
            with self._screen.context():
                async with stoppable() as stopped:
                    await self._ship()
            if stopped:
                stop = Interrupted("stopped by a signal; run the same command again: nothing is booked twice")
        except ShipError as error:
            stop = error
        finally:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
        if stop is not None:
            self._desk.give_up()
            mark_open(self._desk)
        results_file = self._settings.folder / RESULTS_NAME
        write_results(results_file, (self._desk.results[line] for line in sorted(self._desk.results)))
        return summarise(
            self._desk,
            self._labels,
            stop=stop,
            sending_s=self._sending_s,
            total_s=self._clock.monotonic() - self._started_s,
            encoding=self._file.encoding,
            ignored_columns=self._file.layout.unknown,
            results_file=results_file,
        )

    async def _ship(self) -> None:
        async with self._endpoint() as to, open_channel(to) as channel:
            services = stubs(channel)
            await self._send(services, to)
            settings, desk, reader = self._settings, self._desk, self._file.reader
            self._phase = "waiting for open orders"
            await Follower(desk, reader, services, to, self._clock, patience_s=settings.follow_s).run()
            labeller = Labeller(
                desk,
                reader,
                services,
                to,
                self._clock,
                settings.folder,
                size=settings.label_size,
                format=settings.label_format,
                retry_s=settings.reconnect_s,
            )
            self._phase = "fetching labels"
            self._labels = await labeller.run()

    async def _send(self, services: Stubs, to: Endpoint) -> None:
        settings = self._settings
        shipper = Shipper(
            self._desk,
            services,
            to,
            self._clock,
            reconnect_s=settings.reconnect_s,
            first_connect_s=settings.first_connect_s,
        )
        self._phase, self._sending_from_s = "shipping", self._clock.monotonic()
        try:
            await shipper.run()
        finally:
            self._sending_s = self._clock.monotonic() - self._sending_from_s
            self._sending_from_s = 0.0

    @asynccontextmanager
    async def _endpoint(self) -> AsyncIterator[Endpoint]:
        if self._settings.endpoint is not None:
            yield self._settings.endpoint
            return
        from engine.cli.sandbox import running_sandbox

        async with AsyncExitStack() as stack:
            try:
                folder = self._settings.folder.resolve() / SANDBOX_NAME
                sandbox = await stack.enter_async_context(running_sandbox(folder))
            except RuntimeError as error:
                raise Interrupted(f"--sandbox: {error}") from error
            yield Endpoint(sandbox.server, is_plaintext=True)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await asyncio.to_thread(self._progress.sync)
            now_s = self._clock.monotonic()
            sending_s = now_s - self._sending_from_s if self._sending_from_s else self._sending_s
            self._screen.tick(self._phase, self._desk, now_s=now_s, sending_s=sending_s)
