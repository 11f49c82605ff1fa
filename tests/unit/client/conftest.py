"""Client tests: no variables of ours, a scripted engine on loopback, a fake clock."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from crossdock import Client
from crossdock.retry import Pace
from tests.unit.client.twin import FakeTime, Twin, start


@pytest.fixture
def anyio_backend() -> str:
    """grpc.aio runs on asyncio only."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSDOCK_SERVER", raising=False)
    monkeypatch.delenv("CROSSDOCK_API_KEY", raising=False)


@pytest.fixture
def fake_time() -> FakeTime:
    """The client's clock."""
    return FakeTime()


@pytest.fixture
def pace(fake_time: FakeTime) -> Pace:
    """Fake waiting and time; chance is always one half."""
    return Pace(sleep=fake_time.sleep, monotonic_s=fake_time.monotonic_s, chance=lambda: 0.5)


@pytest.fixture
def twin() -> Twin:
    """The engine's script and record."""
    return Twin()


@pytest.fixture
async def server(twin: Twin) -> AsyncIterator[str]:
    """The address of the running twin."""
    running, address = await start(twin)
    yield address
    await running.stop(None)


@pytest.fixture
async def client(server: str, pace: Pace) -> AsyncIterator[Client]:
    """An open client of the twin."""
    async with Client(server, api_key="key-1", pace=pace) as opened:
        yield opened
