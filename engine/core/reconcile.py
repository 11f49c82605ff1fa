"""Takes up what is due: after a crash, after a pause between retries, after an outage.

One loop asks the store for due orders and starts a worker for each; the rows say what comes next. Orders of an
engine process that is gone are taken over by their lease epoch. A bounded number runs at a time, so that a start
after a long outage does not drown the carriers or the callers. An order in doubt that has to wait for its look-up gives
its place back, and an account's bookings take a part of the places only (`standing`): what one slow carrier left behind
does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from engine.clock import Clock
from engine.core.booker import Booker
from engine.core.policy.rate import GcraState
from engine.crash import crash_point
from engine.outbound.outbound import Outbound
from engine.store.port import Store, StoreError

PERIOD_S = 0.2
AT_ONCE = 256
RATES_KEY = "outbound.rates"


class KeptRates(msgspec.Struct, frozen=True):
    """The carriers' limits as they stood at `time`: account id -> operation -> position.

    failback: account id -> step of its way back; of those that get all their orders, none.
    """

    time: datetime
    rates: dict[str, dict[str, GcraState]]
    failback: dict[str, int] = {}


async def reconcile(store: Store, booker: Booker, clock: Clock, on_error: Callable[[Exception], None]) -> None:
    """Run until cancelled."""
    while True:
        room = AT_ONCE - booker.background_count
        if room > 0:
            try:
                claimed = await store.claim_due(clock.now(), epoch=booker.epoch, limit=room, skip=booker.active_ids())
                if claimed:
                    crash_point("lease_taken")
                for loaded in claimed:
                    booker.start(loaded, background=True)
            except StoreError as error:
                on_error(error)
        await clock.sleep(PERIOD_S)


async def housekeeping(
    purge: Callable[[], Awaitable[object]], clock: Clock, on_error: Callable[[Exception], None]
) -> None:
    """Drop expired keys and events once an hour, until cancelled."""
    while True:
        try:
            await purge()
        except StoreError as error:
            on_error(error)
        await clock.sleep(3600.0)


async def restore_rates(store: Store, outbound: Outbound, clock: Clock) -> None:
    """Go on with the carriers' limits where the last process stood: no double burst after a crash."""
    kept = await store.get_state(RATES_KEY)
    if kept is None:
        return
    saved = msgspec.msgpack.decode(kept, type=KeptRates)
    elapsed_s = max(0.0, (clock.now() - saved.time).total_seconds())
    outbound.restore_rates(saved.rates, elapsed_s=elapsed_s)
    outbound.restore_failback(saved.failback)
    outbound.spend_bursts()  # limits are saved once a second: what went out after the last time is not known


async def keep_rates(store: Store, outbound: Outbound, clock: Clock, on_error: Callable[[Exception], None]) -> None:
    """Save the limits every second while they change, until cancelled."""
    last = b""
    while True:
        rates, failback = outbound.rate_states(), outbound.failback_steps()
        state = msgspec.msgpack.encode((rates, failback))
        if state != last:
            last = state
            try:
                await store.put_state(RATES_KEY, msgspec.msgpack.encode(KeptRates(clock.now(), rates, failback)))
            except StoreError as error:
                on_error(error)
        await clock.sleep(1.0)
