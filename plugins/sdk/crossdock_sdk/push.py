"""Pushes: the carrier calls us. Parsing is one plain function that verifies first.

`Carrier.parse_push` gets the raw request, checks the signature over the raw bytes and only then
reads them. It returns what happened and the exact acknowledgement; the engine sends that only
after its commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from crossdock_sdk.flow import HttpResponse
from crossdock_sdk.tracking import TrackEvent

_NO_HEADERS: Mapping[str, str] = {}


class PushRequest(msgspec.Struct, frozen=True):
    """A push as it came in.

    Header names are lower case; `path` is what follows the account in our URL. Headers, path and query may hold a
    secret and the body personal data, so repr shows none of them.
    """

    headers: Mapping[str, str] = _NO_HEADERS
    body: bytes = b""
    path: str = ""
    query: str = ""

    def __repr__(self) -> str:
        return f"PushRequest({len(self.body)} bytes)"


class BookingState(StrEnum):
    """What an order push says about a booking."""

    LIVE = "LIVE"
    CANCELLED = "CANCELLED"
    OTHER = "OTHER"


class BookingNews(msgspec.Struct, frozen=True):
    """News about a booking. Whatever the carrier does not tell is empty.

    With a `reference` the engine can match it; without one it asks `find_by_carrier_order`.
    """

    state: BookingState
    reference: str = ""
    carrier_order_id: str = ""
    waybill_number: str = ""
    carrier_code: str = ""
    carrier_message: str = ""


class PushReceipt(msgspec.Struct, frozen=True):
    """The outcome of a verified push: its news and the acknowledgement the carrier expects."""

    acknowledgement: HttpResponse
    bookings: tuple[BookingNews, ...] = ()
    tracks: tuple[TrackEvent, ...] = ()
