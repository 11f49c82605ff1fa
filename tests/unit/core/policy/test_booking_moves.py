"""Every branch of the booking decision, as tables: rows in, next move out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from crossdock_sdk import ErrorClass, Repeat
from crossdock_sdk.manifest import BookingFacts
from engine.core.policy.booking import (
    COMES_BACK,
    FALLS_BACK,
    LOOKUP_DELAYS_S,
    REVIEW_DELAY_S,
    Candidate,
    CarrierFacts,
    Done,
    Doubt,
    Finish,
    LookUp,
    Move,
    Review,
    Rules,
    Try,
    Void,
    Wait,
    absence_is_proof,
    new_attempt,
    next_move,
)
from engine.core.policy.diversion import Choice, Hindrance
from engine.core.policy.records import AttemptRecord, AttemptState, BackupPolicy, LoadedOrder, OrderState, RoutingWish
from tests.fakes.rows import NOW, at, attempt, booking, draft, loaded

RULES = Rules(review_after_s=60.0, give_up_after_s=3600.0, retry_base_s=1.0, retry_cap_s=8.0, unavailable_retry_s=2.0)
ALPHA, BETA = Candidate("alpha", "alpha-1", "std"), Candidate("beta", "beta-1", "std")
BOTH = (ALPHA, BETA)
FREE, SHUT = Hindrance.NONE, Hindrance.BREAKER_OPEN
FINDS = CarrierFacts(BookingFacts(), can_find=True)
BLIND = CarrierFacts(BookingFacts(), can_find=False)
PUSHED = CarrierFacts(BookingFacts(confirmed_by_push=True), can_find=False)
S = AttemptState


def move_of(
    rows: LoadedOrder,
    candidates: Sequence[Candidate] = BOTH,
    *,
    facts: CarrierFacts = FINDS,
    away: Sequence[str] = (),
    after_s: float = 0.0,
) -> Move:
    """The decision `after_s` seconds after NOW; accounts in `away` are not available.

    Who was passed over is left out.
    """
    move = next_move(rows, candidates, lambda carrier: facts, lambda a: SHUT if a in away else FREE, RULES, at(after_s))
    return Try(move.attempt) if isinstance(move, Try) else move


def pause_s(move: Move, asked_s: float = 0.0) -> float:
    """How long a decision made `asked_s` seconds after NOW waits."""
    assert isinstance(move, Wait)
    return (move.until - at(asked_s)).total_seconds()


def rejected(number: int, carrier: str, error_class: ErrorClass, **fields: Any) -> AttemptRecord:
    """A refusal that ended at NOW."""
    return attempt(number, carrier, S.REJECTED, error_class=str(error_class), end_time=NOW, **fields)


@pytest.mark.parametrize("state", [OrderState.CANCELLED, OrderState.FAILED])
def test_an_ended_order_stays_ended(state: OrderState) -> None:
    """Nothing follows, whatever its attempts look like."""
    assert move_of(loaded(attempt(1, "alpha", S.UNKNOWN), state=state)) == Done()


def test_a_new_order_goes_to_the_best_candidate() -> None:
    """Attempt 1, INTENT, with a reference derived from the order and the attempt's number."""
    move = move_of(loaded(state=OrderState.ACCEPTED))

    assert move == Try(attempt(1, "alpha", S.INTENT))


def test_a_candidate_that_is_not_available_is_passed_over() -> None:
    """Before anything is sent, availability decides."""
    reason = "not alpha (alpha-1): it does not work at the moment"

    assert move_of(loaded(), away=["alpha-1"]) == Try(attempt(1, "beta", S.INTENT, cause=reason))


def test_a_try_says_who_was_passed_over_and_how_many_are_left() -> None:
    """What diversions are counted by, and what the deadline is shared by."""
    gamma = Candidate("gamma", "gamma-1", "std")
    standing = {"alpha-1": Hindrance.QUEUE_WAIT, "beta-1": FREE, "gamma-1": FREE}
    move = next_move(loaded(), (*BOTH, gamma), lambda carrier: FINDS, standing.__getitem__, RULES, NOW)

    assert isinstance(move, Try)
    assert (move.attempt.carrier, move.passed_over, move.why, move.others) == ("beta", ALPHA, Hindrance.QUEUE_WAIT, 2)


def test_an_order_without_available_candidates_waits() -> None:
    """It is looked at again soon; nothing is written."""
    assert move_of(loaded(), away=["alpha-1", "beta-1"]) == Wait(at(2.0))


def test_an_order_without_candidates_fails() -> None:
    """The configuration no longer serves it."""
    assert move_of(loaded(), ()) == Finish(OrderState.FAILED, None)


def test_an_order_that_waited_a_day_fails() -> None:
    """Untried candidates that never became available do not keep it open for ever."""
    assert move_of(loaded(), away=["alpha-1", "beta-1"], after_s=3601.0) == Finish(OrderState.FAILED, None)


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_the_table_says_which_refusals_fall_back(error_class: ErrorClass) -> None:
    """The next candidate, or the end with the carrier's refusal."""
    refusal = rejected(1, "alpha", error_class)

    move = move_of(loaded(refusal))

    expected = Try(attempt(2, "beta", S.INTENT)) if FALLS_BACK[error_class] else Finish(OrderState.FAILED, refusal)
    assert move == expected


def test_a_refusal_of_no_known_class_ends_the_order() -> None:
    """What nobody understands is not tried at other carriers."""
    refusal = attempt(1, "alpha", S.REJECTED, error_class="NEW")

    assert move_of(loaded(refusal)) == Finish(OrderState.FAILED, refusal)


def test_every_error_class_stands_in_the_table() -> None:
    """A new class of the sdk must be decided about here."""
    assert set(FALLS_BACK) == set(ErrorClass)


@pytest.mark.parametrize("error_class", [c for c in ErrorClass if FALLS_BACK[c]])
def test_the_last_refusal_is_waited_out_or_final(error_class: ErrorClass) -> None:
    """With every candidate tried, what may come back is asked again later; the rest ends the order."""
    refusal = rejected(1, "alpha", error_class)

    move = move_of(loaded(refusal), [ALPHA])

    if error_class in COMES_BACK:
        assert 0.5 <= pause_s(move) <= 1.0
    else:
        assert move == Finish(OrderState.FAILED, refusal)


@pytest.mark.parametrize("state", [S.NOT_SENT, S.ABSENT])
def test_what_was_not_booked_may_be_tried_again(state: AttemptState) -> None:
    """At the same carrier, when there is no other, after a pause."""
    rows = loaded(attempt(1, "alpha", state, end_time=NOW))

    due_s = pause_s(move_of(rows, [ALPHA]))

    assert move_of(rows, [ALPHA], after_s=due_s - 0.01) == Wait(at(due_s))
    assert isinstance(move_of(rows, [ALPHA], after_s=due_s), Try)


@pytest.mark.parametrize(("after_s", "carrier"), [(1.0, "alpha"), (599.0, "alpha"), (600.0, "beta")])
def test_failing_carriers_take_turns_slowly(after_s: float, carrier: str) -> None:
    """An order that has changed its carrier stays there for ten minutes; then the one asked longest ago is next."""
    rows = loaded(rejected(1, "beta", ErrorClass.CAPACITY), rejected(2, "alpha", ErrorClass.CAPACITY))

    assert move_of(rows, after_s=after_s) == Try(attempt(3, carrier, S.INTENT, start_time=at(after_s)))


def test_retries_at_the_same_carrier_do_not_put_the_change_off() -> None:
    """The ten minutes run from the change, not from the last attempt."""
    retries = [rejected(n, "alpha", ErrorClass.CAPACITY, start_time=at(100.0 * n)) for n in range(2, 6)]
    rows = loaded(rejected(1, "beta", ErrorClass.CAPACITY), *retries)

    assert move_of(rows, after_s=700.0) == Try(attempt(6, "alpha", S.INTENT, start_time=at(700.0)))
    assert move_of(rows, after_s=801.0) == Try(attempt(6, "beta", S.INTENT, start_time=at(801.0)))


def test_a_carrier_that_will_not_take_it_holds_no_order() -> None:
    """The second said NO_SERVICE for good: the first, which may have room again, is asked at once."""
    rows = loaded(rejected(1, "alpha", ErrorClass.CAPACITY), rejected(2, "beta", ErrorClass.NO_SERVICE))

    assert move_of(rows, after_s=1.0) == Try(attempt(3, "alpha", S.INTENT, start_time=at(1.0)))


def test_a_round_without_available_carriers_waits() -> None:
    """The pause is over, but their breakers are open."""
    rows = loaded(rejected(1, "alpha", ErrorClass.CAPACITY))

    assert 2.5 <= pause_s(move_of(rows, [ALPHA], away=["alpha-1"], after_s=5.0), 5.0) <= 5.0


def test_an_untried_but_unavailable_candidate_keeps_a_finally_refused_order_open() -> None:
    """The other carrier said NO_SERVICE; this one may still take it."""
    rows = loaded(rejected(1, "alpha", ErrorClass.NO_SERVICE))

    assert move_of(rows, away=["beta-1"], after_s=1.0) == Wait(at(3.0))


def test_giving_up_names_the_last_refusal() -> None:
    """So that the order can say why."""
    refusal = rejected(1, "alpha", ErrorClass.CAPACITY)

    assert move_of(loaded(refusal), [ALPHA], after_s=3601.0) == Finish(OrderState.FAILED, refusal)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ((), Try(attempt(1, "alpha", S.INTENT))),
        ((rejected(1, "alpha", ErrorClass.CAPACITY),), Try(attempt(2, "alpha", S.INTENT, start_time=at(1.0)))),
        (
            (rejected(1, "alpha", ErrorClass.NO_SERVICE),),
            Finish(OrderState.FAILED, rejected(1, "alpha", ErrorClass.NO_SERVICE)),
        ),
        ((rejected(1, "beta", ErrorClass.CAPACITY),), Try(attempt(2, "beta", S.INTENT, start_time=at(1.0)))),
    ],
    ids=["first", "retried there", "refused there", "its first stays its first"],
)
def test_without_backup_only_the_first_carrier_is_asked(attempts: tuple[AttemptRecord, ...], expected: Move) -> None:
    """Whatever it answers, and also when routing prefers another one by now."""
    never = draft(routing=RoutingWish(backup=BackupPolicy.NEVER))

    assert move_of(loaded(*attempts, draft=never), after_s=1.0 if attempts else 0.0) == expected


def test_without_backup_an_unavailable_first_carrier_is_waited_for() -> None:
    """The second is available, and not asked."""
    never = draft(routing=RoutingWish(backup=BackupPolicy.NEVER))

    assert move_of(loaded(draft=never), away=["alpha-1"]) == Wait(at(2.0))


def test_an_intent_found_in_the_rows_is_a_doubt() -> None:
    """Its bytes may have gone out before the crash."""
    intent = attempt(1, "alpha", S.INTENT)

    assert move_of(loaded(intent)) == Doubt(intent)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_doubt_is_resolved_before_anything_else(cancelled: bool) -> None:
    """UNKNOWN never falls back and is never cancelled unseen, other candidates or not."""
    doubt = attempt(1, "alpha", S.UNKNOWN, unknown_since=NOW)

    assert move_of(loaded(doubt, cancel_requested=cancelled)) == LookUp(doubt)


@pytest.mark.parametrize("lookups", [*range(len(LOOKUP_DELAYS_S)), 50])
def test_look_ups_follow_a_table_of_pauses(lookups: int) -> None:
    """The n-th pause counts from the last look-up; the last one repeats."""
    doubt = attempt(1, "alpha", S.UNKNOWN, unknown_since=at(-1), end_time=NOW, lookups=lookups)
    due_s = LOOKUP_DELAYS_S[min(lookups, len(LOOKUP_DELAYS_S) - 1)]

    assert move_of(loaded(doubt), after_s=due_s) == LookUp(doubt)
    if due_s:
        assert move_of(loaded(doubt), after_s=due_s - 0.01) == Wait(at(due_s))


def test_a_doubt_that_lasts_goes_to_review_and_is_looked_up_more_rarely() -> None:
    """A person is told, and the engine goes on asking."""
    doubt = attempt(1, "alpha", S.UNKNOWN, unknown_since=NOW, end_time=NOW)
    reviewed = loaded(doubt, state=OrderState.NEEDS_REVIEW)

    assert move_of(loaded(doubt), after_s=60.0) == Review(doubt, at(60.0 + REVIEW_DELAY_S))
    assert move_of(reviewed, after_s=60.0) == Wait(at(REVIEW_DELAY_S))
    assert move_of(reviewed, after_s=REVIEW_DELAY_S) == LookUp(doubt)


@pytest.mark.parametrize(
    ("facts", "after_s", "expected"),
    [(BLIND, 0.0, "review"), (PUSHED, 59.9, "wait"), (PUSHED, 60.0, "review")],
)
def test_without_look_up_a_push_is_waited_for_or_a_person_asked(
    facts: CarrierFacts, after_s: float, expected: str
) -> None:
    """A carrier whose pushes confirm bookings gets the time its sheet allows."""
    doubt = attempt(1, "alpha", S.UNKNOWN)

    move = move_of(loaded(doubt), facts=facts, after_s=after_s)

    assert move == (Review(doubt, None) if expected == "review" else Wait(at(60.0)))


def test_a_doubt_under_review_without_look_up_rests() -> None:
    """Only a push or a person can end it."""
    doubt = attempt(1, "alpha", S.UNKNOWN)

    assert move_of(loaded(doubt, state=OrderState.NEEDS_REVIEW), facts=BLIND, after_s=999.0) == Done()


@pytest.mark.parametrize(("cancelled", "expected"), [(False, Done), (True, Void)])
def test_a_booking_stands_until_it_is_cancelled(cancelled: bool, expected: type[Move]) -> None:
    """CONFIRMED ends the search for carriers."""
    rows = loaded(
        attempt(1, "alpha", S.CONFIRMED),
        state=OrderState.CANCELLING if cancelled else OrderState.BOOKED,
        booking=booking(),
        cancel_requested=cancelled,
    )

    assert isinstance(move_of(rows), expected)


def test_the_live_attempt_counts_and_not_the_last_one_written() -> None:
    """An older confirmed attempt is still the order's booking."""
    rows = loaded(attempt(1, "alpha", S.CONFIRMED), attempt(2, "beta", S.REJECTED), state=OrderState.BOOKED)

    assert move_of(rows) == Done()


@pytest.mark.parametrize("last", [None, attempt(1, "alpha", S.ABSENT)])
def test_a_cancelled_order_with_nothing_live_ends(last: AttemptRecord | None) -> None:
    """No carrier needs to be asked."""
    rows = loaded(*([last] if last else []), cancel_requested=True)

    assert move_of(rows) == Finish(OrderState.CANCELLED, last)


@pytest.mark.parametrize(
    ("state", "repeat", "same"),
    [
        (S.NOT_SENT, Repeat.BOOKS_AGAIN, True),
        (S.ABSENT, Repeat.BOOKS_AGAIN, False),
        (S.ABSENT, Repeat.REFUSES, True),
        (S.ABSENT, Repeat.REPLAYS, True),
        (S.REJECTED, Repeat.REPLAYS, False),
    ],
)
def test_a_reference_is_used_again_only_where_that_is_harmless(state: AttemptState, repeat: Repeat, same: bool) -> None:
    """Nothing was ever sent under it, or the carrier's sheet says that repeats cannot book twice."""
    first = attempt(1, "alpha", state)
    facts = CarrierFacts(BookingFacts(repeat=repeat), can_find=True)

    again = new_attempt(loaded().order, [first], Choice(ALPHA), lambda carrier: facts, NOW)

    assert (again.number, again.reference == first.reference) == (2, same)


@pytest.mark.parametrize("repeat", Repeat)
def test_the_reference_of_a_voided_booking_never_serves_again(repeat: Repeat) -> None:
    """The carrier would refuse the repeat for ever, or answer it with the dead waybill."""
    facts = CarrierFacts(BookingFacts(repeat=repeat), can_find=True)
    voided = attempt(1, "alpha", S.ABSENT, burnt=True)

    second = new_attempt(loaded().order, [voided], Choice(ALPHA), lambda carrier: facts, NOW)
    third = new_attempt(
        loaded().order, [voided, replace(second, state=S.NOT_SENT)], Choice(ALPHA), lambda carrier: facts, NOW
    )

    assert second.reference != voided.reference
    assert third.reference == second.reference


def test_another_account_never_gets_a_reference_of_the_first() -> None:
    """References are found again by account and reference together."""
    facts = CarrierFacts(BookingFacts(repeat=Repeat.REPLAYS), can_find=True)

    second = new_attempt(loaded().order, [attempt(1, "alpha", S.NOT_SENT)], Choice(BETA), lambda carrier: facts, NOW)

    assert second.reference.endswith("-2")


@pytest.mark.parametrize(
    ("fields", "asked_s", "proof"),
    [
        ({"unknown_since": NOW}, 29.9, False),
        ({"unknown_since": NOW}, 30.0, True),
        ({"unknown_since": at(10)}, 30.0, False),
        ({}, 30.0, True),
        ({"unknown_since": NOW, "error_class": "DUPLICATE"}, 9999.0, False),
    ],
)
def test_an_absence_is_proof_only_when_the_search_had_settled(
    fields: dict[str, Any], asked_s: float, proof: bool
) -> None:
    """Counted from the doubt; and never against the carrier's own word that it holds the reference."""
    doubt = attempt(1, "alpha", S.UNKNOWN, **fields)
    facts = CarrierFacts(BookingFacts(lookup_settles_s=30.0), can_find=True)

    assert absence_is_proof(doubt, facts, at(asked_s)) is proof
