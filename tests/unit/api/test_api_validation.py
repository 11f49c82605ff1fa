"""What breaks the contract is told with what is wrong and what to do, derived from the contract itself."""

from __future__ import annotations

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from crossdock.v1 import (
    core_pb2,
    label_service_pb2,
    order_service_pb2,
    return_service_pb2,
    track_service_pb2,
)
from engine.api import validation
from engine.api.errors import RequestInvalid

LEVELS = "use SERVICE_LEVEL_STANDARD or SERVICE_LEVEL_EXPRESS"
CASES: list[tuple[Message, str, str, str]] = [
    (
        core_pb2.Order(reference="a\tb"),
        "reference",
        "holds control characters",
        "remove line breaks, tabs and the like",
    ),
    (core_pb2.Order(reference="a" * 65), "reference", "has 65 characters", "give at most 64 characters"),
    (core_pb2.Order(), "reference", "is empty", "give it"),
    (core_pb2.Order(), "recipient", "is missing", "give it"),
    (
        track_service_pb2.RecognizeCarrierRequest(waybill_number="1"),
        "waybill_number",
        "has 1 character",
        "give at least 4 characters",
    ),
    (core_pb2.Order(), "parcels", "is empty", "give at least 1 entry"),
    (core_pb2.Order(service_level=99), "service_level", "is 99, which is none of its values", LEVELS),  # type: ignore[arg-type]
    (core_pb2.Order(tags={"k" * 64: ""}), f"tags[{'k' * 64}]", "has 64 characters", "give at most 63 characters"),
    (core_pb2.Money(), "currency_code", "is missing", "write three capitals of ISO 4217, such as CNY"),
    (core_pb2.Money(currency_code="cny"), "currency_code", "is not in capitals", "write CNY"),
    (core_pb2.Parcel(), "weight_g", "is 0", "write more than 0 and at most 1000000"),
    (core_pb2.Item(hs_code="1.2"), "hs_code", "is no HS code", "write 6 to 10 digits, without dots"),
    (core_pb2.Routing(allowed_carriers=["SF"]), "allowed_carriers[0]", "is not in small letters", "write sf"),
    (
        core_pb2.Routing(allowed_carriers=["顺丰"]),
        "allowed_carriers[0]",
        "is no carrier code",
        "write a code such as sf or zto",
    ),
    (
        core_pb2.Routing(allowed_carriers=["sf", "sf"]),
        "allowed_carriers",
        "holds an entry more than once",
        "name each once",
    ),
    (order_service_pb2.GetOrderRequest(), "key", "is missing", "give order_id or reference"),
    (track_service_pb2.GetTrackRequest(), "parcel", "is missing", "give key or order_id"),
    (track_service_pb2.TrackKey(carrier="SF"), "carrier", "is not in small letters", "write sf"),
    (
        track_service_pb2.GetTrackRequest(order_id="x", max_age=Duration(seconds=-1)),
        "max_age",
        "is out of range",
        "give at least 0s",
    ),
    (label_service_pb2.LabelSpec(dpi=7), "dpi", "is 7", "write one of [0, 203, 300]"),
    (
        track_service_pb2.IngestPushRequest(account_id="x", body=bytes(1_000_001)),
        "body",
        "has 1000001 bytes",
        "give at most 1000000 bytes",
    ),
]


@pytest.mark.parametrize(
    ("message", "field", "wrong", "remedy"), CASES, ids=[f"{n}-{c[1][:20]}" for n, c in enumerate(CASES)]
)
def test_a_violation_says_what_is_wrong_and_what_to_do(message: Message, field: str, wrong: str, remedy: str) -> None:
    """In words that hold for the value at hand."""
    with pytest.raises(RequestInvalid) as refusal:
        validation.check(message)

    [found] = [v for v in refusal.value.violations if v.field == field]
    assert (found.description, found.remedy) == (wrong, remedy)


@pytest.mark.parametrize("reason", [0, 77])
def test_a_return_without_a_reason_is_told_the_reasons(reason: int) -> None:
    """The one that means nothing is not among them."""
    asked = return_service_pb2.Return(order_id="x", reason=reason)  # type: ignore[arg-type]

    with pytest.raises(RequestInvalid) as refusal:
        validation.check(asked, prefix="return_shipment.")

    [found] = refusal.value.violations
    assert found.field == "return_shipment.reason"
    assert found.remedy.startswith("use RETURN_REASON_CHANGED_MIND, RETURN_REASON_WRONG_SIZE")
    assert "UNSPECIFIED" not in found.remedy


def test_every_pattern_of_the_contract_has_words() -> None:
    """A regular expression tells a caller nothing; words of patterns that are gone would lie about."""
    files = (core_pb2, label_service_pb2, order_service_pb2, return_service_pb2, track_service_pb2)
    messages = [message for file in files for message in file.DESCRIPTOR.message_types_by_name.values()]

    found = {pattern for message in messages for pattern in _patterns(message)}

    assert found == validation.PATTERNS.keys()


def _patterns(message: Descriptor) -> set[str]:
    found = {pattern for nested in message.nested_types for pattern in _patterns(nested)}
    for field in message.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        found |= {rules.string.pattern, rules.repeated.items.string.pattern, rules.map.keys.string.pattern}
    return found - {""}
