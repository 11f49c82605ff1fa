"""What a process has in hand, where the next one finds it should this one be killed over it.

A mapped file costs a write to memory per message and outlives the process. It does not outlive the machine, and need
not: a power cut says nothing about the message.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

MARK_BYTES = 16
SLOTS = 256
"""Messages in hand at once; what comes beyond goes unmarked."""
_EMPTY = bytes(MARK_BYTES)


class InHand:
    """Marks of the messages being handled. Belongs to the event loop; its file belongs to whoever locked the store."""

    def __init__(self, path: Path | None = None) -> None:
        """path: created when missing, readable for its owner only; None keeps the marks in this process alone."""
        size = MARK_BYTES * SLOTS
        if path is None:
            self._map = mmap.mmap(-1, size)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, size)
                self._map = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        marks = [self._map[at : at + MARK_BYTES] for at in range(0, size, MARK_BYTES)]
        self.left = tuple(mark for mark in marks if mark != _EMPTY)
        """Marks that the process before this one took down never."""
        self._free = list(range(0, size, MARK_BYTES))

    def forget_left(self) -> None:
        """What was left has been written elsewhere. To be called before anything is taken in hand."""
        self._map[:] = bytes(len(self._map))
        self.left = ()

    def take(self, mark: bytes) -> int:
        """Mark a message as in hand; where the mark stands, -1 when there is no room."""
        if not self._free:
            return -1
        place = self._free.pop()
        self._map[place : place + MARK_BYTES] = mark
        return place

    def put_down(self, place: int) -> None:
        """The message is handled, one way or another; `place` as `take` gave it."""
        if place >= 0:
            self._map[place : place + MARK_BYTES] = _EMPTY
            self._free.append(place)
