"""The tracks of what was booked here: they begin with the booking and end with its cancel, in the same commit.

So no crash can come between a booking and its following, and nothing has to be read to begin it: a number that was
just given by its carrier is new. When it is not (somebody asked about it first, or the booking was known before), the
store refuses the step as Stale, and it is made again after looking the number up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from crossdock_sdk import Carrier
from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus
from engine.clock import Clock
from engine.core.new_tracks import new_track
from engine.core.policy import following
from engine.core.policy.records import BookingRecord, EventKind, LoadedOrder, OrderRecord
from engine.core.policy.stalls import StallRule
from engine.core.policy.track_records import TrackRecord, TrackSource
from engine.core.policy.tracking import absorb
from engine.core.policy.transitions import Step
from engine.store.port import Store
from engine.store.track_port import TrackChange


class Beside(msgspec.Struct, frozen=True):
    """What a step of an order does to tracks: those that begin, and steps of those that exist."""

    opened: tuple[TrackRecord, ...] = ()
    tracks: tuple[TrackChange, ...] = ()


NOTHING = Beside()
VOID_CODE = "crossdock:cancelled"
ENGINE = TrackSource.ENGINE


class BookedTracks:
    """Says what belongs into the commit of a step."""

    def __init__(
        self, store: Store, carriers: Mapping[str, Carrier], clock: Clock, stall_rules: Sequence[StallRule]
    ) -> None:
        self._store = store
        self._carriers = carriers
        self._clock = clock
        self._stall_rules = stall_rules

    async def beside(self, rows: LoadedOrder, step: Step, *, again: bool) -> Beside:
        """The tracks of `step`, made from `rows`. `again`: the store has refused it once."""
        order = step.order
        if order.booking is None:
            return NOTHING
        kinds = {event.kind for event in step.events}
        if EventKind.ORDER_CANCELLED in kinds:
            return await self._voided(order, order.booking)
        grew = rows.order.booking is not None and _numbers(rows.order.booking) != _numbers(order.booking)
        if EventKind.ORDER_BOOKED not in kinds and not grew:
            return NOTHING
        if rows.order.booking is None and not again:
            return Beside(self._begun(order, order.booking, _numbers(order.booking)))
        return await self._looked_up(order, order.booking)

    async def _voided(self, order: OrderRecord, booking: BookingRecord) -> Beside:
        """The parcels of a cancelled booking are told as void, and nobody asks about them any more."""
        now, voided = self._clock.now(), []
        version = self._carriers[booking.carrier].mapping_version
        for number in _numbers(booking):
            known = await self._store.find_track(order.tenant, booking.carrier, number)
            if known is None or known.track.retired or known.track.order_id not in ("", order.order_id):
                continue
            step = absorb(known, [_void(order, booking, number, now)], source=ENGINE, now=now, mapping_version=version)
            track = following.ended(step.track if step else known.track)
            voided.append(
                TrackChange(
                    replace(
                        track,
                        # Of where the parcel is, the carrier was heard no more than before.
                        observed_time=known.track.observed_time,
                        source=known.track.source,
                        # Its open alerts are over too: the next check resolves and tells them.
                        next_check_time=now if track.alerts else None,
                    ),
                    step.events if step else (),
                    step.news if step else (),
                )
            )
        return Beside(tracks=tuple(voided))

    async def _looked_up(self, order: OrderRecord, booking: BookingRecord) -> Beside:
        unknown, tracks = [], []
        for number in _numbers(booking):
            known = await self._store.find_track(order.tenant, booking.carrier, number)
            if known is None or (known.track.retired and known.track.order_id != order.order_id):
                unknown.append(number)
            elif not known.track.order_id:
                # Somebody asked by number before it was booked for us to know: that track is the order's.
                tail = known.track.phone_tail or _phone_tail(order)
                # It is asked and pushed about through the account that booked it, whichever was guessed before.
                owned = replace(known.track, order_id=order.order_id, phone_tail=tail, account_id=booking.account_id)
                tracks.append(TrackChange(owned))
        return Beside(self._begun(order, booking, unknown), tuple(tracks))

    def _begun(self, order: OrderRecord, booking: BookingRecord, numbers: Sequence[str]) -> tuple[TrackRecord, ...]:
        now, tail = self._clock.now(), _phone_tail(order)
        can_be_asked = "track" in self._carriers[booking.carrier].manifest.operations
        return tuple(
            [
                new_track(
                    order.tenant,
                    booking.carrier,
                    booking.account_id,
                    number,
                    phone_tail=tail,
                    now=now,
                    stall_rules=self._stall_rules,
                    can_be_asked=can_be_asked,
                    order_id=order.order_id,
                )
                for number in numbers
            ]
        )


def _numbers(booking: BookingRecord) -> list[str]:
    """Every piece's, the first parcel's last: the newest track of an order is the one the order is asked by."""
    return list(dict.fromkeys((*booking.sub_waybill_numbers, booking.waybill_number)))


def _void(order: OrderRecord, booking: BookingRecord, number: str, now: datetime) -> TrackEvent:
    """The event of a cancel, whose code is ours. A scan of the parcel afterwards is stronger, as always."""
    how = "its carrier did so by itself" if order.failure else "its carrier agreed"
    if booking.voided_locally:
        how = "it was voided here, since its carrier has no cancel call"
    return TrackEvent(
        number, now, VOID_CODE, f"cancelled: {how}", TrackStatus.CANCELLED, Milestone.VOIDED, carrier_event_id=VOID_CODE
    )


def _phone_tail(order: OrderRecord) -> str:
    """Some carriers show a parcel only to those who know the recipient's phone."""
    tail = order.draft.recipient.contact.phone[-4:]
    return tail if tail.isdigit() else ""
