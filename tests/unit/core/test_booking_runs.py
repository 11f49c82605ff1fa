"""Orders from creation to their end through the real booker and the real lanes: outcomes and fallbacks."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from crossdock_sdk import ErrorClass
from engine.core.orders import Created
from engine.core.policy.booking import FALLS_BACK
from engine.core.policy.records import (
    BackupPolicy,
    EventKind,
    LoadedOrder,
    OrderState,
    RoutingWish,
)
from engine.outbound import NotSent, Priority
from tests.fakes.carrier import answer, lost, manifest, refuse, silent, unreachable
from tests.fakes.house import House, house, states

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")
CLASSES = [c for c in ErrorClass if c is not ErrorClass.DUPLICATE]


async def test_an_order_is_booked_at_the_first_candidate() -> None:
    """One call to the carrier, one live waybill, and the order says where."""
    async with house(ALPHA, BETA) as scene:
        created = await scene.create()

    booking = created.order.order.booking
    assert (created.order.order.state, created.replayed) == (OrderState.BOOKED, False)
    assert booking is not None
    assert scene.network.live == [booking.waybill_number]
    assert (booking.carrier, booking.account_id, booking.service_name) == ("alpha", "alpha-1", "alpha standard")
    assert states(created.order) == ["alpha CONFIRMED"]
    assert [e.event.kind for e in await scene.events()] == [EventKind.ORDER_ACCEPTED, EventKind.ORDER_BOOKED]
    assert (scene.heard.attempts, scene.heard.settled) == (["alpha CONFIRMED"], [OrderState.BOOKED])


async def test_the_first_attempt_is_durable_before_a_byte_goes_out() -> None:
    """While the carrier still thinks, the store already knows that it was asked."""
    async with house(ALPHA) as scene:
        scene.network.hold("alpha", "book")
        creating = asyncio.ensure_future(scene.create())
        await scene.pass_time(0.0)
        stored = await scene.store.get_order_by_reference("acme", "A1")
        scene.network.release()
        await creating

    assert stored is not None
    assert states(stored) == ["alpha INTENT"]


@pytest.mark.parametrize("error_class", CLASSES)
async def test_a_proved_refusal_goes_to_the_next_candidate_or_ends_the_order(error_class: ErrorClass) -> None:
    """The table decides, class by class; a refused order names the carrier's code and a remedy."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", refuse(error_class, code="77", text="full", executed=False))
        created = await scene.create()

    order = created.order.order
    if FALLS_BACK[error_class]:
        assert (order.state, states(created.order)) == (
            OrderState.BOOKED,
            ["alpha REJECTED", "beta CONFIRMED"],
        )
        assert scene.heard.fallbacks == [("alpha", "beta", str(error_class))]
    else:
        assert (order.state, states(created.order)) == (OrderState.FAILED, ["alpha REJECTED"])
        assert order.failure is not None
        assert (order.failure.carrier_code, order.failure.carrier_message) == ("77", "full")
        assert "full" in order.failure.message
        assert order.failure.remedy


async def test_what_was_never_sent_goes_to_the_next_candidate() -> None:
    """A refused connection proves that nothing was booked."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", unreachable())
        created = await scene.create()

    assert states(created.order) == ["alpha NOT_SENT", "beta CONFIRMED"]
    assert len(scene.network.live) == 1


async def test_a_lost_answer_is_looked_up_and_the_booking_found() -> None:
    """The carrier had booked it: no second call, no second carrier."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", lost())
        created = await scene.create()

    assert states(created.order) == ["alpha CONFIRMED"]
    assert (scene.network.count("alpha", "book"), scene.network.count("beta", "book")) == (1, 0)
    assert scene.heard.attempts == ["alpha UNKNOWN", "alpha CONFIRMED"]
    assert EventKind.OUTCOME_UNKNOWN in [e.event.kind for e in await scene.events()]


async def test_an_absence_is_believed_once_the_search_has_settled() -> None:
    """Until then no other carrier is asked; afterwards the next one takes over."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", silent())
        began = scene.clock.monotonic()
        creating = asyncio.ensure_future(scene.create())
        scene.reconcile()
        await scene.pass_time(4.9)
        before = scene.network.count("beta", "book")
        created = await scene.run(creating)
        booked = await _settled(scene, created)

    assert before == 0
    assert states(booked) == ["alpha ABSENT", "beta CONFIRMED"]
    assert scene.clock.monotonic() - began >= ALPHA.booking.lookup_settles_s


async def test_a_booking_that_the_search_shows_late_is_not_doubled() -> None:
    """Booked, reply lost, "no such order" for four seconds, then found: the carrier stays the only one."""
    async with house(ALPHA, BETA) as scene:
        scene.network.ledgers["alpha"].search_lag_s = 4.0
        scene.network.script("alpha", "book", lost())
        scene.reconcile()
        booked = await _settled(scene, await scene.create())

    assert states(booked) == ["alpha CONFIRMED"]
    assert booked.attempts[0].lookups > 1
    assert scene.network.count("beta", "book") == 0


async def test_a_slow_look_up_is_judged_by_when_it_was_asked() -> None:
    """An absence seen before the search had settled proves nothing, however late the answer comes."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", silent())
        scene.network.hold("alpha", "find")
        creating = asyncio.ensure_future(scene.create())
        scene.reconcile()
        await scene.pass_time(6.0)
        scene.network.script("alpha", "find", answer(waybill_number="LATE1"))
        scene.network.release()
        booked = await _settled(scene, await scene.run(creating))

    assert states(booked) == ["alpha CONFIRMED"]
    assert booked.order.booking is not None
    assert booked.order.booking.waybill_number == "LATE1"


async def test_a_refusal_that_proves_nothing_is_looked_up_too() -> None:
    """TEMPORARY may have booked: it is a doubt, not a refusal."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.TEMPORARY))
        scene.reconcile()
        booked = await _settled(scene, await scene.create())

    assert scene.heard.attempts[0] == "alpha UNKNOWN"
    assert states(booked) == ["alpha ABSENT", "beta CONFIRMED"]


async def test_a_duplicate_is_looked_up_and_taken_as_booked() -> None:
    """A request that something on the way repeated: the carrier holds our own reference, and that is the order's."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", lambda server: (server(), server())[1])
        created = await scene.create()

    assert states(created.order) == ["alpha CONFIRMED"]
    assert scene.heard.attempts == ["alpha UNKNOWN", "alpha CONFIRMED"]
    assert scene.network.count("beta", "book") == 0


async def test_a_duplicate_that_cannot_be_found_never_falls_back() -> None:
    """The carrier said that it holds the reference; a search that finds nothing is no proof against that."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.DUPLICATE))
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(90.0)
        loaded = await scene.get(created)

    assert (loaded.order.state, states(loaded)) == (OrderState.NEEDS_REVIEW, ["alpha UNKNOWN"])
    assert scene.network.count("beta", "book") == 0


async def test_a_doubt_that_nobody_can_settle_goes_to_a_person() -> None:
    """Without look-up and push the order says what to search for, where; the caller hears it at once."""
    deaf = manifest("deaf", ("book", "cancel"))
    async with house(deaf, BETA) as scene:
        scene.network.script("deaf", "book", lost())
        created = await scene.create()

    order = created.order.order
    assert (order.state, states(created.order)) == (OrderState.NEEDS_REVIEW, ["deaf UNKNOWN"])
    assert order.failure is not None
    assert created.order.attempts[0].reference in order.failure.remedy
    assert scene.heard.settled == [OrderState.NEEDS_REVIEW]
    assert (await scene.events())[-1].event.kind is EventKind.ORDER_NEEDS_REVIEW
    assert scene.network.count("beta", "book") == 0


async def test_look_ups_that_were_never_made_are_not_counted() -> None:
    """While the breaker is open nobody is asked; else the pauses would grow by it, and the doubt outlive the fault."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", lost())
        scene.network.always("alpha", "find", silent())
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(65.0)
        loaded = await scene.get(created)

    assert states(loaded) == ["alpha UNKNOWN"]
    assert loaded.attempts[0].lookups == scene.network.count("alpha", "find") > 4


async def test_a_doubt_under_review_still_resolves_when_the_carrier_answers_again() -> None:
    """Look-ups go on, more rarely; what is found books the order without anybody's help."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", lost())
        scene.network.always("alpha", "find", silent())
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(80.0)
        reviewed = await scene.get(created)
        scene.network.always("alpha", "find", None)
        await scene.pass_time(400.0)
        loaded = await scene.get(created)

    assert reviewed.order.state is OrderState.NEEDS_REVIEW
    assert (loaded.order.state, states(loaded)) == (OrderState.BOOKED, ["alpha CONFIRMED"])
    assert loaded.order.failure is None
    assert scene.heard.settled == [OrderState.NEEDS_REVIEW, OrderState.BOOKED]


async def test_the_callers_deadline_ends_the_wait_and_not_the_booking() -> None:
    """BOOKING is answered in time; the same call goes on and its outcome is kept."""
    async with house(ALPHA) as scene:
        scene.network.hold("alpha", "book")
        created = await scene.create(deadline_s=1.0)
        scene.network.release()
        await scene.pass_time(0.1)
        loaded = await scene.get(created)

    assert created.order.order.state is OrderState.BOOKING
    assert (loaded.order.state, states(loaded)) == (OrderState.BOOKED, ["alpha CONFIRMED"])
    assert scene.network.count("alpha", "book") == 1


async def _open_breaker(scene: House, code: str) -> None:
    scene.network.script(code, "find", *[unreachable()] * 5)
    for n in range(5):
        with pytest.raises(NotSent):
            await scene.run(scene.outbound.call(f"{code}-1", "find", f"x{n}", deadline_s=10.0, priority=Priority.QUERY))


async def test_a_carrier_with_an_open_breaker_is_not_even_tried() -> None:
    """The next candidate is the first attempt; nothing was sent to the other."""
    async with house(ALPHA, BETA) as scene:
        await _open_breaker(scene, "alpha")
        created = await scene.create()

    assert states(created.order) == ["beta CONFIRMED"]
    assert scene.network.count("alpha", "book") == 0


async def test_an_order_waits_accepted_while_no_carrier_is_available() -> None:
    """It is durable and answered at once, and booked when the breaker lets calls pass again."""
    async with house(ALPHA) as scene:
        await _open_breaker(scene, "alpha")
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(60.0)
        loaded = await scene.get(created)

    assert (created.order.order.state, states(created.order)) == (OrderState.ACCEPTED, [])
    assert (loaded.order.state, states(loaded)) == (OrderState.BOOKED, ["alpha CONFIRMED"])


async def test_without_backup_the_first_candidate_is_waited_for() -> None:
    """BackupPolicy.NEVER holds also for the very first choice, when only the second could be asked at once."""
    never = RoutingWish(backup=BackupPolicy.NEVER)
    async with house(ALPHA, BETA) as scene:
        await _open_breaker(scene, "alpha")
        scene.reconcile()
        created = await scene.create(routing=never)
        await scene.pass_time(60.0)
        loaded = await scene.get(created)

    assert created.order.order.state is OrderState.ACCEPTED
    assert states(loaded) == ["alpha CONFIRMED"]
    assert scene.network.count("beta", "book") == 0


@pytest.mark.parametrize(
    ("error_class", "state", "attempts"),
    [
        (ErrorClass.CAPACITY, OrderState.BOOKED, ["alpha REJECTED", "alpha CONFIRMED"]),
        (ErrorClass.NO_SERVICE, OrderState.FAILED, ["alpha REJECTED"]),
    ],
)
async def test_without_backup_a_refusal_is_retried_there_or_final(
    error_class: ErrorClass, state: OrderState, attempts: list[str]
) -> None:
    """What may come back is asked again at the same carrier; the other carrier is never asked."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", refuse(error_class))
        scene.reconcile()
        created = await scene.create(routing=RoutingWish(backup=BackupPolicy.NEVER))
        await scene.pass_time(10.0)
        loaded = await scene.get(created)

    assert (loaded.order.state, states(loaded)) == (state, attempts)


async def test_an_order_between_two_full_carriers_stays_at_the_backup() -> None:
    """Refusals that may pass are retried with growing pauses, without going back and forth."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "book", refuse(ErrorClass.CAPACITY))
        scene.network.script("beta", "book", *[refuse(ErrorClass.CAPACITY)] * 3)
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(30.0)
        loaded = await scene.get(created)

    assert states(loaded) == ["alpha REJECTED", "beta REJECTED", "beta REJECTED", "beta REJECTED", "beta CONFIRMED"]


async def test_two_carriers_that_stay_full_are_changed_every_ten_minutes_at_most() -> None:
    """Over an hour; every attempt is on record."""
    async with house(ALPHA, BETA) as scene:
        for code in ("alpha", "beta"):
            scene.network.always(code, "book", refuse(ErrorClass.CAPACITY))
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(2990.0)
        attempts = (await scene.get(created)).attempts

    changes = [b.start_time for a, b in pairwise(attempts) if a.carrier != b.carrier]
    assert len(attempts) > 50
    assert len(changes) == 5
    assert all((b - a).total_seconds() >= 600.0 for a, b in pairwise(changes))


async def test_an_order_that_finds_no_room_all_day_fails_with_the_last_reason() -> None:
    """Retries end at the configured time, and the failure says what the carrier said."""
    async with house(ALPHA) as scene:
        scene.network.always("alpha", "book", refuse(ErrorClass.CAPACITY, text="爆仓"))
        scene.reconcile()
        created = await scene.create()
        await scene.pass_time(20.0)
        scene.clock.advance(3600.0)
        await scene.pass_time(40.0)
        loaded = await scene.get(created)

    assert loaded.order.state is OrderState.FAILED
    assert loaded.order.failure is not None
    assert (loaded.order.failure.reason, loaded.order.failure.carrier_message) == ("CARRIER_CAPACITY", "爆仓")


async def _settled(scene: House, created: Created) -> LoadedOrder:
    await scene.pass_time(40.0)
    return await scene.get(created)
