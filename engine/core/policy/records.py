"""What the engine remembers: orders, their attempts, events, labels, tenants. Frozen values, no behaviour.

Rules of this file: an order's attempts are its truth; `OrderRecord.state` and `booking` only sum them up.
Times are aware UTC. Everything personal sits in `OrderDraft`, whose parties mask themselves in repr.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from crossdock_sdk import Address, Contact, Money, Options, Parcel, Party, Routing, ServiceLevel


class OrderState(StrEnum):
    """Life of an order, as in the contract."""

    ACCEPTED = "ACCEPTED"
    BOOKING = "BOOKING"
    BOOKED = "BOOKED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    NEEDS_REVIEW = "NEEDS_REVIEW"


FINAL_STATES = frozenset({OrderState.BOOKED, OrderState.CANCELLED, OrderState.FAILED})
"""States in which the engine does nothing of its own accord. NEEDS_REVIEW still listens to pushes."""

AT_REST = FINAL_STATES | {OrderState.NEEDS_REVIEW}
"""States in which nobody need wait for the order any longer: its end, or a person's turn."""


class AttemptState(StrEnum):
    """What is known of one try at one carrier. INTENT is committed before the first byte goes out."""

    INTENT = "INTENT"
    NOT_SENT = "NOT_SENT"
    REJECTED = "REJECTED"
    CONFIRMED = "CONFIRMED"
    UNKNOWN = "UNKNOWN"
    ABSENT = "ABSENT"
    VOIDED = "VOIDED"


IN_DOUBT = frozenset({AttemptState.INTENT, AttemptState.UNKNOWN})
"""States in which an outcome is still open: being written or sent, or sent and not known of."""

MAY_HAVE_BOOKED = IN_DOUBT | {AttemptState.CONFIRMED}
"""States in which a live booking stands, or may stand, at the carrier: at most one attempt of an order at a time."""


class BackupPolicy(StrEnum):
    """Whether another carrier may take over."""

    AUTOMATIC = "AUTOMATIC"
    NEVER = "NEVER"


class RoutingWish(msgspec.Struct, frozen=True):
    """What the caller asks of routing: carrier codes. Empty `allowed` means all."""

    allowed: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    backup: BackupPolicy = BackupPolicy.AUTOMATIC


NOBODY = Party(Contact("", ""), Address())
"""Stands where a party is not known."""


class OrderDraft(msgspec.Struct, frozen=True):
    """What the caller ordered, validated and normalised. Never changes afterwards."""

    reference: str
    shipper: Party
    recipient: Party
    parcels: tuple[Parcel, ...]
    service_level: ServiceLevel = ServiceLevel.STANDARD
    options: Options = Options()
    routing: RoutingWish = RoutingWish()
    remark: str = ""
    tags: dict[str, str] = {}

    @property
    def weight_g(self) -> int:
        """Total weight of all parcels."""
        return sum(parcel.weight_g for parcel in self.parcels)


class BookingRecord(msgspec.Struct, frozen=True):
    """The live (or cancelled) booking of an order."""

    carrier: str
    account_id: str
    service: str
    service_name: str
    waybill_number: str
    booked_time: datetime
    sub_waybill_numbers: tuple[str, ...] = ()
    carrier_order_id: str = ""
    routing: Routing = Routing()
    freight: Money | None = None
    voided_locally: bool = False


class Failure(msgspec.Struct, frozen=True):
    """Why an order failed or waits for a person: a reason of error_reason.proto, a text and a remedy."""

    reason: str
    message: str
    remedy: str
    field: str = ""
    carrier: str = ""
    carrier_code: str = ""
    carrier_message: str = ""


class OrderRecord(msgspec.Struct, frozen=True):
    """One order. `version` counts commits; `due_time` is when reconcile must look again, None when it need not.

    `lease_epoch` is the engine process that may write it (see `Store.commit`).
    """

    order_id: str
    tenant: str
    draft: OrderDraft
    state: OrderState
    create_time: datetime
    update_time: datetime
    booking: BookingRecord | None = None
    failure: Failure | None = None
    cancel_requested: bool = False
    cancel_tries: int = 0
    due_time: datetime | None = None
    version: int = 0
    lease_epoch: int = 0


class AttemptRecord(msgspec.Struct, frozen=True):
    """One try at one carrier account. `reference` is what the carrier knows the booking by.

    `unknown_since` starts the clock of resolution; `lookups` counts look-ups and pushes about it. `burnt`: the carrier
    knows the reference and has refused or voided its booking, so that nothing can be booked under it any more.
    """

    order_id: str
    number: int
    carrier: str
    account_id: str
    service: str
    reference: str
    state: AttemptState
    start_time: datetime
    end_time: datetime | None = None
    error_class: str = ""
    carrier_code: str = ""
    carrier_message: str = ""
    field: str = ""
    cause: str = ""
    unknown_since: datetime | None = None
    lookups: int = 0
    burnt: bool = False


class EventKind(StrEnum):
    """What happened to an order, or to a return of its goods, for watchers."""

    ORDER_ACCEPTED = "ORDER_ACCEPTED"
    ORDER_BOOKED = "ORDER_BOOKED"
    CARRIER_CHANGED = "CARRIER_CHANGED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    ORDER_NEEDS_REVIEW = "ORDER_NEEDS_REVIEW"
    ORDER_FAILED = "ORDER_FAILED"
    ORDER_CANCELLING = "ORDER_CANCELLING"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    RETURN_REQUESTED = "RETURN_REQUESTED"
    RETURN_APPROVED = "RETURN_APPROVED"
    RETURN_REJECTED = "RETURN_REJECTED"
    RETURN_BOOKED = "RETURN_BOOKED"
    RETURN_FAILED = "RETURN_FAILED"
    RETURN_IN_TRANSIT = "RETURN_IN_TRANSIT"
    RETURN_ARRIVED = "RETURN_ARRIVED"
    RETURN_CANCELLED = "RETURN_CANCELLED"
    RETURN_EXPIRED = "RETURN_EXPIRED"
    REFUND_DUE = "REFUND_DUE"


class NewEvent(msgspec.Struct, frozen=True):
    """An event about to be committed; the store gives it its sequence number.

    return_id: the return it is about, "" for what happens to the order itself.
    """

    tenant: str
    order_id: str
    kind: EventKind
    time: datetime
    reference: str
    state: OrderState
    carrier: str = ""
    waybill_number: str = ""
    reason: str = ""
    return_id: str = ""


class Event(msgspec.Struct, frozen=True):
    """A committed event. Sequence numbers rise by one without gaps over all tenants of a store."""

    sequence: int
    event: NewEvent


class LoadedOrder(msgspec.Struct, frozen=True):
    """An order with all its attempts, ascending by number."""

    order: OrderRecord
    attempts: tuple[AttemptRecord, ...] = ()


class StoredLabel(msgspec.Struct, frozen=True):
    """A carrier-made label file kept for reprints."""

    order_id: str
    waybill_number: str
    media_type: str
    content: bytes
    create_time: datetime


class Tenant(msgspec.Struct, frozen=True):
    """Who calls. `key_hashes` are SHA-256 hex digests of its API keys."""

    name: str
    key_hashes: tuple[str, ...] = ()
    certificate_names: tuple[str, ...] = ()
