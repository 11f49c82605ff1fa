"""The server side of "acme", a made-up carrier with the plainest of wires."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import urlsplit

import msgspec

from crossdock_sdk import Account, HttpRequest, HttpResponse, Secret
from crossdock_sdk.simulator import CarrierSimulator, Entry

KEY = "acme-test-key"


def sign(body: bytes, key: str) -> str:
    """Acme's signature: hex HMAC-SHA256 of the body."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


class AcmeSimulator(CarrierSimulator):
    """Books, finds and cancels; repeats are refused as duplicates; every booking is pushed."""

    code = "acme"

    @classmethod
    def account(cls, base_url: str) -> Account:
        return Account("acme-test", "acme", f"{base_url}/v1", {}, {"key": Secret(KEY)})

    def operation(self, request: HttpRequest) -> str:
        return urlsplit(request.url).path.removeprefix("/v1/")

    def handle(self, request: HttpRequest) -> HttpResponse:
        if not hmac.compare_digest(request.headers.get("x-sign", ""), sign(request.body, KEY)):
            return _answer(code="BAD_SIGN")
        call = msgspec.json.decode(request.body)
        answer: HttpResponse = getattr(self, "_" + self.operation(request))(call)
        return answer

    def failing(self) -> HttpResponse:
        return _answer(code="SYSTEM")

    def busy(self) -> HttpResponse:
        return _answer(code="BUSY")

    def _book(self, call: dict[str, Any]) -> HttpResponse:
        reference = call["reference"]
        if self.faults.refuse_bookings:
            return _answer(code="FULL")
        if self.ledger.first(reference):
            return _answer(code="DUPLICATE")
        number = f"AC{len(self.ledger.entries) + 1:08d}"
        self.ledger.book(self.clock(), reference, number, to=call["to"])
        self._push(reference, number)
        return _answer(number=number, reference=reference)

    def _find(self, call: dict[str, Any]) -> HttpResponse:
        entry = self.ledger.first(call["reference"])
        if entry is None or self._is_unseen(entry):
            return _answer(code="UNKNOWN")
        if entry.waybill_number in self.ledger.cancelled:
            return _answer(code="VOID")
        return _answer(number=entry.waybill_number, reference=entry.reference)

    def _is_unseen(self, entry: Entry) -> bool:
        age = self.clock() - entry.time
        return age.total_seconds() < self.faults.lookup_blind_s

    def _cancel(self, call: dict[str, Any]) -> HttpResponse:
        entry = self.ledger.by_waybill.get(call["number"])
        if entry is None:
            return _answer(code="UNKNOWN")
        if entry.waybill_number not in self.ledger.cancelled:
            self.ledger.cancel(self.clock(), entry.reference, entry.waybill_number)
        return _answer(number=entry.waybill_number)

    def _push(self, reference: str, number: str) -> None:
        if self.push_url:
            body = msgspec.json.encode({"reference": reference, "number": number})
            headers = {"x-sign": sign(body, KEY), "content-type": "application/json"}
            self.outbox.append(HttpRequest("POST", self.push_url, headers, body))


def _answer(code: str = "OK", **facts: str) -> HttpResponse:
    body = msgspec.json.encode({"code": code, **facts})
    return HttpResponse(200, {"content-type": "application/json"}, body)
