"""A small carrier plug-in and the network it talks to, whose every answer a test may script.

    network.script("alpha", "book", refuse(ErrorClass.CAPACITY), lost())

Unscripted requests are carried out by the carrier's ledger and answered. The wire is JSON of plain fields.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from crossdock_sdk import (
    Absent,
    Account,
    Booked,
    Booking,
    BookingNews,
    BookingState,
    CallContext,
    Cancellation,
    Cancelled,
    Carrier,
    CarrierError,
    CarrierLabel,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    LabelRequest,
    Lane,
    Manifest,
    Money,
    Pending,
    PushReceipt,
    PushRefused,
    PushRequest,
    Quote,
    Refused,
    Repeat,
    SideEffect,
)
from crossdock_sdk.manifest import BookingFacts, Names, Service
from crossdock_sdk.tracking import Subscribed, Tracked, TrackEvent, TrackRequest, TrackStatus
from engine.outbound import Ambiguous, FaultKind, NotSent
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import Duplicate, Ledger

ALL = ("quote", "book", "find", "find_by_carrier_order", "cancel", "label", "push")
CODES: Mapping[str, TrackStatus] = {
    "got": TrackStatus.PICKED_UP,
    "moved": TrackStatus.IN_TRANSIT,
    "out": TrackStatus.OUT_FOR_DELIVERY,
    "signed": TrackStatus.DELIVERED,
    "back": TrackStatus.RETURNED,
}
"""The fake carriers' scan codes; any other is unknown."""
Server = Callable[[], HttpResponse]
Act = Callable[[Server], HttpResponse]
"""What happens to one request. Calling the server has the carrier carry it out."""


def manifest(code: str, operations: Sequence[str] = ALL, **fields: Any) -> Manifest:
    """A manifest of a made-up carrier; keyword arguments replace fields."""
    values: dict[str, Any] = {
        "code": code,
        "sdk": 1,
        "names": Names(code.capitalize(), f"{code}快递"),
        "operations": tuple(operations),
        "base_url": f"https://{code}.invalid",
        "service": (Service("std", f"{code} standard"),),
        "max_parcels": 10,
        "booking": BookingFacts(repeat=Repeat.REFUSES, lookup_settles_s=5.0),
        **fields,
    }
    return Manifest(**values)


def refuse(error_class: ErrorClass, *, code: str = "E1", text: str = "no", executed: bool | None = None) -> Act:
    """The carrier answers with a refusal and does nothing. `executed` None leaves the class its default."""

    def act(server: Server) -> HttpResponse:
        effect = "" if executed is None else str(SideEffect.UNKNOWN if executed else SideEffect.NONE)
        return _answer(error_class=error_class, code=code, message=text, side_effect=effect)

    return act


def lost() -> Act:
    """The carrier carries it out, and its answer never comes."""

    def act(server: Server) -> HttpResponse:
        server()
        raise Ambiguous(FaultKind.TIMEOUT, "no answer")

    return act


def silent() -> Act:
    """The carrier never saw it, but nobody can know."""

    def act(server: Server) -> HttpResponse:
        raise Ambiguous(FaultKind.CUT, "connection cut")

    return act


def unreachable() -> Act:
    """Proved: nothing was sent."""

    def act(server: Server) -> HttpResponse:
        raise NotSent(FaultKind.REFUSED, "connection refused")

    return act


def answer(**fields: Any) -> Act:
    """The carrier answers this, whatever its ledger says."""
    return lambda server: _answer(**fields)


class Network:
    """The transport of all fake carriers: routes by host, keeps what was sent, follows the scripts."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.ledgers: dict[str, Ledger] = {}
        self.sent: list[tuple[str, str]] = []
        self.held: list[asyncio.Event] = []
        self._hold: dict[tuple[str, str], int] = {}
        self._scripts: dict[tuple[str, str], deque[Act]] = {}
        self._always: dict[tuple[str, str], Act] = {}

    def script(self, code: str, operation: str, *acts: Act) -> None:
        """What happens to the next requests of an operation, in order."""
        self._scripts.setdefault((code, operation), deque()).extend(acts)

    def always(self, code: str, operation: str, act: Act | None) -> None:
        """What happens to every unscripted request until told otherwise; None = the ledger answers."""
        if act is None:
            self._always.pop((code, operation), None)
        else:
            self._always[code, operation] = act

    def hold(self, code: str, operation: str, count: int = 1) -> None:
        """Keep the next requests waiting, before they are carried out, until `release`."""
        self._hold[code, operation] = count

    def release(self) -> None:
        """Let every held request go on."""
        for event in self.held:
            event.set()
        self.held.clear()

    def count(self, code: str, operation: str) -> int:
        """How many requests of an operation went out."""
        return self.sent.count((code, operation))

    @property
    def live(self) -> list[str]:
        """Waybills live at any carrier."""
        return [s.waybill_number for ledger in self.ledgers.values() for s in ledger.live]

    async def send(self, request: HttpRequest, *, timeout_s: float, max_body_bytes: int) -> HttpResponse:
        """See Transport."""
        url = urlsplit(request.url)
        code, operation = (url.hostname or "").removesuffix(".invalid"), url.path.strip("/")
        self.sent.append((code, operation))
        script = self._scripts.get((code, operation))
        act = script.popleft() if script else self._always.get((code, operation))
        await asyncio.sleep(0)
        if self._hold.get((code, operation), 0):
            self._hold[code, operation] -= 1
            self.held.append(asyncio.Event())
            await self.held[-1].wait()
        fields = json.loads(request.body)

        def server() -> HttpResponse:
            return self._serve(self.ledgers[code], operation, fields)

        return act(server) if act is not None else server()

    async def aclose(self) -> None:
        """See Transport."""

    def _serve(self, ledger: Ledger, operation: str, fields: dict[str, Any]) -> HttpResponse:
        now = self._clock.now()
        if operation == "book":
            try:
                shipment = ledger.book(fields["reference"], now)
            except Duplicate:
                return _answer(error_class=ErrorClass.DUPLICATE, code="DUP", message="known already")
            pieces = [f"{shipment.waybill_number}-{n}" for n in range(1, fields["pieces"])]
            return _answer(waybill_number=shipment.waybill_number, pieces=pieces)
        if operation in ("find", "find_by_carrier_order"):
            found = ledger.find(fields["reference"].removeprefix("order-"), now)
            if found is None:
                return _answer(absent=True)
            state = {} if found.live else {"refused": "cancelled"}
            return _answer(waybill_number=found.waybill_number, reference=found.reference, **state)
        if operation == "cancel":
            if ledger.cancel(fields["waybill_number"]):
                return _answer()
            return _answer(error_class=ErrorClass.NOT_FOUND, message="no such waybill")
        if operation == "track":
            return _answer(scans=[ledger.scans.get(number, []) for number in fields["numbers"]])
        if operation == "subscribe":
            ledger.subscribed += fields["numbers"]
            return _answer()
        if operation == "quote":
            return _answer(price=1200)
        return _answer()


class FakeCarrier(Carrier):
    """The plug-in: one request an item. `label_file` is what it prints."""

    def __init__(self, manifest: Manifest, label_file: bytes = b"%PDF-") -> None:
        super().__init__(manifest)
        self.label_file = label_file

    def _ask(self, operation: str, **fields: Any) -> Flow[dict[str, Any]]:
        body = json.dumps(fields).encode()
        response = yield HttpRequest("POST", f"https://{self.manifest.code}.invalid/{operation}", body=body)
        read: dict[str, Any] = json.loads(response.body)
        if "error_class" in read:
            raise CarrierError(
                ErrorClass(read["error_class"]),
                code=read.get("code", ""),
                message=read.get("message", ""),
                side_effect=SideEffect(read["side_effect"]) if read.get("side_effect") else None,
            )
        return read

    def quote(self, ctx: CallContext, lanes: Sequence[Lane]) -> Flow[list[Any]]:
        """See Carrier."""
        read = yield from self._ask("quote", weight_g=lanes[0].weight_g)
        return [(Quote(lanes[0].service, Money("CNY", read["price"]), 86_400),)]

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[Any]]:
        """See Carrier."""
        item = bookings[0]
        read = yield from self._ask("book", reference=item.reference, pieces=len(item.parcels))
        number = read["waybill_number"]
        pieces = tuple(read.get("pieces", ()))
        return [Booked(item.reference, number, pieces, f"order-{item.reference}", freight=Money("CNY", 1500))]

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[Any]]:
        """See Carrier."""
        read = yield from self._ask("find", reference=references[0])
        return [_finding(read, references[0])]

    def find_by_carrier_order(self, ctx: CallContext, carrier_order_ids: Sequence[str]) -> Flow[list[Any]]:
        """See Carrier."""
        read = yield from self._ask("find_by_carrier_order", reference=carrier_order_ids[0])
        return [_finding(read, read.get("reference", ""))]

    def cancel(self, ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[Any]]:
        """See Carrier."""
        item = cancellations[0]
        read = yield from self._ask("cancel", reference=item.reference, waybill_number=item.waybill_number)
        return [Cancelled(item.reference, read.get("local_only", False))]

    def label(self, ctx: CallContext, requests: Sequence[LabelRequest]) -> Flow[list[Any]]:
        """See Carrier."""
        yield from self._ask("label", waybill_number=requests[0].waybill_number)
        return [CarrierLabel(requests[0].waybill_number, self.label_file)]

    def track(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[Any]]:
        """See Carrier."""
        numbers = [request.waybill_number for request in requests]
        read = yield from self._ask("track", numbers=numbers)
        return [
            Tracked(number, tuple(map(_event, scans))) for number, scans in zip(numbers, read["scans"], strict=True)
        ]

    def subscribe(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[Any]]:
        """See Carrier."""
        numbers = [request.waybill_number for request in requests]
        yield from self._ask("subscribe", numbers=numbers)
        return [Subscribed(number) for number in numbers]

    def parse_push(self, account: Account, now: Any, request: PushRequest) -> PushReceipt:
        """See Carrier. The signature is a header that says `good`, or the body's digest."""
        if request.headers.get("signature") not in ("good", signature(request.body)):
            raise PushRefused("the signature is wrong")
        news = json.loads(request.body)
        if "scans" in news:
            return PushReceipt(HttpResponse(200, body=b"thanks"), tracks=tuple(map(_event, news["scans"])))
        state = BookingState(news.pop("state"))
        return PushReceipt(HttpResponse(200, body=b"thanks"), (BookingNews(state, **news),))


def signature(body: bytes) -> str:
    """What proves that a push is the carrier's."""
    return sha256(b"fake carrier" + body).hexdigest()


def _event(scan: dict[str, str]) -> TrackEvent:
    code = scan["code"]
    time = datetime.fromisoformat(scan["time"])
    return TrackEvent(scan["number"], time, code, scan["text"], CODES.get(code), known=code in CODES)


def _finding(read: dict[str, Any], reference: str) -> object:
    if read.get("absent"):
        return Absent(reference)
    if read.get("pending"):
        return Pending(reference, "in work")
    if "refused" in read:
        return Refused(reference, "R1", read["refused"])
    return Booked(reference, read["waybill_number"])


def _answer(**fields: Any) -> HttpResponse:
    return HttpResponse(200, body=json.dumps(fields).encode())
