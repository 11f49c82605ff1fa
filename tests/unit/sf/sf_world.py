"""The SF plug-in and its simulator in one process, and variations of the demo booking."""

from __future__ import annotations

from typing import Any

from sf_kit import BOOKING, NOW, RECIPIENT, SF, change, context, drive

from crossdock_sdk import (
    Account,
    Booked,
    Booking,
    BookOutcome,
    Cancellation,
    FindOutcome,
    HttpRequest,
    LabelRequest,
    Lane,
    Party,
    PushReceipt,
    PushRequest,
    Tracked,
    TrackEvent,
    TrackOutcome,
    TrackRequest,
)
from crossdock_sdk.simulator import Ledger
from crossdock_sdk.testing import FakeClock
from crossdock_sf.simulator import SfSimulator

ROOT = "http://127.0.0.1:8080"
PUSH_URL = "http://127.0.0.1:8081/push/demo"


class World:
    """One simulator, its account, and the plug-in's calls against it."""

    def __init__(self, ledger: Ledger | None = None, **options: Any) -> None:
        self.clock = FakeClock(NOW)
        self.simulator = SfSimulator(ledger or Ledger(), clock=self.clock, **options)
        self.simulator.base_url = ROOT
        self.account: Account = SfSimulator.account(ROOT)

    def book(self, booking: Booking = BOOKING) -> BookOutcome:
        """Book, whatever comes of it."""
        return drive(SF.book(context(self.account), [booking]), self.simulator.handle)[0]

    def booked(self, booking: Booking = BOOKING) -> Booked:
        """Book, and it must succeed."""
        outcome = self.book(booking)
        assert isinstance(outcome, Booked), outcome
        return outcome

    def find(self, reference: str = BOOKING.reference) -> FindOutcome:
        """Look up by reference."""
        return drive(SF.find(context(self.account), [reference]), self.simulator.handle)[0]

    def cancel(self, reference: str = BOOKING.reference) -> object:
        """Cancel by reference."""
        flow = SF.cancel(context(self.account), [Cancellation(reference, "")])
        return drive(flow, self.simulator.handle)[0]

    def label(self, *requests: LabelRequest) -> list[object]:
        """Print labels."""
        flow = SF.label(context(self.account), requests)
        return list(drive(flow, self.simulator.handle))

    def quote(self, lane: Lane) -> object:
        """Price a lane."""
        return drive(SF.quote(context(self.account), [lane]), self.simulator.handle)[0]

    def ask(self, *requests: TrackRequest) -> list[TrackOutcome]:
        """Ask for routes, whatever comes of it."""
        return drive(SF.track(context(self.account, self.clock()), requests), self.simulator.handle)

    def route(self, number: str, phone_tail: str = "") -> tuple[TrackEvent, ...]:
        """The events of one number, and there must be an answer."""
        (outcome,) = self.ask(TrackRequest(number, phone_tail))
        assert isinstance(outcome, Tracked), outcome
        return outcome.events

    def pushed(self) -> list[PushReceipt]:
        """What the pushes that are due now say, read by the plug-in."""
        self.simulator.tick()
        sent, self.simulator.outbox = self.simulator.outbox, []
        return [SF.parse_push(self.account, self.clock(), received(request)) for request in sent]

    def watch(self, days: float, step_h: float = 1.0) -> list[TrackEvent]:
        """Let time pass; returns everything pushed meanwhile, in the order of its arrival."""
        told: list[TrackEvent] = []
        for _ in range(int(days * 24 / step_h)):
            self.clock.advance(step_h * 3600)
            told += [event for receipt in self.pushed() for event in receipt.tracks]
        return told


def received(request: HttpRequest) -> PushRequest:
    """A push of the simulator as the ingress would hand it over."""
    assert request.url.startswith(f"{PUSH_URL}/")
    headers = {name.lower(): value for name, value in request.headers.items()}
    return PushRequest(headers, request.body, request.url.removeprefix(f"{PUSH_URL}/"))


def person(party: Party, **contact: str) -> Party:
    """A party with changed contact fields."""
    return change(party, contact=change(party.contact, **contact))


def to(**address: str) -> Booking:
    """The demo booking to another address."""
    return change(BOOKING, recipient=change(RECIPIENT, address=change(RECIPIENT.address, **address)))
