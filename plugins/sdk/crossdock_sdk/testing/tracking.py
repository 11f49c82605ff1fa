"""Tracking: a parcel is followed from its booking to its end, and what must hold of every answer on the way."""

from __future__ import annotations

from datetime import timedelta

from crossdock_sdk.errors import CarrierError
from crossdock_sdk.models import Booked
from crossdock_sdk.testing.bench import Bench, describe
from crossdock_sdk.tracking import Subscribed, Tracked, TrackEvent, TrackRequest

_STEP_S = 6 * 3600.0
_DAYS = 14
_PARCELS = 3
_UNKNOWN = "let the simulator use codes of the carrier's document, and give each a row in the plug-in's table"


def check_tracking(bench: Bench) -> None:
    """Follow some parcels for a fortnight; findings go to the bench."""
    if bench.has("subscribe"):
        _subscribe(bench)
    if not (bench.has("track") and bench.has("book")):
        return
    booked = [bench.call_one("book", bench.next_booking()) for _ in range(_PARCELS)]
    requests = [request_for(bench, b) for b in booked if isinstance(b, Booked)]
    if not requests:
        return
    seen: dict[str, set[tuple[str, str, str]]] = {r.waybill_number: set() for r in requests}
    for _ in range(int(_DAYS * 86400 / _STEP_S)):
        for request in requests:
            _ask(bench, request, seen)
        bench.clock.advance(_STEP_S)
    for number, events in seen.items():
        bench.expect(
            bool(events),
            "a parcel of the simulator travels",
            f"track of {number} showed no event in {_DAYS} days",
            "derive events from the ledger's entry and clock() in the simulator",
        )
    _batch(bench, requests)


def request_for(bench: Bench, booked: Booked) -> TrackRequest:
    """The question about a booking of the kit, with the recipient's phone ending."""
    phone = bench.next_booking().recipient.contact.phone
    return TrackRequest(booked.waybill_number, phone[-4:])


def check_event(bench: Bench, event: TrackEvent, where: str) -> bool:
    """What holds of every event, however it came. Returns whether its time can be compared."""
    is_aware = bench.expect(
        isinstance(event, TrackEvent) and event.time.tzinfo is not None,
        "events have aware times",
        where,
        "use codec.from_local_text with the manifest's zone",
    )
    bench.expect(
        ":" in event.code and (event.known or event.status is None),
        "an event's code has a name space, and none that is unknown a status",
        f"{where}, code {event.code!r}",
        "write codes such as op:54; set known=False and status=None when the table lacks the code",
    )
    bench.expect(event.known, "the table knows the simulator's codes", f"{where}: {event.code}", _UNKNOWN)
    bench.expect(bool(event.raw), "the raw event is kept", where, "fill TrackEvent.raw with the carrier's bytes")
    return is_aware


def _subscribe(bench: Bench) -> None:
    booked = bench.call_one("book", bench.next_booking()) if bench.has("book") else None
    if not isinstance(booked, Booked):
        return
    request = request_for(bench, booked)
    for time in ("the first time", "again"):
        outcome = bench.call_one("subscribe", request)
        bench.expect(
            outcome is None or outcome == Subscribed(booked.waybill_number),
            "subscribe gives Subscribed, also when it is repeated",
            f"subscribe {time} gave {describe(outcome)}",
            'read the carrier\'s "already subscribed" as Subscribed',
        )


def _ask(bench: Bench, request: TrackRequest, seen: dict[str, set[tuple[str, str, str]]]) -> None:
    number = request.waybill_number
    outcome = bench.call_one("track", request)
    if outcome is None:
        return
    if not (isinstance(outcome, Tracked) and outcome.waybill_number == number):
        remedy = "return Tracked with the number asked for, without events while there are none"
        bench.expect(False, "track gives Tracked", f"track gave {describe(outcome)}", remedy)
        return
    for event in outcome.events:
        is_aware = check_event(bench, event, f"track of {number}")
        bench.expect(
            event.waybill_number == number and is_aware and event.time <= bench.clock() + timedelta(seconds=1),
            "events are of the parcel asked for and have happened",
            f"track of {number}, code {event.code!r}",
            "compare numbers, and let the simulator show events up to clock() only",
        )
    told = {(event.code, event.time.isoformat(), event.text) for event in outcome.events}
    bench.expect(
        seen[number] <= told,
        "events that were shown are shown again",
        f"track of {number}",
        "make the simulator's events a function of its entry and the time",
    )
    seen[number] |= told


def _batch(bench: Bench, requests: list[TrackRequest]) -> None:
    """A batch answers in order, and an unknown number in it is nobody else's trouble."""
    if bench.manifest.limit("track").batch < 2:
        return
    stranger = TrackRequest(_stranger(bench, requests))
    asked = [stranger, *requests[: bench.manifest.limit("track").batch - 1]]
    outcomes = bench.call("track", asked, where=f"track of {len(asked)}")
    if outcomes is None:
        return
    numbers = [getattr(o, "waybill_number", "") for o in outcomes] if isinstance(outcomes, list) else []
    bench.expect(
        numbers[1:] == [r.waybill_number for r in asked[1:]],
        "a batch's outcomes stand in the order of its items",
        f"track of {len(asked)}, one of them unknown",
        "find each item's events by its number",
    )
    first = outcomes[0] if isinstance(outcomes, list) else outcomes
    bench.expect(
        isinstance(first, CarrierError) or (isinstance(first, Tracked) and not first.events),
        "an unknown number has no events",
        f"track of {len(asked)}",
        "return Tracked without events, or the carrier's refusal",
    )


def _stranger(bench: Bench, requests: list[TrackRequest]) -> str:
    """A number of the carrier's form that the simulator never gave out."""
    ours = {r.waybill_number for r in requests}
    return next((n for pattern in bench.manifest.number for n in pattern.good if n not in ours), "UNKNOWN0000")
