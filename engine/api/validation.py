"""The contract's own rules, checked with protovalidate; violations come out in our field paths."""

from __future__ import annotations

import protovalidate
from google.protobuf.message import Message

from engine.api.errors import RequestInvalid
from engine.core.policy.fields import FieldViolation

_validator = protovalidate.Validator()


def check(message: Message, *, reason: str = "REQUEST_INVALID", prefix: str = "") -> None:
    """Raise RequestInvalid with every violation of the message's rules."""
    try:
        _validator.validate(message)
    except protovalidate.ValidationError as error:
        raise RequestInvalid(
            [
                FieldViolation(prefix + _path(v.proto.field), v.proto.message, _remedy(v.proto.rule_id))
                for v in error.violations
            ],
            reason,
        ) from error


def _path(field: object) -> str:
    """`order.parcels[0].weight_g` from a FieldPath."""
    parts = []
    for element in getattr(field, "elements", ()):
        subscript = getattr(element.subscript, "value", None)
        parts.append(element.field_name if subscript is None else f"{element.field_name}[{subscript}]")
    return ".".join(parts)


def _remedy(rule_id: str) -> str:
    return _REMEDIES.get(rule_id.split(".")[0], "correct it")


_REMEDIES = {
    "required": "give it",
    "string": "write a text of the allowed length and form",
    "int32": "write a number in that range",
    "int64": "write a number in that range",
    "repeated": "give an allowed number of entries",
    "map": "give an allowed number of entries",
    "enum": "use a value of the contract",
    "message": "give exactly one of the keys",
}
