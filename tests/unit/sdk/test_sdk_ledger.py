"""The ledger file: whole lines survive a kill, torn ones vanish, and nothing is glued together."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossdock_sdk.simulator import Ledger, read_ledger
from crossdock_sdk.testing import NOW


def filled(path: Path, *references: str) -> None:
    """A ledger file with one booking per reference."""
    ledger = Ledger(path)
    for number, reference in enumerate(references, start=1):
        ledger.book(NOW, reference, f"AC{number:08d}", to="成都市 \n 武侯区")
    ledger.close()


def test_restart_brings_everything_back(tmp_path: Path) -> None:
    """A new ledger on the same file knows bookings, cancellations and facts."""
    path = tmp_path / "ledger"
    filled(path, "R1", "R2")
    again = Ledger(path)
    again.cancel(NOW, "R1", "AC00000001")
    again.close()

    third = Ledger(path)

    assert third.live("R1") is None
    assert third.live("R2") is not None
    assert [e.sequence for e in third.entries] == [1, 2, 3]
    assert third.by_waybill["AC00000001"].facts == {"to": "成都市 \n 武侯区"}


@pytest.mark.parametrize("kept", [1, 10, -2, -1])
def test_torn_line_is_dropped_wherever_it_was_torn(kept: int, tmp_path: Path) -> None:
    """A line cut at any place, even only short of its line feed, is no entry."""
    path = tmp_path / "ledger"
    filled(path, "R1", "R2")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:kept])

    entries = list(read_ledger(path))

    assert [e.reference for e in entries] == ["R1"]


def test_entry_after_a_torn_line_stands_alone(tmp_path: Path) -> None:
    """After a kill in mid-write the next entry is readable: the torn rest is cut off first."""
    path = tmp_path / "ledger"
    filled(path, "R1", "R2")
    path.write_bytes(path.read_bytes()[:-5])

    ledger = Ledger(path)
    ledger.book(NOW, "R3", "AC00000003")
    ledger.close()

    assert [(e.sequence, e.reference) for e in read_ledger(path)] == [(1, "R1"), (2, "R3")]


def test_damage_inside_the_file_is_named(tmp_path: Path) -> None:
    """A whole line that is no entry is an error with its number, not a silent gap."""
    path = tmp_path / "ledger"
    filled(path, "R1", "R2")
    path.write_bytes(b"rubbish\n" + path.read_bytes())

    with pytest.raises(ValueError, match="line 1 is no ledger entry"):
        Ledger(path)


def test_missing_file_is_an_empty_ledger(tmp_path: Path) -> None:
    """The first start has nothing to read."""
    assert list(read_ledger(tmp_path / "none")) == []


def test_first_and_live_tell_double_bookings_apart() -> None:
    """Two bookings under one reference are two entries; the first live one is the next alive."""
    ledger = Ledger()
    ledger.book(NOW, "R1", "A")
    ledger.book(NOW, "R1", "B")
    ledger.cancel(NOW, "R1", "A")

    first, live = ledger.first("R1"), ledger.live("R1")

    assert first is not None
    assert first.waybill_number == "A"
    assert live is not None
    assert live.waybill_number == "B"
