"""What may be sent back of an order, and the order that carries it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock_sdk import Address, Contact, Item, Options, Parcel, Party
from engine.core.policy.fields import FieldViolation
from engine.core.policy.records import OrderDraft, RoutingWish
from engine.core.policy.return_items import (
    check_window,
    resolve_items,
    return_draft,
    return_reference,
    return_references,
    returned_by,
)
from engine.core.policy.return_records import ReturnItem, ReturnReason, ReturnRecord, ReturnState, ReturnWish
from engine.core.policy.returns import GIVEN_BACK
from tests.fakes.rows import NOW, PARTY, RETURN_ID, a_return, draft

TEA = Item("红茶", 3, sku="TEA", weight_g=100)
CUP = Item("杯子", 1, weight_g=300)
BUYER = Party(Contact("周样例", "13800138000"), Address("CN", "四川省", "成都市", "武侯区", street="天府大道200号"))
ORDER = draft(
    recipient=BUYER, parcels=(Parcel(500, items=(TEA,)), Parcel(400, items=(CUP, Item("红茶", 2, sku="TEA"))))
)


def wish(*items: ReturnItem, **fields: Any) -> ReturnWish:
    """A wish for these items."""
    return ReturnWish("o1", ReturnReason.DAMAGED, items, **fields)


def other(*items: ReturnItem, state: ReturnState = ReturnState.BOOKED) -> ReturnRecord:
    """Another return of the order."""
    return a_return(state, items=items)


def back(of: ReturnWish, *items: ReturnItem, forward: OrderDraft = ORDER, pickup: bool = False) -> OrderDraft:
    """The order of the way back."""
    return return_draft(a_return(wish=of, items=items), forward, "sf", NOW, pickup=pickup)


def test_no_items_mean_everything_that_is_left() -> None:
    """Pieces of one sku in several parcels are one item."""
    items, found = resolve_items(wish(), ORDER, [other(ReturnItem("TEA", "", 1))])

    assert items == (ReturnItem("TEA", "红茶", 4), ReturnItem("", "杯子", 1))
    assert not found


def test_items_are_named_by_sku_or_title() -> None:
    """In the order's own words afterwards; one who does not know which it is may write it as both."""
    one_way = (ReturnItem("TEA", "", 2), ReturnItem("", "杯子", 1))
    another = (ReturnItem("", "红茶", 2), ReturnItem("杯子", "杯子", 1))

    for named in (one_way, another):
        assert resolve_items(wish(*named), ORDER, []) == ((ReturnItem("TEA", "红茶", 2), ReturnItem("", "杯子", 1)), ())


@pytest.mark.parametrize(
    ("items", "field", "text"),
    [
        ((ReturnItem("", "咖啡", 1),), "items[0].sku", "is no item"),
        ((ReturnItem("TEA", "", 6),), "items[0].quantity", "6 pieces, 5 can"),
        ((ReturnItem("TEA", "", 3), ReturnItem("TEA", "", 3)), "items[1].quantity", "3 pieces, 2 can"),
    ],
)
def test_what_was_not_sent_cannot_come_back(items: tuple[ReturnItem, ...], field: str, text: str) -> None:
    """Each violation names the item and what is left."""
    _, found = resolve_items(wish(*items), ORDER, [])

    assert [v.field for v in found] == [field]
    assert text in found[0].description


def test_what_is_on_its_way_back_cannot_be_sent_back_again() -> None:
    """Until that return is given up; nothing left is said as such."""
    everything = (ReturnItem("TEA", "红茶", 5), ReturnItem("", "杯子", 1))

    _, found = resolve_items(wish(), ORDER, [other(*everything)])

    assert [(v.field, v.description) for v in found] == [("items", "nothing of the order is left to send back")]
    for state in GIVEN_BACK:
        assert resolve_items(wish(), ORDER, [other(*everything, state=state)]) == (everything, ())


@given(
    st.lists(st.tuples(st.sampled_from(["TEA", "杯子"]), st.integers(1, 6), st.sampled_from(ReturnState)), max_size=8)
)
def test_never_more_comes_back_than_was_sent(asked: list[tuple[str, int, ReturnState]]) -> None:
    """Over any sequence of wishes, whatever becomes of the returns they make."""
    held: list[ReturnRecord] = []
    for key, quantity, state in asked:
        item = ReturnItem(key if key == "TEA" else "", "" if key == "TEA" else key, quantity)
        items, found = resolve_items(wish(item), ORDER, held)
        if not found:
            held.append(other(*items, state=state))

    for key, sent in (("TEA", 5), ("杯子", 1)):
        kept = [i.quantity for r in held if r.state not in GIVEN_BACK for i in r.items if key in (i.sku, i.title)]
        assert sum(kept) <= sent


def test_the_way_back_leads_from_the_buyer_to_the_shop() -> None:
    """With the carrier that brought it first, its own reference, and a note for the warehouse."""
    made = back(wish(), ReturnItem("TEA", "红茶", 2))

    assert (made.shipper, made.recipient) == (BUYER, PARTY)
    assert made.routing == RoutingWish(preferred=("sf",))
    assert returned_by(made.reference) == RETURN_ID
    assert made.remark == "退货 A1"
    assert made.options == Options()
    assert made.parcels == (Parcel(200, items=(Item("红茶", 2, sku="TEA", weight_g=100),)),)


def test_a_courier_comes_in_the_wanted_window() -> None:
    """Only where the way back is booked with one."""
    later = NOW + timedelta(hours=2)
    asked = wish(pickup=True, pickup_start_time=NOW, pickup_end_time=later)

    assert back(asked, pickup=True).options == Options(pickup=True, pickup_start_time=NOW, pickup_end_time=later)
    assert back(asked).options == Options()


def test_a_window_that_ran_out_while_somebody_decided_is_left_out() -> None:
    """The courier is still wanted."""
    asked = wish(pickup=True, pickup_start_time=NOW - timedelta(days=2), pickup_end_time=NOW)

    assert back(asked, pickup=True).options == Options(pickup=True)


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (None, None, []),
        (NOW - timedelta(hours=1), None, []),
        (NOW, NOW + timedelta(seconds=1), []),
        (None, NOW, ["is over"]),
        (NOW - timedelta(hours=2), NOW - timedelta(hours=1), ["is over"]),
        (NOW + timedelta(hours=2), NOW + timedelta(hours=1), ["is not after pickup_start_time"]),
    ],
)
def test_a_window_ends_after_now_and_after_its_start(
    start: datetime | None, end: datetime | None, told: list[str]
) -> None:
    """In whatever half it is given."""
    asked = wish(pickup=True, pickup_start_time=start, pickup_end_time=end)

    assert [(v.field, v.description) for v in check_window(asked, NOW)] == [("pickup_end_time", text) for text in told]


@pytest.mark.parametrize(
    ("asked", "forward", "weight_g"),
    [
        (wish(weight_g=777), ORDER, 777),
        (wish(), ORDER, 100),
        (wish(), draft(parcels=(Parcel(450, items=(Item("红茶", sku="TEA"),)),)), 450),
    ],
)
def test_its_weight_is_the_callers_or_the_pieces_or_the_whole_orders(
    asked: ReturnWish, forward: OrderDraft, weight_g: int
) -> None:
    """Never too little."""
    assert back(asked, ReturnItem("TEA", "红茶", 1), forward=forward).weight_g == weight_g


def test_references_tell_returns_from_orders() -> None:
    """A merchant's own reference is no return."""
    assert returned_by(return_reference("r1")) == "r1"
    assert returned_by("SO-1") == ""


@pytest.mark.parametrize("return_id", [RETURN_ID, "01939b1e-0000-7000-8000-000000000012"])
def test_every_try_has_a_reference_of_its_own(return_id: str) -> None:
    """The first one's is that of ever; each tells its return, and is sought from the newest on."""
    record = a_return(return_id=return_id, items=(ReturnItem("TEA", "红茶", 1),), tries=3)

    sought = return_references(record)

    assert sought == tuple(return_reference(return_id, tries) for tries in (3, 2, 1))
    assert sought[-1] == f"RETURN-{return_id}"
    assert {returned_by(reference) for reference in sought} == {return_id}
    assert return_draft(record, ORDER, "sf", NOW, pickup=False).reference == sought[0]
    assert len(set(sought)) == 3


def test_violations_are_of_the_usual_shape() -> None:
    """Field, what is wrong, remedy."""
    _, found = resolve_items(wish(ReturnItem("", "咖啡", 1)), ORDER, [])

    assert found == (
        FieldViolation("items[0].sku", "is no item of the order", "use the sku or title of one of: TEA, 杯子"),
    )
