"""What a booking asks of a carrier: book it, find it, cancel it; and what a refusal proves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Mapping

from crossdock_sdk import Booking, Cancellation, Carrier, CarrierError, ErrorClass, SideEffect
from engine.clock import Clock
from engine.core.calls import BACKGROUND_DEADLINE_S, ask
from engine.core.policy import booking as policy
from engine.core.policy.batching import NEVER
from engine.core.policy.diversion import share_of_deadline_s
from engine.core.policy.records import AttemptRecord, LoadedOrder
from engine.outbound import LaneRefused, NotConfigured, Priority, RefusalReason
from engine.outbound.outbound import Outbound

LOOK_UP_TURN_S = 1.0
"""How long a look-up waits for its turn when nobody waits for its order: meanwhile it holds a place that an order of
another carrier could have.
"""
MOST_LOOK_UPS = 64
"""Look-ups that nobody waits for, under way or waiting at one account: how long they take is not known beforehand."""


class CarrierCalls:
    """One call about an attempt at a time. Every ending is a value, see `calls.ask`."""

    def __init__(self, outbound: Outbound, carriers: Mapping[str, Carrier], clock: Clock) -> None:
        self._outbound = outbound
        self._carriers = carriers
        self._clock = clock
        self._look_ups: Counter[str] = Counter()  # those nobody waits for, by account

    def book(self, loaded: LoadedOrder, attempt: AttemptRecord, others: int, ends: float) -> Awaitable[object]:
        """Book it. `ends`: monotonic deadline of whoever waits. others: see `Steps.send`."""
        # The caller's deadline decides how long to wait for a turn, never when to stop listening: a booking cut
        # short is a booking in doubt.
        left_s, turn_s = ends - self._clock.monotonic(), BACKGROUND_DEADLINE_S
        if others and left_s > 0:
            turn_s = min(share_of_deadline_s(left_s, others), turn_s)
        return ask(
            self._outbound,
            attempt.account_id,
            "book",
            _booking(loaded, attempt),
            priority=Priority.BOOK,
            tenant=loaded.order.tenant,
            start_within_s=turn_s,
            is_retry=attempt.account_id in policy.asked(loaded.attempts),
        )

    async def find(self, loaded: LoadedOrder, attempt: AttemptRecord, *, is_awaited: bool) -> object:
        """Look for a booking under the attempt's reference. is_awaited: whether anybody waits for the order."""
        account_id, tenant = attempt.account_id, loaded.order.tenant
        if is_awaited:
            return await self._find(account_id, attempt.reference, tenant, BACKGROUND_DEADLINE_S)
        if self._look_ups[account_id] >= MOST_LOOK_UPS:
            return LaneRefused(RefusalReason.QUEUE_FULL, NEVER, lane=account_id)
        try:
            wait_s = self._outbound.wait_s(account_id, "find", priority=Priority.BOOK, tenant=tenant)
        except NotConfigured as error:
            return error.with_traceback(None)
        if LOOK_UP_TURN_S < wait_s < NEVER:  # the lane says best itself why it takes nothing at all
            return LaneRefused(RefusalReason.QUEUE_FULL, wait_s, lane=account_id)
        self._look_ups[account_id] += 1
        try:
            return await self._find(account_id, attempt.reference, tenant, LOOK_UP_TURN_S)
        finally:
            self._look_ups[account_id] -= 1

    def _find(self, account_id: str, reference: str, tenant: str, turn_s: float) -> Awaitable[object]:
        return ask(
            self._outbound,
            account_id,
            "find",
            reference,
            priority=Priority.BOOK,
            tenant=tenant,
            start_within_s=turn_s,
        )

    async def cancel(self, loaded: LoadedOrder, attempt: AttemptRecord) -> object:
        """Void the confirmed booking; PERMANENT where the carrier has no call for it."""
        booking = loaded.order.booking
        assert booking is not None, "only a confirmed attempt is voided"
        carrier = self._carriers.get(attempt.carrier)  # none: its plug-in is gone, which the call will say
        if carrier is not None and "cancel" not in carrier.manifest.operations:
            return CarrierError(ErrorClass.PERMANENT, message="it offers no cancel call")
        item = Cancellation(
            reference=attempt.reference,
            waybill_number=booking.waybill_number,
            carrier_order_id=booking.carrier_order_id,
            sub_waybill_numbers=booking.sub_waybill_numbers,
        )
        return await ask(
            self._outbound,
            attempt.account_id,
            "cancel",
            item,
            priority=Priority.CANCEL,
            tenant=loaded.order.tenant,
        )


def is_refusal(error: CarrierError) -> bool:
    """Whether it proves that nothing was booked. DUPLICATE says that our own reference already is."""
    return error.side_effect is SideEffect.NONE and error.error_class is not ErrorClass.DUPLICATE


def is_final(error: CarrierError) -> bool:
    """Whether a refused cancel stays refused."""
    return error.side_effect is SideEffect.NONE and error.error_class not in policy.COMES_BACK


def _booking(loaded: LoadedOrder, attempt: AttemptRecord) -> Booking:
    draft = loaded.order.draft
    return Booking(
        reference=attempt.reference,
        shipper=draft.shipper,
        recipient=draft.recipient,
        parcels=draft.parcels,
        service=attempt.service,
        options=draft.options,
        order_reference=draft.reference,
        remark=draft.remark,
    )
