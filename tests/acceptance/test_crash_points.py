"""The engine is killed at every named point of a booking, started again, and must finish the job.

Each case is a world of its own: the engine starts with a crash point, an order is driven through
it until SIGKILL, the engine starts again without it, the same client repeats its call. The cases
run side by side, since most of their time is waiting.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crossdock.v1 import core_pb2
from engine.crash import POINTS
from tests.acceptance.checker import violations
from tests.acceptance.evidence import Evidence
from tests.acceptance.harness import World, parcel_order, state_of, world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

AT_ONCE = 4
DEATH_S = 40.0

Drive = Callable[[World], Coroutine[Any, Any, core_pb2.Order]]


async def _create(w: World) -> core_pb2.Order:
    return await w.create(parcel_order("CRASH-1"))


async def _create_zto_first(w: World) -> core_pb2.Order:
    return await w.create(parcel_order("CRASH-1", prefer=["zto"]))


async def _create_zto_only(w: World) -> core_pb2.Order:
    return await w.create(parcel_order("CRASH-1", only=["zto"]))


async def _cancel(w: World) -> core_pb2.Order:
    return await w.cancel(await w.create(parcel_order("CRASH-1")))


async def _label(w: World) -> core_pb2.Order:
    order = await w.create(parcel_order("CRASH-1"))
    content = await w.label(order)
    assert content.startswith(b"%PDF-"), content[:20]
    return order


LOST: Mapping[str, Any] = {"operations": ["book"], "accept_then_cut_share": 1.0}
FULL: Mapping[str, Any] = {"refuse_bookings": True}


class Case(msgspec.Struct, frozen=True):
    """One kill. `ends`: states the order may end in; `carriers`: who may hold the waybill then."""

    point: str
    drive: Drive
    faults: Mapping[str, Mapping[str, Any]] = {}
    ends: tuple[str, ...] = ("BOOKED",)
    carriers: tuple[str, ...] = ("sf",)
    live: int = 1


CASES: Mapping[str, Case] = {
    "order_validated": Case("order_validated", _create),
    # Nothing was sent, which only the look-up can tell; then either carrier may have it.
    "order_committed": Case("order_committed", _create, carriers=("sf", "zto")),
    "attempt_committed": Case("attempt_committed", _create_zto_first, {"zto": FULL}, carriers=("sf", "zto")),
    "answer_received": Case("answer_received", _create),
    "answer_received of a refusal": Case("answer_received", _create, {"sf": FULL}, carriers=("sf", "zto")),
    # A carrier without look-up: its push may have come while nobody listened.
    "answer_received of zto": Case(
        "answer_received", _create_zto_only, ends=("BOOKED", "NEEDS_REVIEW"), carriers=("zto",)
    ),
    "outcome_committed": Case("outcome_committed", _create),
    "outcome_unknown_committed": Case("outcome_unknown_committed", _create, {"sf": LOST}),
    "lookup_answered": Case("lookup_answered", _create, {"sf": LOST}),
    "fallback_decided": Case("fallback_decided", _create, {"sf": FULL}, carriers=("zto",)),
    "cancel_committed": Case("cancel_committed", _cancel, ends=("CANCELLED",), live=0),
    "cancel_answered": Case("cancel_answered", _cancel, ends=("CANCELLED",), live=0),
    "label_fetched": Case("label_fetched", _label),
}


class Outcome(msgspec.Struct, frozen=True):
    """How a case ended."""

    exit_code: int
    order: core_pb2.Order
    evidence: Evidence


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome | Exception]:
    """Every case played, a few at a time."""
    folder = tmp_path_factory.mktemp("crashes")
    return asyncio.run(_play_all(folder))


def test_every_crash_point_is_played() -> None:
    """A crash point added to the engine needs a case here."""
    played = {case.point for case in CASES.values()}

    assert played == set(POINTS)


@pytest.mark.parametrize("name", CASES)
def test_a_kill_loses_and_doubles_nothing(name: str, outcomes: dict[str, Outcome | Exception]) -> None:
    """Killed there and started again, the engine ends the order once, and its books agree."""
    case, outcome = CASES[name], outcomes[name]
    if isinstance(outcome, Exception):
        raise outcome

    live = [w for waybills in outcome.evidence.live.values() for w in waybills]

    assert outcome.exit_code == -signal.SIGKILL
    assert violations(outcome.evidence) == []
    assert state_of(outcome.order) in case.ends
    assert len(live) == case.live
    assert {carrier for carrier, _ in live} <= set(case.carriers)


async def _play_all(folder: Path) -> dict[str, Outcome | Exception]:
    room = asyncio.Semaphore(AT_ONCE)

    async def play(index: int, case: Case) -> Outcome | Exception:
        async with room:
            try:
                return await _play(folder / str(index), case)
            except Exception as error:  # the case's own test raises it
                return error

    played = await asyncio.gather(*[play(i, case) for i, case in enumerate(CASES.values())])
    return dict(zip(CASES, played, strict=True))


async def _play(folder: Path, case: Case) -> Outcome:
    async with world(folder, with_engine=False) as w:
        await w.sandbox.start_engine({"CROSSDOCK_CRASH_AT": case.point})
        for carrier, faults in case.faults.items():
            await w.faults(carrier, **faults)
        driving = asyncio.create_task(case.drive(w))
        try:
            exit_code = await w.sandbox.wait_engine(DEATH_S)
            await w.sandbox.start_engine()
            order = await driving
        finally:
            driving.cancel()
        await w.at_rest()
        return Outcome(exit_code, await w.get(order), await w.evidence())
