"""The rules the acceptance tests rest on: each finds the breach it is there for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from crossdock_sdk.simulator import Entry
from engine.core.policy.references import reference_of
from tests.acceptance.checker import RULES, doubled, violations
from tests.acceptance.evidence import Call, Evidence, OrderFact, SeenEvent

TIME = datetime(2026, 11, 11, tzinfo=UTC)
ID = "01a2007c-b5fe-714e-a67e-b7ee438f2e6a"
OTHER_ID = "01a2007c-b5fe-714e-a67e-b7ee438f2e6b"


def entry(waybill: str, *, owner: str = ID, kind: str = "BOOKED", number: int = 1, sequence: int = 1) -> Entry:
    """A ledger's entry for an order's attempt."""
    return Entry(sequence, TIME, kind, reference_of(owner, number), waybill)


ORDER = OrderFact(ID, "R1", "BOOKED", "sf", "SF1", attempts=("CONFIRMED",))
ACCEPTED = SeenEvent(1, "ORDER_ACCEPTED", ID, "BOOKING")
BOOKED = SeenEvent(2, "ORDER_BOOKED", ID, "BOOKED", "SF1")
CALL = Call("CreateOrder", "k1", "R1", "OK", 0.0, 1.0, ID, "BOOKED", "SF1")
SOUND = Evidence([CALL], [ORDER], [ACCEPTED, BOOKED], {"sf": [entry("SF1")], "zto": []})

BREACHES: Mapping[str, tuple[str, Evidence]] = {
    "an acknowledged order is gone": (
        "none lost",
        replace(SOUND, calls=[CALL, replace(CALL, order_id=OTHER_ID, request_id="k2")]),
    ),
    "both carriers hold a waybill": (
        "none doubled",
        replace(SOUND, ledgers={"sf": [entry("SF1")], "zto": [entry("75", number=2)]}),
    ),
    "one carrier holds two": (
        "none doubled",
        replace(SOUND, ledgers={"sf": [entry("SF1"), entry("SF2", number=2)]}),
    ),
    "a key names two orders": (
        "one order per key",
        replace(SOUND, calls=[CALL, replace(CALL, order_id=OTHER_ID)]),
    ),
    "a reference stands twice": (
        "one order per key",
        replace(SOUND, orders=[ORDER, replace(ORDER, order_id=OTHER_ID)]),
    ),
    "a booked order has no live waybill": ("books agree", replace(SOUND, ledgers={"sf": []})),
    "a cancelled order's waybill lives": (
        "books agree",
        replace(SOUND, orders=[replace(ORDER, state="CANCELLED")]),
    ),
    "a failed order has a waybill": (
        "books agree",
        replace(SOUND, orders=[replace(ORDER, state="FAILED")]),
    ),
    "a waybill belongs to nobody": (
        "books agree",
        replace(SOUND, ledgers={"sf": [entry("SF1")], "zto": [entry("75", owner=OTHER_ID)]}),
    ),
    "an order is still under way": (
        "all at rest",
        replace(SOUND, orders=[replace(ORDER, state="BOOKING")]),
    ),
    "a caller was told another waybill": (
        "told is true",
        replace(SOUND, calls=[replace(CALL, waybill_number="SF9")]),
    ),
    "a cursor is missing": (
        "no gaps",
        replace(SOUND, events=[ACCEPTED, replace(BOOKED, cursor=3)]),
    ),
    "a cursor comes twice": (
        "no gaps",
        replace(SOUND, events=[ACCEPTED, replace(BOOKED, cursor=1)]),
    ),
    "an order was never accepted": ("events tell all", replace(SOUND, events=[BOOKED])),
    "the last event is missing": ("events tell all", replace(SOUND, events=[ACCEPTED])),
    "an event is about nobody": (
        "events tell all",
        replace(SOUND, events=[ACCEPTED, BOOKED, SeenEvent(3, "ORDER_BOOKED", OTHER_ID, "BOOKED")]),
    ),
    "events take a booked order back": (
        "never back",
        replace(
            SOUND, events=[ACCEPTED, BOOKED, replace(BOOKED, cursor=3, state="BOOKING"), replace(BOOKED, cursor=4)]
        ),
    ),
    "a caller sees a booked order under way again": (
        "never back",
        replace(SOUND, calls=[CALL, replace(CALL, started_s=1.5, ended_s=2.0, state="BOOKING", waybill_number="")]),
    ),
    "the engine counted a booking that no carrier has": (
        "counters agree",
        replace(SOUND, confirmed_count=2),
    ),
    "the engine missed a booking in its count": (
        "counters agree",
        replace(SOUND, confirmed_count=0),
    ),
    "two attempts may have booked": (
        "one open attempt",
        replace(SOUND, orders=[replace(ORDER, attempts=("UNKNOWN", "CONFIRMED"))]),
    ),
}


def test_sound_evidence_passes() -> None:
    """One order, one waybill, two events: nothing to find."""
    assert violations(SOUND) == []


@pytest.mark.parametrize("breach", BREACHES)
def test_each_breach_is_found_by_its_rule(breach: str) -> None:
    """The rule that stands for the promise names it."""
    rule, evidence = BREACHES[breach]

    assert rule in [text.partition(":")[0] for text in violations(evidence)]


def test_every_rule_has_a_breach_that_it_finds() -> None:
    """A rule nothing can break would prove nothing."""
    assert {rule for rule, _ in BREACHES.values()} == set(RULES)


def test_calls_that_overlap_may_see_either_state() -> None:
    """Two calls at once: whichever answer comes first."""
    slow = replace(CALL, started_s=0.5, ended_s=2.0, state="BOOKING", waybill_number="")

    assert violations(replace(SOUND, calls=[CALL, slow])) == []


def test_a_booking_that_waits_for_a_person_is_not_counted_yet() -> None:
    """The carrier has it, the engine does not know: that is no wrong count."""
    order = OrderFact(ID, "R1", "NEEDS_REVIEW", attempts=("UNKNOWN",))
    events = [ACCEPTED, SeenEvent(2, "ORDER_NEEDS_REVIEW", ID, "NEEDS_REVIEW")]
    calls = [replace(CALL, waybill_number="", state="BOOKING")]

    assert violations(Evidence(calls, [order], events, SOUND.ledgers, confirmed_count=0)) == []
    assert violations(replace(SOUND, confirmed_count=1)) == []


def test_a_cancelled_waybill_is_not_live() -> None:
    """Booked, cancelled, booked again elsewhere: one live waybill."""
    ledgers = {
        "sf": [entry("SF1"), entry("SF1", kind="CANCELLED", sequence=2)],
        "zto": [entry("75", number=2)],
    }

    assert doubled(ledgers) == []


def test_a_number_without_cancel_call_is_void_for_us() -> None:
    """A carrier that cannot void holds its number until it recycles it; the order is cancelled."""
    order = replace(ORDER, state="CANCELLED", voided_locally=True, attempts=("VOIDED",))
    events = [ACCEPTED, BOOKED, SeenEvent(3, "ORDER_CANCELLED", ID, "CANCELLED", "SF1")]

    assert violations(replace(SOUND, orders=[order], events=events)) == []


def test_an_order_in_review_may_be_booked_or_not() -> None:
    """That is what the person is asked to find out."""
    order = OrderFact(ID, "R1", "NEEDS_REVIEW", attempts=("UNKNOWN",))
    events = [ACCEPTED, SeenEvent(2, "ORDER_NEEDS_REVIEW", ID, "NEEDS_REVIEW")]
    calls = [replace(CALL, waybill_number="", state="BOOKING")]
    evidence = Evidence(calls, [order], events, {"zto": [entry("75")]})

    assert violations(evidence) == []
    assert violations(replace(evidence, ledgers={})) == []
