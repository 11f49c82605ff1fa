"""An engine's twin on loopback, and whole runs against it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from engine.cli.ship.channel import Endpoint
from engine.cli.ship.columns import DEFAULT_MAPPING
from engine.cli.ship.progress import Progress, locked
from engine.cli.ship.run import Run, Settings, open_file
from engine.cli.ship.screen import Screen
from engine.cli.ship.summary import Summary
from tests.unit.cli.ship.engine_twin import EngineTwin, RunningTwin
from tests.unit.cli.ship.support import HurryingClock, write_orders


@pytest.fixture
def engine() -> Iterator[RunningTwin]:
    """A twin that listens."""
    running = RunningTwin(EngineTwin())
    yield running
    running.stop()


@pytest.fixture
def ship_rows(tmp_path: Path, engine: RunningTwin) -> Callable[..., Summary]:
    """Ships rows into `tmp_path` through one whole run."""

    def ship(rows: Sequence[Sequence[str]], *, server: str = "", **settings: object) -> Summary:
        path = write_orders(tmp_path / "orders.csv", rows)
        to = Endpoint(server or engine.server, is_plaintext=True)
        progress = Progress.open(tmp_path, "test")
        try:
            with locked(tmp_path), asyncio.Runner() as runner:
                made = Settings(tmp_path, to, **settings)  # type: ignore[arg-type]  # the test names real fields
                run = Run(open_file(path, DEFAULT_MAPPING), made, progress, HurryingClock(), Screen())
                return runner.run(run.run())
        finally:
            progress.close()

    return ship
