"""Rows that an earlier engine wrote."""

from __future__ import annotations

import msgspec

from engine.store.sqlite.rows import Live
from tests.fakes.rows import booking


def test_a_field_that_was_given_up_is_passed_over() -> None:
    """A booking once held the number of its attempt, which nobody asked for."""
    held = {"attempt_number": 1, **msgspec.to_builtins(booking(), builtin_types=(bytes,))}
    body = msgspec.msgpack.encode({"booking": held, "cancel_requested": True})

    live = msgspec.msgpack.decode(body, type=Live)

    assert live == Live(booking(), cancel_requested=True)
