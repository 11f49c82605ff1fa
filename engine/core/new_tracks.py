"""How a track begins, whether its parcel was booked here or somebody asked about its number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import uuid_utils

from engine.core.policy import following, stalls
from engine.core.policy.stalls import StallRule
from engine.core.policy.track_records import TrackRecord


def new_track(
    tenant: str,
    carrier: str,
    account_id: str,
    number: str,
    *,
    phone_tail: str,
    now: datetime,
    stall_rules: Sequence[StallRule],
    can_be_asked: bool,
    order_id: str = "",
) -> TrackRecord:
    """A track with its first check and, at a carrier that can be asked, its first question.

    At once for a number that somebody wants to know of; what was just booked has not moved yet.
    """
    track = TrackRecord(
        track_id=str(uuid_utils.uuid7()),
        tenant=tenant,
        carrier=carrier,
        account_id=account_id,
        waybill_number=number,
        first_seen_time=now,
        order_id=order_id,
        phone_tail=phone_tail if phone_tail.isdigit() else "",
    )
    track = stalls.opened(track, stall_rules)
    return following.begin(track, now=now, asked_at_once=not order_id) if can_be_asked else track
