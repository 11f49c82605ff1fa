"""The return machine: every action from every state, and what the engine does about a return of its own accord."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from crossdock_sdk import Options
from crossdock_sdk.tracking import TrackStatus
from engine.core.policy import returns as policy
from engine.core.policy.records import EventKind, Failure, LoadedOrder, OrderState
from engine.core.policy.return_records import Decision, ReturnRecord, ReturnState, ReturnStep, Verdict
from engine.core.policy.returns import DONE, NEXT, Action, Book, Rest, Ruling, Void, next_move
from tests.fakes.rows import NOW, ORDER_ID, RETURN_ID, a_return, at, booking, draft, loaded

HAND_OVER_S = 1_000.0
S, T = ReturnState, TrackStatus


def way_back(state: OrderState = OrderState.BOOKED, **fields: Any) -> LoadedOrder:
    """The order of the way back."""
    made = booking() if state in (OrderState.BOOKED, OrderState.CANCELLED) else None
    return loaded(order_id="way-back", state=state, booking=made, **fields)


def move(
    of: ReturnRecord, order: LoadedOrder | None = None, status: TrackStatus | None = None, seconds: float = 0.0
) -> policy.Move:
    """What has to happen so long after NOW."""
    return next_move(of, order, status, at(seconds), hand_over_s=HAND_OVER_S)


def step_of(made: policy.Move) -> ReturnStep:
    """The step that a move is."""
    assert isinstance(made, ReturnStep), made
    return made


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("action", Action)
def test_an_action_leads_where_the_table_says_or_nowhere(action: Action, state: ReturnState) -> None:
    """A step has exactly one event; where an action was done already it cannot be done again."""
    made = policy.acted(a_return(state), action, at(5))

    if state in NEXT[action]:
        assert made is not None
        assert made.record.state is NEXT[action][state]
        assert made.record.update_time == at(5)
        assert [e.kind for e in made.events] == [policy.KINDS[action]]
    else:
        assert made is None
    assert state not in NEXT[action] or state not in DONE.get(action, frozenset())


def test_every_state_can_be_reached_and_ends_are_ends() -> None:
    """What was received, and only that, never moves again; nothing is stuck without an action."""
    reached = {state for row in NEXT.values() for state in row.values()} | {S.UNDER_REVIEW}
    left = {state for row in NEXT.values() for state in row}

    assert reached == set(S)
    assert set(S) - left == {S.RECEIVED, S.CANCELLED}


@pytest.mark.parametrize(
    ("verdict", "state", "kinds"),
    [
        (Verdict.APPROVE, S.APPROVED, [EventKind.RETURN_REQUESTED, EventKind.RETURN_APPROVED]),
        (Verdict.REVIEW, S.UNDER_REVIEW, [EventKind.RETURN_REQUESTED]),
        (Verdict.REJECT, S.REJECTED, [EventKind.RETURN_REQUESTED, EventKind.RETURN_REJECTED]),
    ],
)
def test_a_new_return_stands_where_the_rules_put_it(
    verdict: Verdict, state: ReturnState, kinds: list[EventKind]
) -> None:
    """With the rule and its words kept, and only an approved one due."""
    made = policy.requested(a_return(), Ruling(verdict, "seven days", "sorry"), at(1))

    assert made.record.state is state
    assert made.record.decision == Decision(verdict, "seven days", "sorry", at(1))
    assert made.record.due_time == (at(1) if state is S.APPROVED else None)
    assert [e.kind for e in made.events] == kinds
    assert {(e.return_id, e.order_id, e.reference) for e in made.events} == {(RETURN_ID, ORDER_ID, "A1")}


def test_events_hold_nothing_a_person_wrote() -> None:
    """Notes, explanations and remarks stay in the sealed record: events are kept in the clear."""
    told = [
        policy.requested(a_return(), Ruling(Verdict.REJECT, "late", "欧阳说太晚"), NOW),
        policy.approved(a_return(S.UNDER_REVIEW), "欧阳小满 asked nicely", NOW),
        policy.rejected(a_return(S.UNDER_REVIEW), "欧阳小满 was late", NOW),
        policy.received(a_return(S.ARRIVED), "欧阳小满 kept the box", NOW),
    ]

    texts = [e.reason for step in told if step for e in step.events]

    assert texts == ["DAMAGED", "late", "", "", "DAMAGED"]


def test_an_approved_return_is_booked() -> None:
    """No order carries it yet."""
    assert move(a_return()) == Book()


def test_its_order_under_way_is_waited_for() -> None:
    """It books itself; we look again soon."""
    assert move(a_return(), way_back(OrderState.BOOKING)) == Rest(at(policy.WAIT_S))


def test_a_booked_order_gives_the_return_its_waybill() -> None:
    """And a day by which it must be handed over."""
    order = way_back(draft=draft(options=Options(pickup=True)))

    made = step_of(move(a_return(), order)).record

    assert (made.state, made.return_order_id, made.carrier, made.waybill_number) == (
        S.BOOKED,
        "way-back",
        "alpha",
        "W1",
    )
    assert made.pickup_booked
    assert made.expire_time == at(HAND_OVER_S)
    assert made.due_time == at(HAND_OVER_S)


def test_an_order_nobody_took_fails_the_return_and_may_be_tried_again() -> None:
    """The failed order is remembered, so that it is not taken for the next one."""
    failure = Failure("CARRIER_NO_SERVICE", "alpha refused", "take another")
    order = way_back(OrderState.FAILED, failure=failure)

    lost = step_of(move(a_return(), order)).record
    again = policy.approved(lost, "", at(9))

    assert (lost.state, lost.failure, lost.spent_order_id, lost.due_time) == (S.FAILED, failure, "way-back", None)
    assert again is not None
    assert (again.record.state, again.record.tries, again.record.failure) == (S.APPROVED, 2, None)
    assert move(again.record, order) == Book()


def test_a_try_that_was_rejected_after_it_failed_is_spent_all_the_same() -> None:
    """Approved after all it is a further try, and its old order, booked for ever, is not taken for a new one."""
    booked = a_return(S.IN_TRANSIT, carrier="alpha", return_order_id="way-back")
    lost = step_of(move(booked, way_back(), T.RETURNED)).record
    refused = policy.rejected(lost, "", at(5))
    assert refused is not None
    again = policy.approved(refused.record, "", at(9))

    assert again is not None
    assert (again.record.state, again.record.tries, again.record.failure) == (S.APPROVED, 2, None)
    assert move(again.record, way_back()) == Book()


@pytest.mark.parametrize("status", sorted(set(T) - {T.PRE_TRANSIT, T.CANCELLED, T.DELIVERED, T.RETURNED}))
def test_a_scan_puts_it_on_its_way(status: TrackStatus) -> None:
    """Whichever the first scan is; it cannot expire any more."""
    made = step_of(move(a_return(S.BOOKED, expire_time=at(1)), way_back(), status, 2)).record

    assert (made.state, made.expire_time) == (S.IN_TRANSIT, None)


@pytest.mark.parametrize("status", [None, T.PRE_TRANSIT])
def test_without_a_scan_it_expires(status: TrackStatus | None) -> None:
    """At its time and not before; then its waybill is voided."""
    waiting = a_return(S.BOOKED, expire_time=at(100))

    expired = step_of(move(waiting, way_back(), status, 100)).record

    assert move(waiting, way_back(), status, 99) == Rest(at(100))
    assert (expired.state, expired.due_time) == (S.EXPIRED, at(100))
    assert move(expired, way_back(), status, 101) == Void("way-back")
    assert move(expired, way_back(OrderState.CANCELLED), status, 102) == Rest(None)


@pytest.mark.parametrize("state", [S.BOOKED, S.IN_TRANSIT])
def test_a_delivery_makes_it_arrive(state: ReturnState) -> None:
    """Also when no scan came before."""
    assert step_of(move(a_return(state), way_back(), T.DELIVERED)).record.state is S.ARRIVED


def test_a_way_back_that_is_turned_round_fails() -> None:
    """The carrier brought it back to the buyer; somebody has to ask."""
    made = step_of(move(a_return(S.IN_TRANSIT, carrier="alpha"), way_back(), T.RETURNED)).record

    assert made.state is S.FAILED
    assert made.failure is not None
    assert "alpha brought" in made.failure.message


def test_a_waybill_cancelled_behind_our_back_fails_the_return() -> None:
    """Whoever cancels its order takes the way back away."""
    made = step_of(move(a_return(S.BOOKED, return_order_id="way-back"), way_back(OrderState.CANCELLED))).record

    assert (made.state, made.spent_order_id) == (S.FAILED, "way-back")


def test_a_cancelled_return_voids_its_order_until_that_is_done_or_refused() -> None:
    """While the carrier is asked already we wait; what it refuses is kept as the failure and left."""
    gone = policy.cancelled(a_return(S.BOOKED), NOW)
    assert gone is not None
    refused = policy.not_voided(gone.record, Failure("ORDER_NOT_CANCELLABLE", "no", "wait"), NOW).record

    assert move(gone.record) == Rest(None)
    assert move(gone.record, way_back()) == Void("way-back")
    assert move(gone.record, way_back(OrderState.CANCELLING, cancel_requested=True)) == Rest(at(policy.WAIT_S))
    assert move(gone.record, way_back(OrderState.CANCELLED)) == Rest(None)
    assert move(refused, way_back()) == Rest(None)


@pytest.mark.parametrize("state", [S.UNDER_REVIEW, S.REJECTED, S.ARRIVED, S.RECEIVED, S.FAILED])
def test_other_states_ask_for_nothing(state: ReturnState) -> None:
    """A person or a scan moves them."""
    assert move(a_return(state), way_back(), T.DELIVERED) == Rest(None)


def test_a_return_on_its_way_is_looked_at_now_and_then() -> None:
    """The net under the wake-ups: an expiry far away does not put it off for days."""
    waiting = a_return(S.BOOKED, expire_time=NOW + timedelta(days=14))

    assert move(waiting, way_back()) == Rest(at(policy.RECHECK_S))


def test_a_rule_is_overruled_by_a_person() -> None:
    """What a rule rejected may be approved after all, with the person's words."""
    made = policy.approved(a_return(S.REJECTED), "a loyal customer", at(3))

    assert made is not None
    assert made.record.decision == Decision(Verdict.APPROVE, "", "a loyal customer", at(3))
    assert made.record.tries == 1
    assert replace(made.record, due_time=None) != made.record


def test_a_try_whose_key_is_taken_says_by_which_order_and_what_to_do() -> None:
    """Approving it again is a further try, with a reference and a key of its own."""
    record = replace(a_return(S.APPROVED), tries=2)

    step = policy.failed(record, policy.key_taken("order-7"), NOW)

    assert step is not None
    assert step.record.failure is not None
    assert "order-7" in step.record.failure.message
    again = policy.approved(step.record, "once more", NOW)
    assert again is not None
    assert (again.record.state, again.record.tries) == (S.APPROVED, 3)
