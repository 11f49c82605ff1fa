"""Returns between the contract and the engine. Reading trusts that the contract's own rules have been checked."""

from __future__ import annotations

from crossdock.v1 import return_service_pb2
from engine.api.convert.orders import write_failure
from engine.api.convert.values import from_timestamp, to_timestamp
from engine.core.policy.return_records import ReturnItem, ReturnReason, ReturnRecord, ReturnState, ReturnWish, Verdict

pb = return_service_pb2

STATES: dict[ReturnState, pb.Return.State.ValueType] = {
    state: pb.Return.State.Value(f"STATE_{state}") for state in ReturnState
}
STATES_READ = {number: state for state, number in STATES.items()}
REASONS: dict[ReturnReason, pb.ReturnReason.ValueType] = {
    reason: pb.ReturnReason.Value(f"RETURN_REASON_{reason}") for reason in ReturnReason
}
REASONS_READ = {number: reason for reason, number in REASONS.items()}
VERDICTS: dict[Verdict, pb.ReturnDecision.Verdict.ValueType] = {
    verdict: pb.ReturnDecision.Verdict.Value(f"VERDICT_{verdict}") for verdict in Verdict
}


def read_wish(message: pb.Return) -> ReturnWish:
    """What the caller asks for; an empty window is none."""
    start, end = message.pickup_start_time, message.pickup_end_time
    return ReturnWish(
        order_id=message.order_id,
        reason=REASONS_READ[message.reason],
        items=tuple([ReturnItem(item.sku, item.title, item.quantity) for item in message.items]),
        opened=message.opened,
        note=message.note,
        weight_g=message.weight_g,
        pickup=message.pickup,
        pickup_start_time=from_timestamp(start) if message.HasField("pickup_start_time") else None,
        pickup_end_time=from_timestamp(end) if message.HasField("pickup_end_time") else None,
    )


def write_return(record: ReturnRecord) -> pb.Return:
    """The return as the contract shows it."""
    wish = record.wish
    message = pb.Return(
        return_id=record.return_id,
        order_id=wish.order_id,
        state=STATES[record.state],
        reason=REASONS[wish.reason],
        items=[pb.ReturnItem(sku=i.sku, title=i.title, quantity=i.quantity) for i in record.items],
        opened=wish.opened,
        note=wish.note,
        weight_g=wish.weight_g,
        pickup=wish.pickup,
        decision=_write_decision(record),
        return_order_id=record.return_order_id,
        carrier=record.carrier,
        waybill_number=record.waybill_number,
        pickup_booked=record.pickup_booked,
        remark=record.remark,
    )
    if record.failure is not None:
        write_failure(message.failure, record.failure)
    for field, time in (
        (message.pickup_start_time, wish.pickup_start_time),
        (message.pickup_end_time, wish.pickup_end_time),
        (message.create_time, record.create_time),
        (message.update_time, record.update_time),
        (message.expire_time, record.expire_time if record.state is ReturnState.BOOKED else None),
    ):
        if time is not None:
            to_timestamp(time, field)
    return message


def _write_decision(record: ReturnRecord) -> pb.ReturnDecision:
    decision = record.decision
    message = pb.ReturnDecision(
        verdict=VERDICTS[decision.verdict], rule=decision.rule, explanation=decision.explanation
    )
    if decision.time is not None:
        to_timestamp(decision.time, message.decide_time)
    return message
