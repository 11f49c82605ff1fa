"""Which accounts must show that they still work: a backup that nobody has used for weeks fails on the day it is needed.

Proof is a booking that was confirmed there, or an answer to a question that costs nothing and needs the account's own
credentials. Pure: `now` is the wall time, since proofs outlive the process. Accounts are spread by their ids, so that
what was proved in one moment, or missed in one outage, is not asked about in one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from zlib import crc32

import msgspec

from crossdock_sdk import CarrierError, ErrorClass
from engine.core.policy.records import AttemptRecord, AttemptState

DUE_AFTER_S = 20 * 3600.0
"""Age of a proof at which the next is wanted: early enough to try again a few times before a day is over."""
SPREAD_S = 3600.0
"""An account is asked up to so much before that."""
FIRST_SPREAD_S = 300
"""After a start, whoever lacks a proof of the day is asked within so much: a wrong secret shows on the first day."""
LEAST_PAUSE_S, MOST_PAUSE_S = 600.0, 4 * 3600.0
"""Pauses after calls that proved nothing, doubling from one to the other."""


class _Failed(msgspec.Struct, frozen=True):
    """Calls in a row that proved nothing, and when the last one ended."""

    count: int
    time: datetime


class Proofs:
    """When each account last proved itself, and who is to be asked next.

    account_ids: all that are followed. askable: those of them that can be asked at all.
    """

    def __init__(self, account_ids: Iterable[str], askable: Iterable[str], now: datetime) -> None:
        self.account_ids = tuple(account_ids)
        self._askable = tuple(askable)
        self._started = now
        self._times: dict[str, datetime] = {}
        self._failed: dict[str, _Failed] = {}
        self._under_way: set[str] = set()

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """A booking that was confirmed is the best proof."""
        if attempt.state is AttemptState.CONFIRMED and attempt.end_time is not None:
            self._times[attempt.account_id] = attempt.end_time

    def times(self) -> dict[str, datetime]:
        """Last proof by account; those that never proved themselves are left out."""
        return {a: self._times[a] for a in self.account_ids if a in self._times}

    def restore(self, times: Mapping[str, datetime]) -> None:
        """Proofs that a former process knew. What was proved since then stands."""
        for account_id, time in times.items():
            self._times[account_id] = max(time, self._times.get(account_id, time))

    def due(self, now: datetime) -> list[str]:
        """Whom to ask now; each stays under way until `answered`."""
        self._not_ahead(now)
        due = [a for a in self._askable if a not in self._under_way and self._due_time(a) <= now]
        self._under_way.update(due)
        return due

    def answered(self, account_id: str, *, is_proof: bool, now: datetime) -> None:
        """The call has ended."""
        self._under_way.discard(account_id)
        if is_proof:
            self._times[account_id] = now
        else:
            before = self._open_failure(account_id)
            self._failed[account_id] = _Failed(before.count + 1 if before else 1, now)

    def _due_time(self, account_id: str) -> datetime:
        failed = self._open_failure(account_id)
        if failed is not None:
            return failed.time + timedelta(seconds=pause_s(failed.count))
        first = self._started + timedelta(seconds=first_delay_s(account_id))
        proved = self._times.get(account_id)
        if proved is None:
            return first
        return max(first, proved + timedelta(seconds=DUE_AFTER_S - _drawn(account_id) * SPREAD_S))

    def _open_failure(self, account_id: str) -> _Failed | None:
        """What failed since the last proof."""
        failed, proved = self._failed.get(account_id), self._times.get(account_id)
        return failed if failed and (proved is None or proved < failed.time) else None

    def _not_ahead(self, now: datetime) -> None:
        """Nothing lies ahead of now. A clock that was set back would put everything off by as much."""
        self._started = min(self._started, now)
        for account_id, time in self._times.items():
            if time > now:
                self._times[account_id] = now
        for account_id, failed in self._failed.items():
            if failed.time > now:
                self._failed[account_id] = _Failed(failed.count, now)


def is_proof(answer: object) -> bool:
    """Whether an answer to a quote shows that credentials, contract and wire work. Everything else is no proof.

    A lane that is not served is the carrier's word on the lane, given to a customer it knows; without a code of its
    own a plug-in may have said it unasked. The other classes blame the account, the call, or the carrier itself:
    the question is always the same sound one, so also INVALID_REQUEST says that something has changed.
    """
    if isinstance(answer, CarrierError):
        return answer.error_class is ErrorClass.NO_SERVICE and bool(answer.code)
    return isinstance(answer, tuple)


def pause_s(failures: int) -> float:
    """How long to wait after so many calls in a row that proved nothing."""
    doublings = min(failures - 1, 16)  # the longest pause is reached long before
    return min(LEAST_PAUSE_S * 2.0**doublings, MOST_PAUSE_S)


def first_delay_s(account_id: str) -> int:
    """How long after a start an account without a proof of the day is asked."""
    return crc32(account_id.encode()) % FIRST_SPREAD_S


def _drawn(account_id: str) -> float:
    """0 to 1, evenly spread over accounts, always the same for one."""
    return crc32(account_id.encode()) / 2**32
