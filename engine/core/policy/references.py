"""What a carrier knows a booking by: our reference, made of the order's id and the attempt's number.

So a carrier's book can be held against ours without asking anybody which booking is whose.
"""

from __future__ import annotations

_UUID_LENGTH = 32
"""Hex digits of an id without its dashes."""


def reference_of(order_id: str, number: int) -> str:
    """The reference of an order's attempt."""
    return f"{order_id.replace('-', '')}-{number}"


def order_id_of(reference: str) -> str:
    """The id of the order it was made for; of what is not our reference, something that is no order's id."""
    owner, _, number = reference.rpartition("-")
    if len(owner) != _UUID_LENGTH or not number.isdecimal():
        return reference
    return "-".join((owner[:8], owner[8:12], owner[12:16], owner[16:20], owner[20:]))
