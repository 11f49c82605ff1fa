"""Which kills the crash matrix plays: every point of `engine.crash`, under everything a carrier can do there.

A case is a sentence: "the engine dies at `point` while `drive` goes on and the carrier `outcome`".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

Faults = Mapping[str, Mapping[str, Any]]

OUTCOMES: Mapping[str, Mapping[str, Any]] = {
    "books": {},
    "refuses": {"refuse_bookings": True},
    "books, the answer is lost": {"operations": ["book"], "accept_then_cut_share": 1.0},
    "books, half the answer comes": {"operations": ["book"], "half_answer_share": 1.0},
    "books and is silent": {"operations": ["book"], "silence_share": 1.0},
    "is gone": {"down": True},
}
"""What SF does with a booking."""

IN_DOUBT = ("books, the answer is lost", "books, half the answer comes")
ANSWERED = ("books", "refuses", *IN_DOUBT, "is gone")
ALL = tuple(OUTCOMES)

CANCELS: Mapping[str, Mapping[str, Any]] = {
    "cancels": {},
    "cancels, the answer is lost": {"operations": ["cancel"], "accept_then_cut_share": 1.0},
    "cancels, half the answer comes": {"operations": ["cancel"], "half_answer_share": 1.0},
    "is gone": {"down": True},
}
UNSEEN: Mapping[str, Any] = {"accept_then_cut_share": 1.0, "operations": ["book"], "lookup_blind_s": 5.0}
SILENT_CANCEL: Mapping[str, Any] = {"operations": ["cancel"], "silence_share": 1.0}


class Case(msgspec.Struct, frozen=True):
    """One kill.

    point: where, as CROSSDOCK_CRASH_AT says it. drive: what a client does, a key of `crash_player.DRIVES`. faults: of
    each carrier, until the kill. ends: states the order may end in. live: waybills it has then.
    """

    point: str
    drive: str
    outcome: str
    faults: Faults = {}
    ends: tuple[str, ...] = ("BOOKED",)
    live: int = 1

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.point}, {self.drive}, the carrier {self.outcome}"


def _of(point: str, outcomes: Sequence[str], drive: str = "create") -> list[Case]:
    return [Case(point, drive, outcome, {"sf": OUTCOMES[outcome]}) for outcome in outcomes]


def _second_attempt(outcome: str) -> Case:
    """ZTO is asked first and refuses; SF's answer is the one in question."""
    faults = {"zto": {"refuse_bookings": True}, "sf": OUTCOMES[outcome]}
    return Case("attempt_committed", "create, zto first", outcome, faults)


def _cancelling(point: str, outcome: str, faults: Mapping[str, Any]) -> Case:
    return Case(point, "cancel", outcome, {"sf": faults}, ends=("CANCELLED",), live=0)


def _by_zto(point: str, outcome: str, faults: Mapping[str, Any]) -> Case:
    """ZTO has no look-up by our reference: its push tells, or a person has to."""
    return Case(point, "create, only zto", outcome, {"zto": faults}, ends=("BOOKED", "NEEDS_REVIEW"))


CHAINS: Mapping[str, Sequence[Case]] = {
    # The engine of one case is the restart of the case before; a chain is one world.
    "accepting": [
        *_of("order_validated", ALL),
        *_of("batch_written", ALL),
        *_of("batch_written:2", ("books", "refuses", "is gone")),
        *_of("order_committed", ALL),
    ],
    "outcomes": [
        *_of("answer_received", ANSWERED),
        *_of("outcome_committed", ("books", "refuses", "is gone")),
        *_of("outcome_unknown_committed", IN_DOUBT),
        *_of("lookup_answered", IN_DOUBT),
        *_of("fallback_decided", ("refuses", "is gone")),
        *[_second_attempt(outcome) for outcome in ALL],
    ],
    "afterwards": [
        *[_cancelling("cancel_committed", outcome, faults) for outcome, faults in CANCELS.items()],
        _cancelling("cancel_committed", "cancels and is silent", SILENT_CANCEL),
        *[_cancelling("cancel_answered", outcome, faults) for outcome, faults in CANCELS.items()],
        *_of("label_fetched", ("books",), "label"),
        *_of("lease_taken", ("books and is silent", "is gone"), "restart"),
        Case("lease_taken", "restart", "books, nobody sees it", {"sf": UNSEEN}),
        *_of("checkpoint_begun", ("books", "refuses", *IN_DOUBT, "books and is silent", "is gone"), "stop"),
    ],
    "without look-up": [
        _by_zto("answer_received", "books", {}),
        _by_zto("answer_received", "books, the answer is lost", OUTCOMES["books, the answer is lost"]),
        _by_zto("outcome_unknown_committed", "books, the answer is lost", OUTCOMES["books, the answer is lost"]),
        _by_zto("push_in_hand", "books, the answer is lost", OUTCOMES["books, the answer is lost"]),
        _by_zto("push_committed", "books", {}),
        _by_zto("push_committed", "books, the answer is lost", OUTCOMES["books, the answer is lost"]),
        _by_zto("push_committed", "books, half the answer comes", OUTCOMES["books, half the answer comes"]),
    ],
}

ELSEWHERE = {"migration_written"}
"""Points that no order passes: `test_store_upgrade_kills` plays them."""
