"""Stores and sample records for the store's tests: every backend, one sample order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crossdock_sdk import Address, Contact, Money, Parcel, Party
from engine.core.policy.records import (
    AttemptRecord,
    AttemptState,
    BookingRecord,
    EventKind,
    NewEvent,
    OrderDraft,
    OrderRecord,
    OrderState,
)
from engine.store.codec import AesGcmCodec
from engine.store.memory import MemoryStore
from engine.store.port import Idempotency, Store
from engine.store.sqlite import SqliteStore

NOW = datetime(2026, 11, 11, 0, 0, 0, 123456, tzinfo=UTC)
MASTER_KEY = bytes(range(32))


class Samples:
    """Builds records; keyword arguments replace fields."""

    now = NOW
    master_key = MASTER_KEY

    def draft(self, reference: str, **fields: Any) -> OrderDraft:
        party = Party(
            Contact("欧阳小满", "13987654321"),
            Address("CN", "广东省", "深圳市", "福田区", street="建设街357号"),
        )
        values = {"shipper": party, "recipient": party, "parcels": (Parcel(450),), **fields}
        return OrderDraft(reference, **values)

    def order(self, order_id: str, **fields: Any) -> OrderRecord:
        reference = fields.pop("reference", f"ref-{order_id}")
        values: dict[str, Any] = {
            "tenant": "acme",
            "draft": self.draft(reference),
            "state": OrderState.ACCEPTED,
            "create_time": NOW,
            "update_time": NOW,
            "due_time": NOW + timedelta(seconds=30),
            "lease_epoch": 1,
            **fields,
        }
        return OrderRecord(order_id, **values)

    def attempt(self, order_id: str, number: int = 1, **fields: Any) -> AttemptRecord:
        values: dict[str, Any] = {
            "carrier": "sf",
            "account_id": "sf-main",
            "service": "1",
            "reference": f"{order_id}-{number}",
            "state": AttemptState.INTENT,
            "start_time": NOW,
            **fields,
        }
        return AttemptRecord(order_id, number, **values)

    def event(self, order: OrderRecord, kind: EventKind = EventKind.ORDER_ACCEPTED) -> NewEvent:
        return NewEvent(order.tenant, order.order_id, kind, NOW, order.draft.reference, order.state)

    def booking(self, carrier: str = "sf", waybill_number: str = "SF1000000000001") -> BookingRecord:
        return BookingRecord(1, carrier, "sf-main", "1", "标快", waybill_number, NOW, freight=Money("CNY", 1990))

    def booked(self, order: OrderRecord, **fields: Any) -> OrderRecord:
        values = {"state": OrderState.BOOKED, "booking": self.booking(), "due_time": None, **fields}
        return msgspec.structs.replace(order, **values)

    def keys(self, request_id: str = "", body: bytes = b"body") -> Idempotency:
        return Idempotency(request_id, body)

    async def accepted(self, store: Store, order_id: str, **fields: Any) -> OrderRecord:
        """An order with one attempt and one event, in the store."""
        order = self.order(order_id, **fields)
        result = await store.accept(order, [self.attempt(order_id)], [self.event(order)], self.keys())
        return result.order.order


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def make() -> Samples:
    return Samples()


@pytest.fixture(params=["memory", "sqlite", "sqlite+aes"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of every kind."""
    opened: Store
    if request.param == "memory":
        opened = MemoryStore()
    else:
        codec = AesGcmCodec(MASTER_KEY) if request.param == "sqlite+aes" else None
        opened = await SqliteStore.open(tmp_path / "store.db", codec=codec)
    yield opened
    await opened.aclose()
