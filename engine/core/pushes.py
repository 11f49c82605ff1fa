"""Pushes about bookings: verified by the plug-in, matched to an attempt, committed, then acknowledged.

A push may be the only way an unknown outcome ends (a carrier without look-up by our reference). It names the
carrier's own order id; the carrier is asked for that order, and only its answer, which carries our reference,
settles the attempt. A push alone is never believed beyond its signature. One that ended a process again and again is
set aside unread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NoReturn, Protocol
from uuid import UUID

import uuid_utils
from msgspec.structs import replace

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
from engine.core.errors import PushNotGenuine
from engine.core.poison import MOST_ENDS, Poison, mark_of
from engine.core.policy.records import IN_DOUBT, AttemptState, Event, EventKind, LoadedOrder
from engine.core.policy.track_records import DeadLetter
from engine.core.tracks import Tracks
from engine.crash import crash_point
from engine.outbound import Priority
from engine.outbound.outbound import Outbound
from engine.store.port import Store, StoreError

REMEMBERED = 100_000
ENDED_PROCESSES = "EndedProcesses"
"""Cause of what was in hand when one process after another ended."""


class PushObserver(Protocol):
    """What metrics hear of pushes."""

    def push_received(self, carrier: str, outcome: str) -> None:
        """outcome: ACCEPTED, REFUSED, UNDECIDED (comes again) or SET_ASIDE (see dead letters)."""


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
        tracks: Tracks,
        poison: Poison,
    ) -> None:
        self._store = store
        self._booker = booker
        self._outbound = outbound
        self._carriers = carriers
        self._accounts = accounts
        self._clock = clock
        self._observer = observer
        self._tracks = tracks
        self._poison = poison
        # Waybills we know to be booked: their pushes need no question to the carrier.
        self._known: OrderedDict[str, None] = OrderedDict()
        store.on_commit(self._remember)

    async def handle(self, account_id: str, request: PushRequest) -> HttpResponse:
        """Verify, apply, acknowledge. Raises UnknownPushAccount, PushRefused, PushUndecided."""
        account = self._accounts.get(account_id)
        carrier = self._carriers.get(account.carrier) if account else None
        if account is None or carrier is None or "push" not in carrier.manifest.operations:
            raise UnknownPushAccount(account_id)
        mark = mark_of(account_id, request)
        ends = self._poison.ends(mark)
        if ends >= MOST_ENDS:
            await self._refuse_poison(account, request, mark)
        place = self._poison.take(mark)
        crash_point("push_in_hand")
        try:
            return await self._handle(account, carrier, request)
        finally:
            self._poison.put_down(place)
            if ends:
                await self._poison.clear(mark)

    async def _handle(self, account: Account, carrier: Carrier, request: PushRequest) -> HttpResponse:
        try:
            receipt = carrier.parse_push(account, self._clock.now(), request)
        except PushRefused:
            self._observer.push_received(account.carrier, "REFUSED")
            raise
        try:
            for news in receipt.bookings:
                await self._apply(account, news)
            if receipt.tracks:
                await self._tracks.ingest_push(account, receipt.tracks)
        except (PushUndecided, StoreError):
            self._observer.push_received(account.carrier, "UNDECIDED")
            raise  # unacknowledged, it comes again
        except Exception as error:  # a genuine push we cannot apply must neither be lost nor come for ever
            await self._set_aside(account.account_id, request, _cause(error))
            self._observer.push_received(account.carrier, "SET_ASIDE")
            return receipt.acknowledgement
        crash_point("push_committed")
        self._observer.push_received(account.carrier, "ACCEPTED")
        return receipt.acknowledgement

    async def _refuse_poison(self, account: Account, request: PushRequest, mark: bytes) -> NoReturn:
        """Keep a push that nobody may read any more, once. Not acknowledged: whether it is genuine is not known."""
        letter_id, ends = str(UUID(bytes=mark)), self._poison.ends(mark)
        if await self._store.get_dead_letter(letter_id) is None:
            await self._set_aside(account.account_id, request, ENDED_PROCESSES, letter_id=letter_id, attempts=ends)
        self._observer.push_received(account.carrier, "SET_ASIDE")
        raise PushUndecided(f"it was in hand when {ends} processes ended; see `crossdock pushes list`")

    async def passed_on(self, account_id: str, request: PushRequest) -> HttpResponse:
        """A push that came in at another door of the caller's. Raises PushNotGenuine."""
        try:
            return await self.handle(account_id, request)
        except PushRefused as error:
            raise PushNotGenuine(account_id, error.reason) from error
        except UnknownPushAccount as error:
            raise PushNotGenuine(account_id, "there is no such account that takes pushes") from error
        except PushUndecided:
            return HttpResponse(503)

    async def letters(self, *, after: str, limit: int) -> list[DeadLetter]:
        """Pushes that were set aside, by letter_id: oldest first, but for those that ended processes."""
        return await self._store.list_dead_letters(after=after, limit=limit)

    async def letter(self, letter_id: str) -> DeadLetter | None:
        """One of them."""
        return await self._store.get_dead_letter(letter_id)

    async def replay(self, letter: DeadLetter) -> str:
        """Try a push again that was set aside; returns the new cause, "" when it is applied and gone.

        The try is counted before it is made: a push that ends the process must not look as if nobody had tried.
        """
        request = PushRequest(headers=letter.headers, body=letter.body, path=letter.path, query=letter.query)
        account = self._accounts.get(letter.account_id)
        carrier = self._carriers.get(account.carrier) if account else None
        if account is None or carrier is None:
            return f"account {letter.account_id} is not configured any more"
        letter = replace(letter, attempts=letter.attempts + 1)
        await self._store.put_dead_letter(letter)
        try:
            receipt = carrier.parse_push(account, letter.received_time, request)
            for news in receipt.bookings:
                await self._apply(account, news)
            await self._tracks.ingest_push(account, receipt.tracks)
        except Exception as error:  # stays set aside, with what went wrong this time
            await self._store.put_dead_letter(replace(letter, cause=_cause(error)))
            return _cause(error)
        await self._store.delete_dead_letter(letter.letter_id)
        await self._poison.clear(mark_of(letter.account_id, request))
        return ""

    async def _set_aside(
        self, account_id: str, request: PushRequest, cause: str, *, letter_id: str = "", attempts: int = 1
    ) -> None:
        letter = DeadLetter(
            letter_id=letter_id or str(uuid_utils.uuid7()),
            account_id=account_id,
            received_time=self._clock.now(),
            cause=cause,
            attempts=attempts,
            headers=dict(request.headers),
            body=request.body,
            path=request.path,
            query=request.query,
        )
        await self._store.put_dead_letter(letter)

    async def _apply(self, account: Account, news: BookingNews) -> None:
        if news.state is BookingState.OTHER:
            return
        if news.state is BookingState.LIVE and news.waybill_number in self._known:
            return
        found = await self._found(account, news)
        if not isinstance(found, Booked | Refused):
            raise PushUndecided(f"{account.carrier} does not say yet what the push is about: {found!r}")
        if not found.reference:
            return  # booked by somebody else under the same account
        loaded = await self._store.get_order_by_attempt(account.account_id, found.reference)
        if loaded is not None and not _is_of_another(loaded, news):
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
        ours = [a for a in loaded.attempts if a.account_id == account.account_id and a.reference == found.reference]
        # A reference may serve again after an absence: what has booked comes first, for the push is about its booking
        # and can only end it; then an attempt in doubt; then one that was settled.
        booked = next((a for a in ours if a.state in (AttemptState.CONFIRMED, AttemptState.VOIDED)), None)
        if booked is not None and isinstance(found, Booked):
            return
        in_doubt = next((a for a in ours if a.state in IN_DOUBT), None)
        attempt = booked or in_doubt or next((a for a in ours if a.state is AttemptState.ABSENT), None)
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


def _is_of_another(loaded: LoadedOrder, news: BookingNews) -> bool:
    """Whether a cancellation is of another booking than the order has: one of several pieces, or an earlier one."""
    booking = loaded.order.booking
    if booking is None or news.state is not BookingState.CANCELLED:
        return False
    if news.waybill_number:
        return news.waybill_number != booking.waybill_number
    if news.carrier_order_id and booking.carrier_order_id:
        return news.carrier_order_id != booking.carrier_order_id
    # Named by a reference that served again after an absence, it may be of either booking: a live one is not given up.
    return sum(a.reference == news.reference for a in loaded.attempts) > 1


def _cause(error: Exception) -> str:
    """What went wrong, without what the push said."""
    return type(error).__name__


def _from_news(news: BookingNews) -> Booked | Refused:
    if news.state is BookingState.LIVE:
        return Booked(news.reference, news.waybill_number, carrier_order_id=news.carrier_order_id)
    return Refused(news.reference, news.carrier_code, news.carrier_message)
