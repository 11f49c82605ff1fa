"""The bench of the conformance check: one carrier, one fresh simulator, calls that cannot escape.

`Bench.call` runs an operation and gives back its outcomes or the CarrierError it raised; whatever
else a plug-in does (other exceptions, wrong counts, things that are no requests) is a finding.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from crossdock_sdk.carrier import Account, CallContext, Carrier, Secret, Session
from crossdock_sdk.errors import CarrierError
from crossdock_sdk.flow import HttpRequest, HttpResponse
from crossdock_sdk.models import Booking, Money, Option, Options, Parcel, Temperature
from crossdock_sdk.simulator.base import CarrierSimulator
from crossdock_sdk.simulator.ledger import Ledger
from crossdock_sdk.testing.builders import FakeClock, booking, context
from crossdock_sdk.testing.finding import Finding
from crossdock_sdk.testing.flows import drive, exchange

BASE_URL = "http://127.0.0.1:18080"
PUSH_URL = "http://127.0.0.1:18081/push"
ESCAPED = "only CarrierError leaves a flow"

Answer = Callable[[HttpRequest], HttpResponse]


class Bench:
    """A carrier with a simulator of its own; `findings` collects what went wrong."""

    def __init__(self, carrier: Carrier, simulator_cls: type[CarrierSimulator]) -> None:
        self.carrier = carrier
        self.manifest = carrier.manifest
        self.clock = FakeClock()
        self.simulator = simulator_cls(Ledger(), clock=self.clock, push_url=PUSH_URL)
        self.simulator.base_url = BASE_URL
        self.account: Account = simulator_cls.account(BASE_URL)
        self.findings: list[Finding] = []
        self._session: Session | None = None
        self._serial = 0

    def has(self, operation: str) -> bool:
        """Whether the manifest lists the operation."""
        return operation in self.manifest.operations

    def expect(self, holds: bool, rule: str, where: str, remedy: str) -> bool:
        """Note a finding unless the rule holds; returns whether it does."""
        if not holds:
            self.findings.append(Finding(rule, where, remedy))
        return holds

    def context(self, account: Account | None = None) -> CallContext:
        """A call's context on this or another account, signed in if the carrier needs it."""
        return context(account or self.account, self.clock(), session=self._session)

    def sign_in(self) -> None:
        """Get the session the other operations need; nothing for carriers without sign-in."""
        if not self.has("sign_in"):
            return
        session = self.call("sign_in", None)
        if isinstance(session, Session):
            self._session = session
        else:
            self.expect(
                False,
                "sign_in returns a Session",
                f"sign_in gave {describe(session)}",
                "return Session(token, lifetime_s) and let the simulator accept its own account",
            )

    def answer(self, request: HttpRequest) -> HttpResponse:
        """The simulator's answer."""
        return exchange(self.simulator, request)

    def call(
        self,
        operation: str,
        items: Sequence[Any] | None,
        *,
        answer: Answer | None = None,
        account: Account | None = None,
        where: str = "",
    ) -> Any:
        """Run one operation.

        Returns its outcomes, the CarrierError it raised, or None after a finding.
        """
        where = where or operation
        method = getattr(self.carrier, operation)
        ctx = self.context(account)
        try:
            flow = method(ctx) if items is None else method(ctx, list(items))
            outcomes = drive(flow, answer or self.answer)
        except CarrierError as error:
            return error
        except Exception as error:
            self.escaped(where, error)
            return None
        if items is not None and not self._is_complete(where, items, outcomes):
            return None
        return outcomes

    def call_one(self, operation: str, item: Any, **more: Any) -> Any:
        """Run an operation on one item; returns its outcome or the error of the whole call."""
        outcomes = self.call(operation, [item], **more)
        return outcomes[0] if isinstance(outcomes, Sequence) else outcomes

    def escaped(self, where: str, error: Exception) -> None:
        """Note that something other than CarrierError came out."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "?"
        self.expect(
            False,
            ESCAPED,
            f"{where}: {type(error).__name__} at {place}",
            "turn it into CarrierError(ErrorClass.TEMPORARY); codec.read_json does so for JSON",
        )

    def next_booking(self, **changes: Any) -> Booking:
        """A booking under a new reference, of the carrier's first service unless told otherwise."""
        self._serial += 1
        services = self.manifest.service
        changes.setdefault("service", services[0].code if services else "")
        return booking(f"CHECK-{self._serial:06d}-1", **changes)

    def _is_complete(self, where: str, items: Sequence[Any], outcomes: Any) -> bool:
        count = len(outcomes) if isinstance(outcomes, Sequence) else None
        return self.expect(
            count == len(items),
            "one outcome per item, in order",
            f"{where}: {len(items)} items, {'no sequence' if count is None else count} back",
            "return a list with as many outcomes as there were items",
        )


def with_secret(account: Account, key: str, text: str) -> Account:
    """The account with one secret replaced."""
    secrets: Mapping[str, Secret] = {**account.secrets, key: Secret(text)}
    return msgspec.structs.replace(account, secrets=secrets)


def describe(outcome: object) -> str:
    """An outcome as a finding shows it: its kind and class, never its data."""
    if isinstance(outcome, CarrierError):
        return f"CarrierError {outcome.error_class}/{outcome.side_effect} code {outcome.code!r}"
    return type(outcome).__name__


def options_for(option: Option, clock: FakeClock) -> dict[str, Any]:
    """The fields of a booking that asks for one option."""
    amount = Money("CNY", 19_900)
    start = clock() + timedelta(hours=2)
    table: dict[Option, Options] = {
        Option.INSURED_VALUE: Options(insured_value=amount),
        Option.CASH_ON_DELIVERY: Options(cash_on_delivery=amount),
        Option.CHILLED: Options(temperature=Temperature.CHILLED),
        Option.FROZEN: Options(temperature=Temperature.FROZEN),
        Option.SIGNED_RECEIPT: Options(signed_receipt=True),
        Option.PICKUP: Options(pickup=True, pickup_start_time=start, pickup_end_time=start + timedelta(hours=2)),
    }
    if option is Option.MULTI_PARCEL:
        return {"parcels": tuple(Parcel(1_000, items=p.items) for p in booking().parcels * 3)}
    return {"options": table[option]}
