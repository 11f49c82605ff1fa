"""Who waits in a lane: a queue for each operation, jobs that equal items share, and how those who wait are sent away.

Knows neither when something may go nor what became of it: that is the lane's. Every way out of a queue other than a
call ends in `_give_up`, so that the count, the retry budget and the shared jobs cannot come to differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from engine.clock import Clock
from engine.core.policy.retry import RetryBudget
from engine.outbound.errors import Ambiguous, FaultKind, LaneRefused, RefusalReason
from engine.outbound.job import Job, Ticket
from engine.outbound.observe import LaneKey, LaneObserver
from engine.outbound.operation_queue import OperationQueue, next_queue
from engine.outbound.operations import Priority
from engine.outbound.sharing import SharedJobs
from engine.outbound.turns import Turns

OVERDUE_S = 0.05
"""Callers whose deadlines differ by less share the call's own."""


class Waiting:
    """See the module. `count` items wait now; `shared` are the jobs that can be joined, waiting or under way.

    predicted_wait_s: what those are told who waited in vain. left: called with the time when a caller took its item
    back, since the lane's timer may have been set for it.
    """

    __slots__ = (
        "_budget", "_clock", "_key", "_least_time_s", "_left", "_observer", "_predicted_wait_s", "_queues",
        "_turns", "count", "shared",
    )  # fmt: skip

    def __init__(
        self,
        key: LaneKey,
        queues: Mapping[str, OperationQueue],
        budget: RetryBudget,
        *,
        clock: Clock,
        observer: LaneObserver,
        least_time_s: float,
        weights: Mapping[str, int],
        predicted_wait_s: Callable[[float, str], float],
        left: Callable[[float], None],
    ) -> None:
        self._key = key
        self._queues = queues
        self._budget = budget
        self._clock = clock
        self._observer = observer
        self._least_time_s = least_time_s
        self._predicted_wait_s = predicted_wait_s
        self._left = left
        self._turns = Turns(weights)
        self.shared = SharedJobs()
        self.count = 0

    def join(self, queue: OperationQueue, item: object, ticket: Ticket, now: float) -> Job | None:
        """Wait with an equal item, waiting or under way, unless its call would end too early for us."""
        job = self.shared.find(queue.operation, item)
        if job is None or (job.started and job.deadline + OVERDUE_S < ticket.deadline):
            return None
        job.deadline = max(job.deadline, ticket.deadline)
        job.tickets.append(ticket)
        self.watch(queue, job, ticket, now)
        return job

    def push(self, queue: OperationQueue, job: Job, now: float) -> None:
        """A job that cannot go at once."""
        queue.push(job)
        self.count += 1
        self.watch(queue, job, job.tickets[0], now)

    def push_again(self, queue: OperationQueue, job: Job, now: float) -> bool:
        """A job whose call was refused for what may lie in another item; False when nobody waits for it any more."""
        job.tickets = [ticket for ticket in job.tickets if not ticket.future.done()]
        if not job.tickets:
            return False
        job.begin_again(now)
        queue.push(job)
        self.count += 1
        self.shared.add(queue.operation, job)
        for ticket in job.tickets:
            self.watch(queue, job, ticket, now)
        return True

    def next_queue(self, now: float) -> OperationQueue | None:
        """Whose call is next; None while none may go."""
        return next_queue(self._queues.values(), self._turns, now)

    def work_before_s(self, queue: OperationQueue, priority: Priority, tenant: str | None) -> float:
        """Seconds that the calls of the other queues will take that go before a new item of this one."""
        others = (other for other in self._queues.values() if other is not queue and other.jobs)
        return sum(other.work_before_s(queue, priority, tenant) for other in others)

    def take_batch(self, queue: OperationQueue, now: float) -> list[Job]:
        """The jobs of the queue's next call, which is a turn of the first one's tenant."""
        jobs = queue.take_batch(now)
        self.count -= len(jobs)
        self._turns.took(queue.operation, jobs[0].tenant)
        return jobs

    def watch(self, queue: OperationQueue, job: Job, ticket: Ticket, now: float) -> None:
        """While it waits, a caller is sent away in time to try elsewhere.

        Under way, it is told at its deadline.
        """
        ends = ticket.deadline if job.started else min(ticket.deadline - self._least_time_s, ticket.start_by)
        ticket.watch(ends - now, self._clock, partial(self._expire, queue, job, ticket))

    def leave(self, queue: OperationQueue, job: Job, ticket: Ticket) -> None:
        """One caller less; a waiting job without callers is taken back."""
        if ticket in job.tickets:
            job.tickets.remove(ticket)
        if not job.tickets and not job.started and queue.jobs.remove(job):
            self._give_up(queue, job)
            self._left(self._clock.monotonic())

    def shed_hopeless(self, queue: OperationQueue, now: float) -> None:
        """The rate has just fallen: those who cannot be served in time learn it now, not at their deadline."""
        wait_s = queue.rate.wait_s(now)
        refusal = LaneRefused(RefusalReason.RATE, wait_s, lane=str(self._key))
        for job in list(queue.jobs):
            if max(min(t.deadline - self._least_time_s, t.start_by) for t in job.tickets) < now + wait_s:
                queue.jobs.remove(job)
                self._refuse(queue, job, refusal)

    def refuse_all(self, refusal: LaneRefused) -> None:
        """Send everybody away."""
        for queue in self._queues.values():
            for job in queue.jobs.clear():
                self._refuse(queue, job, refusal)

    def _expire(self, queue: OperationQueue, job: Job, ticket: Ticket) -> None:
        if job.started:
            # The call goes on, for the other callers if there are any.
            ticket.settle(Ambiguous(FaultKind.TIMEOUT, "the deadline passed during the call"))
            return
        self._observer.refused(self._key, queue.operation, RefusalReason.DEADLINE)
        wait_s = self._predicted_wait_s(self._clock.monotonic(), queue.operation)
        ticket.settle(LaneRefused(RefusalReason.DEADLINE, wait_s, lane=str(self._key)))
        self.leave(queue, job, ticket)

    def _refuse(self, queue: OperationQueue, job: Job, refusal: LaneRefused) -> None:
        self._give_up(queue, job)
        self._observer.refused(self._key, queue.operation, refusal.reason)
        job.settle(refusal)

    def _give_up(self, queue: OperationQueue, job: Job) -> None:
        self.count -= 1
        if job.is_retry:
            self._budget.give_back()
        self.shared.remove(queue.operation, job)
