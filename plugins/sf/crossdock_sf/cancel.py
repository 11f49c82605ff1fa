"""Cancelling: `EXP_RECE_UPDATE_ORDER` with dealType 2 (sheet 4.6), until the courier has collected.

dealType defaults to 1, which confirms the order: it is always written out (trap 8).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crossdock_sdk import (
    CallContext,
    Cancellation,
    Cancelled,
    CancelOutcome,
    CarrierError,
    ErrorClass,
    Flow,
    SideEffect,
)
from crossdock_sf import codes, wire

SERVICE_CODE = "EXP_RECE_UPDATE_ORDER"
CANCEL = 2
DONE = "2"
MISMATCH = "1"


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    order_id: str | None = None
    res_status: int | str | None = None


def cancel(ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[CancelOutcome]]:
    """Void orders by our reference; "already cancelled" (8037) is success.

    8019, 8252 and 8253 leave open whether the order is live: PERMANENT with side effect UNKNOWN.
    """
    return (yield from wire.one_by_one(cancellations, lambda index, item: _cancel_one(ctx, index, item)))


def cancel_body(reference: str) -> dict[str, object]:
    """The business object of a cancel; `waybillNoInfoList` is wanted for a confirm only."""
    return {"orderId": reference, "dealType": CANCEL}


def _cancel_one(ctx: CallContext, index: int, item: Cancellation) -> Flow[Cancelled]:
    try:
        data = yield from wire.call(ctx, SERVICE_CODE, cancel_body(item.reference), index=index)
    except CarrierError as error:
        if error.code == codes.ALREADY_CANCELLED and error.error_class is ErrorClass.PERMANENT:
            return Cancelled(item.reference)
        raise
    return _read(item.reference, data)


def _read(reference: str, data: bytes) -> Cancelled:
    answer = wire.read(data, _Answer)
    if answer.order_id != reference:
        raise wire.contradiction("SF answered a cancel of another order")
    status = str(answer.res_status)
    if status == DONE:
        return Cancelled(reference)
    if status == MISMATCH:
        raise CarrierError(
            ErrorClass.INVALID_REQUEST,
            code="resStatus 1",
            message="order and waybill do not match",
            field="reference",
            side_effect=SideEffect.NONE,
        )
    raise wire.contradiction("SF did not say whether the order is cancelled", f"resStatus {status}")
