"""What the engine remembers of goods on their way back. Frozen values, no behaviour.

A return is a decision with a parcel behind it: the way back is an ordinary order of its own, booked, labelled and
followed like any other. The return only says why it exists and what became of it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from engine.core.policy.records import Failure, NewEvent


class ReturnState(StrEnum):
    """Life of a return, as in the contract."""

    UNDER_REVIEW = "UNDER_REVIEW"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    BOOKED = "BOOKED"
    IN_TRANSIT = "IN_TRANSIT"
    ARRIVED = "ARRIVED"
    RECEIVED = "RECEIVED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


class ReturnReason(StrEnum):
    """Why goods come back."""

    CHANGED_MIND = "CHANGED_MIND"
    WRONG_SIZE = "WRONG_SIZE"
    DAMAGED = "DAMAGED"
    DEFECTIVE = "DEFECTIVE"
    WRONG_ITEM = "WRONG_ITEM"
    NOT_AS_DESCRIBED = "NOT_AS_DESCRIBED"
    PARTS_MISSING = "PARTS_MISSING"
    LATE = "LATE"
    OTHER = "OTHER"


class Verdict(StrEnum):
    """What a rule, or a person, says to a return."""

    APPROVE = "APPROVE"
    REVIEW = "REVIEW"
    REJECT = "REJECT"


class Decision(msgspec.Struct, frozen=True):
    """How a return was decided. `rule` is empty when a person decided, or when no rule applied."""

    verdict: Verdict
    rule: str = ""
    explanation: str = ""
    time: datetime | None = None


class ReturnItem(msgspec.Struct, frozen=True):
    """Goods that come back: an item of the order, by its sku or else by its title."""

    sku: str
    title: str
    quantity: int


class ReturnWish(msgspec.Struct, frozen=True):
    """What the caller asked for. No items: everything that is not on its way back already. `note` is personal."""

    order_id: str
    reason: ReturnReason
    items: tuple[ReturnItem, ...] = ()
    opened: bool = False
    note: str = ""
    weight_g: int = 0
    pickup: bool = False
    pickup_start_time: datetime | None = None
    pickup_end_time: datetime | None = None

    def __repr__(self) -> str:
        return f"ReturnWish({self.order_id} {self.reason})"


class ReturnRecord(msgspec.Struct, frozen=True):
    """One return. `version` counts commits; `due_time` is when it must be looked at again, None when it need not.

    items: what `wish` came to. order_reference: the merchant's number of the order it belongs to. return_order_id:
    the order that carries it back, once that is booked; spent_order_id: one that did not get there. tries: how often
    the way back was begun. remark: what the warehouse found.
    """

    return_id: str
    tenant: str
    wish: ReturnWish
    items: tuple[ReturnItem, ...]
    order_reference: str
    state: ReturnState
    decision: Decision
    create_time: datetime
    update_time: datetime
    return_order_id: str = ""
    spent_order_id: str = ""
    carrier: str = ""
    waybill_number: str = ""
    pickup_booked: bool = False
    failure: Failure | None = None
    remark: str = ""
    expire_time: datetime | None = None
    due_time: datetime | None = None
    tries: int = 1
    version: int = 0


class ReturnStep(msgspec.Struct, frozen=True):
    """One step of a return: the record as it shall be, and what watchers hear of it."""

    record: ReturnRecord
    events: tuple[NewEvent, ...] = ()
