"""Reads a mapping file: which column of the merchant's export fills which of our fields.

Everything wrong with the file is reported at once; each line names the key and the remedy. README.md has an example.
"""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping
from pathlib import Path

from engine.cli.ship.columns import DEFAULT_VALUES, ENUMS, FIELDS, ColumnMapping, normal_header
from engine.cli.ship.problems import ShipError

UNITS: Mapping[str, tuple[str, ...]] = {"weight": ("kg", "g"), "money": ("yuan", "fen")}
_SECTIONS = ("columns", "units", "defaults", "values", "encoding")


def read_mapping(path: Path) -> ColumnMapping:
    """The mapping of a TOML file. Raises ShipError with every problem."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ShipError(f"--map {path}: {error.strerror}; name a file that can be read") from error
    except UnicodeDecodeError as error:
        raise ShipError(f"--map {path}: is not UTF-8; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ShipError(f"--map {path}: is not TOML: {error}; names with brackets or Chinese need quotes") from error
    problems: list[str] = []
    mapping = _mapping(table, problems)
    if problems:
        raise ShipError("\n".join(f"--map {path}: {problem}" for problem in problems))
    return mapping


def _mapping(table: Mapping[str, object], problems: list[str]) -> ColumnMapping:
    for key in table.keys() - set(_SECTIONS):
        problems.append(f"{key}: unknown; allowed are {', '.join(_SECTIONS)}")
    columns = _columns(_texts(table, "columns", problems), problems)
    defaults = _texts(table, "defaults", problems)
    for field in defaults:
        _check_field(f"defaults.{field}", field, problems)
    units = _texts(table, "units", problems)
    for unit, value in units.items():
        if unit not in UNITS:
            problems.append(f"units.{unit}: unknown; allowed are {', '.join(UNITS)}")
        elif value not in UNITS[unit]:
            problems.append(f"units.{unit}: {value!r} is unknown; write one of {', '.join(UNITS[unit])}")
    return ColumnMapping(
        columns=columns,
        values=_values(table, problems),
        defaults=defaults,
        weight_unit=units.get("weight", "kg"),
        money_unit=units.get("money", "yuan"),
        encoding=_encoding(table, problems),
    )


def _columns(columns: Mapping[str, str], problems: list[str]) -> Mapping[str, str]:
    if not columns:
        problems.append('columns: is empty; write lines such as "Order No" = "reference"')
    owners: dict[str, str] = {}
    for name, field in columns.items():
        _check_field(f"columns.{name}", field, problems)
        if field in owners:
            problems.append(f"columns.{name}: {field} is filled by {owners[field]!r} already; remove one of them")
        owners.setdefault(field, name)
    return {normal_header(name): field for name, field in columns.items()}


def _values(table: Mapping[str, object], problems: list[str]) -> Mapping[str, Mapping[str, str]]:
    """Value tables of the file replace the built-in ones, field by field."""
    merged: dict[str, Mapping[str, str]] = dict(DEFAULT_VALUES)
    section = table.get("values", {})
    if not isinstance(section, dict):
        problems.append("values: is no table; write [values.service_level]")
        return merged
    for field in section:
        words = _texts(section, field, problems, "values.")
        _check_field(f"values.{field}", field, problems)
        for word, value in words.items():
            if field in ENUMS and value not in ENUMS[field]:
                allowed = ", ".join(ENUMS[field])
                problems.append(f"values.{field}.{word}: {value!r} is unknown; write one of {allowed}")
        merged[field] = {word.strip(): value for word, value in words.items()}
    return merged


def _texts(table: Mapping[str, object], key: str, problems: list[str], prefix: str = "") -> dict[str, str]:
    """A table of texts; numbers are taken as they are written, everything else is a problem."""
    section = table.get(key, {})
    if not isinstance(section, dict):
        problems.append(f"{prefix}{key}: is no table; write [{prefix}{key}]")
        return {}
    found = {}
    for name, value in section.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            problems.append(f"{prefix}{key}.{name}: is no text; put it in quotes")
        else:
            found[name] = str(value)
    return found


def _encoding(table: Mapping[str, object], problems: list[str]) -> str:
    value = table.get("encoding", "")
    if isinstance(value, str) and (not value or known_encoding(value)):
        return value
    problems.append(f'encoding: {value!r} is unknown; write "utf-8", "gb18030" or leave it out')
    return ""


def known_encoding(name: str) -> bool:
    """Whether this is a text encoding (`hex` and the like are codecs too, of another kind)."""
    try:
        return codecs.lookup(name).name != "undefined" and isinstance("".encode(name), bytes)
    except (LookupError, ValueError):
        return False


def _check_field(where: str, field: str, problems: list[str]) -> None:
    if field not in FIELDS:
        problems.append(f"{where}: {field!r} is no field; allowed are {', '.join(FIELDS)}")
