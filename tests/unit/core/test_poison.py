"""Pushes that end the process in which they are handled: counted over restarts, then set aside unread."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossdock_sdk import PushRequest
from engine.core.poison import MOST_ENDS, MOST_SUSPECTS, Poison, mark_of
from engine.core.pushes import ENDED_PROCESSES, PushUndecided
from engine.store.in_hand import MARK_BYTES, InHand
from engine.store.memory import MemoryStore
from tests.fakes.carrier import ALL, manifest
from tests.fakes.house import House, house

pytestmark = pytest.mark.anyio

ALPHA = manifest("alpha", (*ALL, "track"))
PUSH = PushRequest({"signature": "good"}, json.dumps({"state": "OTHER"}).encode())
MARK = mark_of("alpha-1", PUSH)


async def end(store: MemoryStore, path: Path, *marks: bytes) -> None:
    """A process begins, takes these in hand and is killed."""
    hands = InHand(path)
    poison = Poison(store, hands)
    await poison.recall()
    for mark in marks:
        poison.take(mark)


async def next_process(store: MemoryStore, path: Path) -> Poison:
    """The one that starts afterwards."""
    poison = Poison(store, InHand(path))
    await poison.recall()
    return poison


async def suspected(scene: House, ends: int) -> None:
    """The push was in hand when so many processes ended."""
    for _ in range(ends):
        scene.hands.left = (MARK,)
        await scene.poison.recall()


async def test_each_end_counts_once(tmp_path: Path) -> None:
    """Also when the process after it had nothing in hand."""
    store, path = MemoryStore(), tmp_path / "in-hand"
    await end(store, path, MARK)
    await end(store, path, MARK)
    await end(store, path)

    poison = await next_process(store, path)

    assert poison.ends(MARK) == 2


async def test_innocent_beside_the_guilty_is_cleared_by_being_handled(tmp_path: Path) -> None:
    """Whatever was handled while the process lives on is no suspect, also not for the process after this one."""
    store, path = MemoryStore(), tmp_path / "in-hand"
    innocent = bytes([7]) * MARK_BYTES
    await end(store, path, MARK, innocent)
    poison = await next_process(store, path)

    poison.put_down(poison.take(innocent))
    await poison.clear(innocent)

    after = await next_process(store, path)
    assert [poison.ends(innocent), after.ends(innocent), after.ends(MARK)] == [0, 0, 1]


async def test_suspects_are_bounded(tmp_path: Path) -> None:
    """The oldest are forgotten, the guilty of the last end never."""
    store, path = MemoryStore(), tmp_path / "in-hand"
    for start in range(0, MOST_SUSPECTS + 200, 200):
        await end(store, path, *(number.to_bytes(MARK_BYTES, "big") for number in range(start + 1, start + 201)))

    poison = await next_process(store, path)

    known = [number for number in range(1, MOST_SUSPECTS + 401) if poison.ends(number.to_bytes(MARK_BYTES, "big"))]
    assert len(known) == MOST_SUSPECTS
    assert known[-1] == 1400


async def test_push_that_ended_too_many_processes_is_set_aside_unread() -> None:
    """It is kept once for a person and never acknowledged, since nobody looked whether it is genuine."""
    async with house(ALPHA) as scene:
        await suspected(scene, MOST_ENDS)
        for _ in range(2):
            with pytest.raises(PushUndecided, match="5 processes ended"):
                await scene.run(scene.pushes.handle("alpha-1", PUSH))
        [letter] = await scene.pushes.letters(after="", limit=10)

    assert (letter.cause, letter.attempts, letter.body) == (ENDED_PROCESSES, MOST_ENDS, PUSH.body)
    assert scene.heard.pushes == ["alpha SET_ASIDE"] * 2


async def test_push_that_ended_fewer_is_handled_and_cleared() -> None:
    """Four ends may be bad luck."""
    async with house(ALPHA) as scene:
        await suspected(scene, MOST_ENDS - 1)
        answer = await scene.run(scene.pushes.handle("alpha-1", PUSH))

    assert answer.status == 200
    assert scene.poison.ends(MARK) == 0


async def test_push_that_was_replayed_may_come_again() -> None:
    """Once a replay has applied it, what the carrier sends is handled as any other push."""
    async with house(ALPHA) as scene:
        await suspected(scene, MOST_ENDS)
        with pytest.raises(PushUndecided):
            await scene.run(scene.pushes.handle("alpha-1", PUSH))
        [letter] = await scene.pushes.letters(after="", limit=10)
        cause = await scene.run(scene.pushes.replay(letter))
        answer = await scene.run(scene.pushes.handle("alpha-1", PUSH))

    assert (cause, answer.status) == ("", 200)


def test_push_is_known_by_what_it_says_and_where_it_came() -> None:
    """Headers change with every telling; account, path, query and body make it the same push or another."""
    again = PushRequest({"signature": "good", "x-request-id": "2"}, PUSH.body)
    others = [
        mark_of("beta-1", PUSH),
        mark_of("alpha-1", PushRequest(PUSH.headers, PUSH.body + b" ")),
        mark_of("alpha-1", PushRequest(PUSH.headers, PUSH.body, path="token")),
        mark_of("alpha-1", PushRequest(PUSH.headers, PUSH.body, query="a=1")),
    ]

    assert mark_of("alpha-1", again) == MARK
    assert len({MARK, *others}) == 5
