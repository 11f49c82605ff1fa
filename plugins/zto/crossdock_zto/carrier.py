"""The carrier as the engine sees it. Each operation lives in a module; this only names them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from crossdock_sdk import (
    Account,
    Booking,
    BookOutcome,
    CallContext,
    Cancellation,
    CancelOutcome,
    Carrier,
    FindOutcome,
    Flow,
    Lane,
    PushReceipt,
    PushRequest,
    QuoteOutcome,
    SortCodeOutcome,
    SortCodeRequest,
    SubscribeOutcome,
    TrackOutcome,
    TrackRequest,
)
from crossdock_zto import book, cancel, lookup, push, quote, sort_code, track, track_codes


class Zto(Carrier):
    """ZTO's domestic parcel wire: one item per call everywhere."""

    mapping_version: ClassVar[int] = track_codes.VERSION

    def quote(self, ctx: CallContext, lanes: Sequence[Lane]) -> Flow[list[QuoteOutcome]]:
        """Serviceability first, then price and hours in transit."""
        return quote.quote(ctx, lanes)

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        """createOrder, one call a booking."""
        return book.book(ctx, bookings)

    def find_by_carrier_order(self, ctx: CallContext, carrier_order_ids: Sequence[str]) -> Flow[list[FindOutcome]]:
        """getOrderInfo by orderCode or by waybill number; both kinds of id are taken."""
        return lookup.find_by_carrier_order(ctx, carrier_order_ids)

    def cancel(self, ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[CancelOutcome]]:
        """cancelPreOrder for pick-up orders; full-network numbers are void without a call."""
        return cancel.cancel(ctx, cancellations)

    def sort_code(self, ctx: CallContext, requests: Sequence[SortCodeRequest]) -> Flow[list[SortCodeOutcome]]:
        """bagAddrMark, one call a parcel."""
        return sort_code.sort_code(ctx, requests)

    def track(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[TrackOutcome]]:
        """The track query, one call a number; the phone tail is needed for parcels of other accounts."""
        return track.track(ctx, requests)

    def subscribe(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[SubscribeOutcome]]:
        """The trace subscription, one call a number."""
        return track.subscribe(ctx, requests)

    def parse_push(self, account: Account, now: datetime, request: PushRequest) -> PushReceipt:
        """Verify the digest over the exact `data` text, then read it."""
        return push.parse_push(account, now, request)
