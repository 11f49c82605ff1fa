"""House rules 4, 8 and 9: imports go one way, and each library ends in one room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.tree import ROOT

WIRE = (
    *("engine", "crossdock", "grpc", "google.protobuf", "protovalidate", "httpx", "httpcore", "pyreqwest"),
    *("starlette", "uvicorn", "structlog", "apsw"),
)
OPTIONAL_OF_MSGSPEC = {"typing_extensions"}  # loaded where it happens to be installed


def test_imports_only_go_down_the_floors() -> None:
    """The contracts in pyproject.toml hold."""
    lint_imports = Path(sys.executable).parent / "lint-imports"

    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


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
