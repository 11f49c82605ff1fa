"""Pushes about bookings: verified by the plug-in, matched to an attempt, committed, then acknowledged.

A push may be the only way an unknown outcome ends (a carrier without look-up by our reference). It names the
carrier's own order id; the carrier is asked for that order, and only its answer, which carries our reference,
settles the attempt. A push alone is never believed beyond its signature.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

from crossdock_sdk import (
    Account,
    Booked,
    BookingNews,
    BookingState,
    Carrier,
    HttpResponse,
    PushRefused,
    PushRequest,
    Refused,
)
from engine.clock import Clock
from engine.core.booker import Booker
from engine.core.calls import ask
from engine.core.policy.records import Event, EventKind, LoadedOrder
from engine.core.policy.transitions import UNSETTLED
from engine.outbound import Priority
from engine.outbound.outbound import Outbound
from engine.store.port import Store

REMEMBERED = 100_000


class PushObserver(Protocol):
    """What metrics hear of pushes."""

    def push_received(self, carrier: str, outcome: str) -> None:
        """outcome: ACCEPTED, REFUSED or FAILED."""


class UnknownPushAccount(Exception):
    """The URL names no account of ours, or one whose carrier sends no pushes."""


class PushUndecided(Exception):
    """The push is genuine but cannot be applied yet; unacknowledged, the carrier sends it again."""


class Pushes:
    """Takes carriers' pushes. `handle` returns the acknowledgement, after the commit."""

    def __init__(
        self,
        *,
        store: Store,
        booker: Booker,
        outbound: Outbound,
        carriers: Mapping[str, Carrier],
        accounts: Mapping[str, Account],
        clock: Clock,
        observer: PushObserver,
    ) -> None:
        self._store = store
        self._booker = booker
        self._outbound = outbound
        self._carriers = carriers
        self._accounts = accounts
        self._clock = clock
        self._observer = observer
        # Waybills we know to be booked: their pushes need no question to the carrier.
        self._known: OrderedDict[str, None] = OrderedDict()
        store.on_commit(self._remember)

    async def handle(self, account_id: str, request: PushRequest) -> HttpResponse:
        """Verify, apply, acknowledge. Raises UnknownPushAccount, PushRefused, PushUndecided."""
        account = self._accounts.get(account_id)
        carrier = self._carriers.get(account.carrier) if account else None
        if account is None or carrier is None or "push" not in carrier.manifest.operations:
            raise UnknownPushAccount(account_id)
        try:
            receipt = carrier.parse_push(account, self._clock.now(), request)
        except PushRefused:
            self._observer.push_received(account.carrier, "REFUSED")
            raise
        for news in receipt.bookings:
            await self._apply(account, news)
        self._observer.push_received(account.carrier, "ACCEPTED")
        return receipt.acknowledgement

    async def _apply(self, account: Account, news: BookingNews) -> None:
        if news.state is BookingState.OTHER or news.waybill_number in self._known:
            return
        found = await self._found(account, news)
        if not isinstance(found, Booked | Refused):
            raise PushUndecided(f"{account.carrier} does not say yet what the push is about: {found!r}")
        if not found.reference:
            return  # booked by somebody else under the same account
        loaded = await self._store.get_order_by_attempt(account.account_id, found.reference)
        if loaded is not None:
            await self._settle(account, loaded, found)

    async def _found(self, account: Account, news: BookingNews) -> object:
        """What the push proves, or what the carrier answers when asked about it."""
        if news.reference and (news.waybill_number or news.state is BookingState.CANCELLED):
            return _from_news(news)
        # News of a live booking without its number is no proof of one: the carrier is asked.
        known = news.carrier_order_id or news.waybill_number
        operation = "find_by_carrier_order" if known else "find"
        if operation not in self._carriers[account.carrier].manifest.operations:
            return None
        return await ask(
            self._outbound,
            account.account_id,
            operation,
            known or news.reference,
            priority=Priority.BOOK,
            tenant="",
        )

    async def _settle(self, account: Account, loaded: LoadedOrder, found: Booked | Refused) -> None:
        attempt = next(
            (
                a
                for a in loaded.attempts
                if a.account_id == account.account_id and a.reference == found.reference and a.state in UNSETTLED
            ),
            None,
        )
        if attempt is None:
            return
        settled = await self._booker.resolve(loaded, attempt, found)
        self._booker.start(settled)

    def _remember(self, events: object) -> None:
        for event in events if isinstance(events, tuple | list) else ():
            if isinstance(event, Event) and event.event.kind is EventKind.ORDER_BOOKED:
                self._known[event.event.waybill_number] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _from_news(news: BookingNews) -> Booked | Refused:
    if news.state is BookingState.LIVE:
        return Booked(news.reference, news.waybill_number, carrier_order_id=news.carrier_order_id)
    return Refused(news.reference, news.carrier_code, news.carrier_message)
