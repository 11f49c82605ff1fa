"""Recent: what was used last is kept, and there is never more than there is room for."""

from __future__ import annotations

from engine.recent import Recent


def test_least_recently_used_value_makes_room() -> None:
    """Asking for a value counts as using it."""
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.get("a")

    recent.put("c", 3)

    assert [recent.get(key) for key in "abc"] == [1, None, 3]
    assert len(recent) == 2


def test_newer_value_takes_the_place_of_the_older() -> None:
    """A key has one value, the last one given, which counts as used."""
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)

    recent.put("a", 3)
    recent.put("c", 4)

    assert [recent.get(key) for key in "abc"] == [3, None, 4]
