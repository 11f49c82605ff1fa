"""The bugs, each a few lines laid over the product by `plant`, and the test that must catch it.

Rules of this file
- A bug is what somebody could write in good faith. It changes behaviour only, through names of the product's modules.
- `caught_by` passes without the bug; with it, it fails. `tests.seeded` tries both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace
from pyreqwest.exceptions import ConnectError, PyreqwestError, RequestTimeoutError

import engine.core.carrier_calls as carrier_calls
import engine.core.policy.booking as booking
import engine.core.policy.tracking as tracking
import engine.core.steps as steps
import engine.core.watch as watch
import engine.outbound.lane as lane
import engine.outbound.transport.pyreqwest as transport
import engine.store.sqlite.store as sqlite_store
from crossdock_sdk import Contact, HttpResponse, PushRequest
from crossdock_sdk.tracking import TrackEvent
from engine.core.calls import ask
from engine.core.policy.breaker import Verdict
from engine.core.policy.records import AttemptRecord, AttemptState, LoadedOrder
from engine.core.policy.track_records import DeadLetter, LoadedTrack, TrackRecord, TrackSource
from engine.core.pushes import Pushes
from engine.outbound import Priority
from engine.outbound.call import CallReport
from engine.outbound.errors import FaultKind, NotSent, TransportError
from engine.outbound.feedback import Lesson, lesson
from engine.store.memory_tracks import MemoryTracks
from engine.store.sqlite.batch import Batches, Item
from engine.store.sqlite.connection import open_writer
from engine.store.sqlite.queries import SQL
from engine.store.sqlite.transaction import Transaction
from engine.store.track_port import TrackChange

POWER_CUT = "tests/integration/test_store_power.py::test_a_power_cut_loses_nothing_that_was_acknowledged"
READ_REQUEST = "tests/integration/test_transport.py::test_a_request_that_was_read_is_ambiguous"


class Bug(msgspec.Struct, frozen=True):
    """One bug. what: in a sentence. slow: its test takes more than a few seconds."""

    what: str
    caught_by: str
    plant: Callable[[], None]
    slow: bool = False


def _lay(owner: object, name: str, value: object) -> None:
    """Put the bug where the product looks. Raises AttributeError when there is no such name any more."""
    getattr(owner, name)
    setattr(owner, name, value)


def _synchronous_normal() -> None:
    _lay(sqlite_store, "open_writer", lambda path, _: open_writer(path, "NORMAL"))


def _answer_before_commit() -> None:
    def answer(item: Item[Any]) -> None:
        if not item.future.done():
            item.future.set_result(item.result)

    def write(self: Batches, batch: list[Item[Any]]) -> tuple[list[Any], list[Any]]:
        transaction = Transaction(self._cursor, self._last)
        self._cursor.execute("BEGIN IMMEDIATE")
        for item in batch:
            self._write_item(transaction, item)
        for item in batch:
            item.future.get_loop().call_soon_threadsafe(answer, item)
        self._connection.execute("COMMIT")
        self._last = transaction.last
        return transaction.events, transaction.news

    _lay(Batches, "write", write)


def _send_before_commit() -> None:
    honest_try, honest_ask = steps.Steps._try, ask
    early: dict[str, object] = {}

    async def asks(outbound: Any, account_id: str, operation: str, item: Any, **rest: Any) -> object:
        if operation == "book" and item.reference in early:
            return early.pop(item.reference)
        return await honest_ask(outbound, account_id, operation, item, **rest)

    async def hasty(
        self: steps.Steps, loaded: LoadedOrder, act: booking.Try, now: datetime, ends: float
    ) -> LoadedOrder:
        attempt = act.attempt
        item = carrier_calls._booking(loaded, attempt)
        early[attempt.reference] = await honest_ask(
            self._calls._outbound, attempt.account_id, "book", item, priority=Priority.BOOK, tenant=loaded.order.tenant
        )
        return await honest_try(self, loaded, act, ends, now)

    _lay(carrier_calls, "ask", asks)
    _lay(steps.Steps, "_try", hasty)


def _translated(kind: type[PyreqwestError], fault: FaultKind) -> None:
    honest = transport._translate

    def hopeful(error: PyreqwestError) -> TransportError:
        return NotSent(fault, "nothing came back") if isinstance(error, kind) else honest(error)

    _lay(transport, "_translate", hopeful)


def _retry_after_read_timeout() -> None:
    _translated(RequestTimeoutError, FaultKind.TIMEOUT)


def _connect_error_is_not_sent() -> None:
    _translated(ConnectError, FaultKind.CONNECT)


def _fall_back_from_unknown() -> None:
    def live(attempts: Sequence[AttemptRecord]) -> AttemptRecord | None:
        open_states = (AttemptState.INTENT, AttemptState.CONFIRMED)
        return next((a for a in reversed(attempts) if a.state in open_states), None)

    _lay(booking, "_live", live)


def _forgetful_deduplication() -> None:
    honest = tracking.absorb

    def absorb(
        loaded: LoadedTrack, incoming: Sequence[TrackEvent], *, source: TrackSource, now: datetime, mapping_version: int
    ) -> tracking.TrackStep | None:
        recent = tuple(kept for kept in loaded.events if now - kept.received_time < timedelta(minutes=5))
        loaded = replace(loaded, events=recent)
        return honest(loaded, incoming, source=source, now=now, mapping_version=mapping_version)

    # The store refuses a fingerprint that it has: a cache of five minutes would have stood there too.
    honest_commit = MemoryTracks.commit_track

    async def commit(self: MemoryTracks, change: TrackChange) -> TrackRecord:
        now = change.track.observed_time
        kept = self._kept[change.track.track_id]
        for mark in [m for m, one in kept.items() if now and now - one.received_time > timedelta(minutes=5)]:
            del kept[mark]
        return await honest_commit(self, change)

    _lay(tracking, "absorb", absorb)
    _lay(MemoryTracks, "commit_track", commit)


def _acknowledge_push_first() -> None:
    honest = Pushes.handle
    running: set[asyncio.Task[HttpResponse]] = set()

    async def handle(self: Pushes, account_id: str, request: PushRequest) -> HttpResponse:
        account = self._accounts[account_id]
        receipt = self._carriers[account.carrier].parse_push(account, self._clock.now(), request)
        task = asyncio.ensure_future(honest(self, account_id, request))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(lambda done: done.exception())
        return receipt.acknowledgement

    _lay(Pushes, "handle", handle)


def _no_fence() -> None:
    SQL.update_order = SQL.update_order.replace("AND lease_epoch <= ?4", "")


def _count_tries_afterwards() -> None:
    honest = Pushes.replay

    async def replay(self: Pushes, letter: DeadLetter) -> str:
        put = self._store.put_dead_letter
        counted: list[DeadLetter] = []

        async def later(changed: DeadLetter) -> None:
            counted.append(changed)

        _lay(self._store, "put_dead_letter", later)
        try:
            cause = await honest(self, letter)
        finally:
            _lay(self._store, "put_dead_letter", put)
        for changed in counted:
            await put(changed)
        return cause

    _lay(Pushes, "replay", replay)


def _unbounded_subscriber() -> None:
    watch.PAGE = 1_000_000


def _breaker_counts_refusals() -> None:
    def counted(report: CallReport) -> Lesson:
        found = lesson(report)
        return replace(found, verdict=Verdict.FAILURE) if found.outcome == "REFUSED" else found

    _lay(lane, "lesson", counted)


def _no_tenant_filter() -> None:
    SQL.get_order = SQL.get_order.replace("AND +o.tenant = ?2", "AND ?2 IS NOT NULL")


def _name_in_a_log_line() -> None:
    _lay(Contact, "__repr__", lambda self: f"Contact({self.name})")


BUGS: dict[str, Bug] = {
    "synchronous-normal": Bug("the store does not sync each commit", POWER_CUT, _synchronous_normal, slow=True),
    "answer-before-commit": Bug("callers are answered before COMMIT", POWER_CUT, _answer_before_commit, slow=True),
    "send-before-commit": Bug(
        "a carrier is asked before the attempt is durable",
        "tests/unit/core/test_promises.py::test_a_further_attempt_is_durable_before_a_byte_goes_out",
        _send_before_commit,
    ),
    "retry-after-read-timeout": Bug(
        "silence after the request counts as not sent", READ_REQUEST, _retry_after_read_timeout
    ),
    "connect-error-is-not-sent": Bug(
        "the library's ConnectError counts as not sent", READ_REQUEST, _connect_error_is_not_sent
    ),
    "fall-back-from-unknown": Bug(
        "a booking in doubt goes to the next carrier",
        "tests/unit/core/policy/test_booking_moves.py::test_a_doubt_is_resolved_before_anything_else",
        _fall_back_from_unknown,
    ),
    "dedupe-five-minutes": Bug(
        "an event is forgotten after five minutes",
        "tests/unit/core/test_promises.py::test_a_push_repeated_for_weeks_is_no_news",
        _forgetful_deduplication,
    ),
    "acknowledge-push-first": Bug(
        "a push is acknowledged before the commit",
        "tests/unit/core/test_pushes.py::test_a_push_is_acknowledged_only_once_it_is_written",
        _acknowledge_push_first,
    ),
    "no-fence": Bug(
        "an engine that lost an order may write it",
        "tests/unit/store/contract/test_store_commit.py::test_older_epoch_is_stale_after_a_takeover",
        _no_fence,
    ),
    "count-tries-afterwards": Bug(
        "a replay is counted after it was made",
        "tests/unit/core/test_promises.py::test_a_replay_is_counted_before_it_is_made",
        _count_tries_afterwards,
    ),
    "unbounded-subscriber": Bug(
        "a watcher's backlog is taken into memory",
        "tests/unit/core/test_promises.py::test_a_stalled_watcher_is_read_no_further_than_a_page",
        _unbounded_subscriber,
    ),
    "breaker-counts-refusals": Bug(
        "business refusals open the breaker",
        "tests/unit/outbound/test_lane.py::test_business_refusals_and_throttling_open_nothing",
        _breaker_counts_refusals,
    ),
    "no-tenant-filter": Bug(
        "one query forgets its tenant",
        "tests/unit/store/contract/test_store_reads.py::test_tenant_cannot_read_anothers_order",
        _no_tenant_filter,
    ),
    "name-in-a-log-line": Bug(
        "a person's name is written to the log",
        "tests/unit/test_log.py::test_structs_are_shown_by_their_masking_repr",
        _name_in_a_log_line,
    ),
}
