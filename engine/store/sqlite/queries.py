"""Loads the named statements of the package's SQL files once; a statement's name is its attribute in `SQL`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from types import SimpleNamespace

import msgspec

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def split_named(text: str) -> dict[str, str]:
    """The statements of a file by name. Raises ValueError when a name comes twice."""
    _, *parts = _NAME.split(text)
    queries: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"query {name} is defined twice: rename one")
        queries[name] = body.strip().removesuffix(";")
    return queries


_FILES = ("queries.sql", "track_queries.sql", "return_queries.sql")
_TEXT = "\n".join(files(__package__).joinpath(name).read_text("utf-8") for name in _FILES)

SQL = SimpleNamespace(**split_named(_TEXT))
"""`SQL.get_order` and so on. APSW keeps the prepared form of each text."""


def json_list(values: Sequence[str]) -> str | None:
    """A list for json_each, None for no choice at all."""
    return msgspec.json.encode(values).decode() if values else None
