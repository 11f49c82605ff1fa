"""Where a parcel is: one vocabulary of statuses and milestones, and what a carrier reports.

A carrier's code is mapped by a literal table in its plug-in. A code the table does not know has status None: the
engine keeps the last status, stores the event and counts it. Nothing is guessed from words, unless the carrier's
document says that words decide; then the table's row says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from crossdock_sdk.errors import CarrierError


class TrackStatus(StrEnum):
    """Where a parcel stands, in the order of a life without trouble."""

    PRE_TRANSIT = "PRE_TRANSIT"
    PICKED_UP = "PICKED_UP"
    IN_TRANSIT = "IN_TRANSIT"
    IN_CUSTOMS = "IN_CUSTOMS"
    OUT_FOR_DELIVERY = "OUT_FOR_DELIVERY"
    AVAILABLE_FOR_COLLECTION = "AVAILABLE_FOR_COLLECTION"
    DELIVERY_ATTEMPTED = "DELIVERY_ATTEMPTED"
    DELIVERED = "DELIVERED"
    EXCEPTION = "EXCEPTION"
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"


class Milestone(StrEnum):
    """What happened, finer than a status. Empty where a carrier's code says no more than the status."""

    NONE = ""
    ORDER_ACCEPTED = "ORDER_ACCEPTED"
    LABEL_CREATED = "LABEL_CREATED"
    COURIER_ASSIGNED = "COURIER_ASSIGNED"
    PICKUP_FAILED = "PICKUP_FAILED"
    COLLECTED = "COLLECTED"
    DEPARTED_FACILITY = "DEPARTED_FACILITY"
    ARRIVED_AT_FACILITY = "ARRIVED_AT_FACILITY"
    ARRIVED_DESTINATION_COUNTRY = "ARRIVED_DESTINATION_COUNTRY"
    ARRIVED_DELIVERY_STATION = "ARRIVED_DELIVERY_STATION"
    CUSTOMS_DECLARED = "CUSTOMS_DECLARED"
    CUSTOMS_HELD = "CUSTOMS_HELD"
    CUSTOMS_CLEARED = "CUSTOMS_CLEARED"
    DUTY_DUE = "DUTY_DUE"
    OUT_FOR_DELIVERY = "OUT_FOR_DELIVERY"
    RECIPIENT_ABSENT = "RECIPIENT_ABSENT"
    ADDRESS_ISSUE = "ADDRESS_ISSUE"
    REFUSED = "REFUSED"
    RESCHEDULED = "RESCHEDULED"
    DELAYED = "DELAYED"
    DAMAGED = "DAMAGED"
    LOST = "LOST"
    AT_LOCKER = "AT_LOCKER"
    AT_STATION = "AT_STATION"
    SIGNED_BY_RECIPIENT = "SIGNED_BY_RECIPIENT"
    SIGNED_BY_AGENT = "SIGNED_BY_AGENT"
    FORWARDED = "FORWARDED"
    RETURN_STARTED = "RETURN_STARTED"
    RETURN_COMPLETED = "RETURN_COMPLETED"
    VOIDED = "VOIDED"


class Place(msgspec.Struct, frozen=True):
    """Where an event happened, as the carrier names it."""

    city: str = ""
    facility: str = ""


class TrackEvent(msgspec.Struct, frozen=True):
    """One thing that happened to a parcel.

    code: the carrier's own code with its name space (`op:54`, `action:GOT`), which mapped to `status`.
    status: None when the code says nothing about where the parcel stands. known: False when the plug-in's table does
    not have the code at all, so that the engine counts it; True with status None is a code that is documented to
    change nothing. carrier_event_id: the carrier's id of the event, empty
    when it has none; with one, repeats are known by it. raw: the carrier's event as it came, kept for ever.
    courier_phone and signer are personal data and masked in repr.
    """

    waybill_number: str
    time: datetime
    code: str
    text: str
    status: TrackStatus | None
    milestone: Milestone = Milestone.NONE
    place: Place = Place()
    carrier_event_id: str = ""
    courier_name: str = ""
    courier_phone: str = ""
    signer: str = ""
    new_waybill_number: str = ""
    raw: bytes = b""
    known: bool = True

    def __repr__(self) -> str:
        return f"TrackEvent({self.waybill_number} {self.time.isoformat()} {self.code} {self.status})"


class TrackRequest(msgspec.Struct, frozen=True):
    """A number to be asked for. `phone_tail`: last four digits of sender's or recipient's phone, where known."""

    waybill_number: str
    phone_tail: str = ""

    def __repr__(self) -> str:
        return f"TrackRequest({self.waybill_number})"


class Tracked(msgspec.Struct, frozen=True):
    """All events the carrier shows for a number now; none means that it shows nothing (yet, or to us)."""

    waybill_number: str
    events: tuple[TrackEvent, ...] = ()


TrackOutcome: TypeAlias = Tracked | CarrierError


class Subscribed(msgspec.Struct, frozen=True):
    """The carrier will push events of this number."""

    waybill_number: str


SubscribeOutcome: TypeAlias = Subscribed | CarrierError


class CodeStatus(msgspec.Struct, frozen=True):
    """One row of a tracking table."""

    status: TrackStatus
    milestone: Milestone = Milestone.NONE


class TrackTable:
    """A carrier's tracking codes as data. `version` rises when a row changes: stored events name it."""

    def __init__(self, version: int, rows: Mapping[str, CodeStatus]) -> None:
        self.version = version
        self.rows = dict(rows)

    def find(self, code: str) -> CodeStatus | None:
        """The row of a code; None when it is unknown."""
        return self.rows.get(code)
