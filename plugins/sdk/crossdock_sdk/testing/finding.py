"""One broken rule, worded for the carrier's author."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """A rule that does not hold: which, where it was seen, and what to do about it."""

    rule: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}. Remedy: {self.remedy}."
