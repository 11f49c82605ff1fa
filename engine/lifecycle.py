"""How a process of ours waits for its tasks, and how their errors come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from engine.clock import Clock


async def patiently(jobs: set[asyncio.Task[None]], ends: float, hurry: asyncio.Event, clock: Clock) -> None:
    """Wait for `jobs`, but no longer than until `ends` (monotonic) or until told to hurry."""
    hurried = asyncio.create_task(hurry.wait())
    waiting: set[asyncio.Task[Any]] = {*jobs}
    while waiting and not hurried.done() and (left_s := ends - clock.monotonic()) > 0:
        await asyncio.wait({*waiting, hurried}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        waiting = {job for job in waiting if not job.done()}
    hurried.cancel()


@asynccontextmanager
async def one_error_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group from which the one error of its body comes out as it is, so that callers can catch it by type."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        if len(failed.exceptions) == 1:
            raise failed.exceptions[0] from None
        raise
