"""An engine with its carriers for every test that wants one: one world a file, its loop kept open as long."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.world import World, running_world


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """asyncio, chosen for a whole file so that its world can live in one event loop."""
    return "asyncio"


@pytest.fixture(scope="module")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An engine on a fresh store with simulated carriers. Tests of a file share it: they use
    references of their own and undo the faults they set."""
    async with running_world(tmp_path_factory.mktemp("world")) as world:
        yield world
