"""How long orders wait before a carrier is asked again, and that no moment collects them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from crossdock_sdk import ErrorClass
from crossdock_sdk.manifest import BookingFacts
from engine.core.policy.booking import REVIEW_DELAY_S, Candidate, CarrierFacts, Rules, Wait, next_cancel, next_move
from engine.core.policy.diversion import Hindrance
from engine.core.policy.records import AttemptRecord, AttemptState, OrderState
from tests.fakes.rows import NOW, at, attempt, loaded

RULES = Rules(review_after_s=60.0, give_up_after_s=3600.0, retry_base_s=1.0, retry_cap_s=8.0, unavailable_retry_s=2.0)
ALPHA = Candidate("alpha", "alpha-1", "std")
FACTS = CarrierFacts(BookingFacts(), can_find=True)
FREE, SHUT = Hindrance.NONE, Hindrance.BREAKER_OPEN


def pause_s(
    attempts: Sequence[AttemptRecord] = (), hindrance: Hindrance = FREE, *, after_s: float = 0.0, order: int = 0
) -> float:
    """What an order that only alpha may take waits, asked `after_s` seconds after NOW."""
    rows = loaded(*attempts, order_id=f"order-{order}")
    move = next_move(rows, [ALPHA], lambda carrier: FACTS, lambda account_id: hindrance, RULES, at(after_s))
    assert isinstance(move, Wait)
    return (move.until - at(after_s)).total_seconds()


def refusals(count: int) -> list[AttemptRecord]:
    """So many, the last of which ended at NOW."""
    fields = {"error_class": str(ErrorClass.CAPACITY), "end_time": NOW}
    return [attempt(number, "alpha", AttemptState.REJECTED, **fields) for number in range(1, count + 1)]


def test_pauses_between_rounds_double_up_to_a_cap() -> None:
    """At most 1, 2, 4, 8, 8 seconds after the last refusal, at least half of that."""
    waits = [pause_s(refusals(rounds)) for rounds in range(1, 6)]

    assert [most / 2 <= wait <= most for wait, most in zip(waits, (1.0, 2.0, 4.0, 8.0, 8.0), strict=True)] == [True] * 5


def test_a_person_is_called_before_a_cancel_has_waited_longer_than_a_doubt_may() -> None:
    """Its pauses grow as far as that allows; from then on it is asked for at the pace of a review."""
    orders = [loaded(state=OrderState.CANCELLING, cancel_tries=tries).order for tries in range(200)]
    moves = [next_cancel(order, RULES, NOW) for order in orders]
    called = next(n for n, (_, needs_person) in enumerate(moves) if needs_person)
    waited_s = [(due - NOW).total_seconds() for due, _ in moves]
    in_review = loaded(state=OrderState.NEEDS_REVIEW, cancel_tries=0).order

    assert waited_s[:called] == [0.5, 1.0, 2.0, 5.0, 10.0, 30.0]
    assert set(moves[called:]) == {(at(REVIEW_DELAY_S), True)}
    assert next_cancel(in_review, RULES, NOW) == (at(REVIEW_DELAY_S), True)


def test_no_moment_collects_the_retries_of_many_orders() -> None:
    """A thousand orders refused at once come back over half of their pause, in no tenth of it more than a seventh."""
    tenths = Counter(int((pause_s(refusals(4), order=n) - 4.0) / 0.4) for n in range(1000))

    assert set(tenths) == set(range(10))
    assert max(tenths.values()) < 1000 / 7


def test_orders_at_a_shut_carrier_look_again_ever_more_rarely() -> None:
    """At least after the setting, else after half to all of the time they have waited, at most the longest pause."""
    fresh, young, older, old = (pause_s((), SHUT, after_s=age_s) for age_s in (0.0, 3.0, 6.0, 900.0))

    assert fresh == 2.0
    assert 2.0 <= young <= 3.0 <= older <= 6.0
    assert 4.0 <= old <= 8.0


def test_no_moment_collects_the_orders_at_a_shut_carrier() -> None:
    """A thousand that look in the same moment look again in different ones: its return is no starting gun."""
    tenths = Counter(int((pause_s((), SHUT, after_s=900.0, order=n) - 4.0) / 0.4) for n in range(1000))

    assert set(tenths) == set(range(10))
    assert max(tenths.values()) < 1000 / 7


def test_the_same_rows_wait_until_the_same_moment() -> None:
    """Looked at early, because somebody else touched the order, a retry is neither put off nor brought forward."""
    assert pause_s(refusals(4), after_s=1.0) == pause_s(refusals(4)) - 1.0
