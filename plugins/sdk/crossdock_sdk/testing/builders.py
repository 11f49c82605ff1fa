"""Believable shipments of made-up people, and everything else a flow is called with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from crossdock_sdk.carrier import Account, CallContext, Session
from crossdock_sdk.models import Address, Booking, Contact, Item, Lane, Money, Parcel, Party

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
"""09:30 on a Monday in Shanghai."""

NONCE = "0123456789abcdef0123456789abcdef"


class FakeClock:
    """A clock that stands still until it is told to go on. Call it for the aware UTC time."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def context(
    account: Account,
    now: datetime = NOW,
    *,
    nonce: str = NONCE,
    deadline_s: float = 15.0,
    session: Session | None = None,
) -> CallContext:
    """What the engine would pass to a call on this account."""
    return CallContext(account, now, nonce, deadline_s, session)


def party(name: str = "林样例", **address: str) -> Party:
    """A made-up sender in Shenzhen; keyword arguments change fields of the address."""
    where = Address(
        province="广东省",
        city="深圳市",
        district="南山区",
        street="样例一路8号样例大厦3楼",
        postal_code="518000",
    )
    who = Contact(name=name, phone="13900001111", company="样例商贸")
    return Party(who, msgspec.structs.replace(where, **address))


_RECIPIENT = Party(
    Contact(name="陈样例", phone="13900002222"),
    Address(
        province="四川省",
        city="成都市",
        district="武侯区",
        street="样例大道200号2栋601室",
        postal_code="610000",
    ),
)
_ITEM = Item("纯棉T恤", 2, "TS-01", Money("CNY", 5990), 400)
_PARCEL = Parcel(1_000, 300, 200, 100, (_ITEM,))


def lane(**changes: Any) -> Lane:
    """One parcel of a kilogram from Shenzhen to Chengdu; keyword arguments replace fields."""
    return msgspec.structs.replace(Lane(party(), _RECIPIENT, (_PARCEL,)), **changes)


def booking(reference: str = "CHECK-000001-1", **changes: Any) -> Booking:
    """A booking on that lane; keyword arguments replace fields of `Booking`."""
    plain = Booking(
        reference=reference,
        shipper=party(),
        recipient=_RECIPIENT,
        parcels=(_PARCEL,),
        service="1",
        order_reference="SO-2026-0001",
        remark="轻放",
    )
    return msgspec.structs.replace(plain, **changes)
