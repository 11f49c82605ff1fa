"""Rows of the state machines for tests: one order, attempts and returns in any state, short to write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from crossdock_sdk import Address, Contact, Item, Parcel, Party
from engine.core.policy.records import (
    AttemptRecord,
    AttemptState,
    BookingRecord,
    LoadedOrder,
    OrderDraft,
    OrderRecord,
    OrderState,
    RoutingWish,
)
from engine.core.policy.references import reference_of
from engine.core.policy.return_records import (
    Decision,
    ReturnItem,
    ReturnReason,
    ReturnRecord,
    ReturnState,
    ReturnWish,
    Verdict,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
ORDER_ID = "01939b1e-0000-7000-8000-000000000001"
RETURN_ID = "01939b1e-0000-7000-8000-00000000000a"
PARTY = Party(Contact("欧阳小满", "13987654321"), Address("CN", "广东省", "深圳市", "福田区", street="建设街357号"))


def at(seconds: float) -> datetime:
    """So long after NOW."""
    return NOW + timedelta(seconds=seconds)


def draft(**fields: Any) -> OrderDraft:
    """A sound draft; keyword arguments replace fields."""
    values: dict[str, Any] = {
        "reference": "A1",
        "shipper": PARTY,
        "recipient": PARTY,
        "parcels": (Parcel(450, items=(Item("红茶"),)),),
        "routing": RoutingWish(),
        **fields,
    }
    return OrderDraft(**values)


def attempt(number: int, carrier: str, state: AttemptState, **fields: Any) -> AttemptRecord:
    """An attempt made at NOW; the account is `<carrier>-1`, the service `std`."""
    values: dict[str, Any] = {
        "order_id": ORDER_ID,
        "number": number,
        "carrier": carrier,
        "account_id": f"{carrier}-1",
        "service": "std",
        "reference": reference_of(ORDER_ID, number),
        "state": state,
        "start_time": NOW,
        **fields,
    }
    return AttemptRecord(**values)


def loaded(*attempts: AttemptRecord, **fields: Any) -> LoadedOrder:
    """The order with these attempts; BOOKING unless told otherwise."""
    values: dict[str, Any] = {
        "order_id": ORDER_ID,
        "tenant": "acme",
        "draft": draft(),
        "state": OrderState.BOOKING,
        "create_time": NOW,
        "update_time": NOW,
        "lease_epoch": 1,
        **fields,
    }
    return LoadedOrder(OrderRecord(**values), attempts)


def booking(carrier: str = "alpha", **fields: Any) -> BookingRecord:
    """A booking."""
    return BookingRecord(carrier, f"{carrier}-1", "std", "Standard", "W1", NOW, **fields)


def a_return(state: ReturnState = ReturnState.APPROVED, **fields: Any) -> ReturnRecord:
    """A return in this state; keyword arguments replace fields."""
    values: dict[str, Any] = {
        "return_id": RETURN_ID,
        "tenant": "acme",
        "wish": ReturnWish(ORDER_ID, ReturnReason.DAMAGED, note="盒子压坏了"),
        "items": (ReturnItem("", "红茶", 1),),
        "order_reference": "A1",
        "decision": Decision(Verdict.APPROVE),
        "create_time": NOW,
        "update_time": NOW,
        **fields,
    }
    return ReturnRecord(state=state, **values)
