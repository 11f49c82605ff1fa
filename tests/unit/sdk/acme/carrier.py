"""Acme's wire: POST /book, /find, /cancel with JSON and an HMAC of the body in `x-sign`."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

import msgspec

from crossdock_sdk import (
    Absent,
    Account,
    Booked,
    Booking,
    BookingNews,
    BookingState,
    BookOutcome,
    CallContext,
    Cancellation,
    Cancelled,
    CancelOutcome,
    Carrier,
    CarrierError,
    CodeTable,
    ErrorClass,
    FindOutcome,
    Flow,
    HttpRequest,
    HttpResponse,
    PushReceipt,
    PushRefused,
    PushRequest,
    Refused,
)
from crossdock_sdk.codec import read_json, to_json
from crossdock_sdk.signing import same

CODES = CodeTable(
    {
        "BAD_SIGN": ErrorClass.AUTH,
        "DUPLICATE": ErrorClass.DUPLICATE,
        "FULL": ErrorClass.CAPACITY,
        "BUSY": ErrorClass.RATE_LIMITED,
        "UNKNOWN": ErrorClass.NOT_FOUND,
        "SYSTEM": ErrorClass.TEMPORARY,
    }
)


class Answer(msgspec.Struct):
    """Every answer of Acme."""

    code: str
    number: str = ""
    reference: str = ""


class Acme(Carrier):
    """The operations."""

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        outcomes: list[BookOutcome] = []
        for booking in bookings:
            to = booking.recipient.address.line()
            response = yield _request(ctx, "book", reference=booking.reference, to=to)
            answer = _read(response)
            if not self.manifest.owns_number(answer.number):
                raise CarrierError(ErrorClass.TEMPORARY, message="no waybill number in the answer")
            outcomes.append(Booked(booking.reference, answer.number))
        return outcomes

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[FindOutcome]]:
        outcomes: list[FindOutcome] = []
        for reference in references:
            response = yield _request(ctx, "find", reference=reference)
            answer = read_json(response, Answer)
            if answer.code == "UNKNOWN":
                outcomes.append(Absent(reference))
            elif answer.code == "VOID":
                outcomes.append(Refused(reference, answer.code))
            else:
                outcomes.append(Booked(reference, _read(response).number))
        return outcomes

    def cancel(self, ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[CancelOutcome]]:
        outcomes: list[CancelOutcome] = []
        for cancellation in cancellations:
            _read((yield _request(ctx, "cancel", number=cancellation.waybill_number)))
            outcomes.append(Cancelled(cancellation.reference))
        return outcomes

    def parse_push(self, account: Account, now: datetime, request: PushRequest) -> PushReceipt:
        if not same(request.headers.get("x-sign", ""), _sign(request.body, account)):
            raise PushRefused("wrong signature")
        news = msgspec.json.decode(request.body)
        state = BookingNews(BookingState.LIVE, news["reference"], waybill_number=news["number"])
        return PushReceipt(HttpResponse(200, {}, b"ok"), (state,))


def _sign(body: bytes, account: Account) -> str:
    return hmac.new(account.secret("key").encode(), body, hashlib.sha256).hexdigest()


def _request(ctx: CallContext, path: str, **fields: str) -> HttpRequest:
    body = to_json(fields)
    headers = {"Content-Type": "application/json", "X-Sign": _sign(body, ctx.account)}
    return HttpRequest("POST", f"{ctx.account.base_url}/{path}", headers, body)


def _read(response: HttpResponse) -> Answer:
    answer = read_json(response, Answer)
    if answer.code != "OK":
        raise CODES.error(answer.code, "")
    return answer
