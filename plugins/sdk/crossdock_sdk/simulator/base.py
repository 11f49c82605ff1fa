"""The base of every carrier simulator: the carrier's server side of the wire as one plain function.

A subclass verifies signatures, answers as the carrier's document says and writes what it did into
the ledger. It owns no socket: `SimulatorServer` serves it over HTTP with faults, tests may call
`handle` directly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from crossdock_sdk.carrier import Account
from crossdock_sdk.flow import HttpRequest, HttpResponse
from crossdock_sdk.simulator.faults import Faults
from crossdock_sdk.simulator.ledger import Ledger


class CarrierSimulator(ABC):
    """What a carrier believes and says.

    ledger: its own memory, append-only, survives restarts. clock: aware UTC now. faults: the
    subclass honours `refuse_bookings` and `lookup_blind_s`, the server all others. outbox: pushes
    (absolute URL in the request); the server sends them after the answer, starting in this order,
    and repeats what is not accepted. speed: how many times faster than the clock parcels live:
    1.0 is real time, 86400.0 makes a day a second. first_serial: waybill numbers begin after it, so that
    several simulators of one carrier issue different ones. Set both before serving.
    """

    code: ClassVar[str]
    speed: float = 1.0
    first_serial: int = 0

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        push_url: str = "",
    ) -> None:
        self.ledger = ledger
        self.clock = clock
        self.push_url = push_url
        # Set by the server once it listens; answers that name URLs of ours need it.
        self.base_url = ""
        self.faults = Faults()
        self.outbox: list[HttpRequest] = []

    @classmethod
    @abstractmethod
    def account(cls, base_url: str) -> Account:
        """The test account this simulator accepts, for demos and tests."""

    @abstractmethod
    def operation(self, request: HttpRequest) -> str:
        """The SDK operation of a request ("book", "find", …; "" for none): faults aim by it."""

    @abstractmethod
    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request as the carrier would."""

    @abstractmethod
    def failing(self) -> HttpResponse:
        """The carrier's own "system error" answer."""

    @abstractmethod
    def busy(self) -> HttpResponse:
        """The carrier's own "too many calls" answer."""

    def is_acknowledged(self, status: int, body: bytes) -> bool:
        """Whether the carrier takes an answer to its push for an acknowledgement; otherwise it repeats the push."""
        return 200 <= status < 300

    def push_lost(self, push: HttpRequest) -> None:  # noqa: B027 - most carriers give up
        """Called when the server gave a push up after its tries; queue it again where the carrier would."""

    def tick(self) -> None:  # noqa: B027 - most simulators have nothing to do between calls
        """Called by the server every 0.1 s: queue into `outbox` what time has brought. Must be quick."""
