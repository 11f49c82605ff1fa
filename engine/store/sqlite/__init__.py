"""The default store: one SQLite file, through APSW."""

from __future__ import annotations

from engine.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
