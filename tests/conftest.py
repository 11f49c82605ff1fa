"""Holds for every test: the developer's settings do not reach it, and async tests run on asyncio as the engine does."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CROSSDOCK_…` variables of the shell would overlay the settings under test."""
    for name in [name for name in os.environ if name.startswith("CROSSDOCK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def anyio_backend() -> str:
    """The engine's event loop; trio is not served."""
    return "asyncio"
