"""Crash points kill the process exactly where the environment says, and are nothing otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.crash import POINTS, crash_point

PASSES = "from engine.crash import crash_point as c; [(c('order_committed'), print(n)) for n in range(3)]"


def run(code: str, at: str) -> subprocess.CompletedProcess[str]:
    """A process of its own with the variable set."""
    environment = {**os.environ, "CROSSDOCK_CRASH_AT": at}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(("at", "printed"), [("order_committed", ""), ("order_committed:3", "0\n1\n")])
def test_the_process_is_killed_at_the_point(at: str, printed: str) -> None:
    """The first or the n-th time it passes, as SIGKILL does: nothing is cleaned up."""
    ended = run(PASSES.replace("print(n)", "print(n, flush=True)"), at)

    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, printed)


@pytest.mark.parametrize("at", ["", "label_fetched", "order_committed:4"])
def test_other_points_are_passed(at: str) -> None:
    """Unset, another point, or not often enough."""
    ended = run(PASSES, at)

    assert (ended.returncode, ended.stdout) == (0, "0\n1\n2\n")


def test_a_point_that_does_not_exist_is_refused() -> None:
    """A misspelt name would make a test prove nothing."""
    ended = run(PASSES, "order_comitted")

    assert ended.returncode == 1
    assert "order_comitted" in ended.stderr
    assert "order_committed" in ended.stderr


def test_a_running_process_is_told_by_a_file(tmp_path: Path) -> None:
    """An empty file kills nothing; what is written into it later counts from then."""
    order = tmp_path / "order"
    order.touch()
    tells = f"from pathlib import Path as P; {PASSES}; P({str(order)!r}).write_text('order_committed:2'); {PASSES}"

    ended = run(tells.replace("print(n)", "print(n, flush=True)"), f"@{order}")

    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "0\n1\n2\n0\n")


@pytest.mark.parametrize("point", POINTS)
def test_without_the_variable_a_point_does_nothing(point: str) -> None:
    """Production passes them all."""
    crash_point(point)

    assert point.isidentifier()
