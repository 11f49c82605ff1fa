"""The pytest plug-in that plants a bug: `pytest -p tests.seeded.plugin --seeded-bug NAME`."""

from __future__ import annotations

import pytest

from tests.seeded.bugs import BUGS


def pytest_addoption(parser: pytest.Parser) -> None:
    """See pytest."""
    parser.addoption("--seeded-bug", choices=sorted(BUGS), help="plant this bug before anything is collected")


def pytest_configure(config: pytest.Config) -> None:
    """See pytest."""
    name = config.getoption("--seeded-bug")
    if name:
        BUGS[name].plant()
