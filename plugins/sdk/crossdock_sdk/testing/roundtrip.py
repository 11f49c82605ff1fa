"""Round trips: each operation of the manifest against the simulator, and what must hold.

book -> find -> label -> cancel -> cancel again -> find; options, batches, repeats.
"""

from __future__ import annotations

from typing import Any

from crossdock_sdk.errors import CarrierError, ErrorClass
from crossdock_sdk.manifest import Repeat, Service
from crossdock_sdk.models import (
    Absent,
    Booked,
    Booking,
    Cancellation,
    Cancelled,
    CarrierLabel,
    LabelRequest,
    Option,
    Options,
    Pending,
    Quote,
    Refused,
    Routing,
    SortCodeRequest,
    Temperature,
)
from crossdock_sdk.simulator.faults import Faults
from crossdock_sdk.testing.bench import Bench, describe, options_for
from crossdock_sdk.testing.builders import lane

_SIMULATOR = "let the simulator answer as the carrier's document says, and the carrier read it"
_MAGIC = {"application/pdf": b"%PDF-", "image/png": b"\x89PNG", "application/zpl": b"^XA"}
_AGES_S = 3600.0


def check_round_trips(bench: Bench) -> None:
    """Run them all; findings go to the bench."""
    _sort_codes(bench)
    _quotes(bench)
    if not bench.has("book"):
        return
    for service in bench.manifest.service:
        _life(bench, service)
    for option in bench.manifest.options:
        _option(bench, option)
    _batch(bench)
    _repeat(bench)
    _unknown_reference(bench)
    _blind_lookup(bench)


def _sort_codes(bench: Bench) -> None:
    if not bench.has("sort_code"):
        return
    ends = lane()
    request = SortCodeRequest("CHECK-SORT", ends.shipper.address, ends.recipient.address)
    found = bench.call_one("sort_code", request)
    bench.expect(
        found is None or (isinstance(found, Routing) and bool(found.sort_code)),
        "sort_code gives a Routing with a sort_code",
        f"sort_code gave {describe(found)}",
        _SIMULATOR,
    )


def _quotes(bench: Bench) -> None:
    if not bench.has("quote"):
        return
    service = bench.manifest.service[0].code if bench.manifest.service else ""
    for wanted in ("", service):
        found = bench.call_one("quote", lane(service=wanted))
        quotes = found if isinstance(found, tuple) else ()
        bench.expect(
            found is None or (bool(quotes) and all(isinstance(q, Quote) for q in quotes)),
            "quote gives a tuple of Quote for a served lane",
            f"quote of service {wanted!r} gave {describe(found)}",
            _SIMULATOR,
        )


def _for_service(bench: Bench, service: Service) -> Booking:
    temperature = service.temperatures[0] if service.temperatures else Temperature.AMBIENT
    return bench.next_booking(service=service.code, options=Options(temperature=temperature))


def _life(bench: Bench, service: Service) -> None:
    """One booking from the cradle to the grave."""
    wanted = _for_service(bench, service)
    booked = _book(bench, wanted, f"book of service {service.code}")
    if booked is None:
        return
    _is_found(bench, booked, "after booking")
    if bench.has("label"):
        _label(bench, booked)
    if bench.has("cancel"):
        _cancel(bench, booked)


def _book(bench: Bench, wanted: Booking, where: str) -> Booked | None:
    """Book, and check everything a Booked promises."""
    before = len(bench.simulator.ledger.entries)
    booked = bench.call_one("book", wanted, where=where)
    if booked is None:
        return None
    if not isinstance(booked, Booked):
        bench.expect(False, "a good booking is Booked", f"{where}: {describe(booked)}", _SIMULATOR)
        return None
    bench.expect(
        booked.reference == wanted.reference,
        "outcomes carry our reference",
        f"{where}: another reference came back",
        "compare the reference in the answer with booking.reference and return that",
    )
    pieces = (booked.waybill_number, *booked.sub_waybill_numbers)
    bench.expect(
        all(bench.manifest.owns_number(piece) for piece in pieces),
        "waybill numbers match a [[number]] pattern",
        f"{where}: {pieces}",
        "correct the pattern, or the simulator's numbers",
    )
    bench.expect(
        len(pieces) in (1, len(wanted.parcels)) and len(set(pieces)) == len(pieces),
        "the pieces of a booking have numbers of their own",
        f"{where}: {len(wanted.parcels)} parcels, numbers {pieces}",
        "return the master's number and the other pieces in sub_waybill_numbers",
    )
    bench.expect(
        len(bench.simulator.ledger.entries) > before and bench.simulator.ledger.first(wanted.reference) is not None,
        "the ledger knows every booking by our reference",
        f"{where}: no entry",
        "call ledger.book(clock(), reference, waybill_number) when the simulator books",
    )
    bench.clock.advance(_AGES_S)
    return booked


def _lookups(bench: Bench, booked: Booked) -> list[tuple[str, Any]]:
    """What each look-up the carrier has says of a booking."""
    found: list[tuple[str, Any]] = []
    if bench.has("find"):
        found.append(("find", bench.call_one("find", booked.reference)))
    if bench.has("find_by_carrier_order"):
        # Some carriers see an order by one of its ids only; the engine asks with each it has.
        ids = [i for i in (booked.carrier_order_id, booked.waybill_number) if i]
        outcomes = [bench.call_one("find_by_carrier_order", i) for i in ids]
        best = next((o for o in outcomes if not isinstance(o, CarrierError)), outcomes[0])
        found.append(("find_by_carrier_order", best))
    return [(operation, outcome) for operation, outcome in found if outcome is not None]


def _is_found(bench: Bench, booked: Booked, when: str) -> None:
    for operation, found in _lookups(bench, booked):
        same = isinstance(found, Booked) and found.waybill_number == booked.waybill_number
        bench.expect(
            same,
            "a look-up finds what was booked",
            f"{operation} {when} gave {describe(found)}",
            "return Booked with the waybill number; recovery lives on it",
        )
        if isinstance(found, Booked) and operation == "find":
            bench.expect(
                found.sub_waybill_numbers == booked.sub_waybill_numbers,
                "a look-up finds all pieces",
                f"{operation} {when} gave other sub_waybill_numbers than book",
                "return them in the same order; a recovered booking prints its labels from them",
            )


def _label(bench: Bench, booked: Booked) -> None:
    request = LabelRequest(booked.waybill_number, booked.sub_waybill_numbers)
    label = bench.call_one("label", request)
    if label is None:
        return
    magic = _MAGIC.get(label.media_type, b"") if isinstance(label, CarrierLabel) else b""
    bench.expect(
        isinstance(label, CarrierLabel)
        and label.waybill_number == booked.waybill_number
        and bool(label.content)
        and label.content.lstrip().startswith(magic),
        "label gives the file it says it is, for the waybill asked",
        f"label gave {describe(label)}",
        "return CarrierLabel with the waybill number, the file's bytes and their media type",
    )


def _cancel(bench: Bench, booked: Booked) -> None:
    wanted = Cancellation(booked.reference, booked.waybill_number, booked.carrier_order_id, booked.sub_waybill_numbers)
    local_only = False
    for time in ("the first time", "again"):
        gone = bench.call_one("cancel", wanted)
        if gone is None:
            return
        bench.expect(
            isinstance(gone, Cancelled) and gone.reference == booked.reference,
            "cancel gives Cancelled, also for what is cancelled already",
            f"cancel {time} gave {describe(gone)}",
            'read the carrier\'s "already cancelled" as Cancelled',
        )
        local_only = isinstance(gone, Cancelled) and gone.local_only
    if local_only:  # the carrier was not told, so it still knows the booking
        return
    _is_void(bench, booked)


def _is_void(bench: Bench, booked: Booked) -> None:
    """After a cancellation the carrier knows nothing live, and its look-up says so if it can."""
    bench.expect(
        booked.waybill_number in bench.simulator.ledger.cancelled,
        "the ledger knows every cancellation",
        "cancel left the waybill live",
        "call ledger.cancel(clock(), reference, waybill_number) when the simulator cancels",
    )
    for operation, found in _lookups(bench, booked):
        bench.expect(
            isinstance(found, Refused | Absent | Pending | CarrierError)
            or not bench.manifest.booking.lookup_shows_cancelled,
            "a cancelled booking is not found as live",
            f"{operation} after cancel gave {describe(found)}",
            "return Refused or Absent; when the carrier's look-up does not tell, write "
            "booking.lookup_shows_cancelled = false in the manifest",
        )


def _option(bench: Bench, option: Option) -> None:
    """A booking with the option, on the first service that can carry it."""
    changes = options_for(option, bench.clock)
    options = changes.get("options", Options())
    fitting = [s for s in bench.manifest.service if options.temperature in s.temperatures]
    if not fitting:  # a finding of the manifest already
        return
    wanted = bench.next_booking(service=fitting[0].code, **changes)
    booked = _book(bench, wanted, f"book with option {option.value}")
    if booked is None or option is not Option.MULTI_PARCEL:
        return
    bench.expect(
        len(booked.sub_waybill_numbers) == len(wanted.parcels) - 1,
        "each further piece has a sub number",
        f"{len(wanted.parcels)} parcels gave {len(booked.sub_waybill_numbers)} sub numbers",
        "return one sub_waybill_numbers entry per piece after the first, in order",
    )
    _is_found(bench, booked, "after booking several parcels")
    if bench.has("label"):
        _label(bench, booked)


def _batch(bench: Bench) -> None:
    size = min(3, bench.manifest.limit("book").batch)
    if size < 2:
        return
    wanted = [bench.next_booking() for _ in range(size)]
    outcomes = bench.call("book", wanted, where=f"book of {size}")
    if outcomes is None:
        return
    references = [getattr(o, "reference", "") for o in outcomes] if outcomes else []
    bench.expect(
        references == [b.reference for b in wanted],
        "a batch's outcomes stand in the order of its items",
        f"book of {size}",
        "sort the answer by our reference before returning it",
    )


def _repeat(bench: Bench) -> None:
    """A second booking under the same reference ends as the manifest says."""
    repeat = bench.manifest.booking.repeat
    wanted = bench.next_booking()
    first = _book(bench, wanted, "book before a repeat")
    if first is None or repeat is Repeat.BOOKS_AGAIN:
        return
    second = bench.call_one("book", wanted, where="book repeated")
    if second is None:
        return
    if repeat is Repeat.REPLAYS:
        holds = isinstance(second, Booked) and second.waybill_number == first.waybill_number
    else:
        holds = isinstance(second, CarrierError) and second.error_class is ErrorClass.DUPLICATE
    bench.expect(
        holds and len(bench.simulator.ledger.by_reference[wanted.reference]) == 1,
        f"repeat = {repeat.value} is what happens",
        f"book repeated gave {describe(second)}",
        "correct booking.repeat, the simulator, or the class of the carrier's duplicate code",
    )


def _unknown_reference(bench: Bench) -> None:
    if not bench.has("find"):
        return
    found = bench.call_one("find", "CHECK-NEVER-1")
    bench.expect(
        found is None or isinstance(found, Absent),
        "find of an unknown reference is Absent",
        f"find gave {describe(found)}",
        'read the carrier\'s "not found" as Absent; recovery takes it as proof',
    )


def _blind_lookup(bench: Bench) -> None:
    """The simulator can play a carrier whose look-up lags behind its bookings."""
    if not bench.has("find"):
        return
    wanted = bench.next_booking()
    bench.call_one("book", wanted, where="book before a blind look-up")
    bench.simulator.faults = Faults(lookup_blind_s=60.0)
    young = bench.call_one("find", wanted.reference, where="find while blind")
    bench.clock.advance(61)
    old = bench.call_one("find", wanted.reference, where="find after blindness")
    bench.simulator.faults = Faults()
    bench.expect(
        isinstance(young, Absent | Pending | None) and isinstance(old, Booked | None),
        "the simulator's look-up can be blind to young bookings",
        f"find with lookup_blind_s gave {describe(young)}, later {describe(old)}",
        "compare entry.time with clock() and faults.lookup_blind_s in the simulator's look-up",
    )
