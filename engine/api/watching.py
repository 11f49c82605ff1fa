"""How a server stream tells a watcher: one message at a time, and not to a reader that has stopped reading."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from engine.core.errors import WatcherTooSlow

SLOW_READER_S = 60.0
"""A watcher whose connection takes nothing for so long is cut; it resumes from its cursor."""


async def tell(context: grpc.aio.ServicerContext[Any, Any], message: Any, *, cursor: str, slow_reader_s: float) -> None:
    """Write one message. Raises WatcherTooSlow with `cursor`, that of the message before it."""
    try:
        async with asyncio.timeout(slow_reader_s):
            await context.write(message)
    except TimeoutError as error:
        raise WatcherTooSlow(cursor) from error
