"""The promises about bookings as rules over `Evidence`. Each rule yields one sentence a violation.

`violations` applies all of them and wants a run at rest; `doubled` may be asked at any time, also
while the engine is dead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise

from crossdock_sdk.simulator import Entry
from tests.acceptance.evidence import Call, Evidence, OrderFact, live_waybills

AT_REST = frozenset({"BOOKED", "CANCELLED", "FAILED", "NEEDS_REVIEW"})
NEVER_AFTER: Mapping[str, frozenset[str]] = {
    # A late booking may still call a person, and a refused cancel leaves the order booked.
    "BOOKED": frozenset({"ACCEPTED", "BOOKING", "FAILED"}),
    "CANCELLING": frozenset({"ACCEPTED", "BOOKING", "FAILED"}),
    "CANCELLED": frozenset({"ACCEPTED", "BOOKING", "BOOKED", "CANCELLING", "FAILED"}),
    "FAILED": frozenset({"ACCEPTED", "BOOKING", "BOOKED", "CANCELLING", "CANCELLED"}),
}
"""States that an order cannot be in any more once it was in this one."""
OPEN_ATTEMPTS = frozenset({"INTENT", "UNKNOWN", "CONFIRMED"})

Rule = Callable[[Evidence], Iterator[str]]


def violations(evidence: Evidence) -> list[str]:
    """Every broken promise, as "rule: what"."""
    return [f"{name}: {text}" for name, rule in RULES.items() for text in rule(evidence)]


def doubled(ledgers: Mapping[str, Sequence[Entry]]) -> list[str]:
    """Orders with more than one live waybill over all carriers."""
    return [
        f"order {owner} has {len(waybills)} live waybills: {waybills}"
        for owner, waybills in live_waybills(ledgers).items()
        if len(waybills) > 1
    ]


def _none_lost(evidence: Evidence) -> Iterator[str]:
    """An acknowledged order is there."""
    references = {order.order_id: order.reference for order in evidence.orders}
    for call in evidence.calls:
        if call.acknowledged and references.get(call.order_id) != call.reference:
            yield f"{call.rpc} of {call.reference} was acknowledged, {call.order_id} is not there"


def _none_doubled(evidence: Evidence) -> Iterator[str]:
    """At most one live waybill an order."""
    yield from doubled(evidence.ledgers)


def _one_order_per_key(evidence: Evidence) -> Iterator[str]:
    """One request_id and one reference name one order."""
    by_key: dict[str, set[str]] = {}
    for call in evidence.calls:
        if call.acknowledged:
            by_key.setdefault(call.request_id or call.reference, set()).add(call.order_id)
    for key, order_ids in by_key.items():
        if len(order_ids) > 1:
            yield f"key {key} was answered with {len(order_ids)} orders"
    counts = Counter(order.reference for order in evidence.orders)
    for reference, count in counts.items():
        if count > 1:
            yield f"reference {reference} stands in {count} orders"


def _books_agree(evidence: Evidence) -> Iterator[str]:
    """The engine's live waybills and the carriers' are the same, one to one."""
    live = evidence.live
    for order in evidence.orders:
        theirs = live.pop(order.order_id, [])
        ours = [(order.carrier, order.waybill_number)]
        if not _fits(order, ours, theirs):
            yield f"order {order.order_id} is {order.state} {ours}, the carriers hold {theirs}"
    for owner, theirs in live.items():
        yield f"the carriers hold {theirs} for {owner}, of whom the engine knows nothing"


def _fits(order: OrderFact, ours: Sequence[tuple[str, str]], theirs: Sequence[tuple[str, str]]) -> bool:
    match order.state:
        case "BOOKED":
            return list(theirs) == list(ours)
        case "NEEDS_REVIEW":
            return len(theirs) <= 1
        case "CANCELLED" if order.voided_locally:
            # The carrier has no call to void a number; unscanned, it recycles it.
            return list(theirs) == list(ours)
        case "CANCELLED" | "FAILED":
            return not theirs
    return True  # not at rest: `_all_at_rest` tells


def _all_at_rest(evidence: Evidence) -> Iterator[str]:
    """Every order came to an end, or to a person."""
    for order in evidence.orders:
        if order.state not in AT_REST:
            yield f"order {order.order_id} is still {order.state}, attempts {order.attempts}"


def _told_is_true(evidence: Evidence) -> Iterator[str]:
    """A waybill number that a caller was given stays the order's."""
    numbers = {order.order_id: order.waybill_number for order in evidence.orders}
    for call in evidence.calls:
        if call.waybill_number and numbers.get(call.order_id) != call.waybill_number:
            yield (
                f"{call.rpc} of {call.reference} answered {call.waybill_number}, now it is {numbers.get(call.order_id)}"
            )


def _no_gaps(evidence: Evidence) -> Iterator[str]:
    """Cursors rise by one from 1."""
    for expected, event in enumerate(evidence.events, start=1):
        if event.cursor != expected:
            yield f"cursor {event.cursor} came where {expected} was due"
            return


def _events_tell_all(evidence: Evidence) -> Iterator[str]:
    """Each order's events begin with its acceptance, once, and end in its state."""
    told: dict[str, list[tuple[str, str]]] = {}
    for event in evidence.events:
        told.setdefault(event.order_id, []).append((event.kind, event.state))
    for order in evidence.orders:
        story = told.pop(order.order_id, [("nothing", "nothing")])
        accepted = [index for index, (kind, _) in enumerate(story) if kind == "ORDER_ACCEPTED"]
        if accepted != [0]:
            yield f"order {order.order_id} was accepted at places {accepted} of {story}"
        if story[-1][1] != order.state:
            yield f"order {order.order_id} is {order.state}, its events end in {story[-1]}"
    for order_id in told:
        yield f"events tell of order {order_id}, which is not there"


def _never_back(evidence: Evidence) -> Iterator[str]:
    """An order's state goes forward, as events tell it and as callers saw it."""
    told: dict[str, list[str]] = {}
    for event in evidence.events:
        told.setdefault(event.order_id, []).append(event.state)
    for order_id, states in told.items():
        for earlier, later in pairwise(states):
            if later in NEVER_AFTER.get(earlier, ()):
                yield f"events tell that order {order_id} was {earlier}, then {later}"
    answers: dict[str, list[Call]] = {}
    for call in evidence.calls:
        if call.acknowledged:
            answers.setdefault(call.order_id, []).append(call)
    for order_id, calls in answers.items():
        for earlier_call, later_call in combinations(sorted(calls, key=lambda call: call.ended_s), 2):
            # Calls that overlap may be answered in any order.
            after = earlier_call.ended_s <= later_call.started_s
            if after and later_call.state in NEVER_AFTER.get(earlier_call.state, ()):
                yield f"callers saw order {order_id} as {earlier_call.state}, later as {later_call.state}"


def _counters_agree(evidence: Evidence) -> Iterator[str]:
    """The engine counted as many confirmed attempts as the carriers booked, less those that a person must look for."""
    if evidence.confirmed_count is None:
        return
    booked = sum(entry.kind == "BOOKED" for entries in evidence.ledgers.values() for entry in entries)
    live = evidence.live
    unseen = sum(len(live.get(order.order_id, ())) for order in evidence.orders if order.state == "NEEDS_REVIEW")
    if evidence.confirmed_count != booked - unseen:
        yield f"{evidence.confirmed_count} attempts were counted as confirmed, the carriers booked {booked - unseen}"


def _one_open_attempt(evidence: Evidence) -> Iterator[str]:
    """At most one attempt of an order may have booked."""
    for order in evidence.orders:
        if sum(state in OPEN_ATTEMPTS for state in order.attempts) > 1:
            yield f"order {order.order_id} has attempts {order.attempts}"


RULES: Mapping[str, Rule] = {
    "none lost": _none_lost,
    "none doubled": _none_doubled,
    "one order per key": _one_order_per_key,
    "books agree": _books_agree,
    "all at rest": _all_at_rest,
    "told is true": _told_is_true,
    "no gaps": _no_gaps,
    "events tell all": _events_tell_all,
    "one open attempt": _one_open_attempt,
    "never back": _never_back,
    "counters agree": _counters_agree,
}
