"""The tests can fail: bugs planted on purpose are caught by the tests that stand for the promises they break.

A sample; `python -m tests.seeded` plants all of them.
"""

from __future__ import annotations

import ast

import pytest

from tests.meta.tree import ROOT, parsed
from tests.seeded.bugs import BUGS
from tests.seeded.runner import judge

SAMPLE = ("send-before-commit", "fall-back-from-unknown", "no-fence", "no-tenant-filter")
PROMISED = 14


def test_every_bug_names_a_test_that_exists() -> None:
    """A renamed test must not leave its bug behind; and there are as many bugs as were promised."""
    gone = [
        f"{name}: {bug.caught_by}"
        for name, bug in BUGS.items()
        if bug.caught_by.rpartition("::")[2]
        not in {
            node.name
            for node in ast.walk(parsed(ROOT / bug.caught_by.partition("::")[0]))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    ]

    assert not gone, f"name the tests that catch these now: {gone}"
    assert len(BUGS) >= PROMISED


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_bug_is_caught_by_name(name: str) -> None:
    """With the bug its test fails; that it passes without is what the rest of the suite shows."""
    verdict = judge(name, clean_too=False)

    assert verdict.problem == ""
