"""The kit's tracking and push checks: a carrier that follows parcels passes, each planted fault is found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from acme.carrier import Acme
from acme.simulator import KEY, AcmeSimulator, sign

from crossdock_sdk import (
    Account,
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    Manifest,
    PushReceipt,
    PushRefused,
    PushRequest,
    Secret,
    Subscribed,
    SubscribeOutcome,
    Tracked,
    TrackEvent,
    TrackOutcome,
    TrackRequest,
    TrackStatus,
)
from crossdock_sdk.codec import read_json, to_json
from crossdock_sdk.manifest import Setting
from crossdock_sdk.signing import same
from crossdock_sdk.simulator import CarrierSimulator
from crossdock_sdk.testing import check_carrier

PLAIN = Manifest.load("acme")
TOKEN = "a-token-in-the-url"
MANIFEST = msgspec.structs.replace(
    PLAIN,
    operations=(*PLAIN.operations, "track", "subscribe"),
    setting=(*PLAIN.setting, Setting("push_token", "in the push URL", secret=True)),
)
STATUSES = {"GOT": TrackStatus.PICKED_UP, "DONE": TrackStatus.DELIVERED}
HOURS = {"GOT": 5, "DONE": 50}


class Row(msgspec.Struct):
    """An event of Acme."""

    code: str
    time: str


class Routes(msgspec.Struct):
    """Acme's answer about a number."""

    rows: list[Row]


class Follower(Acme):
    """Acme with tracking, and pushes that are proved by their URL alone."""

    def track(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[TrackOutcome]]:
        outcomes: list[TrackOutcome] = []
        for request in requests:
            response = yield _signed(ctx, "track", number=request.waybill_number)
            rows = read_json(response, Routes).rows
            outcomes.append(Tracked(request.waybill_number, tuple(self.event(request, row) for row in rows)))
        return outcomes

    def event(self, request: TrackRequest, row: Row) -> TrackEvent:
        """One event."""
        status = STATUSES.get(row.code)
        try:
            time = datetime.fromisoformat(row.time)
        except ValueError as error:
            raise CarrierError(ErrorClass.TEMPORARY, message="an event without a time") from error
        code = f"acme:{row.code}"
        known = status is not None
        return TrackEvent(request.waybill_number, time, code, "", status, raw=to_json(row), known=known)

    def subscribe(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[SubscribeOutcome]]:
        for request in requests:
            read_json((yield _signed(ctx, "subscribe", number=request.waybill_number)), Routes)
        return [Subscribed(request.waybill_number) for request in requests]

    def parse_push(self, account: Account, now: datetime, request: PushRequest) -> PushReceipt:
        if not same(request.path, account.secret("push_token")):
            raise PushRefused("wrong token")
        return PushReceipt(HttpResponse(200, {}, b"ok" if request.body.startswith(b"{") else b"what?"))


class Traveller(AcmeSimulator):
    """Parcels are got after five hours and done after fifty; a push comes with the first tick after that."""

    rows = tuple(HOURS)

    @classmethod
    def account(cls, base_url: str) -> Account:
        secrets = {"key": Secret(KEY), "push_token": Secret(TOKEN)}
        return msgspec.structs.replace(super().account(base_url), secrets=secrets)

    def tick(self) -> None:
        self.outbox.append(HttpRequest("POST", f"{self.push_url}/{TOKEN}", {}, b'{"news":1}'))

    def _push(self, reference: str, number: str) -> None:
        return

    def _track(self, call: dict[str, Any]) -> HttpResponse:
        entry = self.ledger.by_waybill.get(call["number"])
        rows = []
        for code in self.rows if entry else ():
            time = (entry.time if entry else self.clock()) + timedelta(hours=HOURS.get(code, 1))
            if self.shows(time):
                rows.append(Row(code, self.written(time)))
        return HttpResponse(200, {}, to_json(Routes(rows)))

    def shows(self, time: datetime) -> bool:
        """Whether an event of this time is shown."""
        return time <= self.clock()

    def written(self, time: datetime) -> str:
        """The time on the wire."""
        return time.isoformat()

    def _subscribe(self, call: dict[str, Any]) -> HttpResponse:
        return HttpResponse(200, {}, to_json(Routes([])))


def _signed(ctx: CallContext, path: str, **fields: str) -> HttpRequest:
    body = to_json(fields)
    return HttpRequest(
        "POST", f"{ctx.account.base_url}/{path}", {"X-Sign": sign(body, ctx.account.secret("key"))}, body
    )


def rules(carrier: type[Acme] = Follower, simulator: type[CarrierSimulator] = Traveller) -> set[str]:
    """The broken rules of a variant."""
    return {finding.rule for finding in check_carrier(carrier(MANIFEST), simulator)}


def test_carrier_that_follows_parcels_has_no_findings() -> None:
    """Tracking, a secret that only pushes need, and pushes proved by their URL are all fine."""
    findings = check_carrier(Follower(MANIFEST), Traveller, package=Path(__file__).parent / "acme")

    assert [str(finding) for finding in findings] == []


class Nameless(Follower):
    """Gives codes without a name space."""

    def event(self, request: TrackRequest, row: Row) -> TrackEvent:
        return msgspec.structs.replace(super().event(request, row), code=row.code)


class Rawless(Follower):
    """Throws the raw event away."""

    def event(self, request: TrackRequest, row: Row) -> TrackEvent:
        return msgspec.structs.replace(super().event(request, row), raw=b"")


class Mixing(Follower):
    """Answers about another number."""

    def event(self, request: TrackRequest, row: Row) -> TrackEvent:
        return msgspec.structs.replace(super().event(request, row), waybill_number="AC99999999")


class Fussy(Follower):
    """Takes the second subscription for a mistake."""

    def subscribe(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[SubscribeOutcome]]:
        yield from super().subscribe(ctx, requests)
        return [CarrierError(ErrorClass.DUPLICATE) for _ in requests]


class Impatient(Follower):
    """Refuses numbers without news."""

    def track(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[TrackOutcome]]:
        found = yield from super().track(ctx, requests)
        return [CarrierError(ErrorClass.NOT_FOUND) if isinstance(o, Tracked) and not o.events else o for o in found]


class Trustful(Follower):
    """Takes any URL."""

    def parse_push(self, account: Account, now: datetime, request: PushRequest) -> PushReceipt:
        return PushReceipt(HttpResponse(200, {}, request.body[:3]))


@pytest.mark.parametrize(
    ("carrier", "rule"),
    [
        (Nameless, "an event's code has a name space, and none that is unknown a status"),
        (Rawless, "the raw event is kept"),
        (Mixing, "events are of the parcel asked for and have happened"),
        (Fussy, "subscribe gives Subscribed, also when it is repeated"),
        (Impatient, "track gives Tracked"),
        (Trustful, "a forged push is refused"),
        (Trustful, "a push signed for another account is refused"),
    ],
)
def test_planted_fault_of_a_follower_is_found(carrier: type[Acme], rule: str) -> None:
    """A carrier with one fault breaks the rule that names it."""
    assert rule in rules(carrier)


class Standing(Traveller):
    """Its parcels never move."""

    rows = ()


class Prophetic(Traveller):
    """Shows what has not happened yet."""

    def shows(self, time: datetime) -> bool:
        return True


class Vanishing(Traveller):
    """Shows an event for a day only."""

    def shows(self, time: datetime) -> bool:
        return time <= self.clock() <= time + timedelta(days=1)


class Inventive(Traveller):
    """Uses a code that is in no table."""

    rows = (*HOURS, "ODD")


class Zoneless(Traveller):
    """Writes times that nobody can place."""

    def written(self, time: datetime) -> str:
        return time.replace(tzinfo=None).isoformat()


class Silent(Traveller):
    """Never pushes, however long one waits."""

    def tick(self) -> None:
        return


@pytest.mark.parametrize(
    ("simulator", "rule"),
    [
        (Standing, "a parcel of the simulator travels"),
        (Prophetic, "events are of the parcel asked for and have happened"),
        (Vanishing, "events that were shown are shown again"),
        (Inventive, "the table knows the simulator's codes"),
        (Zoneless, "events have aware times"),
        (Silent, "the simulator pushes news of its bookings"),
    ],
)
def test_planted_fault_of_a_travelling_simulator_is_found(simulator: type[CarrierSimulator], rule: str) -> None:
    """A simulator whose parcels do not behave is found out."""
    assert rule in rules(simulator=simulator)
