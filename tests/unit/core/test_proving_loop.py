"""The loop that has accounts prove themselves: who is asked, what counts, what survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import msgspec
import pytest

from crossdock_sdk import ErrorClass
from engine.core.policy.proving import DUE_AFTER_S, FIRST_SPREAD_S, Proofs
from engine.core.policy.validation import check_party
from engine.core.proving import LANE, PERIOD_S, PROOFS_KEY, Proving, can_be_asked
from engine.store.port import StoreError
from tests.fakes.carrier import ALL, lost, manifest, refuse, unreachable
from tests.fakes.house import House, house

pytestmark = pytest.mark.anyio

ALPHA = manifest("alpha")
BETA = manifest("beta")
MUTE = manifest("mute", [operation for operation in ALL if operation != "quote"])
FIRST_S = FIRST_SPREAD_S + PERIOD_S
DAY_S = 86_400.0


class Told:
    """Remembers what the observer and the error log are told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.errors: list[str] = []

    def account_asked(self, carrier: str, account_id: str, failure: str) -> None:
        """See ProvingObserver."""
        self.calls.append(f"{carrier} {account_id} {failure or 'PROVED'}")

    def error(self, error: Exception) -> None:
        """See Proving.run."""
        self.errors.append(str(error))


@asynccontextmanager
async def proving(scene: House, told: Told, *others: str) -> AsyncIterator[Proofs]:
    """The loop beside the scene's orders, for all its accounts. others: accounts that it only believes to exist."""
    carriers = {a: account.carrier for a, account in scene.accounts.items()} | dict.fromkeys(others, "alpha")
    askable = [a for a, code in carriers.items() if can_be_asked(scene.carriers[code].manifest)]
    job = Proving(
        proofs=Proofs(carriers, askable, scene.clock.now()),
        carriers=carriers,
        store=scene.store,
        outbound=scene.outbound,
        clock=scene.clock,
        observer=told,
    )
    running = asyncio.create_task(job.run(told.error))
    try:
        yield job.proofs
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_an_account_without_orders_is_asked_for_a_price_once_a_day() -> None:
    """With a call that books nothing, behind everything else."""
    async with house(ALPHA) as scene:
        told = Told()
        async with proving(scene, told) as proofs:
            await scene.pass_time(FIRST_S)
            first = scene.network.count("alpha", "quote")
            await scene.pass_time(3 * DAY_S)

    assert first == 1
    assert set(scene.network.sent) == {("alpha", "quote")}
    assert 4 <= scene.network.count("alpha", "quote") <= 5
    assert set(told.calls) == {"alpha alpha-1 PROVED"}
    assert (scene.clock.now() - proofs.times()["alpha-1"]).total_seconds() < DUE_AFTER_S


async def test_a_booking_makes_the_call_unnecessary() -> None:
    """An account that books every half day is never asked."""
    async with house(ALPHA) as scene:
        told = Told()
        async with proving(scene, told) as proofs:
            for n in range(6):
                created = await scene.create(f"A{n}")
                for attempt in (await scene.get(created)).attempts:
                    proofs.attempt_ended(attempt)
                await scene.pass_time(DAY_S / 2)

    assert (scene.network.count("alpha", "book"), scene.network.count("alpha", "quote")) == (6, 0)


@pytest.mark.parametrize(
    ("error_class", "why"),
    [
        (ErrorClass.AUTH, "AUTH A1006"),
        (ErrorClass.BALANCE, "BALANCE A1006"),
        (ErrorClass.RATE_LIMITED, "RATE_LIMITED A1006"),
        (ErrorClass.TEMPORARY, "TEMPORARY A1006"),
    ],
)
async def test_a_broken_account_shows_as_unproved(error_class: ErrorClass, why: str) -> None:
    """A changed secret, an empty balance: asked again ever more rarely, and never taken for proved."""
    async with house(ALPHA, BETA) as scene:
        told = Told()
        scene.network.always("alpha", "quote", refuse(error_class, code="A1006"))
        async with proving(scene, told) as proofs:
            await scene.pass_time(FIRST_S + 600.0)
            early = scene.network.count("alpha", "quote")
            await scene.pass_time(DAY_S)

    assert set(proofs.times()) == {"beta-1"}
    assert early <= 2
    assert set(told.calls) == {f"alpha alpha-1 {why}", "beta beta-1 PROVED"}
    assert scene.network.count("alpha", "quote") <= 11


@pytest.mark.parametrize(("act", "why"), [(unreachable(), "REFUSED"), (lost(), "TIMEOUT")])
async def test_silence_is_no_proof(act: object, why: str) -> None:
    """Neither a closed port nor an answer that never comes; once the carrier answers again, it is."""
    async with house(ALPHA) as scene:
        told = Told()
        scene.network.script("alpha", "quote", act)  # type: ignore[arg-type]  # an Act
        async with proving(scene, told) as proofs:
            await scene.pass_time(FIRST_S)
            silent = dict(proofs.times())
            await scene.pass_time(1200.0)

    assert silent == {}
    assert set(proofs.times()) == {"alpha-1"}
    assert told.calls == [f"alpha alpha-1 {why}", "alpha alpha-1 PROVED"]


async def test_a_lane_that_is_not_served_is_proof() -> None:
    """The carrier knew who asked."""
    async with house(ALPHA) as scene:
        scene.network.always("alpha", "quote", refuse(ErrorClass.NO_SERVICE, code="20036"))
        async with proving(scene, Told()) as proofs:
            await scene.pass_time(FIRST_S)

    assert set(proofs.times()) == {"alpha-1"}


async def test_an_account_whose_carrier_is_full_of_silence_is_asked_once_at_a_time() -> None:
    """The next question waits for the end of the one before, and a stop leaves none behind."""
    async with house(ALPHA) as scene:
        scene.network.hold("alpha", "quote", 10)
        async with proving(scene, Told()):
            await scene.pass_time(FIRST_SPREAD_S)
            held = len(scene.network.held)
        left = [task for task in asyncio.all_tasks() if "_prove" in str(task.get_coro())]

    assert held == 1
    assert left == []


async def test_a_carrier_that_prices_nothing_is_proved_by_bookings_alone() -> None:
    """It is not asked, and its age tells."""
    foreign = manifest("gamma", countries=("DE",))
    async with house(MUTE, foreign) as scene:
        told = Told()
        async with proving(scene, told) as proofs:
            await scene.pass_time(2 * DAY_S)
            before = proofs.times()
            for attempt in (await scene.get(await scene.create())).attempts:
                proofs.attempt_ended(attempt)

    assert (told.calls, before) == ([], {})
    assert set(proofs.times()) == {"mute-1"}


async def test_proofs_survive_a_crash() -> None:
    """The next process asks when the proof is old, not because it has started."""
    async with house(ALPHA) as scene:
        async with proving(scene, Told()) as proofs:
            await scene.pass_time(FIRST_S + PERIOD_S)
            known = proofs.times()
        await scene.crash()
        await scene.start()
        async with proving(scene, Told()) as proofs:
            await scene.pass_time(3600.0)
            restored, calls = proofs.times(), scene.network.count("alpha", "quote")
            await scene.pass_time(DUE_AFTER_S)

    assert set(known) == {"alpha-1"}
    assert (restored, calls) == (known, 1)
    assert scene.network.count("alpha", "quote") == 2


async def test_proofs_are_written_at_most_once_a_minute_and_only_when_they_changed() -> None:
    """Bookings cost the store nothing of their own."""
    async with house(ALPHA) as scene:
        written: list[bytes] = []
        put = scene.store.put_state

        async def counted(key: str, value: bytes) -> None:
            written.append(value)
            await put(key, value)

        scene.store.put_state = counted  # type: ignore[method-assign]
        async with proving(scene, Told()) as proofs:
            for n in range(31):
                for attempt in (await scene.get(await scene.create(f"A{n}"))).attempts:
                    proofs.attempt_ended(attempt)
                await scene.pass_time(4.0)
            busy = len(written)
            await scene.pass_time(3600.0)

    assert busy == 2
    assert len(written) == 3


async def test_a_store_that_fails_is_reported_and_asked_again() -> None:
    """Nothing that it knows is written over, and what could not be written is written later."""
    async with house(ALPHA) as scene:
        told = Told()
        async with proving(scene, Told()) as proofs:
            await scene.pass_time(FIRST_S + PERIOD_S)
            known = proofs.times()
        get, put = scene.store.get_state, scene.store.put_state

        async def no_read(key: str) -> bytes | None:
            scene.store.get_state = get  # type: ignore[method-assign]
            raise StoreError("cannot read")

        async def no_write(key: str, value: bytes) -> None:
            scene.store.put_state = put  # type: ignore[method-assign]
            raise StoreError("cannot write")

        scene.store.get_state = no_read  # type: ignore[method-assign]
        scene.store.put_state = no_write  # type: ignore[method-assign]
        async with proving(scene, told) as proofs:
            await scene.pass_time(PERIOD_S)
            restored = proofs.times()
            await scene.pass_time(DUE_AFTER_S)
            await scene.pass_time(PERIOD_S)
            newest = proofs.times()
        kept = await scene.store.get_state(PROOFS_KEY)

    assert told.errors == ["cannot read", "cannot write"]
    assert restored == known
    assert newest["alpha-1"] > known["alpha-1"]
    assert kept is not None
    assert _decoded(kept) == newest


async def test_a_defect_with_one_account_does_not_end_the_proving_of_others() -> None:
    """It is told, counts as no proof and is tried again later."""
    async with house(ALPHA, manifest("mute", ("book",))) as scene:
        told = Told()
        async with proving(scene, told, "mute-1") as proofs:
            await scene.pass_time(FIRST_S)

    assert set(proofs.times()) == {"alpha-1"}
    assert sorted(told.calls) == ["alpha alpha-1 PROVED", "alpha mute-1 the call broke"]
    assert [error.startswith("carrier 'mute' does not offer 'quote'") for error in told.errors] == [True]


def test_the_parcel_nobody_sends_is_a_sound_one() -> None:
    """Its places are spelled as the official divisions are: what a carrier refuses is not the question's fault."""
    checked = [check_party(party, "party") for party in (LANE.shipper, LANE.recipient)]

    assert checked == [(LANE.shipper, ()), (LANE.recipient, ())]
    assert LANE.weight_g > 0


def _decoded(kept: bytes) -> dict[str, datetime]:
    return msgspec.msgpack.decode(kept, type=dict[str, datetime])
