"""The lane of one carrier account and operation class: everything that may be sent there passes through here.

    submit -> [queue by priority] -> [batch] -> rate -> concurrency -> breaker -> one attempt -> outcome

Nothing polls: `_pump` runs whenever something changed (an item came, a call ended, a timer fired),
starts what may start and sets one timer for what may start later. An item that can go at once skips
the queue. Each call runs in a task of the lane, never in its caller's: a caller may go away, a call
that went out runs to its end, and the lane learns from it all the same. Its outcome is then dropped: whoever
left must find out for itself. All policies are pure and live in `engine.core.policy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from crossdock_sdk import CarrierError, Manifest
from engine.clock import Clock, Timer
from engine.core.policy.batching import NEVER
from engine.core.policy.breaker import BreakerState, Verdict
from engine.core.policy.failback import Failback
from engine.outbound.call import CallLimits, CallReport, CarrierCaller
from engine.outbound.errors import Ambiguous, FaultKind, LaneRefused, NotSent, RefusalReason
from engine.outbound.feedback import Lesson, lesson, may_mean_one_item
from engine.outbound.health import Health
from engine.outbound.job import Answered, Job, Ticket
from engine.outbound.observe import LaneKey, LaneObserver, LaneSnapshot
from engine.outbound.obstacle import obstacle
from engine.outbound.operation_queue import OperationQueue, Rates, queues_of
from engine.outbound.operations import CHANGES_THE_WORLD, OperationClass, Priority
from engine.outbound.settings import LaneSettings
from engine.outbound.waiting import OVERDUE_S, Waiting

_SAME_TIME_S = 1e-6
_SOON_S = 0.05  # a timer that fires so much early looks again, which costs less than a new one for each item that comes


class Lane:
    """See the module. All methods belong to the event loop's thread."""

    def __init__(
        self,
        key: LaneKey,
        manifest: Manifest,
        carrier: CarrierCaller,
        *,
        group: asyncio.TaskGroup,
        clock: Clock,
        observer: LaneObserver,
        settings: LaneSettings,
    ) -> None:
        self.key = key
        self._carrier = carrier
        self._group = group
        self._clock = clock
        self._observer = observer
        self._settings = settings
        self._queues = queues_of(key.operation_class, manifest, settings)
        if not self._queues:
            raise ValueError(f"{key}: the carrier has no operation of this class; check its manifest")
        self.rates = Rates(self._queues, clock)
        self._health = Health(settings, (queue.limit for queue in self._queues.values()))
        labels = key.operation_class is OperationClass.LABEL
        self._max_body_bytes = settings.max_label_body_bytes if labels else settings.max_body_bytes
        self._waiting = Waiting(
            key,
            self._queues,
            self._health.budget,
            clock=clock,
            observer=observer,
            least_time_s=settings.least_time_s,
            weights=settings.tenant_weights,
            predicted_wait_s=self.predicted_wait_s,
            left=self._arm,
        )
        self._running: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._seq = 0
        self._timer: Timer | None = None
        self._timer_at = NEVER
        self._closed = False

    async def submit(
        self,
        operation: str,
        item: object,
        *,
        deadline: float,
        priority: Priority,
        start_by: float = NEVER,
        tenant: str = "",
        is_retry: bool = False,
    ) -> Answered:
        """Have `item` carried to the carrier. Monotonic seconds: `deadline`, and `start_by` for its call to begin.

        Returns the carrier's answer (a CarrierError is one). Raises LaneRefused or NotSent (nothing
        happened), Ambiguous (something may have), PluginFault (see its side_effect). If the calling
        task is cancelled, a waiting item is taken back; one under way is not, and nobody hears
        its outcome.
        """
        queue = self._queues[operation]
        ticket = Ticket(asyncio.get_running_loop().create_future(), deadline, start_by)
        now = self._clock.monotonic()
        job = None if self._closed else self._waiting.join(queue, item, ticket, now)
        if job is None:
            self._admit(queue, now, min(deadline - self._settings.least_time_s, start_by), priority, tenant, is_retry)
            self._seq += 1
            job = Job(item, ticket, priority=priority, tenant=tenant, seq=self._seq, now=now, is_retry=is_retry)
            self._enter(queue, job, now)
        try:
            return await ticket.future
        except asyncio.CancelledError:
            ticket.unwatch()
            self._waiting.leave(queue, job, ticket)
            raise
        finally:
            # An error that comes out holds this frame by its traceback, and these would hold the error.
            del job, ticket

    def predicted_wait_s(
        self, now: float, operation: str, priority: Priority = Priority.POLL, tenant: str | None = None
    ) -> float:
        """Seconds until a new item would be sent, by rate (exact) and by concurrency (an estimate).

        For an item of `tenant`, when given: what others have waiting counts as far as their turns do. Without
        anything said about the item, all that waits goes before it.
        """
        queue, busy, slots = self._queues[operation], self._in_flight, self._health.limit.limit
        others_s = self._waiting.work_before_s(queue, priority, tenant) if self._waiting.count else 0.0
        wait_s = queue.expected_wait_s(now, priority, tenant, busy=busy, slots=slots, others_s=others_s)
        return max(wait_s, self._health.breaker.wait_s(now))

    def promise(self, operation: str, count: int) -> None:
        """Items that were decided for this lane and are still being written count as waiting; -1 takes one back.

        Without it the orders of one moment would all see the same short queue.
        """
        self._queues[operation].promised += count

    def is_open(self, now: float) -> bool:
        """True when an item submitted now would be refused by the breaker or because the lane
        closes.
        """
        return self._closed or not self._health.breaker.may_call(now)

    def may_retry(self, now: float) -> bool:
        """True when the budget for retries is not used up."""
        return self._health.budget.left(now) > 0

    @property
    def failback(self) -> Failback:
        """How the account gets its orders back after a failure."""
        return self._health.failback

    def snapshot(self) -> LaneSnapshot:
        """The lane now."""
        now = self._clock.monotonic()
        return LaneSnapshot(
            key=self.key,
            breaker=self._health.breaker.state(now),
            in_flight=self._in_flight,
            concurrency=self._health.limit.limit,
            queued=self._waiting.count,
            rates_per_s={name: queue.rate.rate_per_s for name, queue in self._queues.items()},
            used_shares={name: queue.rate.used_share(now) for name, queue in self._queues.items()},
            ramp_percent=self.failback.ramp_percent,
        )

    def close(self) -> set[asyncio.Task[None]]:
        """Refuse what waits and whatever comes; returns the tasks of calls under way."""
        self._closed = True
        self._waiting.refuse_all(LaneRefused(RefusalReason.CLOSED, lane=str(self.key)))
        self._arm(self._clock.monotonic())
        return set(self._running)

    def _admit(
        self, queue: OperationQueue, now: float, start_by: float, priority: Priority, tenant: str, is_retry: bool
    ) -> None:
        is_full, breaker = self._waiting.count >= self._settings.queue_size, self._health.breaker
        reason, wait_s = obstacle(
            queue, breaker, now, start_by, priority, tenant, is_closed=self._closed, is_full=is_full
        )
        if reason is RefusalReason.QUEUE_FULL:
            wait_s = self.predicted_wait_s(now, queue.operation)
        elif reason is None and is_retry and not self._health.budget.take(now):
            reason = RefusalReason.RETRY_BUDGET
        if reason is not None:
            self._observer.refused(self.key, queue.operation, reason)
            raise LaneRefused(reason, wait_s, lane=str(self.key))
        if not is_retry:
            self._health.budget.first_attempt(now)

    def _enter(self, queue: OperationQueue, job: Job, now: float) -> None:
        self._waiting.shared.add(queue.operation, job)
        free = self._in_flight < self._health.limit.limit and queue.in_flight < queue.limit.concurrency
        if queue.limit.batch == 1 and free and not queue.jobs and not queue.rate.take(now):
            self._start(queue, [job], now)
            return
        self._waiting.push(queue, job, now)
        self._pump(now)

    def _pump(self, now: float) -> None:
        """Start whatever may start, best priority first, and set the timer for the rest."""
        while self._in_flight < self._health.limit.limit and self._health.breaker.may_call(now):
            best = self._waiting.next_queue(now)
            if best is None or best.rate.take(now):
                break
            self._start(best, self._waiting.take_batch(best, now), now)
        self._arm(now)

    def _arm(self, now: float) -> None:
        """One timer, for the earliest queue that is held back by its rate or its batch rules."""
        wait_s = NEVER
        if self._in_flight < self._health.limit.limit and self._health.breaker.may_call(now):
            wait_s = min((queue.ready_in_s(now) for queue in self._queues.values()), default=NEVER)
        due = now + wait_s
        if due == self._timer_at or -_SAME_TIME_S < due - self._timer_at < _SOON_S:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, NEVER
        if wait_s < NEVER:
            for each in self._queues.values():
                each.note_hold(now)
            self._timer_at = due
            self._timer = self._clock.call_later(wait_s, self._wake)

    def _wake(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self._pump(self._clock.monotonic())

    def _start(self, queue: OperationQueue, jobs: Sequence[Job], now: float) -> None:
        permit = self._health.breaker.acquire(now)
        assert permit is not None, "admission and _pump ask the breaker first"
        deadline = now + queue.limit.timeout_s
        # What became of a booking is worth waiting for until its call ends. A question's call has the carrier's time,
        # whoever waits for it: cut for callers in a hurry, it would make a carrier that is well seem to fail.
        waits_on = queue.operation in CHANGES_THE_WORLD
        if waits_on:
            deadline = min(deadline, max(job.deadline for job in jobs))
        for job in jobs:
            job.started = True
            if job.queued_at != now:
                self._observer.waited(self.key, queue.operation, now - job.queued_at)
            for ticket in job.tickets:
                ticket.unwatch()
                if not waits_on and ticket.deadline + OVERDUE_S < deadline:
                    self._waiting.watch(queue, job, ticket, now)
            job.deadline = deadline
        if (held_s := queue.held_s(now)) > 0:
            self._observer.rate_wait(self.key, queue.operation, held_s)
        queue.in_flight += 1
        self._in_flight += 1
        self._observer.started(self.key, queue.operation, len(jobs))
        task = self._group.create_task(self._run(queue, jobs, permit, now, deadline))
        self._running.add(task)
        task.add_done_callback(partial(self._ended, jobs))

    def _ended(self, jobs: Sequence[Job], task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled():
            # Cancelled before its first step a task runs no line of `_run`, so nothing was sent.
            for job in jobs:
                job.settle(NotSent(FaultKind.CANCELLED, "the engine stopped before the call"))

    async def _run(
        self, queue: OperationQueue, jobs: Sequence[Job], permit: int, started: float, deadline: float
    ) -> None:
        report: CallReport | None = None
        limits = CallLimits(deadline, self._max_body_bytes, self._settings.least_time_s / 2)
        try:
            items = [job.item for job in jobs]
            report = await self._carrier.call(queue.operation, items, limits, queue.rate)
        finally:
            if report is None:  # the engine stops: every caller gets an outcome all the same
                report = CallReport()
                report.error = Ambiguous(FaultKind.CANCELLED, "the engine stopped during the call")
            seconds = self._clock.monotonic() - started
            queue.in_flight -= 1
            self._in_flight -= 1
            self._settle(queue, jobs, report, seconds)
            self._close_books(queue, permit, lesson(report), started, len(jobs))
            if self._waiting.count:
                self._pump(self._clock.monotonic())

    def _settle(self, queue: OperationQueue, jobs: Sequence[Job], report: CallReport, seconds: float) -> None:
        # Closed, the lane sends nothing any more: the refusal is then everyone's.
        apart = len(jobs) > 1 and not self._closed and may_mean_one_item(queue.operation, report)
        for index, job in enumerate(jobs):
            self._waiting.shared.remove(queue.operation, job)
            if apart and self._waiting.push_again(queue, job, self._clock.monotonic()):
                continue
            outcome = report.error or Answered(report.outcomes[index], seconds, len(jobs))
            if job.is_retry and isinstance(outcome, Answered) and not isinstance(outcome.value, CarrierError):
                self._health.budget.give_back()
            job.settle(outcome)

    def _close_books(self, queue: OperationQueue, permit: int, learned: Lesson, started: float, batch: int) -> None:
        """Learn from a call and tell the observer, whose faults must not end the lanes."""
        now = self._clock.monotonic()
        try:
            self._learn(queue, permit, learned, started, now)
            self._observer.finished(
                self.key, queue.operation, learned.outcome, learned.error_class, now - started, batch
            )
        except Exception as error:
            context = {"message": f"{self.key}: the lane's observer failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _learn(self, queue: OperationQueue, permit: int, learned: Lesson, started: float, now: float) -> None:
        queue.took(now - started)
        if learned.throttled:
            queue.rate.throttled(now, learned.retry_after_s, sent_at=started)
            self._waiting.shed_hopeless(queue, now)
        elif learned.verdict is Verdict.SUCCESS:
            queue.rate.succeeded(now)
        busy = self._in_flight + 1
        state = self._health.learn(queue.operation, permit, learned, started=started, now=now, in_flight=busy)
        if state is None:
            return
        self._observer.breaker_changed(self.key, state)
        if state is BreakerState.OPEN:
            wait_s = self._health.breaker.wait_s(now)
            self._waiting.refuse_all(LaneRefused(RefusalReason.BREAKER_OPEN, wait_s, lane=str(self.key)))
