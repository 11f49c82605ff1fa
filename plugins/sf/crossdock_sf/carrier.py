"""The SF Express carrier: each operation is one module, this class only names them."""

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
    LabelOutcome,
    LabelRequest,
    Lane,
    PushReceipt,
    PushRequest,
    QuoteOutcome,
    SubscribeOutcome,
    TrackOutcome,
    TrackRequest,
)
from crossdock_sf import book, cancel, label, push, quote, track, track_codes


class Sf(Carrier):
    """SF Express. No sign-in: every call is signed with the account's check word."""

    mapping_version: ClassVar[int] = track_codes.VERSION

    def quote(self, ctx: CallContext, lanes: Sequence[Lane]) -> Flow[list[QuoteOutcome]]:
        """Price lanes by `EXP_RECE_QUERY_DELIVERTM` (sheet 4.2)."""
        return quote.quote(ctx, lanes)

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        """Book by `EXP_RECE_CREATE_ORDER` (sheet 4.4)."""
        return book.book(ctx, bookings, self.manifest.owns_number)

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[FindOutcome]]:
        """Look up by `EXP_RECE_SEARCH_ORDER_RESP` (sheet 4.5)."""
        return book.find(ctx, references, self.manifest.owns_number)

    def cancel(self, ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[CancelOutcome]]:
        """Void by `EXP_RECE_UPDATE_ORDER` with dealType 2 (sheet 4.6)."""
        return cancel.cancel(ctx, cancellations)

    def label(self, ctx: CallContext, requests: Sequence[LabelRequest]) -> Flow[list[LabelOutcome]]:
        """Print by `COM_RECE_CLOUD_PRINT_WAYBILLS` and fetch the files (sheet 4.7)."""
        return label.label(ctx, requests)

    def track(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[TrackOutcome]]:
        """Routes by `EXP_RECE_SEARCH_ROUTES` (sheet 4.9)."""
        return track.track(ctx, requests, self.manifest.owns_number)

    def subscribe(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[SubscribeOutcome]]:
        """Register foreign waybills by `EXP_RECE_REGISTER_ROUTE` (sheet 4.10)."""
        return track.subscribe(ctx, requests, self.manifest.owns_number)

    def parse_push(self, account: Account, now: datetime, request: PushRequest) -> PushReceipt:
        """Route and order state pushes, proved by the token in their URL (sheet 4.11)."""
        return push.parse_push(account, now, request)
