"""Fuzzed answers: whatever a gateway sends back, only CarrierError may come out of a flow.

For book the rule is sharper: garbage proves nothing, so it is neither Booked nor "nothing done".
Every step of a flow gets every garbage once; the generator is seeded, so a finding comes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from crossdock_sdk.errors import CarrierError, SideEffect
from crossdock_sdk.flow import HttpRequest, HttpResponse
from crossdock_sdk.models import Booked, Cancellation, LabelRequest, SortCodeRequest
from crossdock_sdk.testing.bench import Bench, describe
from crossdock_sdk.testing.builders import lane
from crossdock_sdk.testing.tracking import request_for

_HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
_JSON = {"content-type": "application/json"}
_WRONG_TYPES: tuple[Any, ...] = (None, True, 0, -1, 1.5, "", "\x00", [], {}, [None], {"": None})
_MAX_STEPS = 4
_TEXT = "(text)"


def check_fuzz(bench: Bench) -> None:
    """Fuzz every operation that answers over HTTP."""
    for operation, item in _cases(bench):
        genuine = _record(bench, operation, item)
        for step, response in enumerate(genuine[:_MAX_STEPS]):
            for name, garbage in _garbage(response, Random(step)):
                _feed(bench, operation, item, genuine[:step], garbage, name)
            for name, odd in _mutations(response, Random(step)):
                where = f"{operation}, {name} in answer {step + 1}"
                answer = _Script([*genuine[:step], odd], bench)
                bench.call(operation, [item], answer=answer, where=where)


def _cases(bench: Bench) -> Iterator[tuple[str, Any]]:
    """One item per operation, about a booking the simulator has."""
    ends = lane()
    booked: Any = None
    if bench.has("book"):
        booked = bench.call_one("book", bench.next_booking())
        bench.clock.advance(3600)
        yield "book", bench.next_booking()
    if bench.has("quote"):
        yield "quote", ends
    if bench.has("sort_code"):
        yield (
            "sort_code",
            SortCodeRequest("CHECK-FUZZ", ends.shipper.address, ends.recipient.address),
        )
    if not isinstance(booked, Booked):
        return
    if bench.has("find"):
        yield "find", booked.reference
    if bench.has("find_by_carrier_order"):
        yield "find_by_carrier_order", booked.carrier_order_id or booked.waybill_number
    if bench.has("label"):
        yield "label", LabelRequest(booked.waybill_number, booked.sub_waybill_numbers)
    if bench.has("cancel"):
        yield (
            "cancel",
            Cancellation(booked.reference, booked.waybill_number, booked.carrier_order_id),
        )
    yield from _tracking_cases(bench)


def _tracking_cases(bench: Bench) -> Iterator[tuple[str, Any]]:
    """A parcel that has been on its way for a day."""
    booked = bench.call_one("book", bench.next_booking())
    if not isinstance(booked, Booked):
        return
    bench.clock.advance(86_400)
    for operation in ("track", "subscribe"):
        if bench.has(operation):
            yield operation, request_for(bench, booked)


class _Script:
    """Answers given responses in order, the last one over and over."""

    def __init__(self, responses: list[HttpResponse], bench: Bench) -> None:
        self._responses = responses
        self._next = 0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._responses[min(self._next, len(self._responses) - 1)]
        self._next += 1
        return response


def _record(bench: Bench, operation: str, item: Any) -> list[HttpResponse]:
    """The simulator's genuine answers to one call."""
    answers: list[HttpResponse] = []

    def answer(request: HttpRequest) -> HttpResponse:
        answers.append(bench.answer(request))
        return answers[-1]

    bench.call(operation, [item], answer=answer)
    return answers


def _garbage(genuine: HttpResponse, random: Random) -> Iterator[tuple[str, HttpResponse]]:
    """Answers that prove nothing."""
    for status in (200, 502):
        yield f"an empty body ({status})", HttpResponse(status, _JSON, b"")
        yield f"an HTML page ({status})", HttpResponse(status, {"content-type": "text/html"}, _HTML)
        for size in (1, 16, 300):
            body = random.randbytes(size)
            yield f"{size} random bytes ({status})", HttpResponse(status, _JSON, body)
    for value in _WRONG_TYPES:
        body = msgspec.json.encode(value)
        yield f"JSON {body.decode()!r}", HttpResponse(200, _JSON, body)
    if genuine.body[:1] in (b"{", b"["):  # other formats may be complete before their end
        for part in (0.1, 0.5, 0.9):
            body = genuine.body[: int(len(genuine.body) * part)]
            yield f"a body cut at {part:.0%}", HttpResponse(genuine.status, genuine.headers, body)
        yield (
            "a body without its last byte",
            HttpResponse(genuine.status, genuine.headers, genuine.body.rstrip()[:-1]),
        )
    nested = b"[" * 5_000
    yield "5,000 open brackets", HttpResponse(200, _JSON, nested)


def _feed(
    bench: Bench,
    operation: str,
    item: Any,
    before: list[HttpResponse],
    garbage: HttpResponse,
    name: str,
) -> None:
    where = f"{operation}, {name} as answer {len(before) + 1}"
    outcome = bench.call_one(operation, item, answer=_Script([*before, garbage], bench), where=where)
    if operation != "book" or outcome is None:
        return
    bench.expect(
        isinstance(outcome, CarrierError) and outcome.side_effect is SideEffect.UNKNOWN,
        "an answer that proves nothing leaves a booking UNKNOWN",
        f"{where} gave {describe(outcome)}",
        "raise CarrierError(ErrorClass.TEMPORARY) for everything that is not plainly the carrier's",
    )


def _mutations(genuine: HttpResponse, random: Random) -> Iterator[tuple[str, HttpResponse]]:
    """The genuine answer with one value each replaced by another type, and with keys left out."""
    try:
        tree = msgspec.json.decode(genuine.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    for path in _paths(tree):
        for wrong in random.sample(_WRONG_TYPES, 3):
            body = msgspec.json.encode(_replaced(tree, path, wrong))
            name = f"{'.'.join(map(str, path)) or 'the root'} = {wrong!r}"
            yield name, HttpResponse(genuine.status, genuine.headers, body)


def _paths(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """All places in a JSON tree, also inside texts that hold JSON again (step `_TEXT`)."""
    yield path
    inner = _inner(tree)
    if inner is not None:
        yield from _paths(inner, (*path, _TEXT))
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _paths(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _paths(value, (*path, index))


def _inner(tree: Any) -> Any:
    """The object or array a text holds as JSON, else None."""
    if not isinstance(tree, str) or not tree.startswith(("{", "[")):
        return None
    try:
        return msgspec.json.decode(tree.encode())
    except msgspec.DecodeError:
        return None


def _replaced(tree: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if head == _TEXT:
        return msgspec.json.encode(_replaced(_inner(tree), rest, value)).decode()
    if isinstance(tree, dict):
        return {k: _replaced(v, rest, value) if k == head else v for k, v in tree.items()}
    return [_replaced(v, rest, value) if i == head else v for i, v in enumerate(tree)]
