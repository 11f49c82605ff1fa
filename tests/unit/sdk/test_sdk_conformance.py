"""The conformance check: a good carrier passes, and each planted fault is found by its rule."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest
from acme.carrier import Acme
from acme.simulator import AcmeSimulator

from crossdock_sdk import (
    Absent,
    Account,
    Booked,
    Booking,
    BookOutcome,
    CallContext,
    Cancellation,
    CancelOutcome,
    CarrierError,
    ErrorClass,
    FindOutcome,
    Flow,
    HttpRequest,
    HttpResponse,
    Manifest,
    PushReceipt,
    PushRequest,
    Refused,
    SideEffect,
)
from crossdock_sdk.manifest import BookingFacts, NumberPattern, Repeat, Service
from crossdock_sdk.models import Option
from crossdock_sdk.simulator import CarrierSimulator, Entry
from crossdock_sdk.testing import check_carrier

MANIFEST = Manifest.load("acme")


def rules(
    carrier: type[Acme] = Acme,
    simulator: type[CarrierSimulator] = AcmeSimulator,
    **changes: Any,
) -> set[str]:
    """The broken rules of a variant of Acme."""
    manifest = msgspec.structs.replace(MANIFEST, **changes)
    return {finding.rule for finding in check_carrier(carrier(manifest), simulator)}


def test_complete_carrier_has_no_findings() -> None:
    """Acme as it stands keeps every rule."""
    from acme import crossdock_carrier, crossdock_simulator

    findings = check_carrier(crossdock_carrier(), crossdock_simulator())

    assert [str(finding) for finding in findings] == []


# Planted faults of the carrier


class Trusting(Acme):
    """Believes that every answer books."""

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        yield HttpRequest("POST", f"{ctx.account.base_url}/book")
        return [Booked(b.reference, "AC00000001") for b in bookings]


class Renaming(Acme):
    """Invents numbers."""

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        yield from super().book(ctx, bookings)
        return [Booked(b.reference, "ZZ1") for b in bookings]


class Certain(Acme):
    """Takes garbage as proof that nothing was booked."""

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        try:
            return (yield from super().book(ctx, bookings))
        except CarrierError as error:
            error.side_effect = SideEffect.NONE
            raise


class Careless(Acme):
    """Reads answers without care."""

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[FindOutcome]]:
        response = yield HttpRequest("POST", f"{ctx.account.base_url}/find")
        return [Absent(msgspec.json.decode(response.body)["reference"])]


class Forgetful(Acme):
    """Loses items."""

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[FindOutcome]]:
        yield from super().find(ctx, references)
        return []


class Random(Acme):
    """Draws dice."""

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        dice = [msgspec.structs.replace(b, reference=f"{random.random()}") for b in bookings]
        return (yield from super().book(ctx, dice))


class Talkative(Acme):
    """Puts the secret in its errors."""

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        try:
            return (yield from super().book(ctx, bookings))
        except CarrierError as error:
            key = ctx.account.secret("key")
            raise CarrierError(error.error_class, message=f"with key {key}") from error


class Blind(Acme):
    """Finds nothing."""

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[FindOutcome]]:
        yield from super().find(ctx, references)
        return [Absent(reference) for reference in references]


class Undead(Acme):
    """Finds cancelled bookings alive."""

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[FindOutcome]]:
        found = yield from super().find(ctx, references)
        return [Booked(f.reference, "AC00000001") if isinstance(f, Refused) else f for f in found]


class OnceOnly(Acme):
    """Cannot cancel anything."""

    def cancel(self, ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[CancelOutcome]]:
        yield from super().cancel(ctx, cancellations)
        raise CarrierError(ErrorClass.NOT_FOUND)


class Gullible(Acme):
    """Verifies no push."""

    def parse_push(self, account: Account, now: datetime, request: PushRequest) -> PushReceipt:
        from acme.simulator import sign

        signed = {"x-sign": sign(request.body, account.secret("key"))}
        return super().parse_push(account, now, PushRequest(signed, request.body))


class Stubborn(Acme):
    """Reads the same push differently each time."""

    count = 0

    def parse_push(self, account: Account, now: datetime, request: PushRequest) -> PushReceipt:
        receipt = super().parse_push(account, now, request)
        type(self).count += 1
        return PushReceipt(HttpResponse(200, {}, str(self.count).encode()), receipt.bookings)


@pytest.mark.parametrize(
    ("carrier", "rule"),
    [
        (Trusting, "an answer that proves nothing leaves a booking UNKNOWN"),
        (Trusting, "a refusal is a CarrierError"),
        (Trusting, "a wrong secret is refused as AUTH"),
        (Renaming, "waybill numbers match a [[number]] pattern"),
        (Certain, "an answer that proves nothing leaves a booking UNKNOWN"),
        (Careless, "only CarrierError leaves a flow"),
        (Forgetful, "one outcome per item, in order"),
        (Random, "equal input makes equal requests"),
        (Random, "outcomes carry our reference"),
        (Talkative, "no secret in an error's text"),
        (Blind, "a look-up finds what was booked"),
        (Undead, "a cancelled booking is not found as live"),
        (OnceOnly, "cancel gives Cancelled, also for what is cancelled already"),
        (Gullible, "a forged push is refused"),
        (Gullible, "only PushRefused leaves parse_push"),
        (Gullible, "a push signed for another account is refused"),
        (Stubborn, "the same bytes give the same receipt"),
    ],
)
def test_planted_fault_of_a_carrier_is_found(carrier: type[Acme], rule: str) -> None:
    """A carrier with one fault breaks the rule that names it."""
    assert rule in rules(carrier)


# Planted faults of the simulator


class Mute(AcmeSimulator):
    """Pushes nothing."""

    def _push(self, reference: str, number: str) -> None:
        return


class Open(AcmeSimulator):
    """Lets anybody in."""

    def handle(self, request: HttpRequest) -> HttpResponse:
        from acme.simulator import KEY, sign

        headers = {**request.headers, "x-sign": sign(request.body, KEY)}
        return super().handle(HttpRequest(request.method, request.url, headers, request.body))


class Amnesiac(AcmeSimulator):
    """Books without writing it down."""

    def _book(self, call: dict[str, Any]) -> HttpResponse:
        body = {"code": "OK", "number": "AC00000009", "reference": call["reference"]}
        return HttpResponse(200, {}, msgspec.json.encode(body))


class Clairvoyant(AcmeSimulator):
    """Sees bookings that it should not see yet."""

    def _is_unseen(self, entry: Entry) -> bool:
        return False


class Other(AcmeSimulator):
    """Goes by another name."""

    code = "other"


@pytest.mark.parametrize(
    ("simulator", "rule"),
    [
        (Mute, "the simulator pushes news of its bookings"),
        (Open, "a wrong secret is refused as AUTH"),
        (Amnesiac, "the ledger knows every booking by our reference"),
        (Other, "one code everywhere"),
        (Clairvoyant, "the simulator's look-up can be blind to young bookings"),
    ],
)
def test_planted_fault_of_a_simulator_is_found(simulator: type[CarrierSimulator], rule: str) -> None:
    """A simulator that proves nothing is found out."""
    assert rule in rules(simulator=simulator)


# Planted faults of the manifest

_BAD_NUMBER = (NumberPattern(r"ZZ\d+", ("ZZ1",), ("1",)),)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"number": _BAD_NUMBER}, "a good booking is Booked"),
        ({"number": ()}, "waybill numbers can be recognised"),
        ({"number": (NumberPattern(".*", ("A",)),)}, "a number pattern is proved by examples"),
        ({"base_url": "http://api.acme.example"}, "carriers are called over TLS"),
        ({"time_zone": "Asia/Shanghei"}, "the time zone exists"),
        ({"setting": ()}, "accounts have described keys only"),
        ({"service": (Service("S", "a"), Service("S", "b"))}, "a service is listed once per level"),
        ({"options": (Option.CHILLED,)}, "cold chain options and services agree"),
        ({"max_parcels": 5}, "multi_parcel and max_parcels agree"),
        ({"required_fields": ("recipient.phone",)}, "required fields are fields of a booking"),
        ({"booking": BookingFacts(Repeat.REPLAYS)}, "repeat = REPLAYS is what happens"),
    ],
)
def test_planted_fault_of_a_manifest_is_found(changes: dict[str, Any], rule: str) -> None:
    """A manifest that contradicts itself or the carrier is found out."""
    assert rule in rules(**changes)


def test_findings_say_what_to_do() -> None:
    """Every finding has a rule, a place and a remedy."""
    findings = check_carrier(Trusting(MANIFEST), AcmeSimulator)

    assert all(f.rule and f.where and f.remedy for f in findings)
