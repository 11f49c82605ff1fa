"""SF books and its answer gets lost, in every way an answer can: found again, never booked twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crossdock.v1 import core_pb2
from tests.acceptance.checker import violations
from tests.acceptance.evidence import Evidence
from tests.acceptance.harness import World, parcel_order, state_of, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

SILENT_DEADLINE_S = 2.0
BLIND_S = 5.0
SETTLES_S = 10.0
"""After this long SF's "not found" is believed: `lookup_settles_s` of its manifest."""

LOST: Mapping[str, str] = {
    "the connection is cut": "accept_then_cut_share",
    "half an answer comes": "half_answer_share",
    "a web page comes": "odd_body_share",
}


class Outcome(msgspec.Struct, frozen=True):
    """What the run showed. `answered`: case -> the order as CreateOrder answered it."""

    answered: dict[str, core_pb2.Order]
    at_end: dict[str, core_pb2.Order]
    silent_took_s: float
    evidence: Evidence


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Outcome]:
    """Two worlds side by side: quick losses, and a look-up that is blind and slow."""
    folder = tmp_path_factory.mktemp("lost")

    async def both() -> tuple[Outcome, Outcome]:
        return await asyncio.gather(_lose_answers(folder / "a"), _lose_sight(folder / "b"))

    return asyncio.run(both())


@pytest.mark.parametrize("case", LOST)
def test_a_lost_answer_is_looked_up(case: str, outcomes: tuple[Outcome, Outcome]) -> None:
    """CreateOrder itself answers BOOKED at sf although the carrier's answer never came whole."""
    order = outcomes[0].answered[case]

    states = [core_pb2.Attempt.State.Name(a.state) for a in order.attempts]
    assert (state_of(order), order.booking.carrier) == ("BOOKED", "sf")
    assert states == ["STATE_CONFIRMED"]


def test_a_silent_carrier_does_not_hold_the_caller(outcomes: tuple[Outcome, Outcome]) -> None:
    """At the caller's deadline the order is answered BOOKING; it ends BOOKED by itself."""
    outcome = outcomes[0]

    assert state_of(outcome.answered["silence"]) == "BOOKING"
    assert outcome.silent_took_s < SILENT_DEADLINE_S + 0.5
    assert state_of(outcome.at_end["silence"]) == "BOOKED"
    assert outcome.at_end["silence"].booking.carrier == "sf"


@pytest.mark.parametrize("index", [0, 1], ids=["blind for some seconds", "blind and slow"])
def test_a_blind_look_up_is_not_believed(index: int, outcomes: tuple[Outcome, Outcome]) -> None:
    """A look-up that does not see the booking yet never sends the order elsewhere."""
    order = outcomes[index].at_end["blind"]

    assert (state_of(order), order.booking.carrier) == ("BOOKED", "sf")
    assert len(order.attempts) == 1


@pytest.mark.parametrize("index", [0, 1])
def test_the_books_agree(index: int, outcomes: tuple[Outcome, Outcome]) -> None:
    """One ledger entry an order, none at zto, every promise kept."""
    evidence = outcomes[index].evidence

    booked = [entry.reference for entry in evidence.ledgers["sf"]]
    assert violations(evidence) == []
    assert len(booked) == len(evidence.orders)
    assert evidence.ledgers["zto"] == []


async def _lose_answers(folder: Path) -> Outcome:
    answered: dict[str, core_pb2.Order] = {}
    async with world(folder) as w:
        started_s = time.monotonic()
        answered["silence"] = await _lose(w, "silence", SILENT_DEADLINE_S, silence_share=1.0)
        silent_took_s = time.monotonic() - started_s
        for number, (case, fault) in enumerate(LOST.items()):
            answered[case] = await _lose(w, f"lost-{number}", 8.0, **{fault: 1.0})
            # An ordinary order in between: the breaker is another test's subject.
            await w.create(parcel_order(f"plain-{number}"))
        answered["blind"] = await _lose(w, "blind", 1.0, accept_then_cut_share=1.0, lookup_blind_s=BLIND_S)
        await w.faults("sf", lookup_blind_s=BLIND_S)
        return await _outcome(w, answered, silent_took_s)


async def _lose_sight(folder: Path) -> Outcome:
    """Each look-up takes so long that one asked before the time of proof is answered after it."""
    # A person is asked late: slow look-ups settle a doubt only in their fourth round.
    async with world(folder, settings={"booking": {"review_after_s": 60.0}}) as w:
        answered = {"blind": await _lose(w, "blind", 1.0, accept_then_cut_share=1.0, lookup_blind_s=SETTLES_S)}
        await w.faults("sf", operations=["find"], latency_s=4.5, lookup_blind_s=SETTLES_S)
        return await _outcome(w, answered, 0.0)


async def _lose(w: World, reference: str, deadline_s: float, **faults: Any) -> core_pb2.Order:
    await w.faults("sf", operations=["book"], **faults)
    try:
        return await w.create(parcel_order(reference), deadline_s=deadline_s)
    finally:
        await w.heal()


async def _outcome(w: World, answered: dict[str, core_pb2.Order], silent_took_s: float) -> Outcome:
    await w.at_rest()
    at_end = {case: await w.get(order) for case, order in answered.items()}
    return Outcome(answered, at_end, silent_took_s, await w.evidence())
