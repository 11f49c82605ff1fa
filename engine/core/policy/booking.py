"""The booking state machine: what to do next with an order, decided from its rows alone.

Rules of this file
- Pure: `now` is passed in, nothing is read or written. Every crash ends up here again with the same rows.
- UNKNOWN never falls back. An INTENT found after a restart is UNKNOWN: its bytes may have gone out.
- One table says which refusals go to the next candidate.
- At most one attempt of an order is INTENT, UNKNOWN or CONFIRMED at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias
from zlib import crc32

import msgspec

from crossdock_sdk import ErrorClass, Repeat
from crossdock_sdk.manifest import BookingFacts
from engine.core.policy.diversion import Choice, Hindrance, Standing, choose
from engine.core.policy.records import (
    FINAL_STATES,
    MAY_HAVE_BOOKED,
    AttemptRecord,
    AttemptState,
    BackupPolicy,
    LoadedOrder,
    OrderRecord,
    OrderState,
)
from engine.core.policy.references import reference_of
from engine.core.policy.retry import backoff_s

FALLS_BACK: dict[str, bool] = {
    ErrorClass.INVALID_REQUEST: False,  # no carrier would take it as it is
    ErrorClass.AUTH: True,
    ErrorClass.NOT_FOUND: False,
    ErrorClass.DUPLICATE: False,  # becomes a look-up before it gets here
    ErrorClass.NO_SERVICE: True,
    ErrorClass.CAPACITY: True,
    ErrorClass.RATE_LIMITED: True,
    ErrorClass.BALANCE: True,
    ErrorClass.TEMPORARY: True,  # only when proved not executed; otherwise the attempt is UNKNOWN
    ErrorClass.PERMANENT: False,
}
"""Whether a refusal of this class may be given to the next candidate."""

COMES_BACK: frozenset[str] = frozenset(
    {ErrorClass.CAPACITY, ErrorClass.RATE_LIMITED, ErrorClass.TEMPORARY, ErrorClass.AUTH, ErrorClass.BALANCE}
)
"""Refusals that may be gone later: the same candidate is asked again when no other is left."""

LOOKUP_DELAYS_S = (0.0, 0.3, 0.7, 1.5, 3.0, 5.0, 10.0, 20.0, 30.0)
"""Pauses before the first, second… look-up of an unknown outcome; the last one repeats."""

REVIEW_DELAY_S = 120.0
"""Pause between look-ups, or cancels, once the order waits for a person."""

CANCEL_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses after the first, second… cancel whose outcome is open; the last one repeats until a person is called."""

SWITCH_AT_MOST_EVERY_S = 600.0
"""An order that changed its carrier stays there so long, failing or not, before it goes back to one it had left."""


class Candidate(msgspec.Struct, frozen=True):
    """A carrier account and product that may take the order, in the order of preference."""

    carrier: str
    account_id: str
    service: str
    service_name: str = ""


class Rules(msgspec.Struct, frozen=True):
    """What the decision needs besides the rows. Times in seconds."""

    review_after_s: float
    give_up_after_s: float
    retry_base_s: float
    retry_cap_s: float
    unavailable_retry_s: float


class CarrierFacts(msgspec.Struct, frozen=True):
    """What a carrier offers for recovery."""

    booking: BookingFacts
    can_find: bool


class Try(msgspec.Struct, frozen=True):
    """Make `attempt` durable, then send it.

    passed_over: the first candidate when it is not the one, and why. others: further ones that could take it.
    """

    attempt: AttemptRecord
    passed_over: Candidate | None = None
    why: Hindrance = Hindrance.NONE
    others: int = 0


class Doubt(msgspec.Struct, frozen=True):
    """Record that the outcome of `attempt` is unknown."""

    attempt: AttemptRecord


class LookUp(msgspec.Struct, frozen=True):
    """Ask the carrier for `attempt` by reference."""

    attempt: AttemptRecord


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do before `until`."""

    until: datetime


class Review(msgspec.Struct, frozen=True):
    """A person must decide about `attempt`; look again at `until` if that makes sense."""

    attempt: AttemptRecord
    until: datetime | None


class Void(msgspec.Struct, frozen=True):
    """Cancel the confirmed booking at its carrier."""

    attempt: AttemptRecord


class Finish(msgspec.Struct, frozen=True):
    """Nothing more will be tried; the order ends in `state`. `attempt` is the last refusal, if any."""

    state: OrderState
    attempt: AttemptRecord | None


class Done(msgspec.Struct, frozen=True):
    """The rows say that nothing is left to do."""


Move: TypeAlias = Try | Doubt | LookUp | Wait | Review | Void | Finish | Done


def next_move(
    loaded: LoadedOrder,
    candidates: Sequence[Candidate],
    facts: Callable[[str], CarrierFacts],
    standing: Standing,
    rules: Rules,
    now: datetime,
) -> Move:
    """What to do next with an order.

    candidates: eligible ones, best first. facts: by carrier code. standing: what stands in the way of an account.
    """
    order, attempts = loaded.order, loaded.attempts
    if order.state in (OrderState.CANCELLED, OrderState.FAILED):
        return Done()
    live = _live(attempts)
    if live is None:
        if order.cancel_requested:
            return Finish(OrderState.CANCELLED, attempts[-1] if attempts else None)
        return _next_try(order, attempts, candidates, facts, standing, rules, now)
    match live.state:
        case AttemptState.CONFIRMED:
            return Void(live) if order.cancel_requested else Done()
        case AttemptState.INTENT:
            return Doubt(live)
        case _:
            return _resolve(order, live, facts(live.carrier), rules, now)


def rests(order: OrderRecord) -> bool:
    """True when the order's own row shows that `next_move` would say Done: the usual end, without looking further."""
    if order.due_time is not None or order.cancel_requested:
        return False
    return order.state in FINAL_STATES


def _live(attempts: Sequence[AttemptRecord]) -> AttemptRecord | None:
    return next((a for a in reversed(attempts) if a.state in MAY_HAVE_BOOKED), None)


def _resolve(order: OrderRecord, attempt: AttemptRecord, facts: CarrierFacts, rules: Rules, now: datetime) -> Move:
    since = unknown_since(attempt)
    # A look-up gets the chance to prove an absence before a person is called.
    least_s = facts.booking.lookup_settles_s + LOOKUP_DELAYS_S[-1] if facts.can_find else 0.0
    review_time = since + timedelta(seconds=max(rules.review_after_s, least_s))
    in_review = order.state is OrderState.NEEDS_REVIEW
    if facts.can_find:
        if now >= review_time and not in_review:
            return Review(attempt, now + timedelta(seconds=REVIEW_DELAY_S))
        delays = LOOKUP_DELAYS_S
        pause = REVIEW_DELAY_S if in_review else delays[min(attempt.lookups, len(delays) - 1)]
        due = (attempt.end_time or since) + timedelta(seconds=pause)
        return LookUp(attempt) if now >= due else Wait(due)
    if in_review:
        return Done()
    if facts.booking.confirmed_by_push and now < review_time:
        return Wait(review_time)
    return Review(attempt, None)


def next_cancel(order: OrderRecord, rules: Rules, now: datetime) -> tuple[datetime, bool]:
    """When a cancel that has just failed again is repeated, and whether a person is called meanwhile.

    The pauses made so far tell how long it has been open: no row keeps when it was first asked for.
    """
    delays, tries = CANCEL_DELAYS_S, order.cancel_tries
    pause_s = delays[min(tries, len(delays) - 1)]
    open_s = sum(delays[:tries]) + max(0, tries - len(delays)) * delays[-1]
    needs_person = order.state is OrderState.NEEDS_REVIEW or open_s + pause_s > rules.review_after_s
    return now + timedelta(seconds=REVIEW_DELAY_S if needs_person else pause_s), needs_person


def _next_try(
    order: OrderRecord,
    attempts: Sequence[AttemptRecord],
    candidates: Sequence[Candidate],
    facts: Callable[[str], CarrierFacts],
    standing: Standing,
    rules: Rules,
    now: datetime,
) -> Move:
    last = attempts[-1] if attempts else None
    if last and last.state is AttemptState.REJECTED and not FALLS_BACK.get(last.error_class, False):
        return Finish(OrderState.FAILED, last)
    if order.draft.routing.backup is BackupPolicy.NEVER:
        candidates = _only_first(candidates, attempts)
    untried = [c for c in candidates if not _tried(c, attempts)]
    if (choice := choose(untried, standing)) is not None:
        return _try(order, attempts, choice, facts, now)
    again = [c for c in candidates if _may_come_back(c, attempts)]
    if not untried and not again:
        return Finish(OrderState.FAILED, last)
    if now - order.create_time > timedelta(seconds=rules.give_up_after_s):
        return Finish(OrderState.FAILED, last)
    return _again(order, attempts, again, facts, standing, rules, now)


def _again(
    order: OrderRecord,
    attempts: Sequence[AttemptRecord],
    again: Sequence[Candidate],
    facts: Callable[[str], CarrierFacts],
    standing: Standing,
    rules: Rules,
    now: datetime,
) -> Move:
    if not again or not attempts:
        return Wait(_shut_until(order, order.create_time, rules, now))
    rounds = max(sum(a.account_id == c.account_id for a in attempts) for c in again)
    ended = attempts[-1].end_time or attempts[-1].start_time
    share = _share_of_pause(order.order_id, len(attempts))
    due = ended + timedelta(seconds=backoff_s(rounds, share, base_s=rules.retry_base_s, cap_s=rules.retry_cap_s))
    if now < due:
        return Wait(due)
    if (choice := choose(_in_turn(again, attempts, now), standing)) is not None:
        return _try(order, attempts, choice, facts, now)
    return Wait(_shut_until(order, ended, rules, now))


def _shut_until(order: OrderRecord, since: datetime, rules: Rules, now: datetime) -> datetime:
    """When to look again at lanes of which none takes anything, for an order that has nothing to do `since` then.

    The longer that lasts the more orders wait. All of them asking every two seconds would keep the engine busy with
    nothing, and the first two seconds of the carrier's return would get what an outage has held back.
    """
    span_s = min((now - since).total_seconds(), rules.retry_cap_s)
    pause_s = max(rules.unavailable_retry_s, span_s * _share_of_pause(order.order_id, now.timestamp()))
    return now + timedelta(seconds=pause_s)


def _share_of_pause(order_id: str, turn: float) -> float:
    """0.5 to 1, evenly spread over orders and turns, always the same for the same ones: no second collects them."""
    return 0.5 + crc32(f"{order_id} {turn}".encode()) / 2**33


def _try(
    order: OrderRecord,
    attempts: Sequence[AttemptRecord],
    choice: Choice,
    facts: Callable[[str], CarrierFacts],
    now: datetime,
) -> Try:
    attempt = new_attempt(order, attempts, choice, facts, now)
    return Try(attempt, choice.passed_over, choice.why, choice.others)


def _in_turn(again: Sequence[Candidate], attempts: Sequence[AttemptRecord], now: datetime) -> Sequence[Candidate]:
    """Whom to ask again: those asked longest ago first, so that failing carriers take turns, but slowly.

    An order that has just changed its carrier stays there. The first change was made in the hope of a better one;
    going back and forth between two that fail would only double what both have to refuse.
    """
    here = attempts[-1].account_id
    staying = [c for c in again if c.account_id == here]
    came = next((a.number for a in reversed(attempts) if a.account_id != here), 0)
    since = attempts[came].start_time  # of the first attempt after the last one elsewhere
    if staying and came and now - since < timedelta(seconds=SWITCH_AT_MOST_EVERY_S):
        return staying
    return sorted(again, key=lambda c: _last_number(c, attempts))


def _only_first(candidates: Sequence[Candidate], attempts: Sequence[AttemptRecord]) -> Sequence[Candidate]:
    if attempts:
        return [c for c in candidates if c.account_id == attempts[0].account_id]
    return candidates[:1]


def _tried(candidate: Candidate, attempts: Sequence[AttemptRecord]) -> bool:
    return any(a.account_id == candidate.account_id and a.service == candidate.service for a in attempts)


def asked(attempts: Sequence[AttemptRecord]) -> frozenset[str]:
    """Accounts that have had the order and may have it again: another booking there is a retry."""
    return frozenset(
        a.account_id
        for a in attempts
        if a.state is AttemptState.ABSENT or (a.state is AttemptState.REJECTED and a.error_class in COMES_BACK)
    )


def _last_number(candidate: Candidate, attempts: Sequence[AttemptRecord]) -> int:
    return max((a.number for a in attempts if a.account_id == candidate.account_id), default=0)


def _may_come_back(candidate: Candidate, attempts: Sequence[AttemptRecord]) -> bool:
    tries = [a for a in attempts if a.account_id == candidate.account_id and a.service == candidate.service]
    if not tries:
        return False
    last = tries[-1]
    if last.state is AttemptState.REJECTED:
        return last.error_class in COMES_BACK
    return last.state in (AttemptState.NOT_SENT, AttemptState.ABSENT)


def new_attempt(
    order: OrderRecord,
    attempts: Sequence[AttemptRecord],
    choice: Choice,
    facts: Callable[[str], CarrierFacts],
    now: datetime,
) -> AttemptRecord:
    """The INTENT row of the next attempt; its cause tells why it did not go to the first candidate.

    A reference is used again at the same account when nothing was ever sent under it, or when the carrier
    finds none and its repeats are harmless: then even a booking that surfaces late stays the only one. Never when
    its booking was voided: a repeat would be refused for ever, or answered with the dead waybill.
    """
    candidate = choice.candidate
    number = len(attempts) + 1
    reference = reference_of(order.order_id, number)
    same = [a for a in attempts if a.account_id == candidate.account_id]
    if same:
        last = same[-1]
        repeats_are_harmless = facts(candidate.carrier).booking.repeat is not Repeat.BOOKS_AGAIN
        burnt = any(a.burnt for a in same if a.reference == last.reference)
        absent_and_safe = last.state is AttemptState.ABSENT and repeats_are_harmless
        if not burnt and (last.state is AttemptState.NOT_SENT or absent_and_safe):
            reference = last.reference
    return AttemptRecord(
        order_id=order.order_id,
        number=number,
        carrier=candidate.carrier,
        account_id=candidate.account_id,
        service=candidate.service,
        reference=reference,
        state=AttemptState.INTENT,
        start_time=now,
        cause=choice.reason,
    )


def absence_is_proof(attempt: AttemptRecord, facts: CarrierFacts, now: datetime) -> bool:
    """Whether "no such booking", asked for at `now`, may be believed (a carrier's search can lag its bookings).

    Never after DUPLICATE: the carrier itself has said that it holds the reference. `now` must be as far from
    `unknown_since` as time has really passed, see `Clock.stepped_s`.
    """
    if attempt.error_class == ErrorClass.DUPLICATE:
        return False
    return now - unknown_since(attempt) >= timedelta(seconds=facts.booking.lookup_settles_s)


def unknown_since(attempt: AttemptRecord) -> datetime:
    """From when on nobody knew what became of an attempt in doubt."""
    return attempt.unknown_since or attempt.start_time
