"""House rules 4, 8 and 9: imports go one way, and each library ends in one room."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.meta.tree import ROOT

WIRE = (
    *("engine", "crossdock", "grpc", "google.protobuf", "protovalidate", "httpx", "httpcore", "pyreqwest"),
    *("starlette", "uvicorn", "structlog", "apsw"),
)
HELD_IN = {
    "protobuf and gRPC end in engine.api": {"api", "cli"},
    "HTTP clients end in engine.outbound.transport": {"cli", "ops"},
    "The HTTP server ends in engine.ingress": {"ingress", "cli"},
    "SQLite ends in engine.store": {"store"},
    "Printing ends in engine.labels": {"labels", "cli"},
}
"""Contract -> who may use what it holds in: its room, the programs that are clients themselves."""
OPTIONAL_OF_MSGSPEC = {"typing_extensions"}  # loaded where it happens to be installed


def test_imports_only_go_down_the_floors() -> None:
    """The contracts in pyproject.toml hold."""
    lint_imports = Path(sys.executable).parent / "lint-imports"

    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", HELD_IN)
def test_no_room_is_left_out_of_a_contract(name: str) -> None:
    """A new module of the engine is held to it from its first day."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = [c for c in contracts if c["name"] == name]
    rooms = {path.stem for path in (ROOT / "engine").iterdir() if not path.name.startswith("_")} - {"README"}

    assert {f"engine.{room}" for room in rooms - HELD_IN[name]} == set(contract["source_modules"])


@pytest.mark.parametrize(
    "module", ["crossdock_sdk", "crossdock_sdk.testing", "crossdock_sf", "crossdock_zto", "crossdock_sdk.simulator"]
)
def test_sdk_and_carriers_load_neither_engine_nor_wire(module: str) -> None:
    """A carrier's author gets no gRPC, protobuf, HTTP client or server by importing the sdk."""
    program = f"import sys, {module}; print(*[m for m in {WIRE!r} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "", f"import {module} loads {done.stdout.strip()}"


def test_the_bare_sdk_needs_msgspec_and_pluggy_only() -> None:
    """`import crossdock_sdk` loads no third package, so that installing it is quick and safe."""
    program = (
        "import sys; before = set(sys.modules); import crossdock_sdk; "
        "names = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        "print(*sorted(n for n in names - sys.stdlib_module_names "
        "if not n.startswith(('_', 'crossdock_sdk'))))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) <= {"msgspec", "pluggy", *OPTIONAL_OF_MSGSPEC}
