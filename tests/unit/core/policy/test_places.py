"""Places of open bookings: no tenant takes those of all others."""

from __future__ import annotations

import pytest

from engine.core.policy.places import has_place

TWO = {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("tenant", "opened", "weights", "has"),
    [
        ("a", {"a": 49}, TWO, True),  # the first half is anybody's
        ("a", {"a": 50}, TWO, False),
        ("b", {"a": 50}, TWO, True),
        ("b", {"a": 50, "b": 49}, TWO, True),
        ("b", {"a": 50, "b": 50}, TWO, False),  # all are taken
        ("a", {"a": 60, "b": 10}, {"a": 3, "b": 1}, True),
        ("a", {"a": 75, "b": 10}, {"a": 3, "b": 1}, False),
        ("a", {"a": 99}, {"a": 1}, True),  # alone it has all
        ("default", {"default": 99}, {}, True),
        ("default", {"default": 100}, {}, False),
    ],
)
def test_beyond_the_first_half_each_tenant_has_its_part(
    tenant: str, opened: dict[str, int], weights: dict[str, int], has: bool
) -> None:
    """By weight, of a hundred places."""
    assert has_place(tenant, opened, most=100, weights=weights) is has
