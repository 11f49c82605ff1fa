"""Runs a bug's test in a process of its own, with and without the bug."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from tests.seeded.bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 240.0
PASSED, FAILED = 0, 1


class Verdict(msgspec.Struct, frozen=True):
    """What became of a bug. problem: "" when it was caught by its test and by nothing else."""

    name: str
    problem: str


def run_test(node: str, bug: str = "") -> subprocess.CompletedProcess[str]:
    """The test in a new process, with the bug planted if one is named."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-p", "tests.seeded.plugin", node]
    if bug:
        command += ["--seeded-bug", bug]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)


def judge(name: str, *, clean_too: bool = True) -> Verdict:
    """Whether the bug is caught by name. clean_too: make sure that the test passes without it."""
    node = BUGS[name].caught_by
    function = node.rpartition("::")[2]
    if clean_too and run_test(node).returncode != PASSED:
        return Verdict(name, f"{function} fails without the bug: repair it first")
    ended = run_test(node, name)
    if ended.returncode == PASSED:
        return Verdict(name, f"{function} did not notice that {BUGS[name].what}")
    if ended.returncode != FAILED or f"FAILED {node.partition('::')[0]}::{function}" not in ended.stdout:
        return Verdict(name, f"{function} did not run to a failure of its own:\n{ended.stdout[-2000:]}{ended.stderr}")
    return Verdict(name, "")
