"""Equal queries under way share one call: which jobs can be joined."""

from __future__ import annotations

from engine.outbound.job import Job
from engine.outbound.operations import COALESCED


class SharedJobs:
    """Jobs of read-only operations by (operation, item).

    Items that cannot be keys are not shared.
    """

    __slots__ = ("_jobs",)

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, object], Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def find(self, operation: str, item: object) -> Job | None:
        """The job that already asks for this, waiting or under way."""
        if operation not in COALESCED:
            return None
        try:
            return self._jobs.get((operation, item))
        except TypeError:
            return None

    def add(self, operation: str, job: Job) -> None:
        """Let others join; a job that replaces one whose call ends too early takes its place."""
        if operation not in COALESCED:
            return
        try:
            self._jobs[operation, job.item] = job
        except TypeError:
            return

    def remove(self, operation: str, job: Job) -> None:
        """The job is done or was taken back."""
        if self.find(operation, job.item) is job:
            del self._jobs[operation, job.item]
