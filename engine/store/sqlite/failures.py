"""SQLite's failures in our words."""

from __future__ import annotations

import apsw

from engine.store.port import StoreError


def translate(error: Exception) -> Exception:
    """SQLite's refusals become ours; anything else goes to the caller as it is.

    A refusal leaves its traceback here: that holds the writer's frames, they hold the batch, and the batch its futures
    with this very error. Only the garbage collector would free them, and a track written twice at once is no defect.
    """
    if isinstance(error, StoreError):
        return error.with_traceback(None)
    if isinstance(error, apsw.ConstraintError):
        return StoreError(f"nothing was stored: it clashes with what is there ({error})")
    if isinstance(error, apsw.Error):
        return StoreError(f"nothing was stored: {cause_of(error)}")
    return error


def cause_of(error: Exception) -> str:
    """What happened and what to do, in one line."""
    if isinstance(error, apsw.FullError):
        return "the disk is full: free space, then try again"
    if isinstance(error, apsw.ReadOnlyError):
        return "the store is read-only: give the engine write permission on it and its directory"
    if isinstance(error, apsw.BusyError):
        return "another program holds the store's write lock: close it, then try again"
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return "the store file is damaged: stop the engine and restore the last backup"
    return f"{type(error).__name__}: {error}"
