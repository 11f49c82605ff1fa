"""What a caller can ask of orders: keys and replays, twins, refusals, reading, pages, quotes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from crossdock_sdk import Contact, ErrorClass, Money, Options, Parcel, Party
from engine.core.errors import (
    KeyReused,
    NoEligibleCarrier,
    OrderInvalid,
    OrderNotFound,
    Overloaded,
    PageTokenInvalid,
)
from engine.core.orders import body_hash
from engine.core.policy.records import OrderState, RoutingWish
from engine.store.port import Idempotency, OrderFilter
from tests.fakes.carrier import answer, manifest, refuse, silent
from tests.fakes.house import OTHER_TENANT, PARTY, TENANT, House, draft, house
from tests.fakes.rows import loaded

pytestmark = pytest.mark.anyio

ALPHA, BETA = manifest("alpha"), manifest("beta")


async def test_the_same_request_gets_the_same_order() -> None:
    """Nothing is booked twice; the answer says that it is a replay."""
    async with house(ALPHA) as scene:
        first = await scene.create()
        again = await scene.create()

    assert (first.replayed, again.replayed) == (False, True)
    assert again.order == first.order
    assert scene.network.count("alpha", "book") == 1
    assert scene.heard.accepted == [False, True]


@pytest.mark.parametrize(
    ("request_id", "reference", "key"), [("request-A1", "A2", "request_id"), ("other", "A1", "order.reference")]
)
async def test_a_key_with_another_body_is_refused(request_id: str, reference: str, key: str) -> None:
    """It names the key and the order that holds it; nothing is stored."""
    async with house(ALPHA) as scene:
        first = await scene.create("A1")
        with pytest.raises(KeyReused, match=key) as refusal:
            await scene.create(reference, request_id=request_id, parcels=(Parcel(9000),))

    assert (refusal.value.key, refusal.value.held_id) == (key, first.order.order.order_id)
    assert scene.heard.refused == ["IDEMPOTENCY_KEY_REUSED"]


@pytest.mark.parametrize("end", [OrderState.CANCELLED, OrderState.FAILED])
async def test_the_reference_of_an_order_at_its_end_is_free_for_a_new_key(end: OrderState) -> None:
    """As the contract says: the former keys give the former order, a new request_id another one, whatever its body."""
    async with house(ALPHA) as scene:
        if end is OrderState.FAILED:
            scene.network.script("alpha", "book", refuse(ErrorClass.PERMANENT))
        first = (await scene.create("A1")).order.order.order_id
        if end is OrderState.CANCELLED:
            await scene.run(scene.orders.cancel(TENANT, first, deadline_s=5.0))
        replayed = [await scene.create("A1"), await scene.create("A1", request_id="")]
        with pytest.raises(KeyReused, match=r"order\.reference"):
            await scene.create("A1", request_id="", parcels=(Parcel(9000),))
        anew = await scene.create("A1", request_id="new", parcels=(Parcel(9000),))
        former = await scene.orders.get(TENANT, order_id=first)
        newest = await scene.orders.get(TENANT, reference="A1")

    assert [(each.replayed, each.order.order.order_id, each.order.order.state) for each in replayed] == [
        (True, first, end)
    ] * 2
    assert (anew.replayed, anew.order.order.state, former.order.state) == (False, OrderState.BOOKED, end)
    assert newest.order.order_id == anew.order.order.order_id != first


async def test_the_reference_alone_is_a_key() -> None:
    """A caller that lost its request_id gets its order all the same."""
    async with house(ALPHA) as scene:
        first = await scene.create("A1")
        again = await scene.create("A1", request_id="")

    assert (again.replayed, again.order.order.order_id) == (True, first.order.order.order_id)


async def test_twins_at_the_same_moment_make_one_booking() -> None:
    """Fifty at once: one executes, all get its order."""
    async with house(ALPHA) as scene:
        twins = [scene.orders.create(TENANT, draft(), request_id="r", deadline_s=30.0) for _ in range(50)]
        created = await scene.run(asyncio.gather(*twins))

    assert {c.order.order.order_id for c in created} == {created[0].order.order.order_id}
    assert {c.order.order.state for c in created} == {OrderState.BOOKED}
    assert sorted(c.replayed for c in created) == [False] + [True] * 49
    assert (scene.network.count("alpha", "book"), len(scene.network.live)) == (1, 1)


async def test_a_replay_is_answered_also_when_no_carrier_could_take_it_any_more() -> None:
    """The configuration has changed since; the order has not."""
    async with house(ALPHA) as scene:
        first = await scene.create()
        scene.router.accounts = ()
        again = await scene.create()

    assert (again.replayed, again.order) == (True, first.order)


async def test_tenants_do_not_share_keys() -> None:
    """The same request_id and reference of another tenant is another order."""
    async with house(ALPHA) as scene:
        mine = await scene.create()
        theirs = await scene.run(scene.orders.create("other", draft(), request_id="request-A1", deadline_s=30.0))

    assert theirs.replayed is False
    assert theirs.order.order.order_id != mine.order.order.order_id


async def test_an_invalid_order_is_refused_before_anything_is_stored() -> None:
    """All violations at once; neither store nor carrier hears of it."""
    async with house(ALPHA) as scene:
        wrong = Party(Contact("", "12"), PARTY.address)
        with pytest.raises(OrderInvalid) as refusal:
            await scene.create(recipient=wrong)
        known = await scene.store.get_order_by_reference(TENANT, "A1")

    assert {v.field for v in refusal.value.violations} == {"recipient.contact.name", "recipient.contact.phone"}
    assert (known, scene.network.sent, scene.heard.refused) == (None, [], ["ORDER_INVALID"])


async def test_an_order_that_no_carrier_can_take_is_refused_with_every_reason() -> None:
    """Each account says why; nothing is stored."""
    async with house(ALPHA, BETA) as scene:
        with pytest.raises(NoEligibleCarrier, match=r"alpha-1: .*excluded.*beta-1: .*excluded"):
            await scene.create(routing=RoutingWish(excluded=("alpha", "beta")))
        known = await scene.store.get_order_by_reference(TENANT, "A1")

    assert (known, scene.heard.refused) == (None, ["NO_ELIGIBLE_CARRIER"])


async def test_a_repeat_of_a_failed_order_that_no_carrier_can_take_is_refused_too() -> None:
    """Its reference is free again, so there is nothing to answer; a key that was used is told as such."""
    nobody = RoutingWish(excluded=("alpha",))
    async with house(ALPHA) as scene:
        scene.network.always("alpha", "book", refuse(ErrorClass.INVALID_REQUEST))
        failed = await scene.create(request_id="first")
        with pytest.raises(NoEligibleCarrier):
            await scene.create(request_id="second", routing=nobody)
        with pytest.raises(KeyReused):
            await scene.create(request_id="first", routing=nobody)
        count = len(scene.store._orders)

    assert (failed.order.order.state, count) == (OrderState.FAILED, 1)


async def test_more_open_bookings_than_allowed_are_shed_at_once() -> None:
    """With the time after which to come back; nothing is stored."""
    async with house(ALPHA, max_open=1) as scene:
        scene.network.hold("alpha", "book")
        first = asyncio.ensure_future(scene.create("A1"))
        await scene.pass_time(0.0)
        with pytest.raises(Overloaded) as refusal:
            await scene.create("A2")
        scene.network.release()
        await first

    assert refusal.value.retry_after_s > 0
    assert scene.heard.refused == ["ENGINE_OVERLOADED"]


async def test_a_tenant_cannot_take_the_places_of_all_others() -> None:
    """Its flood is refused beyond its part; the other's order is taken all the same."""
    async with house(ALPHA, max_open=10, weights={TENANT: 1, OTHER_TENANT: 1}) as scene:
        scene.network.hold("alpha", "book", 6)
        mine = []
        for n in range(10):
            mine.append(asyncio.ensure_future(scene.create(f"A{n}")))
            await scene.pass_time(0.0)
        theirs = asyncio.ensure_future(scene.orders.create(OTHER_TENANT, draft("B1"), request_id="b1", deadline_s=30.0))
        await scene.pass_time(0.1)
        scene.network.release()
        created = await scene.run(theirs)
        ended = await scene.run(asyncio.gather(*mine, return_exceptions=True))

    assert created.order.order.state is OrderState.BOOKED
    assert [isinstance(each, Overloaded) for each in ended] == [False] * 5 + [True] * 5


async def test_a_pickup_window_that_is_over_is_refused() -> None:
    """By a creation as by a quote; the carrier is not asked for a courier of yesterday."""
    async with house(ALPHA) as scene:
        past = Options(pickup=True, pickup_end_time=scene.clock.now() - timedelta(seconds=1))
        with pytest.raises(OrderInvalid, match=r"options\.pickup_end_time: is over"):
            await scene.create(options=past)
        with pytest.raises(OrderInvalid, match=r"options\.pickup_end_time: is over"):
            await scene.orders.quote(TENANT, draft(options=past), live=False, deadline_s=1.0)

    assert scene.network.count("alpha", "book") == 0


async def test_a_repeat_is_answered_after_its_window() -> None:
    """What was ordered in time stays ordered; only what would be booked anew is refused."""
    async with house(manifest("alpha", options=("pickup",))) as scene:
        wish = Options(pickup=True, pickup_end_time=scene.clock.now() + timedelta(hours=1))
        first = await scene.create(options=wish)
        scene.clock.jump(7_200.0)
        again = await scene.create(options=wish)
        by_reference = await scene.create(request_id="", options=wish)
        await scene.run(scene.orders.cancel(TENANT, first.order.order.order_id, deadline_s=5.0))
        with pytest.raises(OrderInvalid, match="is over"):
            await scene.create(request_id="another", options=wish)

    assert again.order == by_reference.order == first.order


async def test_an_order_is_found_by_id_and_by_reference() -> None:
    """And by its own tenant only."""
    async with house(ALPHA) as scene:
        created = await scene.create()
        order_id = created.order.order.order_id
        found = [await scene.orders.get(TENANT, order_id=order_id), await scene.orders.get(TENANT, reference="A1")]
        for wrong in ({"order_id": order_id}, {"reference": "A1"}):
            with pytest.raises(OrderNotFound):
                await scene.orders.get("other", **wrong)

    assert found == [created.order] * 2


@pytest.mark.parametrize("key", [{"order_id": ""}, {"reference": ""}, {}])
async def test_an_empty_key_finds_no_order_without_a_reference(key: dict[str, str]) -> None:
    """A former engine took blank references; whoever names nothing must not get such an order, or its label."""
    async with house(ALPHA) as scene:
        old = loaded(tenant=TENANT, draft=draft(""), state=OrderState.BOOKED)
        await scene.store.accept(old.order, (), (), Idempotency("", b"body"))
        with pytest.raises(OrderNotFound, match="is empty"):
            await scene.orders.get(TENANT, **key)


async def test_pages_show_every_order_once() -> None:
    """The token leads on; the last page has none."""
    async with house(ALPHA) as scene:
        made = [(await scene.create(f"A{n}")).order.order.order_id for n in range(5)]
        seen: list[str] = []
        tokens = [""]
        while tokens[-1] or len(tokens) == 1:
            page, token = await scene.orders.page(TENANT, OrderFilter(), page_size=2, page_token=tokens[-1])
            seen += [o.order.order_id for o in page]
            tokens.append(token)

    assert seen == sorted(made)
    assert len(tokens) == 4


@pytest.mark.parametrize(("asked", "got"), [(0, 50), (10_000, 60), (3, 3)])
async def test_a_page_has_a_default_and_a_largest_size(asked: int, got: int) -> None:
    """Unset means 50; more than the largest is cut."""
    async with house(ALPHA) as scene:
        for n in range(60):
            await scene.create(f"A{n}")
        page, _ = await scene.orders.page(TENANT, OrderFilter(), page_size=asked, page_token="")

    assert len(page) == got


async def _token(scene: House) -> str:
    for n in range(2):
        await scene.create(f"A{n}")
    _, token = await scene.orders.page(TENANT, OrderFilter(), page_size=1, page_token="")
    return token


@pytest.mark.parametrize("spoil", [lambda t: "nonsense", lambda t: t[:-1] + "x", lambda t: t[1:]])
async def test_a_token_that_was_not_given_is_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    """Guessed, changed or cut."""
    async with house(ALPHA) as scene:
        token = spoil(await _token(scene))
        with pytest.raises(PageTokenInvalid):
            await scene.orders.page(TENANT, OrderFilter(), page_size=1, page_token=token)


async def test_a_token_belongs_to_its_filter() -> None:
    """Else a listing would silently go on with other orders."""
    async with house(ALPHA) as scene:
        token = await _token(scene)
        with pytest.raises(PageTokenInvalid):
            await scene.orders.page(TENANT, OrderFilter(reference_prefix="A"), page_size=1, page_token=token)


async def test_a_quote_tells_every_candidate_and_books_nothing() -> None:
    """With live prices, ranked by them."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("beta", "quote", answer(price=900))
        normal, considered = await scene.run(scene.orders.quote(TENANT, draft(), live=True, deadline_s=5.0))
        known = await scene.store.get_order_by_reference(TENANT, "A1")

    assert [(c.candidate.carrier, c.freight, c.freight_is_live) for c in considered] == [
        ("beta", Money("CNY", 900), True),
        ("alpha", Money("CNY", 1200), True),
    ]
    assert (normal.reference, known, scene.network.live) == ("A1", None, [])


async def test_a_quote_of_an_invalid_order_says_what_is_wrong() -> None:
    """As creating it would."""
    async with house(ALPHA) as scene:
        with pytest.raises(OrderInvalid):
            await scene.orders.quote(TENANT, draft(parcels=(Parcel(0),)), live=False, deadline_s=5.0)


async def test_without_live_prices_no_carrier_is_asked() -> None:
    """What is known already is enough."""
    async with house(ALPHA) as scene:
        await scene.orders.quote(TENANT, draft(), live=False, deadline_s=5.0)

    assert scene.network.sent == []


async def test_prices_of_a_lane_are_remembered_for_a_while() -> None:
    """One question a lane and half kilogram; asked again when they are old."""
    async with house(ALPHA) as scene:
        await scene.run(scene.orders.quote(TENANT, draft(), live=True, deadline_s=5.0))
        weighing = [draft(parcels=(Parcel(weight_g),)) for weight_g in (450, 500, 501)]
        known = [scene.prices.known(order).get(("alpha-1", "std")) for order in weighing]
        scene.clock.advance(3601.0)
        old = scene.prices.known(draft())

    assert [price is not None for price in known] == [True, True, False]
    assert old == {}


@pytest.mark.parametrize(
    ("act", "excluded"),
    [(refuse(ErrorClass.NO_SERVICE, text="停发"), True), (refuse(ErrorClass.TEMPORARY), False), (silent(), False)],
    ids=["no service", "failed", "silent"],
)
async def test_only_a_clear_refusal_of_a_price_excludes_a_carrier(act, excluded: bool) -> None:  # type: ignore[no-untyped-def]
    """A carrier that does not answer costs its price, never the candidate."""
    async with house(ALPHA, BETA) as scene:
        scene.network.script("alpha", "quote", act)
        _, considered = await scene.run(scene.orders.quote(TENANT, draft(), live=True, deadline_s=5.0))

    alpha = next(c for c in considered if c.candidate.carrier == "alpha")
    assert alpha.exclusions == (("Alpha: 停发",) if excluded else ())
    assert alpha.freight is None


async def test_with_live_prices_configured_the_cheapest_carrier_books() -> None:
    """The price is asked before the booking, and decides."""
    async with house(ALPHA, BETA, live_prices=True) as scene:
        scene.network.script("beta", "quote", answer(price=900))
        created = await scene.create()

    assert created.order.order.booking is not None
    assert created.order.order.booking.carrier == "beta"


async def test_the_body_of_an_order_from_the_warehouse_does_not_change_with_the_warehouse() -> None:
    """Else moving the warehouse in the configuration would turn every retry into a conflict."""
    here = draft(shipper=Party(Contact("甲仓", "0571-86001234"), PARTY.address))
    there = draft(shipper=Party(Contact("乙仓", "0755-86001234"), PARTY.address))

    assert body_hash(here, from_warehouse=True) == body_hash(there, from_warehouse=True)
    assert body_hash(here) != body_hash(there)
