"""What a carrier's refusals leave behind: nothing that only the garbage collector could free."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from crossdock_sdk import CarrierError
from engine.core.calls import ask
from engine.outbound import Ambiguous, FaultKind, NotSent, OutboundError, Priority
from tests.fakes.rings import Rings
from tests.unit.outbound.support import booking, yard

pytestmark = pytest.mark.anyio


@pytest.fixture
def rings() -> Iterator[Rings]:
    """The collector, which keeps what it finds."""
    with Rings() as found:
        yield found


def broken() -> Ambiguous:
    """A transport's error as it comes: raised from a library's own."""
    try:
        try:
            raise OSError("reset")
        except OSError as error:
            raise Ambiguous(FaultKind.CUT, "the connection ended") from error
    except Ambiguous as error:
        return error


@pytest.mark.parametrize("answer", [422, 500, NotSent(FaultKind.REFUSED), broken()], ids=str)
async def test_an_errors_frames_go_with_the_error(rings: Rings, answer: int | BaseException) -> None:
    """A refusal, a failure and a lost answer are freed as soon as whoever asked lets go of them."""
    async with yard() as scene:
        scene.transport.script = [answer]
        rings.clear()
        outcome = await ask(scene.outbound, "a", "book", booking("A1"), priority=Priority.QUERY, tenant="t")
        assert isinstance(outcome, CarrierError | OutboundError)
        del outcome
        scene.transport.script = []
        await asyncio.sleep(0)

        assert rings.errors() == []
