"""One operation inside a lane: its waiting jobs, its rate, its batch rules. Decides; starts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from crossdock_sdk import Limit, Manifest
from engine.clock import Clock
from engine.core.policy.batching import NEVER, BatchRules, due_in_s
from engine.core.policy.rate import Gcra, GcraState
from engine.outbound.job import NO_WEIGHTS, FairQueue, Job
from engine.outbound.operations import CLASS_OF, OperationClass, Priority
from engine.outbound.settings import LaneSettings
from engine.outbound.turns import Turns

_SMOOTHING = 0.1  # weight of the newest call in the mean duration


class OperationQueue:
    """What waits for one operation of one account, and when its next call may go."""

    __slots__ = (
        "_earliest", "_full", "_held_since", "_newest", "_oldest", "in_flight", "jobs",
        "limit", "mean_s", "operation", "promised", "rate", "rules",
    )  # fmt: skip

    def __init__(
        self,
        operation: str,
        limit: Limit,
        *,
        batch_wait_s: float,
        least_time_s: float,
        weights: Mapping[str, int] = NO_WEIGHTS,
    ) -> None:
        self.operation = operation
        self.limit = limit
        self.rate = Gcra(limit.rate_per_s, limit.burst)
        self.jobs = FairQueue(weights)
        self.in_flight = 0
        self.promised = 0  # items decided for this queue, on their way to it
        self.mean_s = 0.0
        self.rules = BatchRules(
            size=limit.batch,
            max_wait_s=batch_wait_s,
            quiet_s=batch_wait_s / 2,
            longest_s=batch_wait_s * 5,
            margin_s=least_time_s + min(1.0, limit.timeout_s / 2),
        )
        self._earliest = NEVER
        self._oldest = NEVER
        self._newest = NEVER
        self._full = -NEVER  # when the last full call left
        self._held_since = NEVER

    def push(self, job: Job) -> None:
        """Queue a job."""
        if not self.jobs:
            self._earliest, self._oldest = NEVER, job.queued_at
            self._held_since = NEVER
        self._earliest = min(self._earliest, job.deadline)
        self._newest = job.queued_at
        self.jobs.push(job)

    def take_batch(self, now: float) -> list[Job]:
        """The jobs of the next call; the caller has made sure that the queue is ready."""
        count = min(len(self.jobs), self.limit.batch)
        jobs = self._take_apart(count) if self.jobs.alone else [self.jobs.pop() for _ in range(count)]
        if len(jobs) == self.limit.batch:
            self._full = now
        if 0 < len(self.jobs) < self.limit.batch:
            # Those left behind wait for company from now on, but for nobody's deadline.
            self._oldest = now
            self._earliest = min(job.deadline for job in self.jobs)
        return jobs

    def _take_apart(self, count: int) -> list[Job]:
        """At most `count`, of which none wants a call to itself; or one."""
        jobs = [self.jobs.pop()]
        while not jobs[0].is_alone and len(jobs) < count:
            head = self.jobs.head()
            if head is None or head.is_alone:
                break
            jobs.append(self.jobs.pop())
        return jobs

    def ready_in_s(self, now: float) -> float:
        """Seconds until the next call may go; NEVER = nothing waits or no slot is free."""
        count = len(self.jobs)
        if not count or self.in_flight >= self.limit.concurrency:
            return NEVER
        if self.jobs.alone:
            return self.rate.wait_s(now)
        due = due_in_s(
            self.rules,
            count=count,
            oldest_s=self._oldest,
            newest_s=self._newest,
            deadline_s=self._earliest,
            now=now,
            full_s=self._full,
        )
        return max(due, self.rate.wait_s(now))

    def note_hold(self, now: float) -> None:
        """Remember since when the rate holds back its next call."""
        if self.jobs and self._held_since == NEVER and self.rate.wait_s(now) > 0:
            self._held_since = now

    def held_s(self, now: float) -> float:
        """How long the rate has held back the call that goes now; told once a call."""
        since, self._held_since = self._held_since, NEVER
        return max(0.0, now - since)

    def calls_ahead(self, priority: Priority, tenant: str | None = None) -> int:
        """Calls that go before a new job of `priority`, its batch-mates' call not counted."""
        return self.jobs.ahead_of(priority, tenant) // self.limit.batch

    def rate_wait_s(self, now: float, priority: Priority, tenant: str | None = None) -> float:
        """How long the rate alone holds back a new job of `priority`.

        Exact unless the rate learns.
        """
        ahead = 0 if self.rate.rate_per_s is None else self.calls_ahead(priority, tenant)
        return self.rate.wait_s(now, ahead)

    def work_before_s(self, other: OperationQueue, priority: Priority, tenant: str | None) -> float:
        """Seconds that the calls will take that go before a new item of another queue of the lane; an estimate."""
        batch, turns = self.limit.batch, None
        if tenant is not None:
            turns = ceil(other.jobs.turns_to(priority, tenant) / other.limit.batch) * batch
        return self.mean_s * ceil(self.jobs.ahead_of(priority, tenant, turns) / batch)

    def expected_wait_s(
        self, now: float, priority: Priority, tenant: str | None, *, busy: int, slots: int, others_s: float = 0.0
    ) -> float:
        """Seconds until a new item would go: by the rate (exact), by the slots (an estimate).

        busy: calls under way in the lane, of which `slots` may be. What is promised counts as waiting.
        others_s: what the lane's other queues will do before.
        """
        coming = self.promised // self.limit.batch
        ahead = coming + self.calls_ahead(priority, tenant)
        wait_s = self.rate.wait_s(now, ahead)
        if busy + coming >= slots or self.in_flight + coming >= self.limit.concurrency:
            slot_s = self.mean_s * (ahead + 1) / min(slots, self.limit.concurrency)
            if busy + coming >= slots:
                slot_s += others_s / slots
            wait_s = max(wait_s, slot_s)
        return wait_s

    def took(self, seconds: float) -> None:
        """Remember how long a call took."""
        self.mean_s += (seconds - self.mean_s) * (_SMOOTHING if self.mean_s else 1.0)


class Rates:
    """What the rates of a lane remember over a restart. By operation; times are monotonic seconds."""

    __slots__ = ("_clock", "_queues")

    def __init__(self, queues: Mapping[str, OperationQueue], clock: Clock) -> None:
        self._queues = queues
        self._clock = clock

    def states(self) -> dict[str, GcraState]:
        """What to save."""
        now = self._clock.monotonic()
        return {name: queue.rate.state(now) for name, queue in self._queues.items()}

    def restore(self, states: Mapping[str, GcraState], *, elapsed_s: float) -> None:
        """Go on from `states`, saved `elapsed_s` ago by the wall clock."""
        now = self._clock.monotonic()
        for name, state in states.items():
            if name in self._queues:
                self._queues[name].rate.restore(state, now, elapsed_s=elapsed_s)

    def spend_bursts(self, at: float) -> None:
        """As if every operation had sent a burst then."""
        for queue in self._queues.values():
            queue.rate.spend_burst(at)


def queues_of(operation_class: OperationClass, manifest: Manifest, settings: LaneSettings) -> dict[str, OperationQueue]:
    """The queues of a carrier's operations of one class.

    Signing in has none: it is part of a call.
    """
    return {
        name: OperationQueue(
            name,
            manifest.limit(name),
            batch_wait_s=settings.batch_wait_s,
            least_time_s=settings.least_time_s,
            weights=settings.tenant_weights,
        )
        for name in manifest.operations
        if CLASS_OF.get(name) is operation_class and name != "sign_in"
    }


def next_queue(queues: Iterable[OperationQueue], turns: Turns, now: float) -> OperationQueue | None:
    """Of the queues that may send now, the one whose next job has the best priority, then whose turn it is."""
    best: OperationQueue | None = None
    best_rank: tuple[int, float, int, int] = (Priority.POLL + 1, 0.0, 0, 0)
    for queue in queues:
        head = queue.jobs.head() if queue.jobs else None
        if head is None or head.priority > best_rank[0]:
            continue
        rank = (head.priority, *turns.rank(queue.operation, head.tenant), head.seq)
        if rank < best_rank and queue.ready_in_s(now) <= 0:
            best, best_rank = queue, rank
    return best
