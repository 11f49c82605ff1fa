"""Orders: create, quote, find, list, cancel. What a caller can ask of the booking half of the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import msgspec
import uuid_utils
from msgspec.structs import replace

from engine.clock import Clock
from engine.core.booker import Booker
from engine.core.commits import SAFETY_S
from engine.core.errors import (
    KeyReused,
    NoEligibleCarrier,
    OrderInvalid,
    OrderNotCancellable,
    OrderNotFound,
    Overloaded,
)
from engine.core.paging import page_of, read_token, write_token
from engine.core.policy import booking as policy
from engine.core.policy import cancelling, transitions
from engine.core.policy.brownout import Brownout, Level
from engine.core.policy.diversion import Choice, choose
from engine.core.policy.places import has_place
from engine.core.policy.records import (
    AT_REST,
    NOBODY,
    AttemptRecord,
    BackupPolicy,
    EventKind,
    LoadedOrder,
    OrderDraft,
    OrderRecord,
    OrderState,
)
from engine.core.policy.routing import Considered, blamed_field
from engine.core.policy.validation import check_order, window_violations
from engine.core.router import Router, eligible
from engine.crash import crash_point
from engine.store.port import Accepted, AcceptKind, Idempotency, OrderFilter, Store

OVERLOAD_RETRY_S = 1.0
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Created(msgspec.Struct, frozen=True):
    """The order as far as it got, and whether an earlier call created it."""

    order: LoadedOrder
    replayed: bool


class OrdersObserver(Protocol):
    """What metrics hear of callers."""

    def order_accepted(self, replayed: bool) -> None:
        """An order became durable, or a key was repeated."""

    def order_refused(self, reason: str) -> None:
        """A creation was refused before anything was stored."""

    def diverted(self, from_carrier: str, to_carrier: str, reason: str) -> None:
        """Something stood in the first candidate's way, so another one is asked."""


class Orders:
    """The use cases of OrderService."""

    def __init__(
        self,
        *,
        store: Store,
        booker: Booker,
        router: Router,
        clock: Clock,
        observer: OrdersObserver,
        max_open: int,
        weights: Mapping[str, int] | None = None,
        brownout: Brownout | None = None,
    ) -> None:
        self._store = store
        self._booker = booker
        self._router = router
        self._clock = clock
        self._observer = observer
        self._max_open = max_open
        self._weights = weights or {}
        self._brownout = brownout or Brownout(enabled=False)

    async def create(
        self, tenant: str, draft: OrderDraft, *, request_id: str, deadline_s: float, from_warehouse: bool = False
    ) -> Created:
        """Accept durably, then book until `deadline_s` runs out. Raises the errors of `core.errors`.

        from_warehouse: the shipper was not sent but taken from the configuration, and is no part of the body.
        """
        normal, violations = check_order(draft)
        keys = Idempotency(request_id, body_hash(draft, from_warehouse=from_warehouse))
        if draft.options.pickup_end_time is not None:
            over = window_violations(draft.options, self._clock.now())
            # A repeat of what was ordered in time is answered whenever it comes.
            if over and (violations or not await self._store.is_taken(tenant, draft.reference, keys)):
                violations += over
        if violations:
            self._observer.order_refused("ORDER_INVALID")
            raise OrderInvalid(violations)
        # Calls are refused before they get here; what comes through a stream that was open already is not.
        open_now = self._booker.open_by_tenant
        has_room = has_place(tenant, open_now, most=self._max_open, weights=self._weights)
        if not has_room or self._brownout.level >= Level.BOOKINGS:
            self._observer.order_refused("ENGINE_OVERLOADED")
            raise Overloaded(OVERLOAD_RETRY_S)
        ends = self._clock.monotonic() + deadline_s
        considered = await self._router.candidates(normal, tenant=tenant, deadline_s=deadline_s / 3)
        candidates = eligible(considered)
        # A replay must be answered also when the configuration no longer serves it.
        if not candidates and not await self._store.is_taken(tenant, draft.reference, keys):
            self._observer.order_refused("NO_ELIGIBLE_CARRIER")
            raise NoEligibleCarrier(considered, blamed_field(normal, self._router.manifests))
        order, attempt, choice = self._new_order(tenant, normal, candidates, deadline_s)
        crash_point("order_validated")
        accepted = await self._accept(order, attempt, keys)
        if accepted.kind in (AcceptKind.REQUEST_ID_REUSED, AcceptKind.REFERENCE_REUSED):
            key = "request_id" if accepted.kind is AcceptKind.REQUEST_ID_REUSED else "order.reference"
            self._observer.order_refused("IDEMPOTENCY_KEY_REUSED")
            held = accepted.order.order
            raise KeyReused(key, "order", held.order_id, held.state)
        replayed = accepted.kind is AcceptKind.REPLAYED
        self._observer.order_accepted(replayed)
        crash_point("order_committed")
        left_s = max(0.0, ends - self._clock.monotonic())
        if not replayed:
            if choice is not None:
                self._chosen(candidates, choice)
            self._booker.start(accepted.order, fresh=attempt, others=choice.others if choice else 0, deadline_s=left_s)
        return Created(await self._as_far_as_it_gets(accepted.order, left_s), replayed)

    async def _accept(self, order: OrderRecord, attempt: AttemptRecord | None, keys: Idempotency) -> Accepted:
        """Make it durable, holding a place of the account's day meanwhile."""
        standings = self._booker.standings
        reason = attempt.cause if attempt else ""
        told = transitions.event(order, EventKind.ORDER_ACCEPTED, order.create_time, reason=reason)
        if attempt is None:
            return await self._store.accept(order, (), (told,), keys)
        with standings.reserved(attempt):
            accepted = await self._store.accept(order, (attempt,), (told,), keys)
        if accepted.kind is not AcceptKind.CREATED:
            standings.release(attempt)
        return accepted

    def _chosen(self, candidates: list[policy.Candidate], choice: Choice) -> None:
        self._router.assigned(candidates, choice.candidate.account_id)
        if choice.passed_over is not None:
            self._observer.diverted(choice.passed_over.carrier, choice.candidate.carrier, choice.why)

    async def quote(
        self, tenant: str, draft: OrderDraft, *, live: bool, deadline_s: float
    ) -> tuple[OrderDraft, list[Considered]]:
        """Every candidate with reasons. Books and stores nothing. Raises OrderInvalid, Overloaded."""
        normal, violations = check_order(draft)
        violations += window_violations(draft.options, self._clock.now())
        if violations:
            raise OrderInvalid(violations)
        if live:
            if self._brownout.level >= Level.EXPORTS:
                raise Overloaded(OVERLOAD_RETRY_S, "has too much to do to ask carriers for prices")
            return normal, await self._router.consider_live(normal, tenant=tenant, deadline_s=deadline_s)
        return normal, self._router.consider(normal)

    async def get(self, tenant: str, *, order_id: str = "", reference: str = "") -> LoadedOrder:
        """One order; an empty key is nobody's. Raises OrderNotFound."""
        loaded = None
        if order_id:
            loaded = await self._store.get_order(tenant, order_id)
        elif reference:
            loaded = await self._store.get_order_by_reference(tenant, reference)
        if loaded is None:
            raise OrderNotFound(order_id or reference, "reference" if reference else "id")
        return loaded

    async def page(
        self, tenant: str, order_filter: OrderFilter, *, page_size: int, page_token: str
    ) -> tuple[list[LoadedOrder], str]:
        """A page of orders and the token of the next. Raises PageTokenInvalid."""
        size = page_of(page_size)
        after = read_token(page_token, order_filter)
        orders = await self._store.list_orders(tenant, order_filter, after=after, limit=size + 1)
        more = len(orders) > size
        orders = orders[:size]
        return orders, write_token(orders[-1].order.order_id, order_filter) if more else ""

    async def cancel(self, tenant: str, order_id: str, *, deadline_s: float) -> LoadedOrder:
        """Ask for a cancel and wait for it. Raises OrderNotFound, OrderNotCancellable."""
        loaded = await self.get(tenant, order_id=order_id)
        if loaded.order.state is OrderState.CANCELLED:
            return loaded
        # A review that nobody can end by looking leaves nothing to cancel: its failure says what to do.
        stuck = loaded.order.state is OrderState.NEEDS_REVIEW and loaded.order.due_time is None
        if loaded.order.state is OrderState.FAILED or stuck:
            raise OrderNotCancellable(loaded.order)
        now = self._clock.now()
        loaded = await self._booker.commits.apply(loaded, lambda rows: cancelling.requested(rows, now))
        ends = self._clock.monotonic() + deadline_s
        while (left_s := ends - self._clock.monotonic()) > 0:
            self._booker.start(loaded, deadline_s=left_s)
            settled = await self._booker.settled(order_id, left_s)
            loaded = await self.get(tenant, order_id=order_id)
            if settled is None or loaded.order.state in AT_REST or not loaded.order.cancel_requested:
                break
            due = loaded.order.due_time
            pause_s = (due - self._clock.now()).total_seconds() if due else 0.0
            if pause_s > 0:
                await self._clock.sleep(min(pause_s, max(0.0, ends - self._clock.monotonic())))
        if not loaded.order.cancel_requested:
            raise OrderNotCancellable(loaded.order)
        return loaded

    async def _as_far_as_it_gets(self, loaded: LoadedOrder, timeout_s: float) -> LoadedOrder:
        if loaded.order.state in AT_REST:
            return loaded
        settled = await self._booker.settled(loaded.order.order_id, timeout_s)
        if settled is not None:
            return settled
        newest = await self._store.get_order(loaded.order.tenant, loaded.order.order_id)
        return newest or loaded

    def _new_order(
        self, tenant: str, draft: OrderDraft, candidates: list[policy.Candidate], deadline_s: float
    ) -> tuple[OrderRecord, AttemptRecord | None, Choice | None]:
        now = self._clock.now()
        order_id = str(uuid_utils.uuid7())
        if draft.routing.backup is BackupPolicy.NEVER:
            candidates = candidates[:1]  # waiting for the first is what was asked for
        choice = choose(candidates, self._booker.standings.of(order_id, tenant, len(candidates), deadline_s))
        order = OrderRecord(
            order_id=order_id,
            tenant=tenant,
            draft=draft,
            state=OrderState.BOOKING if choice else OrderState.ACCEPTED,
            create_time=now,
            update_time=now,
            due_time=now + timedelta(seconds=SAFETY_S) if choice else now,
            lease_epoch=self._booker.epoch,
        )
        if choice is None:
            return order, None, None
        return order, policy.new_attempt(order, (), choice, self._router.facts, now), choice


def body_hash(draft: OrderDraft, *, from_warehouse: bool = False) -> bytes:
    """A digest of what the caller sent, the same for the same body in any process and under any configuration."""
    if from_warehouse:
        draft = replace(draft, shipper=NOBODY)
    return hashlib.blake2b(_encode(draft), digest_size=16).digest()
