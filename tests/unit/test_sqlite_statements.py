"""The statements of both dialects share names and parameters, and SQLite finds its rows by index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from leasebeat.runtime import SystemRuntime
from leasebeat.store.sqlite import SqliteSession, create
from leasebeat.store.statements import Statement, parse

MYSQL_ONLY = {"server_version", "server_variables", "schema_columns"}


def of(name: str) -> dict[str, Statement]:
    return parse((files("leasebeat.store") / "sql" / name).read_text(encoding="utf-8"))


ALL = {**of("sqlite.sql"), **of("desk.sql")}

WHOLE = {"count_runs"}
"""Statements that read all runs on purpose."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("sqlite") / "store.db"
    create(path)
    session = SqliteSession(Path(path), SystemRuntime())
    yield session._connection().raw
    session.close()


def test_every_statement_has_its_namesake_in_mysql() -> None:
    ours, theirs = of("sqlite.sql"), of("mysql.sql")
    assert theirs.keys() - ours.keys() <= MYSQL_ONLY
    assert ours.keys() - theirs.keys() == {"file_settings"}
    differ = [name for name in ours.keys() & theirs.keys() if ours[name].params != theirs[name].params]
    assert differ == []


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_statement_can_be_prepared_and_reads_no_more_runs_than_it_wants(
    raw: sqlite3.Connection, name: str
) -> None:
    statement = ALL[name]
    plan = raw.execute(f"EXPLAIN QUERY PLAN {statement.text}", dict.fromkeys(statement.params, 1)).fetchall()
    aliases = set(re.findall(r"(?:runs|run_list)(?: AS)? ([a-z])\b", statement.text)) | {"runs", "r"}
    scans = [step[3] for step in plan if re.match(rf"SCAN ({'|'.join(aliases)})\b", step[3])]
    # What is scanned is one of the small indexes that hold only open runs, or those to be followed.
    bad = [
        scan
        for scan in scans
        if not re.search(r"USING (COVERING )?INDEX (mine|pull|undressed|unwanted|expiring|follow)", scan)
    ]
    assert bad == [] or name in WHOLE
