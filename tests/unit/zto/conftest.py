"""What the tests of the ZTO carrier share: a parcel, its account, a driver without sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from crossdock_sdk import (
    Account,
    Address,
    Booked,
    Booking,
    CallContext,
    Cancellation,
    Contact,
    Flow,
    HttpRequest,
    HttpResponse,
    Item,
    Manifest,
    Parcel,
    Party,
    PushRequest,
    Secret,
    TrackEvent,
    TrackRequest,
)
from crossdock_sdk.simulator import Entry, Ledger
from crossdock_zto.carrier import Zto
from crossdock_zto.simulator import ZtoSimulator
from crossdock_zto.simulator_route import Trip, plot_of

T = TypeVar("T")

FIXTURES = Path(__file__).parent / "fixtures"
PUSH_URL = "http://127.0.0.1:8080/push/zto/main"
NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Kit:
    """Short ways to say what every test says."""

    now = NOW

    def text(self, name: str) -> bytes:
        """A recorded message."""
        return (FIXTURES / name).read_bytes()

    def answer(self, body: bytes | str, status: int = 200) -> HttpResponse:
        """A carrier's answer with this body."""
        raw = body.encode() if isinstance(body, str) else body
        return HttpResponse(status, {"content-type": "application/json"}, raw)

    def recorded(self, name: str) -> HttpResponse:
        """A recorded answer."""
        return self.answer(self.text(name))

    def refused(self, code: str, message: str = "失败") -> HttpResponse:
        """ZTO's refusal with this code."""
        envelope = {"result": None, "message": message, "status": False, "statusCode": code}
        return self.answer(msgspec.json.encode(envelope))

    def play(
        self, flow: Flow[T], *answers: HttpResponse | Callable[[HttpRequest], HttpResponse]
    ) -> tuple[T, list[HttpRequest]]:
        """Drive a flow with canned answers; the last one answers the rest and may be a function."""
        sent: list[HttpRequest] = []
        try:
            request = next(flow)
            while True:
                reply = answers[min(len(sent), len(answers) - 1)]
                sent.append(request)
                request = flow.send(reply(request) if callable(reply) else reply)
        except StopIteration as done:
            return done.value, sent

    def with_settings(self, account: Account, **settings: str) -> Account:
        """The account with some settings changed."""
        return msgspec.structs.replace(account, settings={**account.settings, **settings})

    def parcel(self, number: int, remark: str = "") -> Entry:
        """A booking in a simulator's ledger."""
        return Entry(
            number,
            NOW,
            "BOOKED",
            f"R{number}",
            f"7540000{number:07d}",
            {"trip": msgspec.to_builtins(Trip(plot=plot_of(remark)))},
        )

    def story(self, events: Iterable[TrackEvent]) -> list[str]:
        """Statuses in order, repeats in a row once; every code is known."""
        found: list[str] = []
        for event in events:
            assert event.known, event.code
            if not found or found[-1] != event.status:
                found.append(str(event.status))
        return found

    def context(self, account: Account) -> CallContext:
        """A call at the fixed time."""
        return CallContext(account=account, now=NOW, nonce="0" * 32)


class World:
    """One simulator, its account, its clock, and the carrier's calls against it."""

    def __init__(self, zto: Zto, kit: Kit, clock: Clock, **options: Any) -> None:
        self.zto, self.kit, self.clock = zto, kit, clock
        options.setdefault("push_url", PUSH_URL)
        self.simulator = ZtoSimulator(options.pop("ledger", None) or Ledger(), clock=clock, **options)
        self.account: Account = ZtoSimulator.account("http://127.0.0.1:9000")

    def book(self, booking: Booking, *, order_type: str = "1", **changes: Any) -> str:
        """Book and return the waybill number."""
        account = self.kit.with_settings(self.account, order_type=order_type)
        wanted = msgspec.structs.replace(booking, **changes)
        [outcome], _ = self.kit.play(self.zto.book(self.kit.context(account), [wanted]), self.simulator.handle)
        self.simulator.outbox.clear()  # the order's own push is another story
        assert isinstance(outcome, Booked)
        return outcome.waybill_number

    def track(self, number: str, tail: str = "") -> Any:
        """The outcome of a track query."""
        flow = self.zto.track(self.kit.context(self.account), [TrackRequest(number, tail)])
        return self.kit.play(flow, self.simulator.handle)[0][0]

    def subscribe(self, number: str, tail: str = "") -> Any:
        """The outcome of a subscription."""
        flow = self.zto.subscribe(self.kit.context(self.account), [TrackRequest(number, tail)])
        return self.kit.play(flow, self.simulator.handle)[0][0]

    def cancel(self, number: str, reference: str = "SO20260301001") -> None:
        """Cancel a pick-up order."""
        account = self.kit.with_settings(self.account, order_type="2")
        flow = self.zto.cancel(self.kit.context(account), [Cancellation(reference, number)])
        self.kit.play(flow, self.simulator.handle)
        self.simulator.outbox.clear()

    def pushed(self) -> list[TrackEvent]:
        """What has been pushed since the last look, as the carrier reads it."""
        self.simulator.tick()
        sent, self.simulator.outbox = self.simulator.outbox, []
        receipts = [self.zto.parse_push(self.account, self.clock(), PushRequest(p.headers, p.body)) for p in sent]
        assert all(p.url == PUSH_URL for p in sent)
        return [event for receipt in receipts for event in receipt.tracks]

    def pass_time(self, seconds: float, step_s: float = 900.0) -> list[TrackEvent]:
        """Let time go on and collect what is pushed meanwhile."""
        events: list[TrackEvent] = []
        for _ in range(int(seconds // step_s)):
            self.clock.advance(step_s)
            events += self.pushed()
        return events


@pytest.fixture
def kit() -> Kit:
    """Helpers."""
    return Kit()


@pytest.fixture
def clock() -> Clock:
    """A clock at NOW."""
    return Clock()


@pytest.fixture
def zto() -> Zto:
    """The carrier with its own manifest."""
    return Zto(Manifest.load("crossdock_zto"))


@pytest.fixture
def account() -> Account:
    """The account of the sheet's samples: full-network numbers, shared sandbox waybill account."""
    return Account(
        account_id="main",
        carrier="zto",
        base_url="https://japi.zto.com/",
        settings={"app_key": "zto-demo-app", "account_id": "test"},
        secrets={
            "app_secret": Secret("zto-demo-secret-01"),
            "account_password": Secret("ZTO123"),
        },
    )


@pytest.fixture
def pick_up(account: Account, kit: Kit) -> Account:
    """The same account booking pick-up orders."""
    return kit.with_settings(account, order_type="2")


@pytest.fixture
def booking() -> Booking:
    """The booking of the sheet's createOrder sample."""
    return Booking(
        reference="SO20260301001",
        shipper=Party(
            Contact("林小舟", "13900001111"),
            Address("CN", "浙江省", "杭州市", "西湖区", "", "文三路100号"),
        ),
        recipient=Party(
            Contact("陈小帆", "13900002222"),
            Address("CN", "四川省", "成都市", "武侯区", "", "天府大道200号"),
        ),
        parcels=(Parcel(weight_g=400, items=(Item("T恤", 1, weight_g=400),)),),
        service="1",
        remark="轻放",
    )


@pytest.fixture
def simulator(clock: Clock) -> ZtoSimulator:
    """A simulator with its ledger in memory, pushing to a fixed URL."""
    return ZtoSimulator(Ledger(), clock=clock, push_url=PUSH_URL)


@pytest.fixture
def new_world(zto: Zto, kit: Kit, clock: Clock) -> Callable[..., World]:
    """Makes worlds on the same clock; options are the simulator's."""
    return lambda **options: World(zto, kit, clock, **options)


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """A simulator with pushes at real speed, on an account that is bound."""
    return new_world()
