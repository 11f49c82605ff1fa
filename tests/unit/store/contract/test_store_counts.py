"""Counting an account's attempts of a day, for every backend."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.core.policy.records import AttemptState
from engine.core.policy.tallies import COUNTED
from engine.store.port import Change
from engine.store.rules import first_id_of, to_us

pytestmark = pytest.mark.anyio


def id_of(made: Any, number: int) -> str:
    """An order id of that moment, as UUIDv7 has them."""
    return f"{first_id_of(to_us(made, 'made'))}-7000-8000-{number:012d}"


async def put(store: Any, make: Any, number: int, created_s: float, began_s: float, **fields: Any) -> None:
    """An order with one attempt, seconds after (before) the day began."""
    created, began = (make.now + timedelta(seconds=s) for s in (created_s, began_s))
    order_id = id_of(created, number)
    attempt = make.attempt(order_id, 1, start_time=began, reference=f"r{number}", **fields)
    order = make.order(order_id, create_time=created, update_time=began)
    await store.accept(order, [attempt], [], make.keys(f"k{number}"))


async def count(store: Any, make: Any, account_id: str = "sf-main", back_s: float = 86_400.0) -> int:
    """What the store counts since make.now."""
    since = make.now
    found = await store.count_attempts(
        account_id, COUNTED, since=since, created_after=since - timedelta(seconds=back_s)
    )
    return int(found)


@pytest.mark.parametrize(
    ("created_s", "began_s", "counted"),
    [
        (10.0, 10.0, 1),
        (7200.0, 7200.5, 1),
        (0.0, 0.0, 1),
        (-0.001, 0.0, 1),
        (-3600.0, 5.0, 1),
        (-3600.0, -3600.0, 0),
        (-0.001, -0.001, 0),
    ],
    ids=["soon", "later", "at the very start", "order before it", "old order, new attempt", "old", "just before"],
)
async def test_what_began_since_counts(store: Any, make: Any, created_s: float, began_s: float, counted: int) -> None:
    """To the microsecond, whenever its order was created."""
    await put(store, make, 1, created_s, began_s, account_id="sf-main", state=AttemptState.CONFIRMED)

    assert await count(store, make) == counted


@pytest.mark.parametrize("state", AttemptState)
async def test_only_attempts_that_are_or_may_be_bookings_count(store: Any, make: Any, state: AttemptState) -> None:
    """What is proved to be none does not, from old orders as from new ones."""
    await put(store, make, 1, 100.0, 100.0, account_id="sf-main", state=state)
    await put(store, make, 2, -100.0, 100.0, account_id="sf-main", state=state)

    assert await count(store, make) == (2 if state in COUNTED else 0)


async def test_other_accounts_do_not_count_and_all_tenants_do(store: Any, make: Any) -> None:
    """A cap is the account's, whoever orders."""
    await put(store, make, 1, 1.0, 1.0, account_id="sf-main", state=AttemptState.CONFIRMED)
    await put(store, make, 2, 1.0, 1.0, account_id="sf-other", state=AttemptState.CONFIRMED)
    order_id = id_of(make.now + timedelta(seconds=2), 3)
    theirs = make.attempt(
        order_id, 1, start_time=make.now, reference="r3", account_id="sf-main", state=AttemptState.INTENT
    )
    await store.accept(make.order(order_id, tenant="other"), [theirs], [], make.keys("k3"))

    assert (await count(store, make), await count(store, make, "sf-other")) == (2, 1)


async def test_a_changed_attempt_counts_as_it_is_now(store: Any, make: Any) -> None:
    """A refusal gives its place back."""
    created = make.now + timedelta(seconds=5)
    order_id = id_of(created, 1)
    intent = make.attempt(order_id, 1, start_time=created, account_id="sf-main", state=AttemptState.INTENT)
    accepted = await store.accept(make.order(order_id, create_time=created), [intent], [], make.keys("k1"))
    before = await count(store, make)
    refused = make.attempt(order_id, 1, start_time=created, account_id="sf-main", state=AttemptState.REJECTED)
    await store.commit(Change(accepted.order.order, (refused,)))

    assert (before, await count(store, make)) == (1, 0)
