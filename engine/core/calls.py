"""One way to ask a carrier: every ending is a value, so that callers decide by type and nothing slips past."""

from __future__ import annotations

from engine.outbound import OutboundError, Priority
from engine.outbound.outbound import Outbound

BACKGROUND_DEADLINE_S = 30.0
"""Time a call may take, queue included, when nobody waits for it."""


async def ask(
    outbound: Outbound,
    account_id: str,
    operation: str,
    item: object,
    *,
    priority: Priority,
    tenant: str,
    deadline_s: float = BACKGROUND_DEADLINE_S,
    start_within_s: float | None = None,
    is_retry: bool = False,
) -> object:
    """The sdk's outcome for `item`, a CarrierError, or the OutboundError that says why there is none.

    start_within_s: how long it may wait for its turn; the call itself has its whole time. is_retry: see `Lane`.
    """
    try:
        answered = await outbound.call(
            account_id,
            operation,
            item,
            priority=priority,
            deadline_s=deadline_s,
            tenant=tenant,
            start_within_s=start_within_s,
            is_retry=is_retry,
        )
    except OutboundError as error:
        # A value from here on. Its traceback would hold the caller's frame, which will hold the value.
        return error.with_traceback(None)
    return answered.value
