"""Fuzzed answers: only CarrierError comes out, and nothing is proved by rubbish."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sf_kit import BOOKING, PARCEL, RECIPIENT, SF, SHIPPER, answer, context, drive, fixture

from crossdock_sdk import (
    Booked,
    Cancellation,
    Cancelled,
    CarrierError,
    CarrierLabel,
    HttpResponse,
    LabelRequest,
    Lane,
    SideEffect,
    Tracked,
    TrackRequest,
)
from crossdock_sf import codes

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
GENUINE = fixture("create.answer.json").strip()

_SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=6)
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KNOWN = codes.GATEWAY.rows.keys() | codes.BUSINESS.rows.keys()


def _all_outcomes(response: HttpResponse) -> list[Any]:
    ctx = context()
    flows: tuple[Any, ...] = (
        SF.book(ctx, [BOOKING]),
        SF.find(ctx, [BOOKING.reference]),
        SF.cancel(ctx, [Cancellation(BOOKING.reference, "SF1990000000017")]),
        SF.quote(ctx, [Lane(SHIPPER, RECIPIENT, (PARCEL,), "2")]),
        SF.label(ctx, [LabelRequest("SF1990000000017")]),
        SF.track(ctx, [TrackRequest("SF1990000000017", "0002")]),
        SF.subscribe(ctx, [TrackRequest("SF1990000000017", "0002")]),
    )
    return [drive(flow, lambda _: response)[0] for flow in flows]


def _proves_nothing(outcome: object) -> bool:
    return isinstance(outcome, CarrierError) and outcome.side_effect is SideEffect.UNKNOWN


@QUICK
@given(body=st.binary(max_size=200), status=st.sampled_from([200, 204, 302, 404, 429, 500]))
def test_random_bytes_prove_nothing(body: bytes, status: int) -> None:
    """Bytes that are no answer leave book, find and cancel unknown, and make no label."""
    book, find, cancel, quote, label, track, subscribe = _all_outcomes(HttpResponse(status, {}, body))

    assert all(map(_proves_nothing, (book, find, cancel)))
    assert isinstance(quote, CarrierError)
    assert isinstance(label, CarrierError)
    assert isinstance(track, CarrierError)
    assert isinstance(subscribe, CarrierError)


@QUICK
@given(data=JSON)
def test_success_around_rubbish_books_and_cancels_nothing(data: Any) -> None:
    """A successful envelope with any other content is neither a booking nor a cancel."""
    inner = {"success": True, "errorCode": "S0000", "msgData": data, "obj": data}

    book, find, cancel, *_ = _all_outcomes(answer(inner))

    assert all(map(_proves_nothing, (book, find, cancel)))


@QUICK
@given(cut=st.integers(0, len(GENUINE) - 1))
def test_truncated_answer_is_unknown(cut: int) -> None:
    """Half of a genuine answer is no booking and no refusal."""
    outcome = _all_outcomes(HttpResponse(200, {}, GENUINE[:cut]))[0]

    assert _proves_nothing(outcome)


@QUICK
@given(place=st.integers(0, len(GENUINE) - 1), byte=st.integers(0, 255))
def test_damaged_answer_never_gives_a_foreign_booking(place: int, byte: int) -> None:
    """One changed byte leaves our reference and a number of SF's form, or no booking at all."""
    damaged = GENUINE[:place] + bytes([byte]) + GENUINE[place + 1 :]

    outcome = _all_outcomes(HttpResponse(200, {}, damaged))[0]

    if isinstance(outcome, Booked):
        assert outcome.reference == BOOKING.reference
        assert SF.manifest.owns_number(outcome.waybill_number)
    else:
        assert isinstance(outcome, CarrierError)


@QUICK
@given(code=st.text(max_size=6).filter(lambda text: text not in KNOWN and text != codes.OK))
def test_unknown_code_proves_nothing(code: str) -> None:
    """No code outside the tables is ever taken for a proof."""
    outcomes = _all_outcomes(answer({"success": False, "errorCode": code, "errorMsg": "x"}))

    assert all(map(_proves_nothing, outcomes[:3]))


@QUICK
@given(files=JSON)
def test_odd_print_answers_never_send_us_anywhere(files: Any) -> None:
    """A print answer of any content makes no label; a fetch could only go to an allowed host."""
    outcome = _all_outcomes(answer({"success": True, "obj": {"files": files}}))[4]

    assert not isinstance(outcome, CarrierLabel | Cancelled)


@QUICK
@given(rows=st.lists(JSON, max_size=4), reason=JSON)
def test_odd_routes_are_kept_or_refused_and_never_a_status(rows: Any, reason: Any) -> None:
    """Rows of any content are events without a status, or the number is refused."""
    item = {"mailNo": "SF1990000000017", "routes": rows, "reasonCode": reason}

    outcome = _all_outcomes(answer({"success": True, "msgData": {"routeResps": [item]}}))[5]

    if isinstance(outcome, Tracked):
        assert len(outcome.events) == len(rows)
        assert all(event.status is None and event.raw for event in outcome.events)
    else:
        assert isinstance(outcome, CarrierError)


def test_genuine_answer_is_still_a_booking() -> None:
    """The control: undamaged, the same bytes are a booking."""
    assert isinstance(_all_outcomes(HttpResponse(200, {}, GENUINE))[0], Booked)
    assert msgspec.json.decode(GENUINE)["apiResultCode"] == "A1000"
