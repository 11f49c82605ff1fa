"""Candidates of a quote, and events of a watch, as the contract shows them."""

from __future__ import annotations

from crossdock.v1 import order_service_pb2
from engine.api.convert.orders import STATES, write_money
from engine.api.convert.values import to_duration, to_timestamp
from engine.core.policy.records import EventKind, NewEvent
from engine.core.policy.routing import Considered

KINDS: dict[EventKind, order_service_pb2.OrderEvent.Kind.ValueType] = {
    kind: order_service_pb2.OrderEvent.Kind.Value(f"KIND_{kind}") for kind in EventKind
}
KINDS_READ = {number: kind for kind, number in KINDS.items()}
Source = order_service_pb2.Candidate.PriceSource


def write_candidate(considered: Considered) -> order_service_pb2.Candidate:
    """One account and product with what speaks for and against it."""
    candidate = considered.candidate
    message = order_service_pb2.Candidate(
        carrier=candidate.carrier,
        account_id=candidate.account_id,
        service=candidate.service,
        service_name=candidate.service_name,
        rank=considered.rank,
        freight=write_money(considered.freight),
        reasons=considered.reasons,
        exclusions=considered.exclusions,
    )
    if considered.freight is not None:
        message.price_source = Source.PRICE_SOURCE_CARRIER if considered.freight_is_live else Source.PRICE_SOURCE_TARIFF
    if considered.transit_s is not None:
        to_duration(considered.transit_s, message.transit_duration)
    return message


def write_event(event: NewEvent) -> order_service_pb2.OrderEvent:
    """What happened to an order."""
    message = order_service_pb2.OrderEvent(
        kind=KINDS[event.kind],
        order_id=event.order_id,
        reference=event.reference,
        state=STATES[event.state],
        carrier=event.carrier,
        waybill_number=event.waybill_number,
        reason=event.reason,
        return_id=event.return_id,
    )
    to_timestamp(event.time, message.event_time)
    return message
