"""The sans-I/O scanner: what it catches, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossdock_sdk.testing import check_purity
from crossdock_sdk.testing.purity import FORBIDDEN_CALLS, FORBIDDEN_IMPORTS, scan


@pytest.mark.parametrize("module", sorted(FORBIDDEN_IMPORTS))
def test_forbidden_import_is_found_in_any_spelling(module: str) -> None:
    """Plain, aliased, from-import and submodule: each spelling of a forbidden module is caught."""
    parent, _, leaf = module.rpartition(".")
    spellings = [f"import {module}", f"import {module} as x", f"from {module} import y"]
    spellings += [f"import {module}.below", f"def f():\n    import {module}"]
    if parent:
        spellings.append(f"from {parent} import {leaf}")

    missed = [text for text in spellings if not scan(text, "m.py")]

    assert missed == []


@pytest.mark.parametrize("call", sorted(FORBIDDEN_CALLS))
def test_forbidden_call_is_found(call: str) -> None:
    """Clocks, files and prints are caught where they are called, with the line and a remedy."""
    (finding,) = scan(f"x = 1\nx = {call}()", "pkg/book.py")

    assert finding.where == f"pkg/book.py:2 uses {call}()"
    assert finding.remedy


def test_module_qualified_clock_is_found() -> None:
    """`datetime.datetime.now(...)` is the same clock."""
    assert scan("import datetime\ndatetime.datetime.now(None)", "m.py")


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime, time, timedelta",
        "from urllib.parse import quote_plus, urlsplit",
        "from http import HTTPStatus",
        "import hashlib, hmac, base64, json, re, msgspec",
        "from crossdock_sdk.codec import read_json",
        "from . import time, random",
        "now = ctx.now; ctx.account.open()",
        "document.now()",
    ],
)
def test_honest_code_is_left_alone(source: str) -> None:
    """Pure modules with similar names, and attributes of our own, are no findings."""
    assert scan(source, "m.py") == []


def test_planted_offender_is_named_and_simulators_are_exempt(tmp_path: Path) -> None:
    """A whole package is read, below folders too, but not its simulator."""
    package = tmp_path / "crossdock_planted"
    (package / "deep").mkdir(parents=True)
    (package / "simulator").mkdir()
    (package / "deep" / "wire.py").write_text("import random\n")
    (package / "simulator.py").write_text("import socket\n")
    (package / "simulator_pdf.py").write_text("import time\n")
    (package / "simulator" / "more.py").write_text("import asyncio\n")

    findings = check_purity(package)

    assert [f.where for f in findings] == ["crossdock_planted/deep/wire.py:1 uses random"]


def test_source_that_does_not_parse_is_a_finding() -> None:
    """A syntax error is named with its line."""
    (finding,) = scan("def (", "pkg/book.py")

    assert finding.where == "pkg/book.py:1"
