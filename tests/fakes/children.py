"""Entries for processes of the nursery."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def tells(arguments: Sequence[str]) -> int:
    """An entry: says where and what it is, then waits for its standard input to close."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    print(*arguments, os.environ.get("WORD"), Path.cwd().name, os.getsid(0) == os.getpid(), threads, flush=True)
    print("a complaint", file=sys.stderr, flush=True)
    while os.read(0, 64):
        pass
    return 7


def fails(arguments: Sequence[str]) -> int:
    """An entry that cannot."""
    raise ValueError("no such thing")
