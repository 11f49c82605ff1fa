"""Reading and writing what carriers send: JSON kept byte-exact, forms, local times, weights.

Serialise once, sign those bytes, send those bytes: nothing here re-serialises.
"""

from __future__ import annotations

import re
from binascii import a2b_hex, a2b_qp
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

import msgspec

from crossdock_sdk.errors import CarrierError, ErrorClass
from crossdock_sdk.flow import HttpResponse

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
_QUOTED_OTHERWISE = re.compile(rb"[=\r\n]")
_USUAL = "%Y-%m-%d %H:%M:%S"


def to_json(value: object) -> bytes:
    """Compact UTF-8 JSON, non-ASCII kept as it is."""
    return _encode(value)


def read_json(response: HttpResponse, shape: type[T]) -> T:
    """Decode a response's JSON body into `shape`.

    What cannot be read proves nothing about the side effect: TEMPORARY with unknown effect. An
    HTML page or an empty body gets a text that says so, since gateways in front of carriers send
    them.
    """
    try:
        return msgspec.json.decode(response.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable(response, str(error)) from error
    except RecursionError as error:  # thousands of open brackets
        raise unreadable(response, "nested too deeply") from error


def unreadable(response: HttpResponse, why: str) -> CarrierError:
    """The error for an answer that is not the carrier's format. Never quotes the body."""
    head = response.body[:64].lstrip()
    if not head:
        message = "the carrier answered an empty body"
    elif head.startswith(b"<"):
        message = "the carrier answered an HTML page"
    else:
        message = f"the carrier answered an unreadable body ({why})"
    return CarrierError(ErrorClass.TEMPORARY, code=f"HTTP {response.status}", message=message)


def unwrap_json(value: Any, *, depth: int = 3) -> Any:
    """Decode JSON texts inside JSON strings until something else appears, `depth` times at most.

    Raises ValueError when a text is not JSON.
    """
    for _ in range(depth):
        if not isinstance(value, str):
            break
        try:
            value = msgspec.json.decode(value.encode())
        except RecursionError as error:
            raise ValueError("JSON nested too deeply") from error
    return value


def form(fields: dict[str, str]) -> bytes:
    """`application/x-www-form-urlencoded` in the order given, UTF-8."""
    return "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in fields.items()).encode("ascii")


def read_form(body: bytes, *, max_fields: int) -> list[tuple[str, str]]:
    """Names and values of `application/x-www-form-urlencoded` in their order, UTF-8.

    As `urllib.parse.parse_qsl` with everything strict, and several times as fast where most is escaped, as Chinese
    is. Raises ValueError.
    """
    if not body.isascii():
        raise ValueError("a form is ASCII: other characters have to be escaped")
    parts = body.split(b"&", max_fields)
    if len(parts) > max_fields:
        raise ValueError(f"the form has more than {max_fields} fields")
    fields = []
    for part in parts:
        name, equals, value = part.partition(b"=")
        if not equals:
            raise ValueError("the form has a field without a value")
        fields.append((_unescaped(name), _unescaped(value)))
    return fields


def _unescaped(text: bytes) -> str:
    text = text.replace(b"+", b" ")
    escapes = text.count(b"%")
    if not escapes:
        return text.decode()
    if not _QUOTED_OTHERWISE.search(text):
        # Quoted-printable escapes the same way with another sign, and is decoded in C. Each escape that is one
        # makes two bytes less; anything else makes another length.
        plain = a2b_qp(text.replace(b"%", b"="))
        if len(plain) == len(text) - 2 * escapes:
            return plain.decode()
    return _ESCAPES.sub(lambda run: a2b_hex(run[0].replace(b"%", b"")), text).decode()


def local_text(time: datetime, zone: str, layout: str = _USUAL) -> str:
    """An aware time as the carrier's local text without offset."""
    return time.astimezone(ZoneInfo(zone)).strftime(layout)


def from_local_text(text: str, zone: str, layout: str = _USUAL) -> datetime:
    """A carrier's local text without offset as an aware time. Raises ValueError."""
    if layout == _USUAL and len(text) == 19 and text[7] + text[10] + text[13] + text[16] == "- ::":
        # Twenty times as fast. What else it would take besides this layout does not pass the check.
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return datetime.strptime(text, layout).replace(tzinfo=ZoneInfo(zone))


def kilograms(weight_g: int, digits: int = 3) -> float:
    """Grams as the kilograms carriers want on the wire."""
    return round(weight_g / 1000, digits)
