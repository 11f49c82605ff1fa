"""Plays chains of kills: one world, one engine after the other, each killed at its point and followed by the next.

The engine reads its point from a file, so that the restart of one case is the engine that the next case kills. What a
case leaves in doubt is resolved while the next ones go on, and judged at the end of the chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from crossdock.v1 import core_pb2
from tests.acceptance.crash_cases import Case
from tests.acceptance.evidence import Evidence
from tests.acceptance.harness import World, parcel_order, through_proxies, world
from tests.fakes.proxy import Then, Trouble

DEATH_S = 60.0
REST_S = 60.0

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    # Orders in doubt of one case wait through the troubles of the next; nobody is to be asked meanwhile.
    "booking": {"review_after_s": 120.0},
    "server": {"drain_s": 1.0},
}


WIRES: Mapping[str, Trouble] = {
    "after the first byte of the request": Trouble(request_bytes=1, then=Then.HOLD),
    "inside the request": Trouble(request_bytes=400, then=Then.HOLD),
    "after the request's last byte": Trouble(response_bytes=0, then=Then.HOLD),
    "after the first byte of the answer": Trouble(response_bytes=1, then=Then.HOLD),
    "inside the answer": Trouble(response_bytes=120, then=Then.HOLD),
}


class Outcome(msgspec.Struct, frozen=True):
    """How a case ended: the engine's exit code, and the order when everything was at rest."""

    exit_code: int
    order: core_pb2.Order


class Chain(msgspec.Struct, frozen=True):
    """A chain at rest. outcomes: in order of its cases."""

    outcomes: Sequence[Outcome]
    evidence: Evidence


class Stage:
    """What a drive works with: the world, one case's reference, and the arming of its point."""

    def __init__(self, w: World, case: Case, reference: str, order_file: Path, environment: Mapping[str, str]) -> None:
        self.w = w
        self.case = case
        self.reference = reference
        self.environment = environment
        self._order_file = order_file

    async def arm(self) -> None:
        """The carriers misbehave, and the engine dies when it passes the point."""
        for carrier, faults in self.case.faults.items():
            await self.w.faults(carrier, **faults)
        self._order_file.write_text(self.case.point)

    async def disarm(self) -> None:
        """Everybody behaves, and no point kills."""
        self._order_file.write_text("")
        await self.w.heal()


Drive = Callable[[Stage], Coroutine[Any, Any, core_pb2.Order]]


async def _create(stage: Stage, **routing: Sequence[str]) -> core_pb2.Order:
    await stage.arm()
    return await stage.w.create(parcel_order(stage.reference, **routing), deadline_s=4.0)


async def _create_zto_first(stage: Stage) -> core_pb2.Order:
    return await _create(stage, prefer=["zto"])


async def _create_zto_only(stage: Stage) -> core_pb2.Order:
    return await _create(stage, only=["zto"])


async def _cancel(stage: Stage) -> core_pb2.Order:
    order = await stage.w.create(parcel_order(stage.reference, only=["sf"]))
    await stage.arm()
    return await stage.w.cancel(order)


async def _label(stage: Stage) -> core_pb2.Order:
    order = await stage.w.create(parcel_order(stage.reference, only=["sf"]))
    await stage.arm()
    content = await stage.w.label(order)
    assert content.startswith(b"%PDF-"), content[:20]
    return order


async def _restart(stage: Stage) -> core_pb2.Order:
    """Leave an order under way, and let the next engine take it over."""
    sandbox = stage.w.sandbox
    for carrier, faults in stage.case.faults.items():
        await stage.w.faults(carrier, **faults)
    order = await stage.w.create(parcel_order(stage.reference, only=["sf"]), deadline_s=0.3)
    sandbox.kill_engine()
    await stage.arm()
    await start(stage.w, stage.environment, dies=True)
    return order


async def _stop(stage: Stage) -> core_pb2.Order:
    """Ask the engine to end: closing the store, it checkpoints."""
    await stage.arm()
    order = await stage.w.create(parcel_order(stage.reference), deadline_s=1.0)
    stage.w.sandbox.terminate_engine()
    return order


DRIVES: Mapping[str, Drive] = {
    "create": _create,
    "create, zto first": _create_zto_first,
    "create, only zto": _create_zto_only,
    "cancel": _cancel,
    "label": _label,
    "restart": _restart,
    "stop": _stop,
}


async def start(w: World, environment: Mapping[str, str], *, dies: bool = False) -> None:
    """Start the next engine. dies: it may be killed before it serves."""
    try:
        await w.sandbox.start_engine(environment)
    except RuntimeError:
        if not dies:
            raise


async def play_chain(folder: Path, cases: Sequence[Case], *, settings: Mapping[str, Any] = SETTINGS) -> Chain:
    """Every case in turn, then peace, then the evidence."""
    async with world(folder, with_engine=False, settings=settings) as w:
        order_file = folder / "crash-at"
        order_file.write_text("")
        environment = {"CROSSDOCK_CRASH_AT": f"@{order_file}"}
        await start(w, environment)
        played: list[tuple[int, core_pb2.Order]] = []
        for number, case in enumerate(cases):
            stage = Stage(w, case, f"crash-{number}", order_file, environment)
            try:
                played.append(await _play(stage))
            except Exception as error:
                raise RuntimeError(f"case {number} ({case.name}) did not get to its end: {error!r}") from error
        await w.at_rest(REST_S)
        outcomes = [Outcome(code, await w.get(order)) for code, order in played]
        return Chain(outcomes, await w.evidence())


async def _play(stage: Stage) -> tuple[int, core_pb2.Order]:
    """One case: the exit code of the engine that was killed, and the order as its client was told in the end."""
    sandbox = stage.w.sandbox
    driving = asyncio.create_task(DRIVES[stage.case.drive](stage))
    try:
        if stage.case.drive == "restart":
            await driving
        exit_code = await sandbox.wait_engine(DEATH_S)
        await stage.disarm()
        await start(stage.w, stage.environment)
        return exit_code, await driving
    finally:
        driving.cancel()


async def play_wires(folder: Path) -> tuple[dict[str, core_pb2.Order], Evidence]:
    """Kills at a byte: a proxy lets so many pass and holds the rest, and there the engine dies. The orders by case."""
    async with world(folder, with_engine=False, settings=SETTINGS) as w, through_proxies(w) as proxies:
        await start(w, {})
        played: dict[str, core_pb2.Order] = {}
        for number, (name, trouble) in enumerate(WIRES.items()):
            # A connection of its own for this call: limits count per connection.
            proxies["sf"].trouble = trouble
            proxies["sf"].reached.clear()
            order = parcel_order(f"wire-{number}", only=["sf"])
            driving = asyncio.create_task(w.create(order, deadline_s=4.0))
            try:
                async with asyncio.timeout(DEATH_S):
                    await proxies["sf"].reached.wait()
                w.sandbox.kill_engine()
                proxies["sf"].trouble = Trouble()
                await start(w, {})
                played[name] = await driving
            finally:
                driving.cancel()
        await w.at_rest(REST_S)
        return {name: await w.get(order) for name, order in played.items()}, await w.evidence()
