"""Decides which row is sent next and what an answer means. Pure: no clock, no network.

Rules: rows go out in file order. Of lines with one order number the first wins: a repeat with the same content is sent
only after the first was answered, one with other content is never sent. What was sent and not answered can be sent
again at any time, since its request id stays the same.
"""

from __future__ import annotations

import heapq
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator

import msgspec
from google.rpc import code_pb2, status_pb2

from crossdock.v1 import core_pb2, order_service_pb2
from engine.cli.ship.orders import OrderReader
from engine.cli.ship.problems import Problem, joined, retry_delay_s, status_problem
from engine.cli.ship.progress import Progress
from engine.cli.ship.reading import Row
from engine.cli.ship.results import FAILED, NOT_ANSWERED, Result, of_order, refused

TRANSIENT_CODES = frozenset({code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED, code_pb2.ABORTED})
"""Nothing was accepted and the same row may pass a moment later."""

TRANSIENT_DELAY_S = 1.0


class Job(msgspec.Struct, frozen=True):
    """One row on its way. `line` is also its index in the stream."""

    line: int
    reference: str
    key: str
    request_id: str
    order: core_pb2.Order
    is_repeat: bool = False

    def __repr__(self) -> str:
        return f"Job(line={self.line}, {self.reference!r}, order=***)"


class Desk:
    """The rows of one run. `results` has what is known so far, by line; `counts` counts them by `standing`."""

    def __init__(
        self,
        rows: Iterator[Row],
        reader: OrderReader,
        progress: Progress,
        *,
        retry_failed: bool = False,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._rows = rows
        self._reader = reader
        self._progress = progress
        self._retry_failed = retry_failed
        self._new_id = new_id
        self._ready: deque[Job] = deque()
        self._delayed: list[tuple[float, int, Job]] = []
        self._in_flight: dict[int, Job] = {}
        self._first_lines: dict[str, tuple[int, str]] = {}
        self._held: dict[int, list[Job]] = {}
        self._retries: dict[str, str] = {}
        self._exhausted = False
        self.results: dict[int, Result] = {}
        self.counts: Counter[str] = Counter()
        self.repeated_count = 0
        self.answered_count = 0

    @property
    def in_flight_count(self) -> int:
        """Rows sent and not answered."""
        return len(self._in_flight)

    @property
    def has_ready(self) -> bool:
        """Whether rows that were held back may go out now."""
        return bool(self._ready)

    @property
    def is_finished(self) -> bool:
        """Whether every row of the file has a result."""
        return self._exhausted and not (self._in_flight or self._ready or self._delayed or self._held)

    def next_job(self, now_s: float) -> Job | None:
        """The next row to send; None when all that is left waits for answers or for its time."""
        while self._delayed and self._delayed[0][0] <= now_s:
            self._ready.append(heapq.heappop(self._delayed)[2])
        job = self._ready.popleft() if self._ready else self._next_of_file()
        if job is not None:
            self._in_flight[job.line] = job
        return job

    def wait_s(self, now_s: float) -> float | None:
        """How long until a delayed row is due; None when none is."""
        return max(0.0, self._delayed[0][0] - now_s) if self._delayed else None

    def answered(self, line: int, answer: order_service_pb2.OrderResult, now_s: float) -> bool:
        """Take an answer. False when it was none: the row waits and goes out again."""
        job = self._in_flight.pop(line, None)
        if job is None:
            return False  # a second answer to a line sent twice around a broken connection
        if answer.HasField("status"):
            return self._refused(job, answer.status, now_s)
        created = answer.created
        result = of_order(job.line, job.reference, created.order, self._reader)
        if self._wants_retry(job, result, created.replayed):
            self._retry(job)
            return True
        self._settle(job, result)
        return True

    def failed_by(self, line: int, problem: Problem) -> None:
        """End a row the engine cannot answer."""
        job = self._in_flight.pop(line)
        self._settle(job, refused(job.line, job.reference, problem))

    def in_flight(self) -> list[Job]:
        """Rows sent and not answered, in file order."""
        return sorted(self._in_flight.values(), key=lambda job: job.line)

    def send_again(self) -> None:
        """The connection is gone: every unanswered row goes out again, in file order and before all others."""
        self._ready.extendleft(reversed(self.in_flight()))
        self._in_flight.clear()

    def give_up(self) -> None:
        """End the run: rows without an answer get what an earlier run knew, or say that there is none."""
        held = [job for jobs in self._held.values() for job in jobs]
        delayed = [job for _, _, job in self._delayed]
        for job in [*self._in_flight.values(), *self._ready, *delayed, *held]:
            self._leave(job)
        for waiting in (self._in_flight, self._ready, self._delayed, self._held):
            waiting.clear()
        while (unread := self._next_of_file()) is not None:
            self._leave(unread)
        for job in [job for jobs in self._held.values() for job in jobs]:
            self._leave(job)
        self._held.clear()

    def put(self, result: Result) -> None:
        """Set a row's result, also in place of what was known before (a poll, a label)."""
        before = self.results.get(result.line)
        if before is not None:
            self.counts[before.standing] -= 1
        self.results[result.line] = result
        self.counts[result.standing] += 1

    def settled_later(self, result: Result) -> None:
        """A row that was open when it was answered has come to an end."""
        self.put(result)
        key = self._first_lines[result.reference][1]
        known = self._progress.known(key)
        self._progress.answered(key, (known.request_id if known else "") or key, result)

    def _leave(self, job: Job) -> None:
        known = self._progress.known(job.key)
        if known is not None and known.is_answer:
            self.put(known.result(job.line, job.reference))
        else:
            self.put(refused(job.line, job.reference, NOT_ANSWERED))

    def _next_of_file(self) -> Job | None:
        for row in self._rows:
            job = self._job(row)
            if job is not None:
                return job
        self._exhausted = True
        return None

    def _job(self, row: Row) -> Job | None:
        """The row as a job; None when its result is already known, or when it has to wait for its first line."""
        if row.damage:
            self.put(refused(row.line, "", Problem("", row.damage, row.remedy)))
            return None
        parsed = self._reader.read(row.cells)
        if isinstance(parsed, list):
            self.put(refused(row.line, self._reader.reference_of(row.cells), joined(parsed)))
            return None
        first_line, first_key = self._first_lines.setdefault(parsed.reference, (row.line, parsed.key))
        known = self._progress.known(parsed.key)
        request_id = self._retries.get(parsed.key) or (known.request_id if known else "") or parsed.key
        job = Job(row.line, parsed.reference, parsed.key, request_id, parsed.order, first_line != row.line)
        if first_line == row.line:
            return job
        if first_key != parsed.key:
            self.put(refused(row.line, parsed.reference, self._other_content(first_line)))
            return None
        self.repeated_count += 1
        if first_line in self.results:
            return job
        self._held.setdefault(first_line, []).append(job)
        return None

    def _other_content(self, first_line: int) -> Problem:
        return Problem(
            self._reader.column_of_path("reference"),
            f"line {first_line} has the same order number with other content",
            "give one of the two lines its own order number, or remove the wrong one",
        )

    def _refused(self, job: Job, status: status_pb2.Status, now_s: float) -> bool:
        if status.code in TRANSIENT_CODES:
            due_s = now_s + retry_delay_s(status, TRANSIENT_DELAY_S)
            heapq.heappush(self._delayed, (due_s, job.line, job))
            return False
        column_of = self._reader.column_of_path
        problem = status_problem(status, column_of, column_of("reference"))
        self._settle(job, refused(job.line, job.reference, problem))
        return True

    def _wants_retry(self, job: Job, result: Result, replayed: bool) -> bool:
        """Only what an earlier run left FAILED is tried anew, once a run; the engine frees its order number."""
        if not (self._retry_failed and replayed and result.state == FAILED):
            return False
        return job.key not in self._retries and not job.is_repeat

    def _retry(self, job: Job) -> None:
        request_id = self._new_id()
        self._progress.sending(job.key, request_id)
        self._retries[job.key] = request_id
        self._ready.append(msgspec.structs.replace(job, request_id=request_id))

    def _settle(self, job: Job, result: Result) -> None:
        self.put(result)
        self.answered_count += 1
        self._progress.answered(job.key, job.request_id, result)
        for held in self._held.pop(job.line, ()):
            self._ready.append(msgspec.structs.replace(held, request_id=job.request_id))
