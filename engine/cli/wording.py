"""How values of the contract read for a person at a terminal, those of a later contract too.

An engine may be newer than the command that asks it: an enum's value without a name is shown by its number.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from copy import copy
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar

import click

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
    if name not in enum.keys()[1:]:
        stop_with([f"{option} {word}: use one of {', '.join(_words(enum, spelled))}"], BAD_USAGE)
    return enum.Value(name)


def contract(module: str) -> Any:
    """A module of the contract, loaded when it is needed: `--help` of a group stays quick."""
    return importlib.import_module(f"crossdock.v1.{module}")


class EnumOption(click.Option):
    """An option that takes a value of one of the contract's enums, and lists them all in its help."""

    def __init__(
        self, *names: Any, enum: Callable[[], Any], spelled: Callable[[str], str] = str, **details: Any
    ) -> None:
        super().__init__(*names, **details)
        self._enum, self._spelled = enum, spelled

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """See click.Option; the words are read from the contract now."""
        told = copy(self)
        told.help = f"{self.help} One of {', '.join(_words(self._enum(), self._spelled))}."
        return click.Option.get_help_record(told, ctx)


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


def _words(enum: Any, spelled: Callable[[str], str]) -> list[str]:
    return [spelled(name.removeprefix(_prefix(enum))) for name in enum.keys()[1:]]


def _prefix(enum: Any) -> str:
    """What all names of an enum begin with: its zero is called PREFIX_UNSPECIFIED."""
    return str(enum.Name(0)).removesuffix("UNSPECIFIED")
