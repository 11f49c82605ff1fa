"""Async tests here run on asyncio, as the engine does."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The engine's event loop; trio is not served."""
    return "asyncio"
