"""What the tests of the ZTO carrier share: a parcel, its account, a driver without sockets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from crossdock_sdk import (
    Account,
    Address,
    Booking,
    CallContext,
    Contact,
    Flow,
    HttpRequest,
    HttpResponse,
    Item,
    Manifest,
    Parcel,
    Party,
    Secret,
)
from crossdock_sdk.simulator import Ledger
from crossdock_zto.carrier import Zto
from crossdock_zto.simulator import ZtoSimulator

T = TypeVar("T")

FIXTURES = Path(__file__).parent / "fixtures"
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

    def context(self, account: Account) -> CallContext:
        """A call at the fixed time."""
        return CallContext(account=account, now=NOW, nonce="0" * 32)


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
    return ZtoSimulator(Ledger(), clock=clock, push_url="http://127.0.0.1:8080/push/zto/main")
