"""Following parcels: `EXP_RECE_SEARCH_ROUTES` (carrier sheet 4.9) and `EXP_RECE_REGISTER_ROUTE` (4.10).

`checkPhoneNo` is one value for a call: the endings, separated by commas, in the order of the numbers (trap 12). So
numbers whose ending is known share a call, and the others share one that goes without. An empty route is no error:
not collected yet, older than three months, or not shown to this account (trap 11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from crossdock_sdk import (
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    Subscribed,
    SubscribeOutcome,
    Tracked,
    TrackOutcome,
    TrackRequest,
)
from crossdock_sf import codes, wire
from crossdock_sf.route import read_event

SEARCH_ROUTES = "EXP_RECE_SEARCH_ROUTES"
REGISTER_ROUTE = "EXP_RECE_REGISTER_ROUTE"
BY_WAYBILL = "1"
REGISTER_WAYBILL = "2"
MOST_NUMBERS = 10

OwnsNumber = Callable[[str], bool]
_TAIL = re.compile(r"[0-9]{4}")


class _Routes(msgspec.Struct, frozen=True, rename="camel"):
    mail_no: str | None = None
    routes: list[msgspec.Raw] | None = None
    reason_code: str | int | None = None
    reason_remark: str | None = None


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    # Read one by one: an odd item is nobody else's trouble.
    route_resps: list[msgspec.Raw] | None = None


def track(ctx: CallContext, requests: Sequence[TrackRequest], owns_number: OwnsNumber) -> Flow[list[TrackOutcome]]:
    """Routes of up to ten numbers, oldest event first, in one call or, with and without phone endings, in two.

    A refused call is the outcome of its own numbers only. "Nothing known" is Tracked without events.
    """
    found: dict[TrackRequest, TrackOutcome] = {}
    asked: list[TrackRequest] = []
    for request in dict.fromkeys(requests):
        try:
            _check(request, owns_number)
            asked.append(request)
        except CarrierError as error:
            found[request] = error
    for index, together in enumerate(calls(asked)):
        found.update((yield from _ask(ctx, index, together)))
    return [found[request] for request in requests]


def subscribe(
    ctx: CallContext, requests: Sequence[TrackRequest], owns_number: OwnsNumber
) -> Flow[list[SubscribeOutcome]]:
    """Register waybills that others booked; those of our own orders are pushed without it."""

    def step(index: int, request: TrackRequest) -> Flow[Subscribed]:
        _check(request, owns_number)
        yield from wire.call(ctx, REGISTER_ROUTE, register_body(request), index=index)
        return Subscribed(request.waybill_number)

    return (yield from wire.one_by_one(requests, step))


def search_body(requests: Sequence[TrackRequest]) -> dict[str, object]:
    """The business object of a query. Either every number has a phone ending or none has."""
    body: dict[str, object] = {
        "trackingType": BY_WAYBILL,
        "trackingNumber": [request.waybill_number for request in requests],
        "methodType": "1",
        "language": "zh-CN",
    }
    if any(request.phone_tail for request in requests):
        body["checkPhoneNo"] = ",".join(request.phone_tail for request in requests)
    return body


def register_body(request: TrackRequest) -> dict[str, object]:
    """The business object of a registration."""
    return {
        "type": REGISTER_WAYBILL,
        "attributeNo": request.waybill_number,
        "checkPhoneNo": request.phone_tail,
        "orderId": "",
        "language": "zh-CN",
        "country": "CN",
        "clientIp": "",
    }


def calls(requests: Sequence[TrackRequest]) -> list[list[TrackRequest]]:
    """Which numbers are asked for together: ten at most, each once, all with a phone ending or none."""
    together: list[list[TrackRequest]] = []
    for request in requests:
        for call in together:
            fits = len(call) < MOST_NUMBERS and bool(call[0].phone_tail) == bool(request.phone_tail)
            if fits and all(other.waybill_number != request.waybill_number for other in call):
                call.append(request)
                break
        else:
            together.append([request])
    return together


def _ask(ctx: CallContext, index: int, requests: Sequence[TrackRequest]) -> Flow[dict[TrackRequest, TrackOutcome]]:
    try:
        data = yield from wire.call(ctx, SEARCH_ROUTES, search_body(requests), index=index)
        answer = wire.read(data, _Answer)
        if answer.route_resps is None:
            raise wire.contradiction("SF answered a route query without routes")
    except CarrierError as error:
        return {request: _nothing_or(error, request) for request in requests}
    told = [found for raw in answer.route_resps if (found := _read_item(bytes(raw))) is not None]
    return {request: _outcome(ctx, request, told) for request in requests}


def _outcome(ctx: CallContext, request: TrackRequest, told: Sequence[_Routes]) -> TrackOutcome:
    number = request.waybill_number
    ours = [item for item in told if item.mail_no == number]
    if not ours:
        return wire.contradiction("SF left the number out of its answer, or wrote it in an unreadable way")
    events = [read_event(bytes(raw), ctx.now, number) for item in ours for raw in item.routes or ()]
    refused = next((item for item in ours if item.reason_code not in (None, "")), None)
    if not events and refused is not None:
        error = codes.business_error(str(refused.reason_code), refused.reason_remark or "")
        return _nothing_or(error, request)
    return Tracked(number, tuple(sorted(events, key=lambda event: event.time)))


def _read_item(raw: bytes) -> _Routes | None:
    try:
        return wire.read(raw, _Routes)
    except CarrierError:
        return None


def _nothing_or(error: CarrierError, request: TrackRequest) -> TrackOutcome:
    known = error.error_class is not ErrorClass.NOT_FOUND
    return error if known else Tracked(request.waybill_number)


def _check(request: TrackRequest, owns_number: OwnsNumber) -> None:
    # One number of a wrong form would have SF refuse the whole call (8191).
    if not owns_number(request.waybill_number):
        raise wire.refused_locally("waybill_number", "SF's numbers are SF and 13 digits, or 12 digits")
    if request.phone_tail and not _TAIL.fullmatch(request.phone_tail):
        raise wire.refused_locally("phone_tail", "give the last four digits of sender's or recipient's phone")
