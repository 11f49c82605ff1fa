"""The only list of exceptions from the house rules. It may shrink, and grow with a good reason only.

    EXCEPTIONS[rule][subject] = reason

An entry that is not needed any more fails the rule's test, so that the list stays true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "file length": {},
    "function length": {},
    "module docstring": {},
    "test docstring": {},
    "sleeping test": {
        "tests/integration/test_transport.py test_a_kept_connection_closed_while_idle_is_replaced": (
            "neither HTTP library tells when its pool has seen a connection close; any length of wait passes"
        ),
    },
    "words": {},
}


def judge(rule: str, problems: Mapping[str, str], remedy: str) -> None:
    """Fail with every problem that is no exception, and with every exception that is no problem."""
    allowed = EXCEPTIONS[rule]
    lines = [f"{subject}: {text}" for subject, text in sorted(problems.items()) if subject not in allowed]
    if lines:
        lines.append(f"Remedy: {remedy}")
    lines += _outlived(rule, allowed.keys() - problems.keys())
    if lines:
        pytest.fail(f"house rule {rule!r}\n" + "\n".join(lines), pytrace=False)


def _outlived(rule: str, subjects: Iterable[str]) -> list[str]:
    return [
        f"{subject}: keeps the rule now; remove it from EXCEPTIONS[{rule!r}] in tests/meta/exceptions.py"
        for subject in sorted(subjects)
    ]
