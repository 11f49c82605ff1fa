"""Questions about parcels, and the results of batches of them."""

from __future__ import annotations

from datetime import timedelta

import grpc

from crossdock.errors import ConfigurationError, CrossdockError, error_from_status, error_of
from crossdock.v1 import track_service_pb2 as pb

LONGEST_AGE_S = 315_576_000_000
"""What google.protobuf.Duration holds: 10,000 years."""

Tracked = pb.Track | CrossdockError
"""What is known of the parcel, or why nothing is; one bad item never fails the others."""


def track_request(
    *,
    carrier: str = "",
    waybill_number: str = "",
    phone_tail: str = "",
    order_id: str = "",
    max_age_s: float | None = None,
) -> pb.GetTrackRequest:
    """A question about one parcel, by carrier and number or by the order it was booked for.

    `max_age_s` is how old the answer may be: None takes what is known, 0 asks the carrier now, unless
    it was asked about the number less than its least interval ago.
    `phone_tail` are the last four digits of a phone on the label, for carriers that want them.
    Raises ConfigurationError.
    """
    if order_id and (carrier or waybill_number or phone_tail):
        raise ConfigurationError("order_id: names the parcel already; leave carrier, waybill_number and phone_tail out")
    if not order_id and not (carrier and waybill_number):
        raise ConfigurationError("carrier, waybill_number: give both, or order_id")
    if order_id:
        request = pb.GetTrackRequest(order_id=order_id)
    else:
        key = pb.TrackKey(carrier=carrier, waybill_number=waybill_number, phone_tail=phone_tail)
        request = pb.GetTrackRequest(key=key)
    if max_age_s is not None:
        if not 0 <= max_age_s <= LONGEST_AGE_S:  # false for NaN too
            raise ConfigurationError(f"max_age_s: {max_age_s} is no age; give seconds from 0, or None for any age")
        request.max_age.FromTimedelta(timedelta(seconds=max_age_s))
    return request


def tracked_of(result: pb.TrackResult) -> Tracked:
    """One item's result."""
    match result.WhichOneof("result"):
        case "track":
            return result.track
        case "status":
            return error_from_status(result.status)
    return error_of(grpc.StatusCode.INTERNAL, "the item has neither track nor status")
