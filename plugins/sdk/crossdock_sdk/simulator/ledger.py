"""What a carrier believes: an append-only file of JSON lines, the oracle every end-to-end test
checks against.

A line is on disk (fsync) before the answer that depends on it leaves the simulator; the server
syncs once for all answers of a loop turn. After a restart the ledger is read back, so a killed
simulator forgets nothing. A line without its line feed was torn by a kill: nobody was answered, so
it is dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

_TAIL_BYTES = 1024 * 1024  # more than any entry: request bodies are smaller in every simulator


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fact.

    `kind` is BOOKED or CANCELLED; `facts` is what the carrier remembers of the booking.
    """

    sequence: int
    time: datetime
    kind: str
    reference: str
    waybill_number: str
    facts: dict[str, Any] = {}


class Ledger:
    """Append-only memory of one simulator. `path` None keeps it in memory only, for unit tests."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self.by_reference: dict[str, list[Entry]] = {}
        self.by_waybill: dict[str, Entry] = {}
        self.cancelled: set[str] = set()
        self._dirty = False
        self._fd = -1
        if path is not None:
            for entry in read_ledger(path):
                self._remember(entry)
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            self._cut_torn_line()

    def book(self, time: datetime, reference: str, waybill_number: str, **facts: Any) -> Entry:
        """Record a live waybill."""
        return self._append("BOOKED", time, reference, waybill_number, facts)

    def cancel(self, time: datetime, reference: str, waybill_number: str) -> Entry:
        """Record that a waybill is void."""
        return self._append("CANCELLED", time, reference, waybill_number, {})

    def live(self, reference: str) -> Entry | None:
        """The first booking under this reference that is not cancelled."""
        booked = self.by_reference.get(reference, ())
        return next((e for e in booked if e.waybill_number not in self.cancelled), None)

    def first(self, reference: str) -> Entry | None:
        """The first booking ever made under this reference, cancelled or not."""
        entries = self.by_reference.get(reference)
        return entries[0] if entries else None

    def sync(self) -> None:
        """Put everything appended so far on disk."""
        if self._dirty and self._fd >= 0:
            os.fsync(self._fd)
        self._dirty = False

    def close(self) -> None:
        """Sync and let go of the file."""
        self.sync()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _cut_torn_line(self) -> None:
        """Take a torn last line off the file, or the next entry would be glued to it and lost."""
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn:
            os.ftruncate(self._fd, size - torn)
            self._dirty = True

    def _append(self, kind: str, time: datetime, reference: str, waybill: str, facts: dict[str, Any]) -> Entry:
        entry = Entry(len(self.entries) + 1, time, kind, reference, waybill, facts)
        if self._fd >= 0:
            self._dirty = True
            line = msgspec.json.encode(entry) + b"\n"
            while line:  # a full disk or a signal may cut a write short
                line = line[os.write(self._fd, line) :]
        self._remember(entry)
        return entry

    def _remember(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.kind == "BOOKED":
            self.by_reference.setdefault(entry.reference, []).append(entry)
            self.by_waybill[entry.waybill_number] = entry
        else:
            self.cancelled.add(entry.waybill_number)


def read_ledger(path: Path) -> Iterator[Entry]:
    """All whole lines of a ledger file; a torn last line (a kill in mid-write) is left out.

    Raises ValueError with the line's number when a whole line is not an entry.
    """
    if not path.exists():
        return
    decode = msgspec.json.Decoder(Entry).decode
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            yield decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, line {number} is no ledger entry: {error}") from error
