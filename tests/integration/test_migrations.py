"""Old tables become new ones: by numbered steps, one process at a time, and again after a death half way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leasebeat.errors import StoreUnfit
from leasebeat.runtime import SystemRuntime
from leasebeat.store import schema, sqlite
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.tables import migrations, split
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import connect
from tests.integration.mysql_store import Meanwhile

SCHEMAS = Path(__file__).parents[1] / "schemas"
COLUMNS = (
    "SELECT TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT,"
    " COLLATION_NAME, EXTRA, GENERATION_EXPRESSION, COLUMN_COMMENT FROM information_schema.COLUMNS"
    " WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 3"
)
KEYS = (
    "SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE FROM information_schema.STATISTICS"
    " WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, 3"
)
RULES = (
    "SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS"
    " WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1, 2"
)


class Old:
    """A database of version 1, and what its tables are now."""

    def __init__(self, url: str) -> None:
        self.url = StoreUrl.parse(url)
        self.session = MysqlSession(self.url, SystemRuntime())
        self.session.run(split((SCHEMAS / "mysql_0001.sql").read_text()))

    def rows(self, text: str) -> list[Any]:
        with connect(self.url) as raw, raw.cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall())

    def shape(self) -> list[list[Any]]:
        return [self.rows(text) for text in (COLUMNS, KEYS, RULES)]


@pytest.fixture
def old(empty_mysql_url: str) -> Iterator[Old]:
    made = Old(empty_mysql_url)
    yield made
    made.session.close()


def refused(session: MysqlSession | sqlite.SqliteSession) -> list[str]:
    found = schema.checks(session, worker=False)
    return [one.name for one in found if not one.ok and one.severity == "refuse"]


def test_a_migrated_store_is_what_a_new_one_is(old: Old) -> None:
    schema.init(old.session)
    migrated = old.shape()
    old.session.run([f"DROP TABLE {name}" for name in {row[0] for row in old.shape()[1]}])
    schema.init(old.session)
    assert old.shape() == migrated


@pytest.mark.fault(66)
def test_a_worker_newer_than_the_tables_says_that_init_has_to_run(old: Old) -> None:
    with pytest.raises(
        StoreUnfit, match=r"schema version: found 1, expected 2 or newer; run `python scheduler\.py init`"
    ):
        schema.check(old.session)


@pytest.mark.fault(66)
def test_a_worker_older_than_the_tables_goes_on(old: Old) -> None:
    schema.init(old.session)
    old.session.run(["ALTER TABLE nodes ADD COLUMN later INT", "UPDATE schema_info SET version = 99"])
    assert refused(old.session) == []
    schema.init(old.session)
    assert old.session.query("schema_info")[0]["version"] == 99


@pytest.mark.fault(67)
@pytest.mark.parametrize("done", range(len(migrations("mysql", 1)) + 1))
def test_who_died_between_two_steps_is_followed_by_who_does_the_rest(old: Old, done: int) -> None:
    old.session.run(migrations("mysql", 1)[:done])
    schema.init(old.session)
    assert refused(old.session) == []


@pytest.mark.fault(67)
def test_five_that_migrate_at_once_make_one_store(old: Old) -> None:
    sessions = [MysqlSession(old.url, SystemRuntime()) for _ in range(5)]
    for each in [Meanwhile(lambda session=session: schema.init(session)) for session in sessions]:
        each.result(60)
    assert refused(old.session) == []
    for session in sessions:
        session.close()


# --- SQLite -------------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as raw:
        raw.create_function("utc_now", 0, lambda: "2026-11-20 00:00:00.000000", deterministic=True)
        raw.execute("PRAGMA journal_mode = WAL")
        raw.executescript((SCHEMAS / "sqlite_0001.sql").read_text())
    return path


def shape(path: Path) -> list[Any]:
    with sqlite3.connect(path) as raw:
        names = [
            name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        ]
        others = raw.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' ORDER BY 1, 2"
        ).fetchall()
        return [[name, raw.execute(f"PRAGMA table_info({name})").fetchall()] for name in names] + others


def test_a_migrated_file_is_what_a_new_one_is(old_file: Path, tmp_path: Path) -> None:
    sqlite.create(old_file)
    sqlite.create(tmp_path / "new.db")
    assert shape(old_file) == shape(tmp_path / "new.db")
    assert refused(sqlite.SqliteSession(old_file, SystemRuntime())) == []


def test_a_step_that_fails_leaves_the_file_as_it_was(old_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shape(old_file)
    steps = [*migrations("sqlite", 1), "ALTER TABLE nowhere ADD COLUMN x INTEGER"]
    monkeypatch.setattr(sqlite, "migrations", lambda dialect, above: steps)
    with pytest.raises(StoreUnfit):
        sqlite.create(old_file)
    assert shape(old_file) == before
