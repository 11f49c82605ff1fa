"""The memory store with faults that a test orders."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from engine.core.policy.records import OrderRecord
from engine.core.policy.return_records import ReturnRecord
from engine.core.policy.track_records import TrackRecord
from engine.store.memory import MemoryStore
from engine.store.port import Change
from engine.store.return_port import ReturnFilter
from engine.store.track_port import CLAIM_LEASE_S, TrackChange


class FaultyStore(MemoryStore):
    """Fails the next commits of tracks with `track_faults`, in order, the next commits of orders with `commit_faults`,
    the next claims of checks with `check_faults`, the next listings of returns with `return_faults`.

    Nothing of those is written. track_commits: how many were tried.
    """

    def __init__(self) -> None:
        super().__init__()
        self.track_faults: deque[Exception] = deque()
        self.commit_faults: deque[Exception] = deque()
        self.check_faults: deque[Exception] = deque()
        self.return_faults: deque[Exception] = deque()
        self.track_commits = 0

    async def commit(self, change: Change) -> OrderRecord:
        """See Store."""
        if self.commit_faults:
            raise self.commit_faults.popleft()
        return await super().commit(change)

    async def claim_due_checks(self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S) -> list[TrackRecord]:
        """See TrackStore."""
        if self.check_faults:
            raise self.check_faults.popleft()
        return await super().claim_due_checks(now, limit=limit, lease_s=lease_s)

    async def commit_track(self, change: TrackChange) -> TrackRecord:
        """See TrackStore."""
        self.track_commits += 1
        if self.track_faults:
            raise self.track_faults.popleft()
        return await super().commit_track(change)

    async def list_returns(
        self, tenant: str, return_filter: ReturnFilter, *, after: str, limit: int, whole: bool = False
    ) -> list[ReturnRecord]:
        """See ReturnStore."""
        if self.return_faults:
            raise self.return_faults.popleft()
        return await super().list_returns(tenant, return_filter, after=after, limit=limit, whole=whole)
