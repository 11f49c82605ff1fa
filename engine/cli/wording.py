"""How values of the contract read for a person at a terminal, those of a later contract too.

An engine may be newer than the command that asks it: an enum's value without a name is shown by its number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar

from engine.cli.common import BAD_USAGE, stop_with

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

T = TypeVar("T")


def enum_name(enum: Any, value: int) -> str:
    """`IN_TRANSIT` for TRACK_STATUS_IN_TRANSIT; the number of a value that came after this client."""
    try:
        return str(enum.Name(value)).removeprefix(_prefix(enum))
    except ValueError:
        return str(value)


def enum_value(enum: Any, option: str, word: str, *, spelled: Callable[[str], str] = str) -> Any:
    """The value called `word`, in either case, with - or _; ends the process for a word that names none.

    spelled: how names are written in the answer to such a word.
    """
    prefix = _prefix(enum)
    name = prefix + word.upper().replace("-", "_")
    known = enum.keys()[1:]
    if name not in known:
        words = (spelled(each.removeprefix(prefix)) for each in known)
        stop_with([f"{option} {word}: use one of {', '.join(words)}"], BAD_USAGE)
    return enum.Value(name)


def as_dict(message: Message) -> dict[str, Any]:
    """A message in the contract's field names."""
    from google.protobuf import json_format

    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def as_line(message: Message) -> str:
    """A message in the contract's field names, as JSON in one line."""
    from google.protobuf import json_format

    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)


def local(when: Timestamp | datetime, zone: tzinfo | None = None) -> str:
    """A time in `zone`, by default this machine's."""
    moment = when if isinstance(when, datetime) else when.ToDatetime(UTC)
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


async def at_most(limit: int, listed: AsyncIterator[T]) -> tuple[list[T], str]:
    """The first `limit` of a listing, and how to see more; "" when these are all."""
    found: list[T] = []
    async for each in listed:
        if len(found) == limit:
            return found, f"There are more; --limit {limit * 10} shows up to {limit * 10}."
        found.append(each)
    return found, ""


def _prefix(enum: Any) -> str:
    """What all names of an enum begin with: its zero is called PREFIX_UNSPECIFIED."""
    return str(enum.Name(0)).removesuffix("UNSPECIFIED")
