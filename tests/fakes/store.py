"""The memory store with faults that a test orders."""

from __future__ import annotations

from collections import deque

from engine.core.policy.records import OrderRecord
from engine.core.policy.track_records import TrackRecord
from engine.store.memory import MemoryStore
from engine.store.port import Change
from engine.store.track_port import TrackChange


class FaultyStore(MemoryStore):
    """Fails the next commits of tracks with `track_faults`, in order, the next commits of orders with `commit_faults`.

    Nothing of those is written. track_commits: how many were tried.
    """

    def __init__(self) -> None:
        super().__init__()
        self.track_faults: deque[Exception] = deque()
        self.commit_faults: deque[Exception] = deque()
        self.track_commits = 0

    async def commit(self, change: Change) -> OrderRecord:
        """See Store."""
        if self.commit_faults:
            raise self.commit_faults.popleft()
        return await super().commit(change)

    async def commit_track(self, change: TrackChange) -> TrackRecord:
        """See TrackStore."""
        self.track_commits += 1
        if self.track_faults:
            raise self.track_faults.popleft()
        return await super().commit_track(change)
