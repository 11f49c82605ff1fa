"""QuoteOrder explains, ListOrders pages: what a caller sees before and after booking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crossdock.v1 import core_pb2, order_service_pb2
from tests.integration.kit import State, booked, only, order, refusal
from tests.integration.world import World

pytestmark = pytest.mark.anyio
pb = order_service_pb2
Source = pb.Candidate.PriceSource
REFERENCES = [f"list-{n:02}" for n in range(7)]


@pytest.fixture(scope="module")
async def listed(world: World) -> list[core_pb2.Order]:
    """Seven booked orders of one tenant, the last three with zto."""
    caller = world.caller("birch")
    return [
        await booked(caller, reference, routing=only("sf" if n < 4 else "zto"))
        for n, reference in enumerate(REFERENCES)
    ]


async def test_a_quote_asks_carriers_for_live_prices(world: World) -> None:
    """With live prices every candidate that quotes comes with a price, its source and a transit time."""
    request = pb.QuoteOrderRequest(order=order("quote-live"), live_prices=True)

    answer = await world.caller().QuoteOrder(request)

    assert [c.rank for c in answer.candidates] == [1, 2]
    assert {c.carrier for c in answer.candidates} == {"sf", "zto"}
    for candidate in answer.candidates:
        assert candidate.freight.minor_units > 0
        assert candidate.freight.currency_code == "CNY"
        assert candidate.price_source == Source.PRICE_SOURCE_CARRIER
        assert candidate.transit_duration.seconds > 0
        assert not candidate.exclusions
    prices = [c.freight.minor_units for c in answer.candidates]
    assert prices == sorted(prices)


async def test_a_quote_explains_who_is_excluded(world: World) -> None:
    """An excluded carrier stands last, without a rank, with every reason."""
    several = order(
        "quote-excluded",
        options=core_pb2.Options(signed_receipt=True, pickup=True),
        routing=core_pb2.Routing(excluded_carriers=["zto"]),
    )

    answer = await world.caller().QuoteOrder(pb.QuoteOrderRequest(order=several))

    sf, zto = answer.candidates
    assert (sf.carrier, sf.rank, list(sf.exclusions)) == ("sf", 1, [])
    assert (zto.carrier, zto.rank) == ("zto", 0)
    assert set(zto.exclusions) == {
        "among routing.excluded_carriers",
        "cannot be told option signed_receipt",
        "cannot be told option pickup",
    }


async def test_a_quote_stores_and_books_nothing(world: World) -> None:
    """After a quote neither the engine nor a carrier knows the order, and the address was understood."""
    caller = world.caller()
    before = {code: len(world.live_waybills(code)) for code in ("sf", "zto")}

    answer = await caller.QuoteOrder(pb.QuoteOrderRequest(order=order("quote-dry")))

    assert answer.recipient_address.city == "深圳市"
    assert {code: len(world.live_waybills(code)) for code in ("sf", "zto")} == before
    gone = await refusal(caller.GetOrder(pb.GetOrderRequest(reference="quote-dry")))
    assert gone.code == grpc.StatusCode.NOT_FOUND


async def test_a_quote_of_a_wrong_order_lists_its_violations(world: World) -> None:
    """A quote refuses what a creation would refuse."""
    status = await refusal(world.caller().QuoteOrder(pb.QuoteOrderRequest(order=core_pb2.Order(reference="q"))))

    assert status.reason == "ORDER_INVALID"
    assert status.violations.keys() == {"order.recipient", "order.parcels"}


async def test_pages_hold_every_order_once(world: World, listed: list[core_pb2.Order]) -> None:
    """Walking the pages gives all orders in the order of creation, none twice."""
    pages = await _pages(world, page_size=3, reference_prefix="list-")

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [o for page in pages for o in page] == listed


FILTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "carrier": ({"carriers": ["zto"]}, REFERENCES[4:]),
    "prefix": ({"reference_prefix": "list-00"}, REFERENCES[:1]),
    "state nobody is in": ({"states": [State.STATE_FAILED]}, []),
    "state all are in": ({"states": [State.STATE_BOOKED, State.STATE_FAILED]}, REFERENCES),
    "prefix with a wildcard": ({"reference_prefix": "list%"}, []),
}


@pytest.mark.parametrize("case", FILTERS)
async def test_a_filter_narrows_the_listing(world: World, listed: list[core_pb2.Order], case: str) -> None:
    """Each filter keeps the orders it names, with or without pages."""
    wanted, expected = FILTERS[case]

    pages = await _pages(world, page_size=2, **wanted)

    assert [o.reference for page in pages for o in page] == expected


async def test_times_narrow_the_listing(world: World, listed: list[core_pb2.Order]) -> None:
    """`created_after_time` is inclusive, `created_before_time` exclusive."""
    first, last = listed[2].create_time, listed[5].create_time

    pages = await _pages(world, page_size=50, created_after_time=first, created_before_time=last)

    assert [o.reference for page in pages for o in page] == REFERENCES[2:5]


async def test_a_page_size_of_zero_or_too_much_is_coerced(world: World, listed: list[core_pb2.Order]) -> None:
    """0 means 50 and a million means 500: both hold these few orders, on one page."""
    caller = world.caller("birch")

    sizes = [len((await caller.ListOrders(pb.ListOrdersRequest(page_size=n))).orders) for n in (0, 1_000_000)]

    assert sizes == [len(listed), len(listed)]


async def test_a_negative_page_size_is_refused(world: World) -> None:
    """A negative page size is INVALID_ARGUMENT under its own path."""
    status = await refusal(world.caller().ListOrders(pb.ListOrdersRequest(page_size=-1)))

    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert status.violations.keys() == {"page_size"}


async def test_a_time_outside_the_calendar_is_refused(world: World) -> None:
    """A filter's time that no calendar has is the caller's mistake."""
    request = pb.ListOrdersRequest(created_after_time=Timestamp(seconds=10**15))

    status = await refusal(world.caller().ListOrders(request))

    assert status.violations.keys() == {"created_after_time"}


@pytest.mark.parametrize("token", ["nonsense", "." * 49, "é" * 20])
async def test_an_invented_page_token_is_refused(world: World, token: str) -> None:
    """A token that was not given by the engine is PAGE_TOKEN_INVALID."""
    status = await refusal(world.caller().ListOrders(pb.ListOrdersRequest(page_token=token)))

    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_token_of_another_listing_is_refused(world: World, listed: list[core_pb2.Order]) -> None:
    """Filters must not change between pages."""
    caller = world.caller("birch")
    first = await caller.ListOrders(pb.ListOrdersRequest(page_size=2))

    changed = pb.ListOrdersRequest(page_size=2, page_token=first.next_page_token, carriers=["zto"])
    status = await refusal(caller.ListOrders(changed))

    assert status.reason == "PAGE_TOKEN_INVALID"


async def test_the_calendars_first_time_is_no_limit(world: World, listed: list[core_pb2.Order]) -> None:
    """The earliest and latest times there are include every order."""
    first, last = Timestamp(seconds=-62_135_596_800), Timestamp(seconds=253_402_300_799, nanos=999_999_999)

    pages = await _pages(world, created_after_time=first, created_before_time=last)

    assert [o.reference for page in pages for o in page] == REFERENCES


async def test_orders_of_the_future_are_an_empty_page(world: World, listed: list[core_pb2.Order]) -> None:
    """An empty listing is an answer, with no token."""
    tomorrow = Timestamp()
    tomorrow.FromDatetime(datetime.now(UTC) + timedelta(days=1))

    answer = await world.caller("birch").ListOrders(pb.ListOrdersRequest(created_after_time=tomorrow))

    assert (list(answer.orders), answer.next_page_token) == ([], "")


async def _pages(world: World, **wanted: Any) -> list[list[core_pb2.Order]]:
    """Every page of birch's listing, until the token is empty."""
    caller = world.caller("birch")
    pages: list[list[core_pb2.Order]] = []
    token = ""
    while not pages or token:
        answer = await caller.ListOrders(pb.ListOrdersRequest(page_token=token, **wanted))
        pages.append(list(answer.orders))
        token = answer.next_page_token
        assert len(pages) < 20
    return pages
