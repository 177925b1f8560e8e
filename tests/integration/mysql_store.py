"""What the tests of the store on a real server share: sessions of a worker, and a second pair of hands."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from leasebeat.model.instant import Instant, from_seconds
from leasebeat.model.node import NodeFacts
from leasebeat.model.run import RunKey
from leasebeat.runtime import SystemRuntime
from leasebeat.store.base import Candidate, ClaimRow, SeenRow, Version
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.session import FaultHook
from leasebeat.store.sql import SqlStore
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import connect

NODE, OTHER = "n" * 32, "o" * 32
HOUR = from_seconds(3600)


class Hands:
    """Somebody else at the same database: a plain connection that commits by itself unless told."""

    def __init__(self, url: str) -> None:
        self.connection = connect(StoreUrl.parse(url))
        self("SET time_zone = '+00:00'")

    def __call__(self, text: str, *values: object) -> list[dict[str, Any]]:
        with self.connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(text, values or None)
            return list(cursor.fetchall())

    def one(self, text: str, *values: object) -> Any:
        """The only value of the only row."""
        (row,) = self(text, *values)
        (value,) = row.values()
        return value

    @contextmanager
    def open_transaction(self) -> Generator[None]:
        """Leave a transaction open for the time of the block, and roll it back."""
        self("BEGIN")
        try:
            yield
        finally:
            if self.connection.open:
                self("ROLLBACK")

    def close(self) -> None:
        if self.connection.open:
            self.connection.close()


class Fleet:
    """Stores of several nodes over one database, each with connections of its own."""

    def __init__(self, worker_url: str, admin_url: str) -> None:
        self.url, self.admin_url = StoreUrl.parse(worker_url), admin_url
        self.sessions: list[MysqlSession] = []
        self.more_hands: list[Hands] = []
        self.hands = self.another_hand()
        self.session, self.store = self.another()

    def another(
        self, url: StoreUrl | None = None, fault: FaultHook | None = None, beat_s: float = 10
    ) -> tuple[MysqlSession, SqlStore]:
        session = MysqlSession(url or self.url, SystemRuntime(), fault=fault, beat_s=beat_s)
        self.sessions.append(session)
        return session, SqlStore(session)

    def another_hand(self) -> Hands:
        self.more_hands.append(Hands(self.admin_url))
        return self.more_hands[-1]

    def close(self) -> None:
        for each in (*self.sessions, *self.more_hands):
            each.close()

    # arranging

    def now(self) -> Instant:
        return self.store.look_at_schedules().now

    def join(self, node_id: str = NODE) -> None:
        self.store.join(replace(FACTS, id=node_id, name=f"name-{node_id}"))

    def schedules(self, count: int, **columns: object) -> list[Version]:
        """New schedules that have been there for an hour, and their recorded versions."""
        names = ", ".join(columns)
        values = ", ".join(["%s"] * len(columns))
        before = self.hands.one("SELECT COALESCE(MAX(id), 0) FROM schedules")
        for number in range(before + 1, before + count + 1):
            self.hands(
                f"INSERT INTO schedules (name, cron, command, updated_at{', ' if names else ''}{names})"
                f" VALUES (%s, '@hourly', 'true', NOW(6) - INTERVAL 1 HOUR{', ' if names else ''}{values})",
                f"s{number}",
                *columns.values(),
            )
        return self.see(range(before + 1, before + count + 1))

    def see(self, ids: Sequence[int]) -> list[Version]:
        """Record these rows as they stand."""
        rows = [row for row in self.store.look_at_schedules().rows if row.schedule_id in ids]
        definition = '{"name": "x", "on_node_loss": "rerun"}'
        self.store.see_versions(
            [SeenRow(row.schedule_id, row.version, row.updated_at, definition, None, 0) for row in rows]
        )
        return sorted(self.store.versions(list(ids)), key=lambda version: version.schedule_id)

    def run(self, key: RunKey) -> dict[str, Any] | None:
        found = self.hands(
            "SELECT * FROM runs WHERE fire_at = TIMESTAMPADD(MICROSECOND, %s, TIMESTAMP'1970-01-01 00:00:00')"
            " AND schedule_id = %s AND shard = %s",
            *key,
        )
        return found[0] if found else None

    def block(self, hands: Hands, fire_at: Instant, schedule_id: int) -> None:
        """Hold the key of a run in an open transaction."""
        hands(
            "INSERT INTO runs (fire_at, schedule_id, status)"
            " VALUES (TIMESTAMPADD(MICROSECOND, %s, TIMESTAMP'1970-01-01 00:00:00'), %s, 'skipped')",
            fire_at,
            schedule_id,
        )


FACTS = NodeFacts(
    id=NODE,
    name="",
    host="host",
    address="192.0.2.1",
    pid=4711,
    boot_id="boot",
    pid_namespace="pid:[1]",
    process_start=12,
    slots=8,
    beat_s=10.0,
    queues={"default": None},
    roles=("dispatch", "execute"),
    version="0.1.0",
    tzdata="2026a",
)


def openings(versions: Sequence[Version], **changes: Any) -> list[ClaimRow]:
    """Claims of shard 0 in these versions, to run here, free to overlap."""
    rows = [
        ClaimRow(each.schedule_id, 0, each.id, each.id, True, "default", 0, 0, HOUR, None, "allow")
        for each in versions
    ]
    return [replace(row, **changes) for row in rows]


def taken(key: RunKey, attempt: int = 1) -> Candidate:
    return Candidate(key, attempt)


def until(look: Callable[[], list[Any]], seconds: float = 10) -> list[Any]:
    """What a look finds, once it finds something."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"nothing after {seconds:g} s"
        time.sleep(0.01)
    return found


class Meanwhile:
    """Something that runs in another thread while the test goes on; what it returned or raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._result: object = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as problem:
            self._result = problem

    def result(self, seconds: float = 20) -> Any:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "it has not ended"
        return self._result


@pytest.fixture
def fleet(worker_url: str, mysql_url: str) -> Iterator[Fleet]:
    """A new store on the session's server, seen by two nodes' sessions and by somebody with a shell."""
    made = Fleet(worker_url, mysql_url)
    yield made
    made.close()


@pytest.fixture
def waiting(fleet: Fleet) -> Callable[[str], None]:
    """Wait until a statement that begins like this waits for a lock."""
    hand = fleet.another_hand()

    def until(beginning: str) -> None:
        end = time.monotonic() + 10
        while not hand(
            "SELECT 1 FROM information_schema.PROCESSLIST p JOIN information_schema.INNODB_TRX t"
            " ON t.trx_mysql_thread_id = p.ID WHERE t.trx_state = 'LOCK WAIT' AND p.DB = DATABASE()"
            " AND LTRIM(p.INFO) LIKE %s",
            f"{beginning}%",
        ):
            assert time.monotonic() < end, "nothing waits"
            time.sleep(
                0.11
            )  # who reads INNODB_TRX more often than every 100 ms sees the same copy of it for ever

    return until


class Wire:
    """A way to the server that can be cut: then requests still arrive, and replies do not."""

    def __init__(self, url: StoreUrl) -> None:
        self._server = (url.host, url.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = replace(url, host="127.0.0.1", port=self._listening.getsockname()[1])
        self._ends: list[socket.socket] = []
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on no reply comes back."""
        self._cut = True

    def break_off(self) -> None:
        """Close the clients' ends; the server's stay open, as if the clients' host had lost its power."""
        for end in self._ends[::2]:
            end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._ends += [client, server]
                threading.Thread(target=self._carry, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_reply: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_reply and self._cut:
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)


@pytest.fixture
def wire(fleet: Fleet) -> Iterator[Wire]:
    """A wire to the fleet's server that the test may cut."""
    made = Wire(fleet.url)
    yield made
    made.close()
