"""Returns: ask, judge, decide by hand, receive, give up. What a caller can ask of the way back.

What is approved is carried on by `core.returning`; every call here commits its own step first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec
import uuid_utils

from crossdock_sdk.tracking import TrackStatus
from engine.clock import Clock
from engine.core.errors import KeyReused, OrderNotBooked, ReturnInvalid, ReturnNotFound, ReturnStateWrong
from engine.core.orders import Orders
from engine.core.paging import page_of, read_token, write_token
from engine.core.policy import returns as policy
from engine.core.policy.records import LoadedOrder, OrderDraft, OrderState
from engine.core.policy.return_items import check_window, resolve_items, returned_by
from engine.core.policy.return_records import (
    Decision,
    ReturnReason,
    ReturnRecord,
    ReturnState,
    ReturnStep,
    ReturnWish,
    Verdict,
)
from engine.core.policy.returns import Action, Facts, Ruling
from engine.core.returning import DAY_S, Returning
from engine.store.port import Stale, Store
from engine.store.return_port import OpenedReturn, ReturnFilter, ReturnKey

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_DONE_TO_IT = {
    Action.APPROVE: "approved",
    Action.REJECT: "rejected",
    Action.RECEIVE: "received",
    Action.CANCEL: "cancelled",
}


class ReturnRules(Protocol):
    """Judges a return by the configured rules."""

    def judge(self, draft: OrderDraft, record: ReturnRecord, facts: Facts) -> Ruling:
        """What the first rule that applies says; REVIEW where none does, and where one fails."""


class NoReturnRules:
    """No rule is configured: a person decides."""

    def judge(self, draft: OrderDraft, record: ReturnRecord, facts: Facts) -> Ruling:
        """REVIEW."""
        return Ruling(Verdict.REVIEW, "", "no rule is configured")


class ReturnsObserver(Protocol):
    """What metrics hear of returns. Called after the commit."""

    def return_requested(self, reason: ReturnReason, verdict: Verdict) -> None:
        """A return was asked for, and judged."""

    def refund_due(self, reason: ReturnReason) -> None:
        """A return was received."""


class CreatedReturn(msgspec.Struct, frozen=True):
    """The return as far as it got, and whether an earlier call created it."""

    record: ReturnRecord
    replayed: bool


class Returns:
    """The use cases of ReturnService."""

    def __init__(
        self,
        *,
        store: Store,
        orders: Orders,
        returning: Returning,
        rules: ReturnRules,
        clock: Clock,
        observer: ReturnsObserver,
    ) -> None:
        self._store = store
        self._orders = orders
        self._returning = returning
        self._rules = rules
        self._clock = clock
        self._observer = observer

    async def create(self, tenant: str, wish: ReturnWish, *, request_id: str, deadline_s: float) -> CreatedReturn:
        """Ask for a return and judge it; one that is approved is booked until `deadline_s` runs out.

        Raises OrderNotFound, OrderNotBooked, ReturnInvalid, KeyReused.
        """
        ends = self._clock.monotonic() + deadline_s
        key = ReturnKey(request_id, hashlib.blake2b(_encode(wish), digest_size=16).digest())
        # First, since a repeat is answered also when nothing is left to send back.
        opened = await self._store.return_by_key(tenant, key)
        if opened is None:
            opened = await self._open(tenant, wish, key)
            if not opened.replayed and not opened.key_reused:
                self._observer.return_requested(wish.reason, opened.record.decision.verdict)
        if opened.key_reused:
            raise KeyReused("request_id", "return", opened.record.return_id, opened.record.state)
        left_s = max(0.0, ends - self._clock.monotonic())
        return CreatedReturn(await self._carried_on(opened.record, left_s), opened.replayed)

    async def get(self, tenant: str, return_id: str) -> ReturnRecord:
        """One return. Raises ReturnNotFound."""
        record = await self._store.get_return(tenant, return_id)
        if record is None:
            raise ReturnNotFound(return_id)
        return record

    async def page(
        self, tenant: str, return_filter: ReturnFilter, *, page_size: int, page_token: str
    ) -> tuple[list[ReturnRecord], str]:
        """A page of returns and the token of the next. Raises PageTokenInvalid."""
        size = page_of(page_size)
        after = read_token(page_token, return_filter)
        found = await self._store.list_returns(tenant, return_filter, after=after, limit=size + 1, whole=True)
        more, found = len(found) > size, found[:size]
        return found, write_token(found[-1].return_id, return_filter) if more else ""

    async def approve(self, tenant: str, return_id: str, explanation: str, *, deadline_s: float) -> ReturnRecord:
        """A person approves it, or has it booked once more. Raises ReturnNotFound, ReturnStateWrong."""
        now = self._clock.now()
        record, _ = await self._act(
            tenant, return_id, Action.APPROVE, lambda record: policy.approved(record, explanation, now)
        )
        return await self._carried_on(record, deadline_s)

    async def reject(self, tenant: str, return_id: str, explanation: str) -> ReturnRecord:
        """A person refuses it. Raises ReturnNotFound, ReturnStateWrong."""
        now = self._clock.now()
        record, _ = await self._act(
            tenant, return_id, Action.REJECT, lambda record: policy.rejected(record, explanation, now)
        )
        return record

    async def confirm_received(self, tenant: str, return_id: str, remark: str) -> ReturnRecord:
        """The warehouse has the goods; the refund is due, once. Raises ReturnNotFound, ReturnStateWrong."""
        now = self._clock.now()
        record, done = await self._act(
            tenant, return_id, Action.RECEIVE, lambda record: policy.received(record, remark, now)
        )
        if done:
            self._observer.refund_due(record.wish.reason)
        return record

    async def cancel(self, tenant: str, return_id: str, *, deadline_s: float) -> ReturnRecord:
        """Give it up before it is handed over. Raises ReturnNotFound, ReturnStateWrong."""
        now = self._clock.now()
        record, _ = await self._act(tenant, return_id, Action.CANCEL, lambda record: policy.cancelled(record, now))
        return await self._carried_on(record, deadline_s)

    async def _open(self, tenant: str, wish: ReturnWish, key: ReturnKey) -> OpenedReturn:
        forward = await self._orders.get(tenant, order_id=wish.order_id)
        if forward.order.state is not OrderState.BOOKED or returned_by(forward.order.draft.reference):
            raise OrderNotBooked(forward.order, "returns")
        while True:
            others = await self._store.returns_of_order(tenant, wish.order_id)
            step = await self._judged(wish, forward, others)
            with suppress(Stale):  # another return came in between: it may hold what this one wants
                return await self._store.open_return(step.record, step.events, key, others=len(others))

    async def _judged(self, wish: ReturnWish, forward: LoadedOrder, others: list[ReturnRecord]) -> ReturnStep:
        order, now = forward.order, self._clock.now()
        items, violations = resolve_items(wish, order.draft, others)
        violations += check_window(wish, now)
        if violations:
            raise ReturnInvalid(violations)
        record = ReturnRecord(
            return_id=str(uuid_utils.uuid7()),
            tenant=order.tenant,
            wish=wish,
            items=items,
            order_reference=order.draft.reference,
            state=ReturnState.UNDER_REVIEW,
            decision=Decision(Verdict.REVIEW),
            create_time=now,
            update_time=now,
        )
        facts = Facts(await self._days_since_delivery(order.tenant, order.order_id))
        return policy.requested(record, self._rules.judge(order.draft, record, facts), now)

    async def _days_since_delivery(self, tenant: str, order_id: str) -> float | None:
        track = await self._store.track_of_order(tenant, order_id)
        if track is None or track.track.status is not TrackStatus.DELIVERED or track.track.status_time is None:
            return None
        return (self._clock.now() - track.track.status_time).total_seconds() / DAY_S

    async def _act(
        self, tenant: str, return_id: str, action: Action, make: Callable[[ReturnRecord], ReturnStep | None]
    ) -> tuple[ReturnRecord, bool]:
        """The return after the action, and whether this call did it."""
        while True:
            record = await self.get(tenant, return_id)
            if record.state in policy.DONE[action]:
                return record, False
            step = make(record)
            if step is None:
                raise ReturnStateWrong(record, _DONE_TO_IT[action], sorted(policy.NEXT[action]))
            with suppress(Stale):
                return await self._store.commit_return(step), True

    async def _carried_on(self, record: ReturnRecord, deadline_s: float) -> ReturnRecord:
        if record.due_time is None:
            return record
        advancing = self._returning.begin(record.tenant, record.return_id, deadline_s=deadline_s)
        return await asyncio.shield(advancing) or record
