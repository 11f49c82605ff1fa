"""cancelPreOrder (取消订单, carrier sheet section 4.5): pick-up orders only.

A full-network number has no cancel call; ZTO recycles it when it sees no scan for 30 to 60 days.
Such a cancellation succeeds without a request, marked `local_only`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crossdock_sdk import (
    Account,
    CallContext,
    Cancellation,
    Cancelled,
    CancelOutcome,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    Refused,
)
from crossdock_zto import lookup, terms
from crossdock_zto.codes import CODES
from crossdock_zto.wire import call, open_envelope, refusal

API = "zto.open.cancelPreOrder"

NO_LONGER_WANTED = "1"
"""cancelType. Of the seven reasons this one blames nobody; 5 to 7 are complaints about the branch.
"""


class CancelPreOrder(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The request: a reason and one of the two ids."""

    cancel_type: str
    order_code: str = ""
    bill_code: str = ""


def cancel(ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[CancelOutcome]]:
    """One outcome a cancellation, with no request at all for accounts that book full-network
    numbers.
    """
    outcomes: list[CancelOutcome] = []
    for wanted in cancellations:
        if terms.full_network(ctx.account):
            outcomes.append(Cancelled(wanted.reference, local_only=True))
        else:
            outcomes.append((yield from _cancel_pre_order(ctx.account, wanted)))
    return outcomes


def _cancel_pre_order(account: Account, wanted: Cancellation) -> Flow[CancelOutcome]:
    response = yield build(account, wanted)
    outcome = read(wanted.reference, response)
    if isinstance(outcome, Cancelled) or outcome.error_class is not ErrorClass.NOT_FOUND:
        return outcome
    # No code is documented for "already cancelled"; the order itself says so (orderStatus -2).
    asked = wanted.carrier_order_id or wanted.waybill_number
    response = yield lookup.build(account, asked)
    found = lookup.read(account, asked, response)
    return Cancelled(wanted.reference) if isinstance(found, Refused) else outcome


def build(account: Account, wanted: Cancellation) -> HttpRequest:
    """The signed cancelPreOrder, by orderCode when it is known."""
    if wanted.carrier_order_id:
        return call(account, API, CancelPreOrder(NO_LONGER_WANTED, order_code=wanted.carrier_order_id))
    return call(account, API, CancelPreOrder(NO_LONGER_WANTED, bill_code=wanted.waybill_number))


def read(reference: str, response: HttpResponse) -> CancelOutcome:
    """The outcome of cancelPreOrder, never an exception."""
    try:
        refused = refusal(open_envelope(response), CODES)
    except CarrierError as error:
        return error
    return refused or Cancelled(reference)
