"""MySQL and MariaDB: a connection for each thread, set up by ourselves and never trusted after an error.

What a reply, or its absence, means is decided here and nowhere else:

    the server answered with an error    nothing was applied: Busy, Refused, Unavailable, StoreUnfit
    the statement could not be sent      nothing was applied: Unavailable
    no answer, not in a transaction      it may have been applied, or may be yet: Unknown
    no answer, in a transaction          nothing was applied, for COMMIT was not sent: Unavailable
    no answer to COMMIT                  it may have been applied, or may be yet: Unknown

A connection that has been idle is looked at before it is used: the server closes what is idle for
longer than two beats, so that a stopped process does not hold its locks beyond its lease.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from pymysql import MySQLError, OperationalError
from pymysql.connections import Connection
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import decoders, encoders
from pymysql.cursors import DictCursor

from leasebeat.errors import Busy, LeasebeatError, NoStore, SettingsError, StoreUnfit, Unavailable, Unknown
from leasebeat.model.instant import Instant
from leasebeat.runtime import Runtime
from leasebeat.store.mysql_errors import DONE_BEFORE, NO_RIGHT, kind_of, words_of
from leasebeat.store.session import IMPOSSIBLE, FaultHook, Record, SqlValue
from leasebeat.store.statements import load
from leasebeat.store.url import StoreUrl

__all__ = ["MysqlSession"]

CONNECT_S = 2.0
REPLY_S = 2.5
"""How long each read from and write to the server may take: longer than a statement waits for a lock."""

PATIENT_S = 60.0
"""The same while tables are made."""

ALONE_S = 50
"""How long one that changes the tables waits for another that does: less than its patience."""

LOCK_WAIT_S = 2
"""How long a statement waits for a row, and for a table that somebody alters."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  the session's zone is UTC, and its texts name none


@lru_cache(4096)
def _instant(text: str) -> Instant:
    """The instant of a DATETIME or TIMESTAMP: rows of one batch share most of theirs. Never raises."""
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except ValueError:
        return IMPOSSIBLE
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _decimal(text: str) -> int | float:
    return float(text) if "." in text else int(text)


_CONVERSIONS: dict[Any, Any] = {
    **encoders,
    **decoders,
    FIELD_TYPE.DATETIME: _instant,
    FIELD_TYPE.TIMESTAMP: _instant,
    FIELD_TYPE.DECIMAL: _decimal,
    FIELD_TYPE.NEWDECIMAL: _decimal,
    FIELD_TYPE.DATE: None,
    FIELD_TYPE.TIME: None,
}

_MODES = "STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"


# --- connections --------------------------------------------------------------------------------


if TYPE_CHECKING:
    _Base = Connection[DictCursor]
else:
    _Base = Connection  # generic in its type stubs only


class _Connection(_Base):
    """One connection, and when it was last used (seconds of CLOCK_BOOTTIME)."""

    used: float = 0.0
    in_transaction: bool = False
    _sock: socket.socket | None

    def open_to(self, url: StoreUrl) -> None:
        """Connect. A socket that cannot be connected is closed here; PyMySQL would leave that to chance."""
        if url.unix_socket is None:
            self.connect(socket.create_connection((url.host, url.port), CONNECT_S))
            return
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(CONNECT_S)
        try:
            made.connect(url.unix_socket)
        except OSError:
            made.close()
            raise
        self._secure = True  # what PyMySQL says of such a socket when it opens it itself
        self.connect(made)

    def hung_up(self) -> bool:
        """Whether the server has closed it: on an idle connection there is never anything to read."""
        if self._sock is None:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))


class MysqlSession:
    """One MySQL or MariaDB database, with a connection for each thread that asks.

    `beat_s` bounds how long a stopped process may hold locks. `fault` is called around each
    statement; tests kill the process or raise in it.
    """

    dialect = "mysql"

    def __init__(
        self,
        url: StoreUrl,
        runtime: Runtime,
        *,
        ssl_ca: str = "",
        ssl_verify: bool = True,
        beat_s: float = 10.0,
        fault: FaultHook | None = None,
    ) -> None:
        self.url = url
        self._runtime = runtime
        self._ssl = _ssl_context(ssl_ca, ssl_verify) if ssl_ca else None
        self._idle_s = max(2, round(2 * beat_s))
        self._fault = fault or _no_fault
        self._statements = load("mysql")
        self._reached = False  # then a database that is missing is trouble, and no wrong setting
        self._local = threading.local()
        self._all: WeakSet[_Connection] = WeakSet()  # weak: when a thread ends, its connection goes with it
        self._lock = runtime.lock()

    def query(self, name: str, **params: SqlValue) -> list[Record]:
        """The rows of the statement called `name`; instants as integers."""
        self._fault(name, "before")
        cursor, _ = self._send(self._connection(), name, self._statements[name], params)
        self._fault(name, "after")
        return list(cursor.fetchall())

    def execute(self, name: str, **params: SqlValue) -> int:
        """Run the statement called `name`; how many rows it inserted, matched or deleted."""
        self._fault(name, "before")
        _, count = self._send(self._connection(), name, self._statements[name], params)
        self._fault(name, "after")
        return count

    def run(self, statements: Iterable[str]) -> None:
        """Run texts that are in no file of statements, one by one, with patience."""
        with self._connect(PATIENT_S) as connection, connection.cursor() as cursor:
            for text in statements:
                self._run(cursor, text)

    def run_alone(self, statements: Callable[[], Iterable[str]]) -> None:
        """Run what changes the tables while nobody else does: `statements` is asked once the lock is held.

        Such a statement is no part of a transaction: whoever died on the way left some of them done, and
        these are passed over. The server gives the lock back with the connection. Raises Busy when others
        do not end.
        """
        with self._connect(PATIENT_S) as connection, connection.cursor() as cursor:
            self._run(cursor, f"SELECT GET_LOCK(CONCAT('leasebeat-', MD5(DATABASE())), {ALONE_S}) AS mine")
            if cursor.fetchall()[0]["mine"] != 1:
                raise Busy(
                    f"{self.url}: another process has been changing the tables for {ALONE_S} s; try again"
                )
            for text in statements():
                self._run(cursor, text, passed=DONE_BEFORE)

    def _run(self, cursor: DictCursor, text: str, passed: frozenset[int] = frozenset()) -> None:
        try:
            cursor.execute(text)
        except MySQLError as problem:
            if problem.args[0] in passed:
                return
            name = text.strip().partition("\n")[0]
            raise kind_of(problem)(f"{self.url}: {name}: {words_of(problem)}") from problem

    def denied(self, statements: Iterable[str]) -> list[str]:
        """Those that the account has no right to run."""
        found: list[str] = []
        with self._connect(PATIENT_S) as connection, connection.cursor() as cursor:
            for text in statements:
                try:
                    cursor.execute(text)
                except MySQLError as problem:
                    if problem.args[0] in NO_RIGHT:  # rights are looked at before anything else
                        found.append(text)
        return found

    @contextmanager
    def transaction(self) -> Generator[None]:
        """BEGIN ... COMMIT around the statements inside; within another one, a part of it."""
        connection = self._connection()
        if connection.in_transaction:
            yield
            return
        connection.in_transaction = True
        try:
            self._send(connection, "BEGIN", "BEGIN", {})
            yield
        except BaseException:
            self._rollback(connection)
            raise
        connection.in_transaction = False  # from here on a lost reply is Unknown
        self._send(connection, "COMMIT", "COMMIT", {})

    def forget(self) -> None:
        """Close the calling thread's connection; the next statement opens another."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None and connection.open:
            connection.close()

    def close(self) -> None:
        """Close every thread's connection. No statement may be under way."""
        with self._lock:
            connections, self._local = list(self._all), threading.local()
        for connection in connections:
            if connection.open:
                connection.close()

    # sending

    def _send(
        self, connection: _Connection, name: str, text: str, params: dict[str, SqlValue]
    ) -> tuple[DictCursor, int]:
        cursor = connection.cursor()
        try:
            count = cursor.execute(text, params)
        except MySQLError as problem:
            raise self._translated(name, connection, problem) from problem
        except BaseException:  # in the middle of a result: the next statement would read the rest of it
            self.forget()
            raise
        connection.used = self._runtime.boottime()
        return cursor, count

    def _translated(self, name: str, connection: _Connection, problem: MySQLError) -> LeasebeatError:
        kind = kind_of(problem)
        if kind is Unknown and connection.in_transaction:
            kind = Unavailable
        if issubclass(kind, Unknown | Unavailable) or not connection.open:
            self.forget()
        return kind(f"{self.url}: {name}: {words_of(problem)}")

    def _rollback(self, connection: _Connection) -> None:
        connection.in_transaction = False
        # A connection that was thrown away has rolled back by that.
        if getattr(self._local, "connection", None) is connection and connection.open:
            try:
                connection.rollback()
            except MySQLError:
                self.forget()

    # connecting

    def _connection(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            if connection.in_transaction or not self._stale(connection):
                return connection
            self.forget()
        connection = self._local.connection = self._connect()
        with self._lock:
            self._all.add(connection)
        return connection

    def _stale(self, connection: _Connection) -> bool:
        idle = self._runtime.boottime() - connection.used
        return idle > 0.75 * self._idle_s or connection.hung_up()

    def _connect(self, reply_s: float = REPLY_S) -> _Connection:
        connection = self._fresh(reply_s)
        try:
            connection.open_to(self.url)
            cursor = connection.cursor()
            for statement in self._settings():
                cursor.execute(statement)
        except (MySQLError, OSError) as problem:
            if connection.open:
                connection.close()
            raise self._not_connected(problem) from problem
        connection.used = self._runtime.boottime()
        self._reached = True
        return connection

    def _fresh(self, reply_s: float) -> _Connection:
        local = self.url.unix_socket is not None or self.url.host in ("localhost", "127.0.0.1", "::1")
        return _Connection(
            host=self.url.host,
            port=self.url.port,
            user=self.url.user,
            password=self.url.password.encode(),
            database=self.url.database,
            charset="utf8mb4",
            collation="utf8mb4_bin",
            connect_timeout=CONNECT_S,
            read_timeout=reply_s,
            write_timeout=reply_s,
            autocommit=True,
            client_flag=CLIENT.FOUND_ROWS,  # row counts are of matched rows
            conv=_CONVERSIONS,
            cursorclass=DictCursor,
            ssl=self._ssl,
            ssl_disabled=local and self._ssl is None,
            program_name="leasebeat",
            defer_connect=True,
        )

    def _settings(self) -> tuple[str, ...]:
        session = {
            "time_zone": "'+00:00'",
            "sql_mode": f"'{_MODES}'",
            "wait_timeout": self._idle_s,
            "innodb_lock_wait_timeout": LOCK_WAIT_S,
            "lock_wait_timeout": LOCK_WAIT_S,
            "group_concat_max_len": 16_777_216,  # bounds JSON_ARRAYAGG on MariaDB
        }
        return (
            "SET SESSION " + ", ".join(f"{name} = {value}" for name, value in session.items()),
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        )

    def _not_connected(self, problem: Exception) -> LeasebeatError:
        code = problem.args[0] if isinstance(problem, OperationalError) else None
        if code == 1049 and self._reached:
            return StoreUnfit(f"{self.url}: the database is gone; put it back")
        if code == 1049:
            return NoStore(
                f"{self.url}: there is no such database; create it, then run `python scheduler.py init`"
            )
        words = words_of(problem) if isinstance(problem, MySQLError) else str(problem)
        return Unavailable(f"{self.url}: cannot connect: {words}")


def _no_fault(name: str, when: str) -> None:
    pass


def _ssl_context(ca: str, verify: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as problem:
        raise SettingsError(f"[store] ssl_ca {ca!r} cannot be used: {problem}; name a PEM file") from problem
    context.verify_flags &= (
        ~ssl.VERIFY_X509_STRICT
    )  # servers make themselves certificates that are not strict
    context.check_hostname = verify
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return context
