"""What may be sent back of an order, and the order that carries it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec.structs import replace

from crossdock_sdk import Item, Options, Parcel
from engine.core.policy.fields import FieldViolation
from engine.core.policy.records import OrderDraft, RoutingWish
from engine.core.policy.return_records import ReturnItem, ReturnRecord, ReturnWish
from engine.core.policy.returns import GIVEN_BACK
from engine.core.policy.validation import window_over

REFERENCE_PREFIX = "RETURN-"
"""Begins the reference of every order that carries a return; the return's id follows."""
TRY_MARK = "."
"""Comes before the number of a further try; no id holds it."""
LONGEST_REMARK = 200


def return_reference(return_id: str, tries: int = 1) -> str:
    """The reference of the order that carries a return, `tries` counting how often the way back was begun.

    Each try has its own: an order whose carrier brought the goods back is booked for ever and keeps its reference.
    """
    first = f"{REFERENCE_PREFIX}{return_id}"
    return first if tries == 1 else f"{first}{TRY_MARK}{tries}"


def return_references(record: ReturnRecord) -> tuple[str, ...]:
    """Under which the orders that carry a return were made, newest first.

    A try may have made none, and further tries of earlier versions were made under the first reference.
    """
    return tuple([return_reference(record.return_id, tries) for tries in range(record.tries, 0, -1)])


def returned_by(reference: str) -> str:
    """The id of the return that an order with this reference carries, "" when it carries none."""
    if not reference.startswith(REFERENCE_PREFIX):
        return ""
    return reference.removeprefix(REFERENCE_PREFIX).partition(TRY_MARK)[0]


def resolve_items(
    wish: ReturnWish, draft: OrderDraft, others: Iterable[ReturnRecord]
) -> tuple[tuple[ReturnItem, ...], tuple[FieldViolation, ...]]:
    """What comes back, in the order's own words, and everything that is wrong with the wish.

    others: the order's other returns; what they hold cannot be sent back twice.
    """
    left = _left(draft, others)
    if not wish.items:
        everything = tuple([ReturnItem(i.sku, i.title, i.quantity) for i in left.values() if i.quantity > 0])
        if everything:
            return everything, ()
        return (), (FieldViolation("items", "nothing of the order is left to send back", "see its other returns"),)
    items: list[ReturnItem] = []
    found: list[FieldViolation] = []
    for index, item in enumerate(wish.items):
        key = _key_of(item, left)
        has = left.get(key)
        if has is None:
            remedy = f"use the sku or title of one of: {', '.join(left) or 'none'}"
            found.append(FieldViolation(f"items[{index}].sku", "is no item of the order", remedy))
        elif item.quantity > has.quantity:
            text = f"{item.quantity} pieces, {max(has.quantity, 0)} can still be sent back"
            found.append(FieldViolation(f"items[{index}].quantity", text, "see the order and its other returns"))
        else:
            items.append(ReturnItem(has.sku, has.title, item.quantity))
            left[key] = replace(has, quantity=has.quantity - item.quantity)
    return tuple(items), tuple(found)


def _key_of(item: ReturnItem, left: Mapping[str, ReturnItem]) -> str:
    """By its sku, else by its title, whichever the order has."""
    if item.sku in left:
        return item.sku
    return next((key for key, has in left.items() if item.title and has.title == item.title), "")


def _left(draft: OrderDraft, others: Iterable[ReturnRecord]) -> dict[str, ReturnItem]:
    """Sku or title -> pieces that are with the buyer and on no way back."""
    left: dict[str, ReturnItem] = {}
    for item in (item for parcel in draft.parcels for item in parcel.items):
        key = item.sku or item.title
        before = left.get(key)
        left[key] = ReturnItem(item.sku, item.title, item.quantity + (before.quantity if before else 0))
    for other in others:
        if other.state in GIVEN_BACK:
            continue
        for taken in other.items:
            key = taken.sku or taken.title
            if key in left:
                left[key] = replace(left[key], quantity=left[key].quantity - taken.quantity)
    return left


def check_window(wish: ReturnWish, now: datetime) -> tuple[FieldViolation, ...]:
    """What is wrong with the window in which a courier is wanted."""
    start, end = wish.pickup_start_time, wish.pickup_end_time
    if start and end and end <= start:
        return (FieldViolation("pickup_end_time", "is not after pickup_start_time", "swap them"),)
    return window_over(end, now, "pickup_end_time")


def return_draft(record: ReturnRecord, forward: OrderDraft, carrier: str, now: datetime, *, pickup: bool) -> OrderDraft:
    """The order that carries it back: from the recipient to the shipper, with the carrier that brought it if it can.

    A window that ran out while somebody decided is left out: the courier comes when the carrier sends one.
    """
    sold: dict[str, Item] = {}
    for item in (item for parcel in forward.parcels for item in parcel.items):
        sold.setdefault(item.sku or item.title, item)
    items = tuple([replace(sold[i.sku or i.title], quantity=i.quantity) for i in record.items])
    wish = record.wish
    may_ask = pickup and not check_window(wish, now)
    window = (wish.pickup_start_time, wish.pickup_end_time) if may_ask else (None, None)
    return OrderDraft(
        reference=return_reference(record.return_id, record.tries),
        shipper=forward.recipient,
        recipient=forward.shipper,
        parcels=(Parcel(_weight_g(wish, items, forward), items=items),),
        options=Options(pickup=pickup, pickup_start_time=window[0], pickup_end_time=window[1]),
        routing=RoutingWish(preferred=(carrier,)),
        remark=f"退货 {forward.reference}"[:LONGEST_REMARK],
        tags=forward.tags,
    )


def _weight_g(wish: ReturnWish, items: tuple[Item, ...], forward: OrderDraft) -> int:
    if wish.weight_g:
        return wish.weight_g
    if items and all(item.weight_g for item in items):
        return sum(item.weight_g * item.quantity for item in items)
    # Unknown piece weights: the whole order's weight is never too little.
    return forward.weight_g
