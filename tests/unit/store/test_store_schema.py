"""Migrations, named queries, and what refuses to open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import apsw.ext
import msgspec
import pytest

from engine.store.port import StoreUnsafe
from engine.store.sqlite.connection import FileLock, check_version
from engine.store.sqlite.migrations import load_migrations, make_migration, migrate
from engine.store.sqlite.queries import SQL, split_named

LATER = make_migration("9998_more.sqlite.sql", "CREATE TABLE more (id INTEGER) STRICT;")
BROKEN = make_migration("9999_broken.sqlite.sql", "CREATE TABLE half (id INTEGER); SELEC;")
SCANS = ("SCAN orders", "SCAN a", "SCAN events", "SCAN t ", "SCAN tracks", "SCAN track_events", "SCAN e ", "SCAN n ")


@pytest.fixture
def connection() -> Any:
    opened = apsw.Connection(":memory:")
    yield opened
    opened.close()


def names(connection: apsw.Connection) -> Any:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.7.0"])
def test_sqlite_with_the_wal_bug_is_refused(version: Any) -> None:
    """A library that can lose commits is refused by version, with the remedy."""
    with pytest.raises(StoreUnsafe, match=rf"SQLite {version} can lose .* 3\.51\.3"):
        check_version(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.1", "4.0.0"])
def test_sound_sqlite_is_taken(version: Any) -> None:
    """A fixed library passes without a word."""
    check_version(version)


def test_migrations_apply_once(connection: apsw.Connection) -> None:
    """Migrating again changes nothing."""
    migrate(connection, load_migrations())
    before = names(connection)

    migrate(connection, load_migrations())

    assert names(connection) == before
    assert "orders" in before


def test_missing_steps_follow_on(connection: apsw.Connection) -> None:
    """A later version applies only the steps that are missing."""
    migrate(connection, load_migrations())

    migrate(connection, (*load_migrations(), LATER))

    assert "more" in names(connection)


def test_newer_schema_is_refused(connection: apsw.Connection) -> None:
    """A file written by a later version is not touched."""
    migrate(connection, (*load_migrations(), LATER))

    with pytest.raises(StoreUnsafe, match=r"step 9998 \(more\), which this version does not know"):
        migrate(connection, load_migrations())


def test_changed_step_is_refused(connection: apsw.Connection) -> None:
    """A released step whose text changed is refused."""
    migrate(connection, load_migrations())
    changed = [msgspec.structs.replace(m, checksum="0") for m in load_migrations()]

    with pytest.raises(StoreUnsafe, match=r"step 1 \(first\) differs"):
        migrate(connection, changed)


def test_broken_step_leaves_nothing(connection: apsw.Connection) -> None:
    """A step that fails half-way is rolled back whole and can be tried again."""
    migrate(connection, load_migrations())
    before = names(connection)

    with pytest.raises(apsw.SQLError):
        migrate(connection, (*load_migrations(), BROKEN))

    assert names(connection) == before


def test_foreign_database_is_refused(connection: apsw.Connection) -> None:
    """A database that is no store is left alone."""
    connection.execute("CREATE TABLE somebody_elses (id INTEGER)")

    with pytest.raises(StoreUnsafe, match="no Crossdock store"):
        migrate(connection, load_migrations())


def test_migration_file_must_be_numbered() -> None:
    """A file name without a number is refused."""
    with pytest.raises(ValueError, match="NNNN_what"):
        make_migration("first.sql", "")


def test_every_query_compiles(connection: apsw.Connection) -> None:
    """Every named query is sound against the schema."""
    migrate(connection, load_migrations())

    for sql in vars(SQL).values():
        apsw.ext.query_info(connection, sql)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("get_order_by_reference", "orders_by_reference"),
        ("get_order_by_attempt", "attempts_by_reference"),
        ("count_attempts_of_younger", "PRIMARY KEY"),
        ("attempts_of_older", "PRIMARY KEY"),
        ("list_orders", "orders_listing"),
        ("list_orders_by_prefix", "orders_by_reference"),
        ("due_of_epoch", "orders_due"),
        ("epoch_before", "orders_due"),
        ("events_after", "events_by_tenant"),
        ("tracks_of_number", "tracks_by_number"),
        ("events_of_track", "PRIMARY KEY"),
        ("tracks_by_number", "tracks_by_number"),
        ("track_of_order", "tracks_by_order"),
        ("live_track", "tracks_live"),
        ("due_tracks", "tracks_due"),
        ("due_checks", "tracks_to_check"),
        ("live_tracks_after", "tracks_live"),
        ("insert_track_event", "PRIMARY KEY"),
        ("news_after", "track_news_by_tenant"),
    ],
)
def test_query_uses_its_index(connection: apsw.Connection, query: Any, index: Any) -> None:
    """Queries on the hot path search an index and scan no table."""
    migrate(connection, load_migrations())

    sql = getattr(SQL, query)
    nothing = (None,) * apsw.ext.query_info(connection, sql).bindings_count
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", nothing)]

    assert any("SEARCH" in step and index in step for step in plan)
    assert not any(step.startswith(SCANS) for step in plan)


def test_counting_what_stands_still_reads_nothing_else(connection: apsw.Connection) -> None:
    """However many tracks are kept, only the index of those with alerts is read."""
    migrate(connection, load_migrations())

    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL.count_stalled}")]

    assert plan == ["SCAN tracks USING COVERING INDEX tracks_stalled"]


def test_query_named_twice_is_refused() -> None:
    """Two queries of one name are a mistake."""
    with pytest.raises(ValueError, match="one is defined twice"):
        split_named("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")


def test_lock_keeps_a_second_holder_out(tmp_path: Path) -> None:
    """One holder at a time; the refusal names the process; the file is private."""
    path = tmp_path / "store.db"
    lock = FileLock(path)

    with pytest.raises(StoreUnsafe, match=r"in use by another engine \(process \d+\): stop"):
        FileLock(path)
    lock.release()
    FileLock(path).release()

    assert (tmp_path / "store.db.lock").stat().st_mode & 0o777 == 0o600


def test_lock_in_a_missing_directory_names_the_remedy(tmp_path: Path) -> None:
    """A store beside nothing says what to create."""
    with pytest.raises(StoreUnsafe, match="create the store's directory"):
        FileLock(tmp_path / "absent" / "store.db")
