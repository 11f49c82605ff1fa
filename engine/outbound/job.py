"""One item on its way through a lane, and the callers who wait for it.

A Job is what a call carries; a Ticket is one caller's claim on its outcome. Usually there is one
each; equal queries share a job.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from engine.clock import Clock, Timer
from engine.outbound.errors import OutboundError
from engine.outbound.operations import Priority


class Answered(msgspec.Struct, frozen=True):
    """The carrier answered. `value` is the sdk's outcome for the item: Booked, CarrierError, …

    seconds: duration of the call. batch: items it carried.
    """

    value: object
    seconds: float = 0.0
    batch: int = 1


Outcome: TypeAlias = Answered | OutboundError

NO_WEIGHTS: Mapping[str, int] = MappingProxyType({})
"""Every tenant has the same share."""


class Ticket:
    """One caller: its future, its deadline and the timer that watches it. Times are monotonic seconds.

    start_by: when it would rather be sent away than wait on; once the call has begun only the deadline counts.
    """

    __slots__ = ("deadline", "future", "start_by", "timer")

    def __init__(self, future: asyncio.Future[Answered], deadline: float, start_by: float = float("inf")) -> None:
        self.future = future
        self.deadline = deadline
        self.start_by = start_by
        self.timer: Timer | None = None

    def settle(self, outcome: Outcome) -> None:
        """Hand the outcome over, unless the caller is gone or has had its answer."""
        self.unwatch()
        if self.future.done():
            return
        if isinstance(outcome, Answered):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome.again())

    def watch(self, delay_s: float, clock: Clock, callback: Callable[[], None]) -> None:
        """Call back at the deadline unless the ticket is settled first."""
        self.unwatch()
        self.timer = clock.call_later(delay_s, callback)

    def unwatch(self) -> None:
        """Stop the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Job:
    """One item. `started` once a call carries it: from then on never given up. `is_alone`: in a call to itself."""

    __slots__ = (
        "deadline",
        "is_alone",
        "is_retry",
        "item",
        "priority",
        "queued_at",
        "seq",
        "started",
        "tenant",
        "tickets",
    )

    def __init__(
        self,
        item: object,
        ticket: Ticket,
        *,
        priority: Priority,
        tenant: str,
        seq: int,
        now: float,
        is_retry: bool = False,
    ) -> None:
        self.item = item
        self.tickets = [ticket]
        self.deadline = ticket.deadline
        self.priority = priority
        self.tenant = tenant
        self.seq = seq
        self.queued_at = now
        self.started = False
        self.is_alone = False
        self.is_retry = is_retry

    def begin_again(self, now: float) -> None:
        """Its call was refused for what may lie in another item: it waits for one of its own."""
        self.started, self.is_alone, self.queued_at = False, True, now
        self.deadline = max(ticket.deadline for ticket in self.tickets)

    def settle(self, outcome: Outcome) -> None:
        """Hand the outcome to every caller."""
        for ticket in self.tickets:
            ticket.settle(outcome)


class FairQueue:
    """Waiting jobs: by priority, inside it tenants by weight, inside those in order of arrival.

    Deficit round robin with items of equal size: a tenant's turn is as many items as its weight (1 unless
    `weights` says otherwise), then the next tenant has its turn. Every operation is O(1) in the number of
    jobs, removal from the middle included. `alone` of the jobs want a call to themselves.
    """

    __slots__ = ("_lines", "_size", "_turns", "_weights", "alone")

    def __init__(self, weights: Mapping[str, int] = NO_WEIGHTS) -> None:
        self._weights = weights
        self._lines: list[OrderedDict[str, OrderedDict[int, Job]]] = [OrderedDict() for _ in Priority]
        self._turns: list[tuple[str, int]] = [("", 0)] * len(Priority)  # whose turn began, and what it has taken
        self._size = 0
        self.alone = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Job]:
        for line in self._lines:
            for jobs in line.values():
                yield from jobs.values()

    def push(self, job: Job) -> None:
        """Add at the end of its tenant's line."""
        self._lines[job.priority].setdefault(job.tenant, OrderedDict())[job.seq] = job
        self._size += 1
        self.alone += job.is_alone

    def head(self) -> Job | None:
        """The job that goes next."""
        for line in self._lines:
            if line:
                return next(iter(next(iter(line.values())).values()))
        return None

    def pop(self) -> Job:
        """Take the job that goes next; a tenant that has had its turn goes to the end of the line."""
        for priority, line in enumerate(self._lines):
            if line:
                tenant, jobs = next(iter(line.items()))
                _, job = jobs.popitem(last=False)
                if not jobs:
                    del line[tenant]
                elif len(line) > 1:
                    self._turns[priority] = self._took(line, tenant, self._turns[priority])
                self._size -= 1
                self.alone -= job.is_alone
                return job
        raise IndexError("the queue is empty; ask its length first")

    def _took(
        self, line: OrderedDict[str, OrderedDict[int, Job]], tenant: str, turn: tuple[str, int]
    ) -> tuple[str, int]:
        """The turn after `tenant` took an item while others wait."""
        taken = turn[1] + 1 if turn[0] == tenant else 1
        if taken < self._weights.get(tenant, 1):
            return tenant, taken
        line.move_to_end(tenant)
        return "", 0

    def remove(self, job: Job) -> bool:
        """Take a job out of the middle; False when it is not there."""
        line = self._lines[job.priority]
        jobs = line.get(job.tenant)
        if jobs is None or jobs.pop(job.seq, None) is None:
            return False
        if not jobs:
            del line[job.tenant]
        self._size -= 1
        self.alone -= job.is_alone
        return True

    def clear(self) -> list[Job]:
        """Take everything out."""
        jobs = list(self)
        for line in self._lines:
            line.clear()
        self._size = self.alone = 0
        return jobs

    def turns_to(self, priority: Priority, tenant: str) -> int:
        """Which turn of `tenant`, from 1, a new job of it would go in."""
        return len(self._lines[priority].get(tenant, ())) // self._weights.get(tenant, 1) + 1

    def ahead_of(self, priority: Priority, tenant: str | None = None, turns: int | None = None) -> int:
        """How many waiting jobs would go before a new one of `priority`, at most.

        For a tenant the others count as far as their turns come before it: a flood of one tenant's
        must not look like a wait to another. Without one, everything that waits counts.
        turns: what `turns_to` said of the queue that the new one goes to, if it is another one.
        """
        if not self._size:
            return 0
        if tenant is None:
            return sum(len(jobs) for line in self._lines[: priority + 1] for jobs in line.values())
        ahead = sum(len(jobs) for line in self._lines[:priority] for jobs in line.values())
        weights, turns = self._weights, turns or self.turns_to(priority, tenant)
        return ahead + sum(min(len(jobs), turns * weights.get(t, 1)) for t, jobs in self._lines[priority].items())
