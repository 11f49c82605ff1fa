"""The README keeps its word: its example runs, and its tables are as complete as the code."""

from __future__ import annotations

import re
import subprocess
import sys
import typing
from pathlib import Path

import msgspec
import pytest

from crossdock_sdk import ErrorClass, Limit, Manifest
from crossdock_sdk.manifest import (
    BookingFacts,
    NumberPattern,
    Operation,
    Service,
    Setting,
)
from crossdock_sdk.models import Option
from crossdock_sdk.simulator import Faults
from crossdock_sdk.simulator.__main__ import parser

README = Path(__file__).parents[3] / "plugins" / "sdk" / "README.md"
TEXT = README.read_text("utf-8")
NESTED = {"booking", "number", "setting", "service", "limits"}


def section(number: int) -> str:
    """One chapter of the README."""
    return re.split(r"(?m)^## ", TEXT)[number]


def test_first_example_works_as_printed(tmp_path: Path) -> None:
    """The three files of the first chapter, copied out, are a carrier whose test passes."""
    toml, code, test, _ = re.findall(r"```(?:toml|python)\n(.*?)```", section(1), re.DOTALL)
    package = tmp_path / "crossdock_acme"
    package.mkdir()
    (package / "carrier.toml").write_text(toml, "utf-8")
    (package / "__init__.py").write_text(code, "utf-8")
    (tmp_path / "test_acme.py").write_text(test, "utf-8")

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_acme.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert "1 passed" in ended.stdout


@pytest.mark.parametrize(
    ("shape", "prefix"),
    [
        (Manifest, ""),
        (BookingFacts, "[booking] "),
        (NumberPattern, "[[number]] "),
        (Setting, "[[setting]] "),
        (Service, "[[service]] "),
        (Limit, "[limits.<operation>] "),
    ],
)
def test_manifest_table_has_every_key(shape: type[msgspec.Struct], prefix: str) -> None:
    """No key of a manifest is undocumented, and none is documented that does not exist."""
    rows = re.findall(r"(?m)^\| (`[^|]+) \|", section(6))
    told = {
        name.strip("` ")
        for row in rows
        if row.startswith(f"`{prefix}" if prefix else "`") and (bool(prefix) or row[1] != "[")
        for name in row.removeprefix(f"`{prefix}").split(",")
    }

    assert told == set(shape.__struct_fields__) - (NESTED if shape is Manifest else set())


@pytest.mark.parametrize(
    ("chapter", "names"),
    [
        (3, typing.get_args(Operation)),
        (4, [c.value for c in ErrorClass]),
        (6, [o.value for o in Option]),
        (7, Faults.__struct_fields__),
        (7, [o for a in parser()._actions for o in a.option_strings if o not in ("-h", "--help")]),
    ],
)
def test_chapter_names_all_there_is(chapter: int, names: typing.Sequence[str]) -> None:
    """Operations, classes, options, faults and command-line options are all told."""
    missing = [name for name in names if name not in section(chapter)]

    assert missing == []
