"""bagAddrMark (大头笔, carrier sheet section 4.7): routing codes for bookings whose answer had
none.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crossdock_sdk import (
    Account,
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    SortCodeOutcome,
    SortCodeRequest,
)
from crossdock_zto.book import BigMark
from crossdock_zto.codes import CODES
from crossdock_zto.party import street
from crossdock_zto.wire import call, result

API = "zto.innovate.bagAddrMark"


class BagAddrMark(msgspec.Struct, frozen=True):
    """The request: unlike everywhere else at ZTO, most keys are in snake case."""

    union_code: str = msgspec.field(name="unionCode")
    send_province: str
    send_city: str
    send_district: str
    send_address: str
    receive_province: str
    receive_city: str
    receive_district: str
    receive_address: str

    def __repr__(self) -> str:
        return "BagAddrMark(***)"


def sort_code(ctx: CallContext, requests: Sequence[SortCodeRequest]) -> Flow[list[SortCodeOutcome]]:
    """One call a parcel."""
    outcomes: list[SortCodeOutcome] = []
    for wanted in requests:
        response = yield build(ctx.account, wanted)
        outcomes.append(read(response))
    return outcomes


def build(account: Account, wanted: SortCodeRequest) -> HttpRequest:
    """The signed bagAddrMark."""
    origin, target = wanted.shipper, wanted.recipient
    body = BagAddrMark(
        wanted.reference,
        origin.province,
        origin.city,
        origin.district,
        street(origin),
        target.province,
        target.city,
        target.district,
        street(target),
    )
    return call(account, API, body)


def read(response: HttpResponse) -> SortCodeOutcome:
    """The routing codes, never an exception. An answer without a mark is no answer."""
    try:
        mark = result(response, BigMark, CODES)
    except CarrierError as refused:
        return refused
    if not mark.mark:
        return CarrierError(ErrorClass.NOT_FOUND, message="ZTO has no routing text for this address")
    return mark.routing()
