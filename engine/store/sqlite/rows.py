"""Records to rows and back. Encoding happens in the caller's thread, so the writer only runs SQL.

Bodies are msgpack maps: a later version may add fields with defaults and still read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

import msgspec

from engine.core.policy.records import (
    AttemptRecord,
    BookingRecord,
    Event,
    Failure,
    LoadedOrder,
    NewEvent,
    OrderDraft,
    OrderRecord,
    OrderState,
    StoredLabel,
)
from engine.store.codec import Codec
from engine.store.port import StoreError
from engine.store.rules import NO_DUE_US, due_us, to_us

T = TypeVar("T")
R = TypeVar("R")
W = TypeVar("W", bound=Enum)

Cell: TypeAlias = str | bytes | int | None
"""What the store puts in a column."""
Row: TypeAlias = tuple[Cell, ...]
Broken: TypeAlias = dict[str, StoreError]
"""Why what cannot be read cannot, by its id."""

DRAFT, LIVE, ATTEMPT, LABEL = "orders.draft", "orders.live", "attempts.body", "labels.content"


class Live(msgspec.Struct, frozen=True):
    """The part of an order that its steps change and no query asks for."""

    booking: BookingRecord | None = None
    failure: Failure | None = None
    cancel_requested: bool = False
    cancel_tries: int = 0


class EventRow(msgspec.Struct, frozen=True):
    """An event ready for the writer, which adds the sequence number."""

    event: NewEvent
    row: tuple[str, str, int, bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode_draft = msgspec.msgpack.Decoder(OrderDraft).decode
_decode_live = msgspec.msgpack.Decoder(Live).decode
_decode_attempt = msgspec.msgpack.Decoder(AttemptRecord).decode
_decode_event = msgspec.msgpack.Decoder(NewEvent).decode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_us(time_us: int) -> datetime:
    """The aware UTC time."""
    return _EPOCH + timedelta(microseconds=time_us)


class Rows:
    """Encodes and decodes with one codec. Decoding raises StoreError when a body cannot be read."""

    def __init__(self, codec: Codec) -> None:
        self._seal = codec.seal
        self._open = codec.open

    def new_order(self, order: OrderRecord) -> Row:
        """Parameters of insert_order."""
        tenant, order_id = order.tenant, order.order_id
        carrier, waybill_number = _booked(order)
        return (
            order_id,
            tenant,
            order.draft.reference,
            order.state,
            carrier,
            waybill_number,
            to_us(order.create_time, "create_time"),
            to_us(order.update_time, "update_time"),
            due_us(order),
            order.lease_epoch,
            order.version,
            self._seal(tenant, DRAFT, order_id, _encode(order.draft)),
            self._live(order),
        )

    def step(self, order: OrderRecord) -> Row:
        """Parameters of update_order."""
        carrier, waybill_number = _booked(order)
        return (
            order.order_id,
            order.tenant,
            order.version,
            order.lease_epoch,
            order.state,
            carrier,
            waybill_number,
            to_us(order.update_time, "update_time"),
            due_us(order),
            self._live(order),
        )

    def attempts(self, tenant: str, attempts: Iterable[AttemptRecord]) -> list[Row]:
        """Parameters of put_attempt."""
        return [
            (
                a.order_id,
                a.number,
                tenant,
                a.account_id,
                a.reference,
                a.state,
                self._seal(tenant, ATTEMPT, f"{a.order_id}/{a.number}", _encode(a)),
            )
            for a in attempts
        ]

    def events(self, events: Iterable[NewEvent]) -> list[EventRow]:
        """What Transaction.add_events takes."""
        return [EventRow(e, (e.tenant, e.order_id, to_us(e.time, "time"), _encode(e))) for e in events]

    def label(self, tenant: str, label: StoredLabel) -> Row:
        """Parameters of put_label."""
        row_id = f"{label.order_id}/{label.waybill_number}"
        return (
            tenant,
            label.order_id,
            label.waybill_number,
            label.media_type,
            to_us(label.create_time, "create_time"),
            self._seal(tenant, LABEL, row_id, label.content),
        )

    def read_orders(self, rows: Iterable[Sequence[Any]]) -> Iterator[LoadedOrder]:
        """Orders out of rows of get_order and its kin: a row an attempt, adjacent by order."""
        for _, same_order in groupby(rows, key=itemgetter(0)):
            yield self._read_order(list(same_order))

    def read_what_can_be(self, rows: Iterable[Sequence[Any]]) -> tuple[list[LoadedOrder], Broken]:
        """As `read_orders`, and why what cannot be read cannot, by order id."""
        by_order = ((order_id, list(same_order)) for order_id, same_order in groupby(rows, key=itemgetter(0)))
        return read_what_can_be(self._read_order, by_order)

    def read_attempt(self, order_id: str, number: int, tenant: str, sealed: bytes) -> AttemptRecord:
        """One attempt out of a row of its own."""
        row_id = f"{order_id}/{number}"
        return read_body(_decode_attempt, self._open(tenant, ATTEMPT, row_id, sealed), ATTEMPT, row_id)

    def read_event(self, sequence: int, body: bytes) -> Event:
        """A committed event."""
        return Event(sequence, read_body(_decode_event, body, "events.body", str(sequence)))

    def read_label(self, tenant: str, order_id: str, waybill_number: str, row: tuple[str, int, bytes]) -> StoredLabel:
        """A kept label out of a row of get_label."""
        media_type, create_us, sealed = row
        content = self._open(tenant, LABEL, f"{order_id}/{waybill_number}", sealed)
        return StoredLabel(order_id, waybill_number, media_type, content, from_us(create_us))

    def _live(self, order: OrderRecord) -> bytes:
        live = Live(order.booking, order.failure, order.cancel_requested, order.cancel_tries)
        return self._seal(order.tenant, LIVE, order.order_id, _encode(live))

    def _read_order(self, rows: list[Sequence[Any]]) -> LoadedOrder:
        order_id, tenant, state, create_us, update_us, due, epoch, version, *sealed = rows[0]
        draft, live = sealed[:2]
        draft_bytes = self._open(tenant, DRAFT, order_id, draft)
        live_bytes = self._open(tenant, LIVE, order_id, live)
        now = read_body(_decode_live, live_bytes, LIVE, order_id)
        order = OrderRecord(
            order_id=order_id,
            tenant=tenant,
            draft=read_body(_decode_draft, draft_bytes, DRAFT, order_id),
            state=read_word(OrderState, state, "orders.state", order_id),
            create_time=from_us(create_us),
            update_time=from_us(update_us),
            booking=now.booking,
            failure=now.failure,
            cancel_requested=now.cancel_requested,
            cancel_tries=now.cancel_tries,
            due_time=None if due is None or due == NO_DUE_US else from_us(due),
            version=version,
            lease_epoch=epoch,
        )
        attempts = []
        for row in rows:
            if row[10] is not None:
                attempts.append(self.read_attempt(order_id, row[10], tenant, row[11]))
        return LoadedOrder(order, tuple(attempts))


def _booked(order: OrderRecord) -> tuple[str, str]:
    booking = order.booking
    return ("", "") if booking is None else (booking.carrier, booking.waybill_number)


def read_body(decode: Callable[[bytes], T], body: bytes, column: str, row_id: str) -> T:
    """An opened body as what it holds. Raises StoreError."""
    try:
        return decode(body)
    except msgspec.MsgspecError:
        # The decoder's own text may quote what it read, which can be personal data.
        raise StoreError(_unreadable(column, row_id)) from None


def read_word(words: type[W], word: str, column: str, row_id: str) -> W:
    """A column's word as one of ours. Raises StoreError."""
    try:
        return words(word)
    except ValueError:
        raise StoreError(_unreadable(column, row_id)) from None


def read_what_can_be(read: Callable[[R], T], rows: Iterable[tuple[str, R]]) -> tuple[list[T], Broken]:
    """What `read` makes of each row, which comes behind its id, and why it cannot read the others."""
    found: list[T] = []
    broken: Broken = {}
    for row_id, row in rows:
        try:
            found.append(read(row))
        except StoreError as error:
            broken[row_id] = error
    return found, broken


def _unreadable(column: str, row_id: str) -> str:
    return (
        f"{column} of {row_id} cannot be read, being damaged or from a later version: "
        "upgrade, or restore it from a backup"
    )
