"""The contract's own rules, checked with protovalidate; violations come out in our field paths and words.

What is wrong and what to do are derived from the rule, the value and the descriptor, so that a new field needs no words
of its own. Only patterns have a table: what one means cannot be read off it. Values are quoted where they can be
nothing personal: numbers, values of enums, and codes that are only written in the wrong case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import protovalidate
from google.protobuf.message import Message

from engine.api.errors import RequestInvalid
from engine.core.policy.fields import FieldViolation

_validator = protovalidate.Validator()

PATTERNS: Mapping[str, tuple[str, str]] = {
    r"^[^\x00-\x1f\x7f]*$": ("holds control characters", "remove line breaks, tabs and the like"),
    r"^[A-Z]{3}$": ("is no currency code", "write three capitals of ISO 4217, such as CNY"),
    r"^([A-Z]{2})?$": ("is no country code", "write two capitals of ISO 3166-1, such as CN"),
    r"^([0-9]{6,10})?$": ("is no HS code", "write 6 to 10 digits, without dots"),
    r"^([0-9]{4})?$": ("is not four digits", "give the last four digits of the phone, or leave it empty"),
    r"^[a-z][a-z0-9_]{1,31}$": ("is no carrier code", "write a code such as sf or zto"),
    r"^([a-z][a-z0-9_]{1,31})?$": ("is no carrier code", "write a code such as sf or zto"),
}
"""Every pattern of the contract: what a text is that does not fit it, and how one that does is written."""


def check(message: Message, *, reason: str = "REQUEST_INVALID", prefix: str = "") -> None:
    """Raise RequestInvalid with every violation of the message's rules."""
    try:
        _validator.validate(message)
    except protovalidate.ValidationError as error:
        raise RequestInvalid(
            [FieldViolation(prefix + _path(v.proto.field), *_words(message, v)) for v in error.violations],
            reason,
        ) from error


def _path(field: object) -> str:
    """`order.parcels[0].weight_g` from a FieldPath."""
    parts = []
    for element in getattr(field, "elements", ()):
        subscript = getattr(element.subscript, "value", None)
        parts.append(element.field_name if subscript is None else f"{element.field_name}[{subscript}]")
    return ".".join(parts)


def _words(message: Message, violation: Any) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    proto, value, limit = violation.proto, violation.field_value, violation.rule_value
    match proto.rule_id.split("."):
        case ["required"]:
            return "is missing", f"give {_one_of(_choices(message, proto.field)) or 'it'}"
        case ["string", "pattern"]:
            return _misspelt(str(limit), str(value))
        case ["enum", *_]:
            wrong = f"is {value}, which is none of its values" if value else "is missing"
            return wrong, f"use {_one_of(_values(message, proto.field))}"
        case ["repeated", "unique"]:
            return "holds an entry more than once", "name each once"
        case ["string", "min_len"] if not value:
            return "is empty", "give it"
        case [kind, rule] if kind in _UNITS:
            wrong = f"has {_counted(len(value), _UNITS[kind])}" if value else "is empty"
            return wrong, f"give at {'most' if rule.startswith('max') else 'least'} {_counted(limit, _UNITS[kind])}"
        case ["duration", _]:
            return "is out of range", f"give {_in_plain_words(proto.message)}"
    return f"is {value}", f"write {_in_plain_words(proto.message)}"


_UNITS = {"string": "character", "bytes": "byte", "repeated": "entry", "map": "entry"}
"""What the length of each counts."""


def _counted(count: int, unit: str) -> str:
    if count == 1:
        return f"1 {unit}"
    return f"{count} {unit}s".replace("entrys", "entries")


def _in_plain_words(message: str) -> str:
    """`at least 0 and at most 9` from what protovalidate says of a range."""
    plain = message.removeprefix("must be ").replace("greater than or equal to", "at least")
    plain = plain.replace("less than or equal to", "at most").replace("greater than", "more than")
    return plain.replace("in list ", "one of ")


def _misspelt(pattern: str, text: str) -> tuple[str, str]:
    wrong, remedy = PATTERNS.get(pattern, ("is not of the allowed form", f"write what fits {pattern}"))
    if not text:
        return "is missing", remedy
    for case, other in (("small letters", text.lower()), ("capitals", text.upper())):
        if re.fullmatch(pattern, other):
            return f"is not in {case}", f"write {other}"
    return wrong, remedy


def _choices(message: Message, path: Any) -> list[str]:
    """The fields of the oneof at `path`; none when it is a field."""
    owner, last = _owner(message, path)
    oneof = owner.oneofs_by_name.get(last)
    return [field.name for field in oneof.fields] if oneof is not None else []


def _values(message: Message, path: Any) -> list[str]:
    """What an enum field may hold, but for what means nothing."""
    owner, last = _owner(message, path)
    return [value.name for value in owner.fields_by_name[last].enum_type.values if value.number]


def _owner(message: Message, path: Any) -> tuple[Any, str]:
    """The descriptor of the message at whose field or oneof `path` ends, and its name there."""
    owner: Any = message.DESCRIPTOR
    *within, last = [element.field_name for element in path.elements]
    for name in within:
        owner = owner.fields_by_name[name].message_type
    return owner, last


def _one_of(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), *names[-1:]][len(names) < 2 :])
