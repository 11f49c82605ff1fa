"""The operations as data.

Which lane they use, what they may answer, and what repeating them means.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from crossdock_sdk import (
    Absent,
    Booked,
    Cancelled,
    CarrierError,
    CarrierLabel,
    Pending,
    Refused,
    Routing,
)
from crossdock_sdk.tracking import Subscribed


class OperationClass(StrEnum):
    """What shares a lane.

    One queue, one concurrency limit, one breaker. Rates are per operation.
    """

    BOOKING = "BOOKING"
    LABEL = "LABEL"
    QUERY = "QUERY"


class Priority(IntEnum):
    """Who goes first in a lane: says whoever calls, since one operation serves many ends.

    Smaller is sooner; equal ones in the order they came, tenants in turn.
    """

    CANCEL = 0
    BOOK = 1
    LABEL = 2
    QUERY = 3
    POLL = 4


CLASS_OF: Final[dict[str, OperationClass]] = {
    "sign_in": OperationClass.BOOKING,
    "book": OperationClass.BOOKING,
    "find": OperationClass.BOOKING,
    "find_by_carrier_order": OperationClass.BOOKING,
    "cancel": OperationClass.BOOKING,
    "label": OperationClass.LABEL,
    "sort_code": OperationClass.LABEL,
    "quote": OperationClass.QUERY,
    "track": OperationClass.QUERY,
    "subscribe": OperationClass.QUERY,
}

ANSWERS: Final[dict[str, tuple[type, ...]]] = {
    "book": (Booked, CarrierError),
    "find": (Booked, Absent, Pending, Refused, CarrierError),
    "find_by_carrier_order": (Booked, Absent, Pending, Refused, CarrierError),
    "cancel": (Cancelled, CarrierError),
    "label": (CarrierLabel, CarrierError),
    "sort_code": (Routing, CarrierError),
    "quote": (tuple, CarrierError),
    "subscribe": (Subscribed, CarrierError),
}
"""What one item's outcome may be; operations not listed here are not checked."""

CHANGES_THE_WORLD: Final = frozenset({"book", "cancel"})
"""After a first request of these went out, nothing later can prove that nothing happened."""

COALESCED: Final = frozenset({"find", "quote", "track", "subscribe"})
"""Equal items in flight share one call."""

NAMES_ITS_ITEM: Final = frozenset({"book", "cancel", "find"})
"""The answer carries our reference, so a mix-up inside a batch can be seen."""
