"""One way to ask a carrier: every ending is a value, so that callers decide by type and nothing slips past."""

from __future__ import annotations

from engine.core.policy.batching import NEVER
from engine.outbound import OutboundError, Priority
from engine.outbound.outbound import Outbound

BACKGROUND_DEADLINE_S = 30.0
"""How long a call may wait for its turn when nobody waits for its answer."""


async def ask(
    outbound: Outbound,
    account_id: str,
    operation: str,
    item: object,
    *,
    priority: Priority,
    tenant: str,
    deadline_s: float | None = None,
    start_within_s: float = BACKGROUND_DEADLINE_S,
    is_retry: bool = False,
) -> object:
    """The sdk's outcome for `item`, a CarrierError, or the OutboundError that says why there is none.

    start_within_s: how long it may wait for its turn. From then on the call has all the time that its operation may
    take: one that was cut because it had waited would look like a carrier that fails, and be a booking in doubt.
    deadline_s: instead, when somebody is answered by then with or without it, turn and call together. is_retry: see
    `Lane`.
    """
    try:
        answered = await outbound.call(
            account_id,
            operation,
            item,
            priority=priority,
            deadline_s=NEVER if deadline_s is None else deadline_s,
            tenant=tenant,
            start_within_s=start_within_s if deadline_s is None else None,
            is_retry=is_retry,
        )
    except OutboundError as error:
        # A value from here on. Its traceback would hold the caller's frame, which will hold the value.
        return error.with_traceback(None)
    return answered.value
