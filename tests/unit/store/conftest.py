"""Stores and sample records for the store's tests: every backend, one sample order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crossdock_sdk import Address, Contact, Money, Parcel, Party
from crossdock_sdk.tracking import Milestone, Place, TrackEvent, TrackStatus
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
from engine.core.policy.track_records import DeadLetter, KeptEvent, StallAlert, TrackNews, TrackRecord, TrackSource
from engine.store.codec import AesGcmCodec
from engine.store.memory import MemoryStore
from engine.store.port import Idempotency, Store
from engine.store.sqlite import SqliteStore
from engine.store.track_port import TrackChange

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
        return BookingRecord(carrier, "sf-main", "1", "标快", waybill_number, NOW, freight=Money("CNY", 1990))

    def booked(self, order: OrderRecord, **fields: Any) -> OrderRecord:
        values = {"state": OrderState.BOOKED, "booking": self.booking(), "due_time": None, **fields}
        return msgspec.structs.replace(order, **values)

    def keys(self, request_id: str = "", body: bytes = b"body") -> Idempotency:
        return Idempotency(request_id, body)

    def track(self, track_id: str = "t1", **fields: Any) -> TrackRecord:
        values: dict[str, Any] = {
            "tenant": "acme",
            "carrier": "sf",
            "account_id": "sf-main",
            "waybill_number": "SF1",
            "first_seen_time": NOW,
            "phone_tail": "4321",
            "next_poll_time": NOW + timedelta(hours=2),
            **fields,
        }
        return TrackRecord(track_id, **values)

    def kept(self, hours: float = 0.0, mark: str = "", **fields: Any) -> KeptEvent:
        """An event that happened so many hours from now; its fingerprint is `mark`, else the hours."""
        values: dict[str, Any] = {
            "code": "op:204",
            "text": f"欧阳师傅正在派送,电话13987654321 {hours}",
            "status": TrackStatus.OUT_FOR_DELIVERY,
            "milestone": Milestone.OUT_FOR_DELIVERY,
            "place": Place("深圳市", "福田点部"),
            "courier_name": "欧阳师傅",
            "courier_phone": "13987654321",
            "signer": "小满",
            "raw": b'{"opCode":"204"}',
            **fields,
        }
        event = TrackEvent("SF1", NOW + timedelta(hours=hours), **values)
        return KeptEvent((mark or f"{hours}").encode(), event, NOW, TrackSource.PUSH, 3)

    def news(self, track: TrackRecord, kept: KeptEvent, **fields: Any) -> TrackNews:
        values: dict[str, Any] = {
            "carrier": track.carrier,
            "waybill_number": track.waybill_number,
            "order_id": track.order_id,
            "event": kept.event,
            "source": kept.source,
            "status": kept.event.status,
            "milestone": kept.event.milestone,
            "status_changed": True,
            "received_time": NOW,
            **fields,
        }
        return TrackNews(track.tenant, track.track_id, **values)

    def alert(self, rule: str = "slow", **fields: Any) -> StallAlert:
        values: dict[str, Any] = {"reason": "stands still", "evidence": {"after_h": "48"}, "raised_time": NOW, **fields}
        return StallAlert(rule, **values)

    def alert_news(self, track: TrackRecord, rule: str = "slow", **fields: Any) -> TrackNews:
        """News of an alert: raised, or with a resolved_time resolved."""
        return TrackNews(
            track.tenant,
            track.track_id,
            track.carrier,
            track.waybill_number,
            track.order_id,
            track.source,
            track.status,
            track.milestone,
            False,
            NOW,
            alert=self.alert(rule, **fields),
        )

    def raised(self, track: TrackRecord, *rules: str) -> TrackChange:
        """These alerts and no others, with news of each."""
        alerts = tuple(self.alert(rule) for rule in rules)
        return TrackChange(
            msgspec.structs.replace(track, alerts=alerts), (), tuple(self.alert_news(track, r) for r in rules)
        )

    def step(self, track: TrackRecord, *kept: KeptEvent) -> TrackChange:
        """These events, with news of each."""
        return TrackChange(track, kept, tuple(self.news(track, one) for one in kept))

    def letter(self, letter_id: str = "l1", **fields: Any) -> DeadLetter:
        values: dict[str, Any] = {
            "account_id": "sf-main",
            "received_time": NOW,
            "cause": "no order 欧阳小满",
            "attempts": 8,
            "headers": {"x-signature": "s3cret"},
            "body": "欧阳小满".encode(),
            "path": "/push/sf-main",
            "query": "a=1",
            **fields,
        }
        return DeadLetter(letter_id, **values)

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
