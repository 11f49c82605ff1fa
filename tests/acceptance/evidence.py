"""What is known after a run: what callers were told, what the engine says, what the carriers hold.

Plain values, so that the rules over them (`checker`) are plain functions and can be tested without
a process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from crossdock_sdk.simulator import Entry
from engine.core.policy.references import order_id_of


class Call(msgspec.Struct, frozen=True):
    """One call of a client and its answer. Times are monotonic seconds of the client.

    `code` is the gRPC status name; `order_id` and what follows stand only in an OK answer.
    """

    rpc: str
    request_id: str
    reference: str
    code: str
    started_s: float
    ended_s: float
    order_id: str = ""
    state: str = ""
    waybill_number: str = ""
    replayed: bool = False

    @property
    def acknowledged(self) -> bool:
        """Whether the caller may rely on it."""
        return self.code == "OK"


class OrderFact(msgspec.Struct, frozen=True):
    """An order as the engine shows it. `attempts` holds state names in order of number."""

    order_id: str
    reference: str
    state: str
    carrier: str = ""
    waybill_number: str = ""
    voided_locally: bool = False
    attempts: tuple[str, ...] = ()


class SeenEvent(msgspec.Struct, frozen=True):
    """One event of a watch. `kind` and `state` are names without their enum's prefix."""

    cursor: int
    kind: str
    order_id: str
    state: str
    waybill_number: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """Everything at one time. `ledgers`: carrier code -> its entries, oldest first.

    confirmed_count: attempts the engine counted as confirmed; None when it has not counted from the beginning.
    """

    calls: Sequence[Call] = ()
    orders: Sequence[OrderFact] = ()
    events: Sequence[SeenEvent] = ()
    ledgers: Mapping[str, Sequence[Entry]] = {}
    confirmed_count: int | None = None

    @property
    def live(self) -> dict[str, list[tuple[str, str]]]:
        """Order id -> (carrier, waybill number) of every live waybill."""
        return live_waybills(self.ledgers)


def live_waybills(ledgers: Mapping[str, Sequence[Entry]]) -> dict[str, list[tuple[str, str]]]:
    """Order id -> (carrier, waybill number) of every booking not cancelled."""
    live: dict[str, list[tuple[str, str]]] = {}
    for carrier, entries in ledgers.items():
        cancelled = {e.waybill_number for e in entries if e.kind == "CANCELLED"}
        for entry in entries:
            if entry.kind == "BOOKED" and entry.waybill_number not in cancelled:
                owner = order_id_of(entry.reference)
                live.setdefault(owner, []).append((carrier, entry.waybill_number))
    return live
