"""Pushes: what is not from the carrier is refused, what comes twice is read the same way twice.

A carrier that signs its pushes is tried with changed bodies. One that does not is protected by a secret in its URL:
it is tried with changed paths, and a changed body must only be read without harm.
"""

from __future__ import annotations

import traceback
from urllib.parse import urlsplit

from crossdock_sdk.carrier import Account
from crossdock_sdk.errors import PushRefused
from crossdock_sdk.flow import HttpRequest
from crossdock_sdk.models import Booked
from crossdock_sdk.push import PushReceipt, PushRequest
from crossdock_sdk.testing.bench import PUSH_URL, Bench, with_secret
from crossdock_sdk.testing.tracking import check_event

_VERIFY = "verify the signature over the raw bytes first and raise PushRefused when it is wrong"
_JUNK = (b"", b"{}", b"null", b"\xff\xfe\x00", b"a=b&a=b", b"<html></html>", b"[" * 5_000)
_FLIPS = (0x01, 0x20)
_WAIT_DAYS = 7
_MOST_PUSHES = 5


def check_pushes(bench: Bench) -> None:
    """Let the simulator push, then forge, replay and break what it sent."""
    if not bench.has("push"):
        return
    bench.simulator.outbox.clear()
    booked = bench.call_one("book", bench.next_booking()) if bench.has("book") else None
    _wait(bench)
    sent = [_received(request) for request in bench.simulator.outbox[:_MOST_PUSHES]]
    if not bench.expect(
        bool(sent),
        "the simulator pushes news of its bookings",
        f"nothing in the outbox {_WAIT_DAYS} days after a booking",
        "append the signed push to self.outbox when push_url is set, from handle() or tick()",
    ):
        return
    for number, push in enumerate(sent, start=1):
        receipt = _read(bench, bench.account, push, f"push {number}")
        if isinstance(receipt, PushReceipt):
            _genuine(bench, push, receipt, booked, f"push {number}")
            if _is_path_guarded(bench, push):
                _damaged(bench, push, f"push {number}")
            else:
                _forged(bench, push, receipt, f"push {number}")
            _foreign(bench, push, f"push {number}")
        elif receipt is not None:
            bench.expect(False, "a genuine push is read", f"push {number} was refused", _VERIFY)


def _received(request: HttpRequest) -> PushRequest:
    """A push as the engine's ingress would hand it over."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    url = urlsplit(request.url)
    path = url.path.removeprefix(urlsplit(PUSH_URL).path).strip("/")
    return PushRequest(headers, request.body, path, url.query)


def _wait(bench: Bench) -> None:
    """Give a simulator that pushes as time goes by its time."""
    for _ in range(_WAIT_DAYS * 4):
        if bench.simulator.outbox:
            return
        bench.clock.advance(6 * 3600)
        bench.simulator.tick()


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
    for event in receipt.tracks:
        check_event(bench, event, where)
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


def _is_path_guarded(bench: Bench, push: PushRequest) -> bool:
    """Whether no other path is accepted, nor none at all."""
    bad = ["", *(push.path[:i] + chr(ord(c) ^ 1) + push.path[i + 1 :] for i, c in enumerate(push.path))]
    tried = [PushRequest(push.headers, push.body, path, push.query) for path in bad]
    reads = [_read(bench, bench.account, other, "a push with another path") for other in tried]
    return bool(push.path) and all(isinstance(read, PushRefused) for read in reads)


def _damaged(bench: Bench, push: PushRequest, where: str) -> None:
    """With the right path anything may come: it is read, or refused, and nothing else happens."""
    flipped = [push.body[:i] + bytes([push.body[i] ^ 1]) + push.body[i + 1 :] for i in range(0, len(push.body), 5)]
    for body in (*_JUNK, push.body[:-1], push.body + b"x", push.body * 2, *flipped):
        _read(bench, bench.account, PushRequest(push.headers, body, push.path, push.query), f"{where}, damaged")
    _read(bench, bench.account, PushRequest({}, push.body, push.path, push.query), f"{where} without headers")


def _foreign(bench: Bench, push: PushRequest, where: str) -> None:
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
