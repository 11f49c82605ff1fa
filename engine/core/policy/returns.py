"""How goods come back: where a return may go next, and what the engine does about it. Pure.

- `NEXT` is the machine: action -> state it is done in -> state it leads to. What is not in the table is refused.
- `DONE` says where an action has been done already: done again it changes nothing and is answered alike.
- The way back is an order; `next_move` reads it and its parcel's status and says what has to happen. It is asked again
  after every step, so a crash between two steps costs nothing.
- Free texts of people stay in the record, which is sealed; events carry reasons, rule names and carriers' words only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from crossdock_sdk.tracking import TrackStatus
from engine.core.policy.records import EventKind, Failure, LoadedOrder, NewEvent, OrderState
from engine.core.policy.return_records import Decision, ReturnRecord, ReturnState, ReturnStep, Verdict

S = ReturnState

WAIT_S = 5.0
"""Pause before an order that is still being booked or cancelled is looked at again."""
RECHECK_S = 6 * 3_600.0
"""A return on its way is looked at so often even if nobody woke us: the net under the wake-ups."""


class Action(StrEnum):
    """What can be done with a return."""

    APPROVE = "APPROVE"
    REJECT = "REJECT"
    BOOK = "BOOK"
    FAIL = "FAIL"
    DEPART = "DEPART"
    ARRIVE = "ARRIVE"
    RECEIVE = "RECEIVE"
    CANCEL = "CANCEL"
    EXPIRE = "EXPIRE"


NEXT: Mapping[Action, Mapping[ReturnState, ReturnState]] = {
    # A person may overrule a rule, and try again what no carrier took.
    Action.APPROVE: {S.UNDER_REVIEW: S.APPROVED, S.REJECTED: S.APPROVED, S.FAILED: S.APPROVED},
    Action.REJECT: {S.UNDER_REVIEW: S.REJECTED, S.FAILED: S.REJECTED},
    Action.BOOK: {S.APPROVED: S.BOOKED},
    Action.FAIL: {S.APPROVED: S.FAILED, S.BOOKED: S.FAILED, S.IN_TRANSIT: S.FAILED},
    Action.DEPART: {S.BOOKED: S.IN_TRANSIT},
    Action.ARRIVE: {S.BOOKED: S.ARRIVED, S.IN_TRANSIT: S.ARRIVED},
    # The goods are what counts: they may lie in the warehouse before the carrier says so, come after the waybill
    # expired, or come by another way when no carrier was found.
    Action.RECEIVE: {
        S.BOOKED: S.RECEIVED,
        S.IN_TRANSIT: S.RECEIVED,
        S.ARRIVED: S.RECEIVED,
        S.EXPIRED: S.RECEIVED,
        S.FAILED: S.RECEIVED,
    },
    Action.CANCEL: {
        S.UNDER_REVIEW: S.CANCELLED,
        S.APPROVED: S.CANCELLED,
        S.BOOKED: S.CANCELLED,
        S.FAILED: S.CANCELLED,
    },
    Action.EXPIRE: {S.BOOKED: S.EXPIRED},
}

DONE: Mapping[Action, frozenset[ReturnState]] = {
    Action.APPROVE: frozenset({S.APPROVED, S.BOOKED, S.IN_TRANSIT, S.ARRIVED, S.RECEIVED}),
    Action.REJECT: frozenset({S.REJECTED}),
    Action.RECEIVE: frozenset({S.RECEIVED}),
    Action.CANCEL: frozenset({S.CANCELLED}),
}

KINDS: Mapping[Action, EventKind] = {
    Action.APPROVE: EventKind.RETURN_APPROVED,
    Action.REJECT: EventKind.RETURN_REJECTED,
    Action.BOOK: EventKind.RETURN_BOOKED,
    Action.FAIL: EventKind.RETURN_FAILED,
    Action.DEPART: EventKind.RETURN_IN_TRANSIT,
    Action.ARRIVE: EventKind.RETURN_ARRIVED,
    Action.RECEIVE: EventKind.REFUND_DUE,
    Action.CANCEL: EventKind.RETURN_CANCELLED,
    Action.EXPIRE: EventKind.RETURN_EXPIRED,
}

RETURN_KINDS = frozenset({*KINDS.values(), EventKind.RETURN_REQUESTED})
"""Kinds of events that are about a return, not about the order itself."""

OPEN_STATES = frozenset({S.APPROVED, S.BOOKED, S.IN_TRANSIT})
"""States in which the engine does something of its own accord."""

GIVEN_BACK = frozenset({S.REJECTED, S.CANCELLED, S.EXPIRED})
"""States in which the goods are still with the buyer and may be asked for again."""

_ON_ITS_WAY = frozenset(TrackStatus) - {TrackStatus.PRE_TRANSIT, TrackStatus.CANCELLED}
_GONE = frozenset({OrderState.CANCELLED, OrderState.FAILED})


class Facts(msgspec.Struct, frozen=True):
    """What a rule may ask beside the order and the wish. days_since_delivery: None while it is not delivered."""

    days_since_delivery: float | None = None


class Ruling(msgspec.Struct, frozen=True):
    """What the rules say."""

    verdict: Verdict
    rule: str = ""
    explanation: str = ""


class Book(msgspec.Struct, frozen=True):
    """Create the order that carries it back."""


class Void(msgspec.Struct, frozen=True):
    """Cancel the order that would have carried it back."""

    order_id: str


class Rest(msgspec.Struct, frozen=True):
    """Nothing to do before `until`; None: not before something happens."""

    until: datetime | None


Move: TypeAlias = ReturnStep | Book | Void | Rest


def requested(record: ReturnRecord, ruling: Ruling, now: datetime) -> ReturnStep:
    """A new return, decided by the rules. `record` brings everything but state, decision and times."""
    state = {Verdict.APPROVE: S.APPROVED, Verdict.REVIEW: S.UNDER_REVIEW, Verdict.REJECT: S.REJECTED}[ruling.verdict]
    decision = Decision(ruling.verdict, ruling.rule, ruling.explanation, now)
    due = now if state is S.APPROVED else None
    new = replace(record, state=state, decision=decision, create_time=now, update_time=now, due_time=due)
    events = [_event(new, EventKind.RETURN_REQUESTED, now, new.wish.reason.value)]
    said = {S.APPROVED: EventKind.RETURN_APPROVED, S.REJECTED: EventKind.RETURN_REJECTED}.get(state)
    if said is not None:
        events.append(_event(new, said, now, ruling.rule))
    return ReturnStep(new, tuple(events))


def acted(
    record: ReturnRecord, action: Action, now: datetime, *, reason: str = "", **changes: object
) -> ReturnStep | None:
    """One step along `NEXT`; None where the table has none. `changes`: fields of the record beside its state."""
    state = NEXT[action].get(record.state)
    if state is None:
        return None
    after: ReturnRecord = replace(record, state=state, update_time=now, **changes)
    return ReturnStep(after, (_event(after, KINDS[action], now, reason),))


def approved(record: ReturnRecord, explanation: str, now: datetime) -> ReturnStep | None:
    """A person approves it; None when that changes nothing or is too late."""
    decision = Decision(Verdict.APPROVE, "", explanation, now)
    # What failed may have been rejected since: it keeps its failure, and its order is as spent.
    tries = record.tries + (record.state is S.FAILED or record.failure is not None)
    return acted(
        record,
        Action.APPROVE,
        now,
        decision=decision,
        failure=None,
        return_order_id="",
        due_time=now,
        tries=tries,
    )


def rejected(record: ReturnRecord, explanation: str, now: datetime) -> ReturnStep | None:
    """A person refuses it; None when that changes nothing or is too late."""
    decision = Decision(Verdict.REJECT, "", explanation, now)
    return acted(record, Action.REJECT, now, decision=decision, due_time=None)


def received(record: ReturnRecord, remark: str, now: datetime) -> ReturnStep | None:
    """The warehouse has the goods: the refund is due. None when it was due before, or cannot be."""
    reason = record.wish.reason.value
    return acted(record, Action.RECEIVE, now, reason=reason, remark=remark, due_time=None, expire_time=None)


def cancelled(record: ReturnRecord, now: datetime) -> ReturnStep | None:
    """The buyer or the shop gives it up; its order is voided afterwards."""
    return acted(record, Action.CANCEL, now, due_time=now, expire_time=None)


def failed(record: ReturnRecord, failure: Failure, now: datetime, *, spent_order_id: str = "") -> ReturnStep | None:
    """No carrier takes it, or its carrier gave it up."""
    return acted(
        record,
        Action.FAIL,
        now,
        reason=failure.message,
        failure=failure,
        spent_order_id=spent_order_id or record.spent_order_id,
        due_time=None,
        expire_time=None,
    )


def not_voided(record: ReturnRecord, failure: Failure, now: datetime) -> ReturnStep:
    """The carrier does not cancel its waybill any more: told to whoever looks."""
    return ReturnStep(replace(record, failure=failure, due_time=None, update_time=now))


def next_move(
    record: ReturnRecord,
    order: LoadedOrder | None,
    status: TrackStatus | None,
    now: datetime,
    *,
    hand_over_s: float,
) -> Move:
    """What has to happen. `order`: the newest that carries it back; `status`: where that one's parcel stands."""
    if record.state is S.APPROVED:
        return _while_approved(record, order, now, hand_over_s)
    if record.state in (S.BOOKED, S.IN_TRANSIT):
        return _while_booked(record, order, status, now)
    if record.state in (S.CANCELLED, S.EXPIRED) and order is not None and record.failure is None:
        if order.order.state in _GONE:
            return Rest(None)
        if order.order.cancel_requested:
            return Rest(now + timedelta(seconds=WAIT_S))
        return Void(order.order.order_id)
    return Rest(None)


def _while_approved(record: ReturnRecord, order: LoadedOrder | None, now: datetime, hand_over_s: float) -> Move:
    if order is None or order.order.order_id == record.spent_order_id:
        return Book()
    booking, order_id = order.order.booking, order.order.order_id
    step: ReturnStep | None = None
    if order.order.state is OrderState.BOOKED and booking is not None:
        expires = now + timedelta(seconds=hand_over_s)
        step = acted(
            record,
            Action.BOOK,
            now,
            return_order_id=order_id,
            carrier=booking.carrier,
            waybill_number=booking.waybill_number,
            pickup_booked=order.order.draft.options.pickup,
            expire_time=expires,
            due_time=_no_later(expires, now),
        )
    elif order.order.state in _GONE:
        failure = order.order.failure or _void_failure()
        step = failed(record, failure, now, spent_order_id=order_id)
    return step or Rest(now + timedelta(seconds=WAIT_S))


def _while_booked(record: ReturnRecord, order: LoadedOrder | None, status: TrackStatus | None, now: datetime) -> Move:
    step: ReturnStep | None = None
    if status is TrackStatus.DELIVERED:
        step = acted(record, Action.ARRIVE, now, due_time=None, expire_time=None)
    elif status is TrackStatus.RETURNED:
        step = failed(record, _brought_back(record.carrier), now, spent_order_id=record.return_order_id)
    elif status in _ON_ITS_WAY:
        step = acted(record, Action.DEPART, now, due_time=now + timedelta(seconds=RECHECK_S), expire_time=None)
    elif order is not None and order.order.state in _GONE:
        step = failed(record, _void_failure(), now, spent_order_id=record.return_order_id)
    elif record.expire_time is not None and now >= record.expire_time:
        step = acted(record, Action.EXPIRE, now, due_time=now)
    return step or Rest(_no_later(record.expire_time, now))


def _no_later(time: datetime | None, now: datetime) -> datetime:
    recheck = now + timedelta(seconds=RECHECK_S)
    return recheck if time is None else min(time, recheck)


def key_taken(order_id: str) -> Failure:
    """This order holds the key of the try, so that no other can be made with it."""
    return Failure(
        "IDEMPOTENCY_KEY_REUSED",
        f"order {order_id} holds the reference or key of this try and cannot carry the goods",
        "approve the return again: the next try has a reference and a key of its own",
    )


def _void_failure() -> Failure:
    return Failure(
        "ORDER_NOT_BOOKED",
        "the waybill of the way back was cancelled",
        "approve the return again for a new one, or cancel the return",
    )


def _brought_back(carrier: str) -> Failure:
    return Failure(
        "CARRIER_REJECTED",
        f"{carrier} brought the goods back to the buyer",
        "ask the buyer, then approve the return again for a new waybill",
        carrier=carrier,
    )


def _event(record: ReturnRecord, kind: EventKind, now: datetime, reason: str) -> NewEvent:
    return NewEvent(
        tenant=record.tenant,
        order_id=record.wish.order_id,
        kind=kind,
        time=now,
        reference=record.order_reference,
        state=OrderState.BOOKED,
        carrier=record.carrier,
        waybill_number=record.waybill_number,
        reason=reason,
        return_id=record.return_id,
    )
