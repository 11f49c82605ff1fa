"""What a search proves."""

from __future__ import annotations


def bound(trials: int, failures: int) -> str:
    """In words: the failures found, or the rate they must lie below."""
    if failures:
        return f"{failures} FAILURES"
    if not trials:
        return "nothing was tried"
    # Rule of three: zero failures in n trials.
    return f"0 failures: true rate below 3/{trials} = {3 / trials:.2%} (95 %)"
