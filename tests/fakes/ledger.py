"""A carrier's own books: what is live there, whatever the engine believes. Pure; times come from outside."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from crossdock_sdk import Repeat


class Shipment(msgspec.Struct):
    """One booking in the carrier's books."""

    reference: str
    waybill_number: str
    booked_time: datetime
    live: bool = True


class Duplicate(Exception):
    """The reference is used already, and this carrier refuses repeats."""


class Ledger:
    """All bookings of one carrier.

    repeat: what a second booking under one reference does. search_lag_s: how long a booking stays hidden from
    look-ups.
    """

    def __init__(self, code: str, repeat: Repeat = Repeat.REFUSES, *, search_lag_s: float = 0.0) -> None:
        self.code = code
        self.repeat = repeat
        self.search_lag_s = search_lag_s
        self.shipments: list[Shipment] = []
        self.scans: dict[str, list[dict[str, str]]] = {}
        self.subscribed: list[str] = []

    def scan(self, number: str, time: datetime, code: str) -> dict[str, str]:
        """A parcel is scanned: the row that a query shows, and a push tells."""
        row = {"number": number, "time": time.isoformat(), "code": code, "text": f"{code} at {time:%H:%M:%S}"}
        self.scans.setdefault(number, []).append(row)
        return row

    def book(self, reference: str, now: datetime) -> Shipment:
        """Carry out a booking. Raises Duplicate."""
        known = self._newest(reference)
        if known is not None and self.repeat is Repeat.REPLAYS:
            return known
        if known is not None and self.repeat is Repeat.REFUSES:
            raise Duplicate(reference)
        shipment = Shipment(reference, f"{self.code.upper()}{len(self.shipments) + 1:09d}", now)
        self.shipments.append(shipment)
        return shipment

    def find(self, reference: str, now: datetime) -> Shipment | None:
        """What a look-up shows now."""
        known = self._newest(reference)
        if known is None or now - known.booked_time < timedelta(seconds=self.search_lag_s):
            return None
        return known

    def cancel(self, waybill_number: str) -> bool:
        """Void a booking; False when there is none. Twice is fine."""
        for shipment in self.shipments:
            if shipment.waybill_number == waybill_number:
                shipment.live = False
                return True
        return False

    @property
    def live(self) -> list[Shipment]:
        """What this carrier would fetch and charge for."""
        return [s for s in self.shipments if s.live]

    def _newest(self, reference: str) -> Shipment | None:
        return next((s for s in reversed(self.shipments) if s.reference == reference), None)
