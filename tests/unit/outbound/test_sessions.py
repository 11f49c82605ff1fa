"""Tokens: one sign-in at a time, renewed in time, dropped when refused."""

from __future__ import annotations

import asyncio

import pytest

from crossdock_sdk import CarrierError, ErrorClass, Secret, Session, SideEffect
from engine.outbound import sessions
from engine.outbound.errors import Ambiguous, FaultKind, NotSent
from engine.outbound.sessions import RETRY_REFRESH_S, SessionKeeper
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio


class Desk:
    """Counts sign-ins and fails when told to."""

    def __init__(self, lifetime_s: float = 1000.0) -> None:
        self.count = 0
        self.lifetime_s = lifetime_s
        self.error: Exception | None = None

    async def __call__(self) -> Session:
        self.count += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return Session(Secret(f"t{self.count}"), self.lifetime_s)


async def test_ten_callers_sign_in_once() -> None:
    """Those who come during a sign-in get its token."""
    keeper, desk = SessionKeeper(FakeClock()), Desk()
    tokens = await asyncio.gather(*(keeper.get(desk) for _ in range(10)))

    assert (desk.count, len({t.token.reveal() for t in tokens})) == (1, 1)


@pytest.mark.parametrize(("age_s", "count"), [(790.0, 1), (801.0, 2), (5000.0, 2)])
async def test_a_token_is_renewed_before_it_expires(age_s: float, count: int) -> None:
    """At 80 % of its life the next caller fetches a new one."""
    clock, desk = FakeClock(), Desk()
    keeper = SessionKeeper(clock)
    await keeper.get(desk)
    clock.advance(age_s)
    await keeper.get(desk)

    assert desk.count == count


async def test_a_failed_renewal_keeps_a_living_token() -> None:
    """While the old token lives nothing fails, and the renewal is not tried at every call."""
    clock, desk = FakeClock(), Desk()
    keeper = SessionKeeper(clock)
    old = await keeper.get(desk)
    clock.advance(850.0)
    desk.error = Ambiguous(FaultKind.TIMEOUT)
    tokens = [await keeper.get(desk) for _ in range(5)]

    assert (tokens, desk.count) == ([old] * 5, 2)


async def test_a_renewal_that_hangs_keeps_a_living_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes only a little of its call's time, and the next calls none."""
    monkeypatch.setattr(sessions, "RENEWAL_S", 0.01)
    clock, desk = FakeClock(), Desk()
    keeper = SessionKeeper(clock)
    old = await keeper.get(desk)
    clock.advance(850.0)
    tried = []

    async def hang() -> Session:
        tried.append(1)
        await asyncio.Event().wait()
        raise AssertionError

    async with asyncio.timeout(5.0):
        tokens = [await keeper.get(hang) for _ in range(5)]

    assert (tokens, len(tried)) == ([old] * 5, 1)


async def test_a_failed_sign_in_is_shared_and_leaves_the_operation_unsent() -> None:
    """Ten waiting callers make one attempt.

    Even an ambiguous sign-in proves that nothing was booked.
    """
    keeper, desk = SessionKeeper(FakeClock()), Desk()
    desk.error = Ambiguous(FaultKind.TIMEOUT)
    results = await asyncio.gather(*(keeper.get(desk) for _ in range(10)), return_exceptions=True)

    assert desk.count == 1
    assert {type(r) for r in results} == {NotSent}


async def test_a_refused_sign_in_has_no_side_effect() -> None:
    """TEMPORARY at the token desk does not make a booking doubtful."""
    keeper, desk = SessionKeeper(FakeClock()), Desk()
    desk.error = CarrierError(ErrorClass.TEMPORARY, code="E9")

    with pytest.raises(CarrierError) as caught:
        await keeper.get(desk)

    assert (caught.value.code, caught.value.side_effect) == ("E9", SideEffect.NONE)


async def test_a_refused_token_is_dropped_once() -> None:
    """A second refusal of a brand-new token is the account's fault, not the token's."""
    keeper, desk = SessionKeeper(FakeClock()), Desk()
    first = await keeper.get(desk)
    dropped = keeper.drop(first)
    second = await keeper.get(desk)
    again = keeper.drop(second)
    keeper.accepted(second)
    later = keeper.drop(second)

    assert (dropped, again, later) == (True, False, True)


async def test_tokens_that_go_on_being_refused_are_replaced_ever_more_seldom() -> None:
    """A carrier that forgot the new one too is asked for another after 10, 20, 40 s, … 10 minutes, not once a call."""
    clock, desk = FakeClock(), Desk(lifetime_s=7200.0)
    keeper = SessionKeeper(clock)
    replaced_at_s = []
    for second in range(1500):
        if keeper.drop(await keeper.get(desk)):
            replaced_at_s.append(second)
            await keeper.get(desk)
        clock.advance(1.0)

    assert replaced_at_s == [0, 10, 30, 70, 150, 310, 630, 1230]


async def test_an_accepted_token_ends_the_doubt() -> None:
    """The next refusal is the first one again."""
    clock, desk = FakeClock(), Desk()
    keeper = SessionKeeper(clock)
    for _ in range(3):
        keeper.drop(await keeper.get(desk))
        await keeper.get(desk)
        clock.advance(RETRY_REFRESH_S)
    keeper.accepted(await keeper.get(desk))
    dropped = keeper.drop(await keeper.get(desk))
    await keeper.get(desk)
    clock.advance(RETRY_REFRESH_S)
    again = keeper.drop(await keeper.get(desk))

    assert (dropped, again) == (True, True)


async def test_a_late_refusal_of_an_old_token_drops_nothing() -> None:
    """A call that still used the old token must not throw the new one away."""
    keeper, desk = SessionKeeper(FakeClock()), Desk()
    first = await keeper.get(desk)
    keeper.drop(first)
    await keeper.get(desk)
    worth_repeating = keeper.drop(first)
    await keeper.get(desk)

    assert (worth_repeating, desk.count) == (True, 2)


async def test_a_cancelled_sign_in_does_not_stop_the_others() -> None:
    """The next waiting caller signs in."""
    keeper, desk = SessionKeeper(FakeClock()), Desk()
    first = asyncio.ensure_future(keeper.get(desk))
    second = asyncio.ensure_future(keeper.get(desk))
    await asyncio.sleep(0)
    first.cancel()
    session = await second

    assert (session.token.reveal(), first.cancelled()) == ("t2", True)
