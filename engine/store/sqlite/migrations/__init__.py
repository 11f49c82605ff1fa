"""Brings a file's schema up to date: numbered SQL files, forward only, one transaction each.

A released file never changes: its checksum is kept in the database and compared at each start.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

import apsw
import msgspec

from engine.crash import crash_point
from engine.store.port import StoreUnsafe

_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sqlite\.sql")

_TABLE = """CREATE TABLE IF NOT EXISTS schema_migrations (
  number   INTEGER PRIMARY KEY,
  name     TEXT NOT NULL,
  checksum TEXT NOT NULL
) STRICT"""


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema. `checksum` is the SHA-256 of the file, in hex."""

    number: int
    name: str
    sql: str
    checksum: str


def make_migration(file_name: str, sql: str) -> Migration:
    """A migration out of a file called like `0001_first.sqlite.sql`."""
    match = _FILE_NAME.fullmatch(file_name)
    if match is None:
        raise ValueError(f"{file_name} is no migration: name it NNNN_what.sqlite.sql")
    return Migration(int(match[1]), match[2], sql, hashlib.sha256(sql.encode("utf-8")).hexdigest())


def load_migrations() -> tuple[Migration, ...]:
    """All steps this version knows, in order."""
    found = [
        make_migration(entry.name, entry.read_text("utf-8"))
        for entry in files(__package__).iterdir()
        if entry.name.endswith(".sqlite.sql")
    ]
    return tuple(sorted(found, key=lambda migration: migration.number))


def migrate(connection: apsw.Connection, migrations: Sequence[Migration]) -> None:
    """Apply what is missing. Raises StoreUnsafe: foreign file, newer schema, changed step."""
    _refuse_foreign(connection)
    connection.execute(_TABLE)
    known = {migration.number: migration for migration in migrations}
    rows = connection.execute("SELECT number, name, checksum FROM schema_migrations")
    applied = {int(number): (str(name), str(checksum)) for number, name, checksum in rows}
    for number, (name, checksum) in sorted(applied.items()):
        if number not in known:
            raise StoreUnsafe(
                f"the store's schema has step {number} ({name}), which this version does not know: "
                "start the newer version that wrote it, or restore the backup made before it"
            )
        if checksum != known[number].checksum:
            raise StoreUnsafe(
                f"schema step {number} ({name}) differs from the one this store was built with: "
                "install an unaltered release"
            )
    for migration in migrations:
        if migration.number not in applied:
            _apply(connection, migration)


def _apply(connection: apsw.Connection, migration: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(migration.sql)
        connection.execute(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES (?, ?, ?)",
            (migration.number, migration.name, migration.checksum),
        )
        crash_point("migration_written")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _refuse_foreign(connection: apsw.Connection) -> None:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    tables = {row[0] for row in rows}
    if tables and "schema_migrations" not in tables:
        raise StoreUnsafe("the file is an SQLite database, but no Crossdock store: choose another")
