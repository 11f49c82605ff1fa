"""Pushes: what is not from the carrier is refused, what comes twice is read the same way twice."""

from __future__ import annotations

import traceback
from urllib.parse import urlsplit

from crossdock_sdk.carrier import Account
from crossdock_sdk.errors import PushRefused
from crossdock_sdk.flow import HttpRequest
from crossdock_sdk.models import Booked
from crossdock_sdk.push import PushReceipt, PushRequest
from crossdock_sdk.testing.bench import Bench, with_secret

_VERIFY = "verify the signature over the raw bytes first and raise PushRefused when it is wrong"
_JUNK = (b"", b"{}", b"null", b"\xff\xfe\x00", b"a=b&a=b", b"<html></html>", b"[" * 5_000)
_FLIPS = (0x01, 0x20)


def check_pushes(bench: Bench) -> None:
    """Let the simulator push, then forge, replay and break what it sent."""
    if not bench.has("push"):
        return
    bench.simulator.outbox.clear()
    booked = bench.call_one("book", bench.next_booking()) if bench.has("book") else None
    sent = [_received(request) for request in bench.simulator.outbox]
    if not bench.expect(
        bool(sent),
        "the simulator pushes news of its bookings",
        "nothing in the outbox after a booking",
        "append the signed push to self.outbox when push_url is set",
    ):
        return
    for number, push in enumerate(sent, start=1):
        receipt = _read(bench, bench.account, push, f"push {number}")
        if isinstance(receipt, PushReceipt):
            _genuine(bench, push, receipt, booked, f"push {number}")
            _forged(bench, push, receipt, f"push {number}")
        elif receipt is not None:
            bench.expect(False, "a genuine push is read", f"push {number} was refused", _VERIFY)


def _received(request: HttpRequest) -> PushRequest:
    """A push as the engine's ingress would hand it over."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return PushRequest(headers, request.body, query=urlsplit(request.url).query)


def _read(bench: Bench, account: Account, push: PushRequest, where: str) -> PushReceipt | PushRefused | None:
    """The receipt, the refusal, or None after a finding."""
    try:
        return bench.carrier.parse_push(account, bench.clock(), push)
    except PushRefused as refused:
        return refused
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
        rule = "only PushRefused leaves parse_push"
        bench.expect(False, rule, f"{where}: {type(error).__name__} at {place}", _VERIFY)
        return None


def _genuine(bench: Bench, push: PushRequest, receipt: PushReceipt, booked: object, where: str) -> None:
    status = receipt.acknowledgement.status
    bench.expect(
        200 <= status < 300,
        "a genuine push is acknowledged",
        f"{where} was answered {status}",
        "return the acknowledgement of the carrier's document",
    )
    bench.expect(
        _read(bench, bench.account, push, f"{where} repeated") == receipt,
        "the same bytes give the same receipt",
        f"{where} repeated",
        "keep no state between pushes; the engine drops repeats",
    )
    if isinstance(booked, Booked):
        known = {booked.reference, booked.waybill_number, booked.carrier_order_id} - {""}
        for news in receipt.bookings:
            named = {news.reference, news.waybill_number, news.carrier_order_id}
            bench.expect(
                bool(named & known),
                "news name the booking they are about",
                where,
                "fill reference, carrier_order_id or waybill_number of BookingNews",
            )


def _forged(bench: Bench, push: PushRequest, receipt: PushReceipt, where: str) -> None:
    """A changed byte is refused; at most it changes nothing at all of what is believed."""
    _flipped(bench, push, receipt, where)
    for body in (*_JUNK, push.body[:-1], push.body + b"x", push.body * 2):
        junk = PushRequest(push.headers, body, push.path, push.query)
        read = _read(bench, bench.account, junk, f"{where} replaced by {len(body)} bytes")
        if isinstance(read, PushReceipt) and read != receipt:
            size = f"{where} replaced by {len(body)} other bytes"
            bench.expect(False, "a forged push is refused", size, _VERIFY)
    bare = PushRequest({}, push.body, push.path, push.query)
    _read(bench, bench.account, bare, f"{where} without headers")
    others = [with_secret(bench.account, key, "another-secret") for key in bench.account.secrets]
    reads = [_read(bench, account, push, f"{where}, other secret") for account in others]
    bench.expect(
        not others or any(isinstance(read, PushRefused) for read in reads),
        "a push signed for another account is refused",
        where,
        _VERIFY,
    )


def _flipped(bench: Bench, push: PushRequest, receipt: PushReceipt, where: str) -> None:
    """Flip bits of each byte; one finding is enough."""
    for position in range(len(push.body)):
        for flip in _FLIPS:
            flipped = bytearray(push.body)
            flipped[position] ^= flip
            forged = PushRequest(push.headers, bytes(flipped), push.path, push.query)
            read = _read(bench, bench.account, forged, f"{where} with byte {position} flipped")
            if isinstance(read, PushReceipt) and read != receipt:
                bench.expect(False, "a forged push is refused", f"{where}, byte {position} flipped", _VERIFY)
                return
