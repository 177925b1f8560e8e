"""The embedded store: one SQLite file, shared by the workers and commands of one host.

What SQLite gives: one writer at a time, readers never wait (WAL), a commit is on the disk when it
returns (synchronous=FULL). Every write begins with BEGIN IMMEDIATE, because a transaction that
reads first and writes later is refused at once, without waiting, when another process wrote in
between. The store's time is the host's clock, read after the write lock was gained and the same
all through a statement.

Instants lie in the file as text, `2026-11-20 03:00:00.000000`, because people read them with the
sqlite3 shell; the schema's CHECKs leave each instant that one form. Statements write them with
`utc_text(micros)` and `utc_now()`, and give them back as text under names that end in `_at` (or
are among `INSTANT_COLUMNS`), which become integers here. In desk.sql, which MySQL reads too, the
store's time is written UTC_TIMESTAMP(6).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from base64 import b64decode
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from weakref import WeakSet, finalize

from leasebeat.errors import Busy, Duplicate, NoStore, Refused, StoreError, StoreUnfit, Unavailable, Unknown
from leasebeat.model.instant import Instant, from_datetime, to_datetime
from leasebeat.runtime import Runtime
from leasebeat.store.checks import Check
from leasebeat.store.session import IMPOSSIBLE, FaultHook, Record, SqlValue
from leasebeat.store.statements import load
from leasebeat.store.tables import SCHEMA_VERSION, migrations, print_schema

__all__ = ["BUSY_S", "SqliteSession", "checks", "create", "network_filesystem"]

BUSY_S = 2.0
"""How long a statement waits for another writer, in seconds."""

INSTANT_COLUMNS = frozenset({"at", "now", "until", "watermark", "valid_from"})
"""Columns that hold instants although their names do not end in `_at`."""

_DUPLICATE = frozenset(
    {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID}
)
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_AWAY = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
    | {sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM}
)
_UNFIT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})

_NETWORK = frozenset(
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs"]
)


def utc_text(instant: Instant | None) -> str | None:
    """The one form in which the file holds an instant: 26 characters, UTC."""
    if instant is None:
        return None
    return to_datetime(instant).replace(tzinfo=None).isoformat(" ", "microseconds")


def utc_micros(text: str | None) -> Instant | None:
    """The instant of such a text; of the year 0000, which SQLite knows too, IMPOSSIBLE."""
    if text is None:
        return None
    try:
        return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except ValueError:
        return IMPOSSIBLE


class _Time:
    """What the functions of one connection take for now."""

    def __init__(self) -> None:
        self.now: Instant = 0

    def told(self) -> str | None:
        return utc_text(self.now)

    def timestamp(self, digits: int) -> str | None:
        return utc_text(self.now) if digits == 6 else None

    def apart(self, micros: int | None) -> str | None:
        return None if micros is None else utc_text(self.now + micros)


class _Connection:
    """One thread's connection, and the time that its present statement sees."""

    def __init__(self, path: Path, clock: Callable[[], Instant]) -> None:
        self._clock = clock
        self.file = _identity(path)
        # mode=rw: a file that is not there is an error, never a new and empty store.
        self.raw = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,  # close() closes those of all threads
            cached_statements=256,
        )
        finalize(self, self.raw.close)
        # Not methods of this object: SQLite would hold it for good, for no garbage collector sees there.
        self._time = time = _Time()
        self.raw.create_function("utc_now", 0, time.told, deterministic=True)
        self.raw.create_function("utc_timestamp", 1, time.timestamp, deterministic=True)
        self.raw.create_function("utc_in", 1, time.apart, deterministic=True)
        self.raw.create_function("utc_text", 1, utc_text, deterministic=True)
        self.raw.create_function("utc_micros", 1, utc_micros, deterministic=True)
        self.raw.create_function("from_base64", 1, b64decode, deterministic=True)
        self.raw.execute("PRAGMA synchronous = FULL")

    def run(self, sql: str, params: dict[str, SqlValue]) -> sqlite3.Cursor:
        # One time for the whole statement, as a server has it; a write has the lock by now.
        self._time.now = self._clock()
        return self.raw.execute(sql, params)

    def change(self, sql: str, params: dict[str, SqlValue]) -> int:
        self.run(sql, params)
        # The cursor's own count is -1 for what begins with WITH; this one leaves out what triggers changed.
        (count,) = self.raw.execute("SELECT changes()").fetchone()
        return count


class SqliteSession:
    """One SQLite file, with a connection for each thread that asks.

    `clock` is the store's own time; only tests give another than the runtime's.
    `fault` is called around each statement; tests kill the process or raise in it.
    """

    dialect = "sqlite"

    def __init__(
        self,
        path: Path,
        runtime: Runtime,
        *,
        clock: Callable[[], Instant] | None = None,
        fault: FaultHook | None = None,
    ) -> None:
        self.path = path
        self._clock = clock or (lambda: from_datetime(runtime.wall()))
        self._fault = fault or _no_fault
        self._statements = load("sqlite")
        self._reached = False  # then a file that is missing is trouble, and no wrong setting
        self._local = threading.local()
        self._all: WeakSet[_Connection] = WeakSet()  # weak: when a thread ends, its connection goes with it
        self._lock = runtime.lock()

    def query(self, name: str, **params: SqlValue) -> list[Record]:
        """The rows of the statement called `name`; instants as integers."""
        self._fault(name, "before")
        with self._translated(name) as connection:
            rows = _records(connection.run(self._statements[name], params))
        self._fault(name, "after")
        return rows

    def execute(self, name: str, **params: SqlValue) -> int:
        """Run the statement called `name`; how many rows it inserted, matched or deleted."""
        self._fault(name, "before")
        with self.transaction(), self._translated(name) as connection:
            count = connection.change(self._statements[name], params)
        self._fault(name, "after")
        return count

    @contextmanager
    def transaction(self) -> Generator[None]:
        """BEGIN IMMEDIATE ... COMMIT around the statements inside; within another one, a part of it."""
        with self._translated("BEGIN") as connection:
            inner = connection.raw.in_transaction
            if not inner:
                connection.raw.execute("BEGIN IMMEDIATE")
        if inner:
            yield
            return
        try:
            yield
        except BaseException:
            self._rollback()
            raise
        self._commit(connection)

    def _commit(self, connection: _Connection) -> None:
        try:
            connection.raw.execute("COMMIT")
        except sqlite3.Error as problem:
            # It may have reached the disk although its sync failed; the next start would find it there.
            self.forget()
            raise Unknown(f"{self.path}: whether the commit was kept is not known: {problem}") from problem

    def _rollback(self) -> None:
        connection: _Connection | None = getattr(self._local, "connection", None)
        # A connection that was thrown away has rolled back; and so has SQLite itself when the disk is full.
        if connection is not None and connection.raw.in_transaction:
            connection.raw.execute("ROLLBACK")

    def forget(self) -> None:
        """Close the calling thread's connection; the next statement opens another."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.raw.close()

    def close(self) -> None:
        """Close every thread's connection. No statement may be under way."""
        with self._lock:
            connections, self._local = list(self._all), threading.local()
        for connection in connections:
            connection.raw.close()

    @contextmanager
    def _translated(self, name: str) -> Generator[_Connection]:
        """The thread's connection; what SQLite raises, in the words of `errors`."""
        try:
            yield self._connection()
        except sqlite3.Error as problem:
            error = _translate(problem, f"{self.path}: {name}: {problem}")
            if isinstance(error, Unavailable):
                self.forget()
            raise error from problem

    def _connection(self) -> _Connection:
        try:
            return self._open()
        except NoStore as problem:
            if self._reached:
                raise StoreUnfit(f"{self.path} is gone; put it back") from problem
            raise

    def _open(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None and connection.file == _identity(self.path):
            return connection
        if connection is not None:
            # A copy was put in its place: what is written to the old file would be seen by nobody.
            self.forget()
            raise Unavailable(f"{self.path} was replaced by another file")
        connection = self._local.connection = _Connection(self.path, self._clock)
        self._reached = True
        with self._lock:
            self._all.add(connection)
        return connection


def _no_fault(name: str, when: str) -> None:
    pass


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError as problem:
        raise NoStore(f"there is no store at {path}: run `python scheduler.py init`") from problem
    except OSError as problem:
        raise Unavailable(f"{path} cannot be reached: {problem}") from problem
    return found.st_dev, found.st_ino


def _records(cursor: sqlite3.Cursor) -> list[Record]:
    names = [column[0] for column in cursor.description or ()]
    instants = [name for name in names if name.endswith("_at") or name in INSTANT_COLUMNS]
    records: list[Record] = [dict(zip(names, row, strict=True)) for row in cursor]
    for record in records:
        for name in instants:
            if isinstance(record[name], str):
                record[name] = utc_micros(record[name])
    return records


def _translate(problem: sqlite3.Error, message: str) -> Exception:
    code: int = getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _DUPLICATE:
        return Duplicate(message)
    if code & 0xFF in _BUSY:
        return Busy(message)
    if code & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return Refused(f"the store refuses the row: {str(problem).removeprefix('CHECK constraint failed: ')}")
    if code & 0xFF in _AWAY:
        return Unavailable(message)
    missing = "no such table" in str(problem) or "no such column" in str(problem)
    return StoreUnfit(message) if missing or code & 0xFF in _UNFIT else StoreError(message)


# --- the file -----------------------------------------------------------------------------------


def create(path: Path, timezone: str = "UTC") -> None:
    """Make the store at `path`, with `timezone` as the zone of new schedules, or bring it up to date.

    The file is for its owner only. Raises StoreUnfit when it is something else than a store, and
    Unavailable when it cannot be written.
    """
    schema = print_schema("sqlite", timezone)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as problem:
        raise Unavailable(f"{path} cannot be made or written: {problem}") from problem
    try:
        _apply(path, schema)
    except sqlite3.Error as problem:
        raise _translate(problem, f"{path}: the tables cannot be made: {problem}") from problem


def _apply(path: Path, schema: str) -> None:
    raw = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if names and "schema_info" not in names:
            raise StoreUnfit(f"{path} is a database of something else; give Leasebeat a file of its own")
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = FULL")
        if _migrate(raw) > SCHEMA_VERSION:
            return
        raw.executescript(f"BEGIN IMMEDIATE;\n{schema}\nCOMMIT;")
    finally:
        raw.close()


def _migrate(raw: sqlite3.Connection) -> int:
    """Take older tables to this version, all of it or nothing; the version that they had, 0 for none.

    Who else does the same now waits for the lock and finds it done.
    """
    raw.execute("BEGIN IMMEDIATE")
    try:
        there = raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_info'").fetchone()
        row = raw.execute("SELECT version FROM schema_info").fetchone() if there else None
        for text in migrations("sqlite", row[0]) if row else ():
            raw.execute(text)
        raw.execute("COMMIT")
    except BaseException:
        raw.execute("ROLLBACK")
        raise
    return row[0] if row else 0


def checks(session: SqliteSession) -> list[Check]:
    """What the file and the SQLite under it must be like."""
    (record,) = session.query("file_settings")
    network = network_filesystem(session.path)
    return [
        Check(
            "SQLite version",
            tuple(map(int, record["version"].split("."))) >= (3, 38),
            "refuse",
            record["version"],
            "3.38 or newer",
            "use a Python that is built with a newer SQLite",
        ),
        Check(
            "journal mode",
            record["journal_mode"] == "wal",
            "refuse",
            record["journal_mode"],
            "wal",
            "run `python scheduler.py init` again, on a file system that lets processes share memory",
        ),
        Check(
            "file system",
            network is None,
            "warn",
            network or "local",
            "local",
            "SQLite's locks cannot be trusted over a network: put the file on a local disk, or use MySQL",
        ),
    ]


def network_filesystem(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """The type of the file system that `path` is on, if that is one of a network; else None."""
    longest, kind = -1, ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, found, *_ = line.split(" ")
        # Of two mounts on one point the later one hides the other.
        if path.absolute().is_relative_to(point.replace("\\040", " ")) and len(point) >= longest:
            longest, kind = len(point), found
    return kind if kind in _NETWORK else None
