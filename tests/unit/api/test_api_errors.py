"""The table of errors: every known error has a status by the contract, and nothing else gets out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.rpc import code_pb2, error_details_pb2
from msgspec.structs import replace

from crossdock.v1 import error_reason_pb2
from crossdock_sdk import Address, Contact, Parcel, Party
from engine.api.errors import (
    DOMAIN,
    Draining,
    RequestInvalid,
    TooManyCalls,
    Unauthenticated,
    defect,
    status_of,
)
from engine.core import errors
from engine.core.policy.booking import Candidate
from engine.core.policy.fields import FieldViolation
from engine.core.policy.records import Failure, OrderDraft, OrderRecord, OrderState
from engine.core.policy.routing import Considered
from engine.store.port import StoreError

NOW = datetime(2026, 11, 11, tzinfo=UTC)
NOBODY = Party(Contact("", ""), Address())


def record(failure: Failure | None = None) -> OrderRecord:
    """A failed order."""
    draft = OrderDraft("r-1", NOBODY, NOBODY, (Parcel(1),))
    return OrderRecord("o-1", "amber", draft, OrderState.FAILED, NOW, NOW, failure=failure)


VIOLATION = FieldViolation("recipient.address.city", "is not in that province", "correct it")
CANDIDATE = Considered(Candidate("sf", "sf-main", "2", "标快"), 0, (), ("too heavy", "not allowed"))
KNOWN: dict[str, tuple[Exception, int, str]] = {
    "request": (RequestInvalid([VIOLATION]), code_pb2.INVALID_ARGUMENT, "REQUEST_INVALID"),
    "order": (errors.OrderInvalid([VIOLATION]), code_pb2.INVALID_ARGUMENT, "ORDER_INVALID"),
    "nobody": (errors.NoEligibleCarrier([CANDIDATE]), code_pb2.FAILED_PRECONDITION, "NO_ELIGIBLE_CARRIER"),
    "key": (
        errors.KeyReused("request_id", "order", record().order_id, record().state),
        code_pb2.ALREADY_EXISTS,
        "IDEMPOTENCY_KEY_REUSED",
    ),
    "absent": (errors.OrderNotFound("o-2"), code_pb2.NOT_FOUND, "ORDER_NOT_FOUND"),
    "unbooked": (errors.OrderNotBooked(record()), code_pb2.FAILED_PRECONDITION, "ORDER_NOT_BOOKED"),
    "uncancellable": (errors.OrderNotCancellable(record()), code_pb2.FAILED_PRECONDITION, "ORDER_NOT_CANCELLABLE"),
    "label": (errors.LabelUnavailable("x", "y"), code_pb2.FAILED_PRECONDITION, "LABEL_UNPRINTABLE"),
    "overload": (errors.Overloaded(1.5), code_pb2.RESOURCE_EXHAUSTED, "ENGINE_OVERLOADED"),
    "calls": (TooManyCalls("x"), code_pb2.RESOURCE_EXHAUSTED, "ENGINE_OVERLOADED"),
    "page": (errors.PageTokenInvalid(), code_pb2.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"),
    "cursor": (errors.CursorInvalid(), code_pb2.INVALID_ARGUMENT, "CURSOR_INVALID"),
    "old cursor": (errors.CursorExpired(7), code_pb2.OUT_OF_RANGE, "CURSOR_EXPIRED"),
    "slow watcher": (errors.WatcherTooSlow("7"), code_pb2.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW"),
    "store": (StoreError("disk full"), code_pb2.UNAVAILABLE, "STORE_UNAVAILABLE"),
    "nameless": (Unauthenticated("x"), code_pb2.UNAUTHENTICATED, "UNAUTHENTICATED"),
    "draining": (Draining("x"), code_pb2.UNAVAILABLE, "ENGINE_DRAINING"),
}


def info_of(error: Exception) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo of its status, which must be the first detail."""
    status = status_of(error)
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    return info


@pytest.mark.parametrize("case", KNOWN)
def test_a_known_error_has_its_code_and_a_reason_of_the_contract(case: str) -> None:
    """Code and reason are those of the table, the reason is a value of the contract's enum."""
    error, code, reason = KNOWN[case]

    status = status_of(error)

    info = info_of(error)
    assert status is not None
    assert (status.code, info.reason, info.domain) == (code, reason, DOMAIN)
    assert f"ERROR_REASON_{reason}" in error_reason_pb2.ErrorReason.keys()
    assert info.metadata["source"] in ("ENGINE", "CARRIER")


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        (OrderState.BOOKING, "watch it or get it again"),
        (OrderState.CANCELLED, "it will not be booked any more: create another order"),
        (OrderState.FAILED, "it will not be booked any more: create another order"),
    ],
)
def test_an_order_that_is_not_booked_says_whether_it_ever_will_be(state: OrderState, remedy: str) -> None:
    """Nobody shall watch what has come to its end."""
    unbooked = errors.OrderNotBooked(replace(record(), state=state), "returns")

    assert str(unbooked) == f"order o-1 is {state}, returns need BOOKED; {remedy}"


@pytest.mark.parametrize("by", ["id", "reference"])
def test_what_is_not_found_is_to_be_checked_by_what_was_given(by: str) -> None:
    """A call that takes ids alone speaks of no reference."""
    assert str(errors.OrderNotFound("x", by)) == f"there is no order x; check the {by}"


@pytest.mark.parametrize("case", KNOWN)
def test_each_kind_of_detail_comes_once(case: str) -> None:
    """AIP-193: at most one detail of a type."""
    status = status_of(KNOWN[case][0])

    assert status is not None
    kinds = [detail.type_url for detail in status.details]
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize("case", ["overload", "calls", "store", "draining"])
def test_what_passes_says_when_to_come_back(case: str) -> None:
    """Errors that pass by themselves carry RetryInfo with more than no delay."""
    status = status_of(KNOWN[case][0])

    retry = error_details_pb2.RetryInfo()
    assert status is not None
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToMilliseconds() > 0


def test_violations_of_an_order_are_seen_from_the_request() -> None:
    """The use case speaks of an order's fields; the caller reads `order.…` and the remedy."""
    status = status_of(errors.OrderInvalid([VIOLATION]))

    bad = error_details_pb2.BadRequest()
    assert status is not None
    assert status.details[1].Unpack(bad)
    [told] = bad.field_violations
    assert told.field == "order.recipient.address.city"
    assert told.description == "is not in that province; correct it"


def test_a_carriers_refusal_to_cancel_carries_its_words() -> None:
    """When a carrier refused the cancel, source, code and text are the carrier's."""
    failure = Failure("CARRIER_REJECTED", "m", "r", carrier="sf", carrier_code="8168", carrier_message="已揽收")

    info = info_of(errors.OrderNotCancellable(record(failure)))

    assert dict(info.metadata) == {
        "source": "CARRIER",
        "orderId": "o-1",
        "state": "FAILED",
        "carrier": "sf",
        "operation": "cancel",
        "carrierCode": "8168",
        "carrierMessage": "已揽收",
    }


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), TimeoutError(), OSError(28, "secret")])
def test_an_unknown_error_has_no_status(error: Exception) -> None:
    """What is not in the table is a defect of ours: its text must not reach a status."""
    assert status_of(error) is None


def test_a_defect_tells_its_incident_only() -> None:
    """INTERNAL names the incident in text and metadata."""
    status = defect("inc-1")

    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert status.code == code_pb2.INTERNAL
    assert info.metadata["incident"] == "inc-1"
    assert "inc-1" in status.message
