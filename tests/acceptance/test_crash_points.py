"""The engine is killed at every named point, whatever the carrier does there, started again, and must finish the job.

The cases stand in `crash_cases`, the way they are played in `crash_player`. Chains run side by side, since most of
their time is waiting.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from engine.crash import POINTS
from tests.acceptance.checker import violations
from tests.acceptance.crash_cases import CHAINS, ELSEWHERE, Case
from tests.acceptance.crash_player import SETTINGS, WIRES, Chain, play_chain, play_wires
from tests.acceptance.harness import state_of

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

CASES: dict[str, tuple[str, int, Case]] = {
    case.name: (chain, number, case) for chain, cases in CHAINS.items() for number, case in enumerate(cases)
}
Chains = dict[str, Chain | BaseException]


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Chains:
    """Every chain played, all at once."""
    folder = tmp_path_factory.mktemp("crashes")

    async def play_all() -> Chains:
        # A carrier without look-up: a person is asked soon.
        settings = {name: {} if name == "without look-up" else SETTINGS for name in CHAINS}
        plays = [play_chain(folder / str(n), CHAINS[name], settings=settings[name]) for n, name in enumerate(CHAINS)]
        return dict(zip(CHAINS, await asyncio.gather(*plays, return_exceptions=True), strict=True))

    return asyncio.run(play_all())


def played(chains: Chains, name: str) -> Chain:
    """A chain, or what stopped it."""
    chain = chains[name]
    if isinstance(chain, BaseException):
        raise chain
    return chain


def test_every_crash_point_is_played() -> None:
    """A crash point added to the engine needs a case, and there are at least sixty kills in all."""
    points = {case.point.partition(":")[0] for _, _, case in CASES.values()}

    assert points | ELSEWHERE == set(POINTS)
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_a_kill_loses_and_doubles_nothing(name: str, chains: Chains) -> None:
    """Killed there and started again, the engine ends the order once."""
    chain_name, number, case = CASES[name]
    chain = played(chains, chain_name)
    outcome = chain.outcomes[number]

    live = chain.evidence.live.get(outcome.order.order_id, [])

    assert outcome.exit_code == -signal.SIGKILL
    assert state_of(outcome.order) in case.ends
    assert len(live) == case.live


@pytest.mark.parametrize("name", CHAINS)
def test_the_books_agree_after_all_kills(name: str, chains: Chains) -> None:
    """Client, engine and carriers tell the same story after the whole chain."""
    assert violations(played(chains, name).evidence) == []


def test_a_kill_at_any_byte_of_the_call_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Whether the carrier has read the whole request or not, the engine finds out, and the order is booked once."""
    orders, evidence = asyncio.run(play_wires(tmp_path))

    assert orders.keys() == WIRES.keys()
    assert {name: state_of(order) for name, order in orders.items()} == dict.fromkeys(WIRES, "BOOKED")
    assert violations(evidence) == []
