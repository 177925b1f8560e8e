"""SQLite sessions: one time a statement, one writer at a time, errors in our words."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from leasebeat.errors import Busy, Duplicate, NoStore, Refused, StoreUnfit, Unavailable
from leasebeat.model.instant import Instant, from_text
from leasebeat.runtime import SystemRuntime
from leasebeat.store import schema, sqlite
from leasebeat.store.sqlite import SqliteSession, create, network_filesystem, utc_text

NOON = from_text("2026-11-20T12:00:00.000001Z")
JOB = {"id": None, "schedule": "job", "cron": "@hourly", "command": "true", "created_at": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create(tmp_path / "store.db")
    return tmp_path / "store.db"


@pytest.fixture
def session(path: Path) -> Iterator[SqliteSession]:
    made = SqliteSession(path, SystemRuntime(), clock=lambda: NOON)
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.05)


def names(session: SqliteSession) -> list[str]:
    return [row["name"] for row in session.query("desk_schedules")]


# --- time ---------------------------------------------------------------------------------------


def test_the_clock_stands_still_within_a_statement(path: Path) -> None:
    ticks = iter(range(NOON, NOON + 1000))
    session = SqliteSession(path, SystemRuntime(), clock=lambda: next(ticks))
    with session.transaction():
        session.execute("desk_add", **JOB)
        session.execute("desk_add", **{**JOB, "schedule": "next"})
    rows = session.query("desk_schedules")
    assert [row["created_at"] - NOON for row in rows] == [0, 1]
    assert all(row["created_at"] == row["updated_at"] for row in rows)
    session.close()


def test_the_clock_is_read_after_the_wait_for_another_writer(path: Path) -> None:
    asked = threading.Event()
    held = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    held.execute("BEGIN IMMEDIATE")
    over: list[bool] = []

    def clock() -> Instant:
        over.append(held.in_transaction)
        return NOON

    session = SqliteSession(path, SystemRuntime(), clock=clock)
    waiting = threading.Thread(target=lambda: (asked.set(), session.execute("desk_add", **JOB)))
    waiting.start()
    assert asked.wait(5)
    held.execute("COMMIT")
    waiting.join(5)
    assert over == [False]
    held.close()
    session.close()


def test_instants_are_integers_under_their_columns_names(session: SqliteSession) -> None:
    session.execute("desk_add", **JOB)
    (row,) = session.query("desk_schedule", schedule="job")
    assert (row["created_at"], row["starts_at"]) == (NOON, None)
    assert session.query("desk_now") == [{"now": NOON}]


def test_a_text_that_looks_like_an_instant_stays_a_text(session: SqliteSession) -> None:
    session.execute("desk_add", **{**JOB, "command": utc_text(NOON)})
    assert session.query("desk_schedule", schedule="job")[0]["command"] == utc_text(NOON)


# --- transactions -------------------------------------------------------------------------------


def test_a_transaction_that_fails_leaves_nothing_not_even_of_one_within_it(session: SqliteSession) -> None:
    add_and_fail(session)
    assert names(session) == []
    session.execute("desk_add", **JOB)


def add_and_fail(session: SqliteSession) -> None:
    with suppress(KeyError), session.transaction():
        with session.transaction():
            session.execute("desk_add", **JOB)
        assert names(session) == ["job"]
        raise KeyError


def test_counts_leave_out_what_triggers_change(session: SqliteSession) -> None:
    for name in ("a", "b", "c"):
        assert session.execute("desk_add", **{**JOB, "schedule": name}) == 1
    assert session.execute("desk_enable", names='["a", "b", "x"]', enabled=0) == 2
    assert session.execute("desk_enable", names='["a", "b"]', enabled=0) == 0
    assert session.execute("desk_remove", schedule="a") == 1


def test_a_reader_is_not_kept_waiting_by_a_writer(
    session: SqliteSession, path: Path, impatient: None
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO schedules (name, cron, command) VALUES ('unseen', '@hourly', 'true')")
        assert names(session) == []


def test_faults_are_told_around_each_statement(path: Path) -> None:
    told: list[tuple[str, str]] = []
    session = SqliteSession(path, SystemRuntime(), fault=lambda name, when: told.append((name, when)))
    session.query("desk_now")
    session.execute("desk_remove", schedule="x")
    assert told == [(name, when) for name in ("desk_now", "desk_remove") for when in ("before", "after")]
    session.close()


def test_a_fault_after_a_statement_finds_it_applied(path: Path) -> None:
    def lose_the_reply(name: str, when: str) -> None:
        if (name, when) == ("desk_add", "after"):
            raise ConnectionError

    session = SqliteSession(path, SystemRuntime(), fault=lose_the_reply)
    with pytest.raises(ConnectionError):
        session.execute("desk_add", **JOB)
    assert names(session) == ["job"]
    session.close()


# --- errors -------------------------------------------------------------------------------------


def test_a_lock_that_others_hold_is_busy(path: Path, impatient: None) -> None:
    session = SqliteSession(path, SystemRuntime())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="locked"):
            session.execute("desk_add", **JOB)
        other.execute("ROLLBACK")
    session.execute("desk_add", **JOB)
    assert names(session) == ["job"]
    session.close()


def test_a_second_key_is_a_duplicate_and_a_broken_rule_is_refused(session: SqliteSession) -> None:
    session.execute("desk_add", **JOB)
    with pytest.raises(Duplicate, match=r"schedules\.name"):
        session.execute("desk_add", **JOB)
    with pytest.raises(Refused, match="name: 1-128 letters"):
        session.execute("desk_add", **{**JOB, "schedule": "a b"})


def test_a_full_disk_is_unavailable_and_the_next_statement_has_a_new_connection(
    session: SqliteSession,
) -> None:
    with session.transaction():
        (pages,) = session._connection().raw.execute("PRAGMA page_count").fetchone()
        session._connection().raw.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="full"):
        session.execute("desk_add", **{**JOB, "command": "x" * 1_000_000})
    session.execute("desk_add", **JOB)
    assert names(session) == ["job"]


def test_no_file_is_no_store_and_none_is_made(tmp_path: Path) -> None:
    session = SqliteSession(tmp_path / "none.db", SystemRuntime())
    with pytest.raises(NoStore, match="init"):
        session.query("desk_now")
    with pytest.raises(NoStore):
        schema.check(session)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    session = SqliteSession(tmp_path / "empty.db", SystemRuntime())
    with pytest.raises(NoStore):
        schema.check(session)
    session.close()


def test_a_file_of_something_else_is_unfit_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as raw:
        raw.execute("CREATE TABLE runs (id)")
    with pytest.raises(StoreUnfit, match="something else"):
        create(other)
    (tmp_path / "text").write_text("no database at all, but a text of some length\n" * 100)
    with pytest.raises(StoreUnfit):
        create(tmp_path / "text")


def test_a_file_that_was_replaced_is_not_written_to(session: SqliteSession, path: Path) -> None:
    session.execute("desk_add", **JOB)
    create(path.with_name("restored.db"))
    os.replace(path.with_name("restored.db"), path)
    path.with_name("store.db-wal").unlink()  # as whoever restores a file must
    path.with_name("store.db-shm").unlink()
    with pytest.raises(Unavailable, match="replaced"):
        session.execute("desk_remove", schedule="job")
    assert names(session) == []


def test_a_file_that_is_removed_at_work_is_trouble_that_may_pass(session: SqliteSession, path: Path) -> None:
    names(session)
    path.rename(path.with_name("away"))
    for _ in range(2):
        with pytest.raises(StoreUnfit, match="gone"):
            names(session)
    path.with_name("away").rename(path)
    assert names(session) == []


# --- connections --------------------------------------------------------------------------------


def test_each_thread_has_a_connection_that_ends_with_it(session: SqliteSession) -> None:
    names(session)
    worker = threading.Thread(target=lambda: names(session))
    worker.start()
    worker.join(5)
    assert len(session._all) == 1
    session.close()
    assert names(session) == []


def test_what_is_committed_is_on_the_disk(session: SqliteSession) -> None:
    (settings,) = session.query("file_settings")
    assert (settings["journal_mode"], settings["synchronous"]) == ("wal", 2)


# --- the file -----------------------------------------------------------------------------------


def test_a_store_is_made_once_for_its_owner_with_its_zone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    create(path, "Europe/Berlin")
    session = SqliteSession(path, SystemRuntime())
    session.execute("desk_add", **JOB)
    (installation,) = session.query("installation")
    create(path, "Asia/Tokyo")
    assert session.query("installation") == [installation]
    assert session.query("desk_schedule", schedule="job")[0]["timezone"] == "Europe/Berlin"
    assert path.stat().st_mode & 0o777 == 0o600
    session.close()


def test_a_zone_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no name of a time zone"):
        create(tmp_path / "store.db", "UTC'); DROP TABLE runs; --")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be made"):
        create(tmp_path / "nowhere" / "store.db")


def test_a_new_store_passes_every_check(session: SqliteSession) -> None:
    found = schema.checks(session)
    assert [check.name for check in found if not check.ok] == []
    assert {"SQLite version", "journal mode", "file system", "schema version"} <= {
        check.name for check in found
    }


def test_another_journal_mode_is_refused_at_the_start(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
    session = SqliteSession(path, SystemRuntime())
    with pytest.raises(StoreUnfit, match="journal mode: found delete, expected wal"):
        schema.check(session)
    session.close()


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/data/leasebeat.db", "nfs4"),
        ("/data/local/x.db", None),
        ("/srv/my share/x.db", "cifs"),
        ("/x.db", None),
    ],
)
def test_a_file_on_a_network_is_noticed(tmp_path: Path, place: str, kind: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\nhost:/export /data nfs4 rw 0 0\n/dev/sdb1 /data/local xfs rw 0 0\n"
        "//host/share /srv/my\\040share cifs rw 0 0\n"
    )
    assert network_filesystem(Path(place), mounts) == kind
