"""What the SQLite tables hold and refuse, written to as the sqlite3 shell does: by a plain connection."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from leasebeat.store.sqlite import create, utc_micros, utc_text

T = "2026-11-20 03:00:00.000000"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as `init` leaves it."""
    path = tmp_path_factory.mktemp("made") / "store.db"
    create(path)
    return path


@pytest.fixture
def shell(made: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that knows nothing of Leasebeat: no functions, no settings of ours."""
    shutil.copy(made, tmp_path)
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        raw.execute("INSERT INTO schedules (name, cron, command) VALUES ('job', '0 3 * * *', 'true')")
        yield raw


def row(shell: sqlite3.Connection, columns: str = "version, updated_at") -> tuple[object, ...]:
    return shell.execute(f"SELECT {columns} FROM schedules WHERE name = 'job'").fetchone()


def digest(shell: sqlite3.Connection) -> str:
    return shell.execute("SELECT digest FROM schedule_digest").fetchone()[0]


# --- instants: one form each --------------------------------------------------------------------

OTHER_FORMS = [
    "2026-11-20 03:00:00",
    "2026-11-20 03:00:00.000",
    "2026-11-20 03:00:00.0000000",
    "2026-11-20T03:00:00.000000",
    "2026-11-20T03:00:00Z",
    "2026-11-20 03:00:00.000000Z",
    "2026-11-20 05:00:00.000000+02:00",
    " 2026-11-20 03:00:00.000000",
    "2026-11-20 3:00:00.000000",
    "2026-11-20",
    "1795143600",
    1795143600,
    1795143600000000,
    2461364.625,
    b"2026-11-20 03:00:00.000000",
    "",
    "now",
]
NO_INSTANTS = [
    "2026-02-30 03:00:00.000000",
    "2026-13-01 03:00:00.000000",
    "2026-11-20 24:00:00.000000",
    "2026-11-20 03:60:00.000000",
    "2026-11-20 03:00:60.000000",
    "2026-11-20 03:00:00.-00001",
    "2026-11-20 03:00:00.+00001",
    "2026-11-20 03:00:00.1e5000",
    "2026-11-20 03:00:00.4294967295",
    "0000-00-00 00:00:00.000000",
]


@pytest.mark.parametrize("form", [*OTHER_FORMS, *NO_INSTANTS])
def test_one_instant_cannot_be_stored_two_ways(shell: sqlite3.Connection, form: object) -> None:
    shell.execute("INSERT INTO runs (fire_at, schedule_id) VALUES (?, 1)", (T,))
    with pytest.raises((sqlite3.IntegrityError, sqlite3.OperationalError)):
        shell.execute("INSERT INTO runs (fire_at, schedule_id) VALUES (?, 1)", (form,))
    with pytest.raises((sqlite3.IntegrityError, sqlite3.OperationalError)):
        shell.execute("UPDATE schedules SET starts_at = ?", (form,))
    assert shell.execute("SELECT fire_at FROM runs").fetchall() == [(T,)]


@pytest.mark.parametrize(
    "text", [T, "2026-11-20 23:59:59.999999", "2028-02-29 00:00:00.000001", "1970-01-01 00:00:00.000000"]
)
def test_the_one_form_is_taken_and_read_back(shell: sqlite3.Connection, text: str) -> None:
    shell.execute("INSERT INTO runs (fire_at, schedule_id) VALUES (?, 1)", (text,))
    assert utc_text(utc_micros(text)) == text


def test_texts_of_instants_sort_as_instants_do() -> None:
    instants = [0, 1, 999_999, 1_000_000, 1795143600000000, 1795143600000001, 4102444800000000]
    texts = [utc_text(instant) or "" for instant in instants]
    assert sorted(texts) == texts
    assert [utc_micros(text) for text in texts] == instants


INSTANTS = [
    ("runs", "fire_at ready_at expires_at claimed_at started_at finished_at until"),
    ("attempts", "fire_at claimed_at started_at ended_at"),
    ("outputs", "fire_at"),
    ("nodes", "started_at beat_at"),
    ("roles", "expires_at watermark"),
    ("schedules", "starts_at ends_at updated_at"),
    ("schedule_history", "updated_at valid_from ends_at seen_at"),
    ("schedule_problems", "noticed_at"),
]


@pytest.mark.parametrize(("table", "columns"), INSTANTS)
def test_every_column_of_instants_is_checked(shell: sqlite3.Connection, table: str, columns: str) -> None:
    (sql,) = shell.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    for column in columns.split():
        assert f'CONSTRAINT "{column}: YYYY-MM-DD HH:MM:SS.ffffff, UTC"' in sql


# --- ids ----------------------------------------------------------------------------------------


def test_ids_are_never_given_out_twice(shell: sqlite3.Connection) -> None:
    shell.execute("INSERT INTO runs (fire_at, schedule_id) VALUES (?, 1)", (T,))
    shell.execute("DELETE FROM schedules")
    shell.execute("INSERT INTO schedules (name, cron, command) VALUES ('next', '@hourly', 'true')")
    assert shell.execute("SELECT id FROM schedules").fetchall() == [(2,)]


# --- versions -----------------------------------------------------------------------------------

EDITS = """\
name = 'other'
description = 'x'
owner = 'ops'
cron = '0 4 * * *'
command = 'false'
kind = 'http'
args = '{}'
timezone = 'Europe/Berlin'
enabled = 0
starts_at = '2026-11-20 03:00:00.000000'
ends_at = '2026-11-20 03:00:00.000000'
calendar = 'holidays'
dst = 'skip'
jitter_s = 1
queue = 'heavy'
priority = 1
route = 'any'
shards = 2
shard_args = '[1, 2]'
overlap = 'allow'
lane = 'disk'
misfire = 'all'
misfire_grace_s = 60
timeout_s = 0
retries = 1
retry_delay_s = 1
retry_backoff = 3
on_node_loss = 'fail'
after = '["extract"]'
after_rule = 'done'
run_as = 'nobody'
alert = '{}'"""


@pytest.mark.parametrize("edit", EDITS.splitlines())
def test_a_plain_edit_of_any_column_makes_a_new_version(shell: sqlite3.Connection, edit: str) -> None:
    before, seen = row(shell), digest(shell)
    shell.execute(f"UPDATE schedules SET {edit}")
    (version, _) = shell.execute("SELECT version, updated_at FROM schedules").fetchone()
    assert version != before[0]
    assert digest(shell) != seen


def test_an_edit_that_changes_nothing_makes_no_version(shell: sqlite3.Connection) -> None:
    before = row(shell)
    shell.execute("UPDATE schedules SET cron = cron, args = NULL, enabled = 1")
    assert row(shell) == before


def test_an_edit_that_writes_all_columns_back_makes_a_new_version(shell: sqlite3.Connection) -> None:
    version, updated_at = row(shell)
    shell.execute("UPDATE schedules SET cron = '@hourly'")
    shell.execute(
        "UPDATE schedules SET cron = '0 3 * * *', version = ?, updated_at = ?", (version, updated_at)
    )
    assert row(shell)[0] != version


def test_a_row_put_back_from_a_copy_is_a_new_version(shell: sqlite3.Connection) -> None:
    shell.execute("CREATE TEMP TABLE copy AS SELECT * FROM schedules")
    version, _ = row(shell)
    shell.execute("INSERT OR REPLACE INTO schedules SELECT * FROM copy")
    assert row(shell, "id")[0] == 1
    assert row(shell)[0] != version


def test_versions_of_rows_that_say_the_same_differ(shell: sqlite3.Connection) -> None:
    shell.execute("INSERT INTO schedules (name, cron, command) SELECT 'b', cron, command FROM schedules")
    assert shell.execute("SELECT count(DISTINCT version) FROM schedules").fetchone() == (2,)


def test_an_edit_moves_updated_at_unless_the_editor_says_otherwise(shell: sqlite3.Connection) -> None:
    shell.execute("UPDATE schedules SET owner = 'a', updated_at = ?", (T,))
    assert row(shell)[1] == T
    shell.execute("UPDATE schedules SET owner = 'b'")
    moved = row(shell)[1]
    assert moved != T
    shell.execute("UPDATE schedules SET owner = 'c', updated_at = ?", (T,))
    assert row(shell)[1] == T


@pytest.mark.parametrize("statement", ["DELETE FROM schedules", "DELETE FROM schedules WHERE id = 1"])
def test_a_deletion_changes_the_digest(shell: sqlite3.Connection, statement: str) -> None:
    seen = digest(shell)
    shell.execute(statement)
    assert digest(shell) != seen


def test_an_edit_that_is_rolled_back_leaves_the_digest(shell: sqlite3.Connection) -> None:
    seen = digest(shell)
    shell.executescript("BEGIN; UPDATE schedules SET cron = '@daily'; ROLLBACK")
    assert digest(shell) == seen


# --- what may be written by hand ----------------------------------------------------------------


def test_a_run_asked_for_by_hand_is_due_when_it_is_written(shell: sqlite3.Connection) -> None:
    shell.execute("INSERT INTO runs (schedule_id) VALUES (7)")
    found = shell.execute("SELECT fire_at, ready_at, status, origin, version FROM runs").fetchone()
    assert found == (found[0], found[0], "queued", "manual", None)
    assert len(found[0]) == len(T)


def test_a_run_asked_for_at_an_instant_is_ready_then(shell: sqlite3.Connection) -> None:
    shell.execute("INSERT INTO runs (schedule_id, fire_at) VALUES (7, ?)", (T,))
    assert shell.execute("SELECT ready_at FROM runs").fetchone() == (T,)


REFUSED = """\
UPDATE schedules SET kind = 'perl'
UPDATE schedules SET enabled = 2
UPDATE schedules SET enabled = 'yes'
UPDATE schedules SET enabled = NULL
UPDATE schedules SET shards = 1.5
UPDATE schedules SET shards = 'many'
UPDATE schedules SET retries = -2
UPDATE schedules SET jitter_s = 9e999
UPDATE schedules SET misfire_grace_s = 9e999
UPDATE schedules SET misfire_grace_s = 315360001
UPDATE schedules SET misfire_grace_s = -1
UPDATE schedules SET timeout_s = 9e999
UPDATE schedules SET timeout_s = 315360001
UPDATE schedules SET retry_delay_s = 9e999
UPDATE schedules SET retry_delay_s = 315360001
UPDATE schedules SET retry_backoff = 9e999
UPDATE schedules SET retry_backoff = 101
UPDATE schedules SET retry_backoff = 0.5
UPDATE schedules SET starts_at = '0000-01-01 00:00:00.000000'
UPDATE schedules SET ends_at = '1969-12-31 23:59:59.999999'
UPDATE schedules SET updated_at = '0000-01-01 00:00:00.000000'
UPDATE roles SET watermark = '0000-01-01 00:00:00.000000'
INSERT INTO runs (schedule_id, fire_at) VALUES (1, '0000-01-01 00:00:00.000000')
INSERT INTO runs (schedule_id, ready_at) VALUES (1, '0000-01-01 00:00:00.000000')
UPDATE schedules SET jitter_s = -1
UPDATE schedules SET misfire_grace_s = 'long'
UPDATE schedules SET args = '{'
UPDATE schedules SET args = '[]'
UPDATE schedules SET after = '{}'
UPDATE schedules SET overlap = 'SKIP'
UPDATE schedules SET dst = 'never'
UPDATE schedules SET on_node_loss = ''
UPDATE schedules SET name = ''
UPDATE schedules SET name = 'a b'
UPDATE schedules SET name = 'a@b'
UPDATE schedules SET name = 'a#b'
UPDATE schedules SET name = 'a*'
UPDATE schedules SET name = 'a' || char(10)
UPDATE schedules SET name = 'a' || char(8203)
UPDATE schedules SET queue = 'a b'
UPDATE schedules SET route = 'node:'
INSERT INTO schedules (name, cron, command) VALUES ('job', '@hourly', 'true')
INSERT INTO schedules (name, cron, command) VALUES ('b', '', 'true')
INSERT INTO schedules (name, cron) VALUES ('b', '@hourly')
INSERT INTO runs (schedule_id, status) VALUES (1, 'done')
INSERT INTO runs (schedule_id, origin) VALUES (1, 'me')
INSERT INTO runs (schedule_id, shard) VALUES (1, -1)
INSERT INTO runs (schedule_id, args) VALUES (1, '[]')
INSERT INTO runs (schedule_id) VALUES ('seven')
INSERT INTO runs (schedule_id) VALUES (NULL)
INSERT INTO calendars (name, day) VALUES ('a', '2026-02-30')
INSERT INTO lanes (name, size) VALUES ('a', 0)
INSERT INTO roles (name) VALUES ('auditor')
INSERT INTO schema_info (version, min_worker, installation) VALUES (1, '1', 'x')"""


@pytest.mark.parametrize("statement", REFUSED.splitlines())
def test_wrong_types_and_words_are_refused_by_the_table(shell: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        shell.execute(statement)


@pytest.mark.parametrize("name", ["a", "billing/nightly-2.1_x", "größe", "日次", "عمل", "a" * 128])
def test_names_of_any_script_are_taken(shell: sqlite3.Connection, name: str) -> None:
    shell.execute("UPDATE schedules SET name = ?", (name,))
    assert shell.execute("SELECT name FROM schedules").fetchone() == (name,)


def test_a_refusal_says_what_was_expected(shell: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="kind: shell, python, http, publish"):
        shell.execute("UPDATE schedules SET kind = 'perl'")


# --- the same words as in MySQL -----------------------------------------------------------------


COMPUTED = {"pull_order", "live_name", "lease_us", "wants"}
"""Columns that are there for an index only; SQLite has indexes of some rows, and needs fewer of them."""


def columns_of_mysql() -> dict[str, list[str]]:
    from leasebeat.store.schema import print_schema

    tables: dict[str, list[str]] = {}
    name = ""
    for line in print_schema("mysql").splitlines():
        if line.startswith("CREATE TABLE"):
            name = line.split()[5]
            tables[name] = []
        elif name and line.startswith("  ") and line[2].islower():
            tables[name].append(line.split()[0])
        elif line.startswith(")"):
            name = ""
    return tables


def test_tables_and_columns_are_those_of_mysql_in_the_same_order(shell: sqlite3.Connection) -> None:
    expected = columns_of_mysql()
    assert {"schedules", "runs", "nodes"} <= expected.keys()
    for table, columns in expected.items():
        found = [name for _, name, *_ in shell.execute(f"PRAGMA table_xinfo({table})")]
        assert [name for name in found if name not in COMPUTED] == [
            name for name in columns if name not in COMPUTED
        ], table


@pytest.mark.parametrize("view", ["schedule_list", "run_list", "attempt_list"])
def test_the_views_can_be_read_by_a_plain_shell(
    shell: sqlite3.Connection, view: str, count: Callable[[str], int]
) -> None:
    shell.execute("INSERT INTO runs (schedule_id, attempt) VALUES (1, 1)")
    assert count(view) == 1


@pytest.fixture
def count(shell: sqlite3.Connection) -> Callable[[str], int]:
    return lambda table: shell.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_the_attempts_of_a_run_tell_its_key_their_node_and_what_they_printed(
    shell: sqlite3.Connection,
) -> None:
    shell.execute("INSERT INTO runs (schedule_id, fire_at, attempt) VALUES (1, ?, 2)", (T,))
    shell.execute(
        "INSERT INTO attempts (fire_at, schedule_id, shard, attempt, outcome) VALUES (?, 1, 0, 1, 'failed')",
        (T,),
    )
    shell.execute(
        "INSERT INTO outputs (fire_at, schedule_id, shard, attempt, succeeded, output, output_bytes)"
        " VALUES (?, 1, 0, 1, 0, x'6f6b', 2)",
        (T,),
    )
    found = shell.execute(
        "SELECT key, attempt, outcome, output FROM attempt_list ORDER BY attempt"
    ).fetchall()
    key = "job@2026-11-20T03:00:00Z"
    assert found == [(key, 1, "failed", b"ok"), (key, 2, "queued", None)]


def test_a_view_tells_delays_and_durations_in_seconds(shell: sqlite3.Connection) -> None:
    shell.execute(
        "INSERT INTO runs (schedule_id, fire_at, started_at, finished_at) VALUES (1, ?, ?, ?)",
        (T, "2026-11-20 03:00:00.250000", "2026-11-20 03:01:00.000000"),
    )
    found = shell.execute("SELECT key, schedule, start_delay_s, duration_s FROM run_list").fetchone()
    assert found == ("job@2026-11-20T03:00:00Z", "job", 0.25, 59.75)
