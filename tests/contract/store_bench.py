"""A bench for each store: the port, a clock that stands still until it is moved, and hands to arrange."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pymysql

from leasebeat.model.instant import Instant, from_seconds, from_text, to_datetime
from leasebeat.model.node import NodeFacts, NodeState
from leasebeat.model.run import RunKey
from leasebeat.model.schedule import PEOPLES_COLUMNS
from leasebeat.runtime import SystemRuntime
from leasebeat.store import schema
from leasebeat.store.base import Candidate, ClaimRow, FinishRow, OwnRun, SeenRow, Store, Version
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.sql import SqlStore
from leasebeat.store.sqlite import SqliteSession, utc_micros, utc_text
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import connect
from leasebeat.testing.simstore import Server, direct
from leasebeat.testing.simstore.tables import Run

START = from_text("2026-11-20T10:00:00Z")
HOUR = from_seconds(3600)
NODE, OTHER = "n" * 32, "o" * 32


class Bench(ABC):
    """One empty store."""

    store: Store

    def __init__(self) -> None:
        self.now: Instant = START

    # what people do, each in one committed statement

    @abstractmethod
    def put_schedule(self, schedule_id: int, updated_at: Instant | None = None, **columns: object) -> None:
        """Insert or change a row of `schedules`."""

    @abstractmethod
    def delete_schedule(self, schedule_id: int) -> None: ...

    @abstractmethod
    def insert_run(self, schedule_id: int, fire_at: Instant) -> RunKey: ...

    @abstractmethod
    def change_run(self, key: RunKey, **columns: object) -> None: ...

    @abstractmethod
    def delete_node(self, node_id: str) -> None: ...

    @abstractmethod
    def pause_queue(self, name: str) -> None: ...

    @abstractmethod
    def size_lane(self, name: str, size: int) -> None:
        """Insert or change a row of `lanes`."""

    @abstractmethod
    def put_day(self, name: str, day: str, effect: str | None = "exclude") -> None:
        """Insert or change a row of `calendars`; None: delete it."""

    # what they see

    @abstractmethod
    def run(self, key: RunKey) -> Mapping[str, Any] | None: ...

    @abstractmethod
    def attempt(self, key: RunKey, attempt: int) -> Mapping[str, Any] | None: ...

    @abstractmethod
    def output(self, key: RunKey, attempt: int) -> bytes | None: ...

    @abstractmethod
    def problem(self, schedule_id: int) -> str | None: ...

    @abstractmethod
    def diffs(self, schedule_id: int) -> list[dict[str, Any] | None]:
        """What each recorded version says that it changed, the oldest first."""

    # the clock

    def pass_time(self, seconds: float) -> Instant:
        """Move the store's clock."""
        self.now += from_seconds(seconds)
        return self.now

    def close(self) -> None:
        self.store.close()

    # what most tests begin with

    def see(self, schedule_id: int, problem: str | None = None, last_read: Instant = 0) -> Version:
        """Record the row as it stands; the newest recorded version."""
        (row,) = self.store.schedule_rows([schedule_id])
        definition = json.dumps({name: row[name] for name in PEOPLES_COLUMNS})
        seen = SeenRow(
            schedule_id, str(row["version"]), cast("int", row["updated_at"]), definition, problem, last_read
        )
        self.store.see_versions([seen])
        return self.store.versions([schedule_id])[0]

    def schedule(self, schedule_id: int, **columns: object) -> Version:
        """A schedule that has been there for an hour, and its recorded version."""
        self.put_schedule(schedule_id, updated_at=self.now - HOUR, **columns)
        return self.see(schedule_id)

    def join(self, node_id: str = NODE, name: str = "", **facts: Any) -> NodeFacts:
        """A node whose lease is 30 seconds."""
        joined = replace(FACTS, id=node_id, name=name or f"name-{node_id}", **facts)
        self.store.join(joined)
        return joined

    def running(self, schedule_id: int, node_id: str = NODE, **columns: object) -> RunKey:
        """A run of a new schedule, running on a node as its first attempt."""
        version = self.schedule(schedule_id, **columns)
        serial = f"{schedule_id}:0" if columns.get("overlap") == "skip" else None
        assert self.store.claim(node_id, self.now, [opening(version, serial=serial)]).count == 1
        return RunKey(self.now, schedule_id, 0)

    def queued(self, schedule_id: int, **changes: Any) -> RunKey:
        """A queued run of a new schedule."""
        version = self.schedule(schedule_id)
        assert self.store.claim(NODE, self.now, [opening(version, run=False, **changes)]).count == 1
        return RunKey(self.now, schedule_id, 0)

    def own(self, node_id: str = NODE) -> list[OwnRun]:
        """What runs on a node, by key."""
        return sorted(self.store.mine(node_id, 0), key=lambda run: run.key)

    def status(self, key: RunKey) -> str | None:
        found = self.run(key)
        return None if found is None else str(found["status"])


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
    queues={"default": None, "heavy": 2},
    roles=("dispatch", "execute"),
    version="0.1.0",
    tzdata="2026a",
)


def fresh(schedule_id: int) -> dict[str, object]:
    """What a new row of `schedules` must say."""
    return {"name": f"s{schedule_id}", "cron": "@hourly", "command": "true"}


def opening(version: Version, /, **changes: Any) -> ClaimRow:
    """A claim of shard 0 in that version, to run here, with an hour of grace and free to overlap."""
    row = ClaimRow(
        schedule_id=version.schedule_id,
        shard=0,
        version=version.id,
        due=version.id,
        run=True,
        queue="default",
        priority=0,
        delay=0,
        grace=HOUR,
        serial=None,
        overlap="allow",
    )
    return replace(row, **changes)


def ended(key: RunKey, attempt: int = 1, status: str = "succeeded", **changes: Any) -> FinishRow:
    """The end of an attempt."""
    return replace(FinishRow(key, attempt, status), **changes)


def retried(key: RunKey, attempt: int = 1, **changes: Any) -> FinishRow:
    """A failed attempt that goes back to the queue at once."""
    return replace(FinishRow(key, attempt, "failed", again=True, failed=True, exit_code=3), **changes)


def taken(key: RunKey, attempt: int = 1) -> Candidate:
    return Candidate(key, attempt)


# --- MySQL and MariaDB, and SQLite --------------------------------------------------------------


def is_instant(column: str) -> bool:
    return column.endswith("_at") or column in ("until", "watermark", "valid_from")


class SqlBench(Bench):
    """Rows by SQL that both dialects understand; %s marks a parameter."""

    @abstractmethod
    def sql(self, text: str, *values: object) -> list[dict[str, Any]]: ...

    @abstractmethod
    def told(self, instant: Instant | None) -> object:
        """An instant as the dialect takes it."""

    def put_schedule(self, schedule_id: int, updated_at: Instant | None = None, **columns: object) -> None:
        there = bool(self.sql("SELECT 1 FROM schedules WHERE id = %s", schedule_id))
        values = {**columns, "updated_at": self.now if updated_at is None else updated_at}
        if there:
            self._update("schedules", values, "id = %s", schedule_id)
        else:
            self._insert("schedules", {"id": schedule_id, **fresh(schedule_id), **values})

    def delete_schedule(self, schedule_id: int) -> None:
        self.sql("DELETE FROM schedules WHERE id = %s", schedule_id)

    def insert_run(self, schedule_id: int, fire_at: Instant) -> RunKey:
        self._insert("runs", {"schedule_id": schedule_id, "fire_at": fire_at})
        return RunKey(fire_at, schedule_id, 0)

    def change_run(self, key: RunKey, **columns: object) -> None:
        self._update("runs", columns, _KEY, *self._of(key))

    def delete_node(self, node_id: str) -> None:
        self.sql("DELETE FROM nodes WHERE id = %s", node_id)

    def pause_queue(self, name: str) -> None:
        self._insert("queues", {"name": name, "paused": 1})

    def size_lane(self, name: str, size: int) -> None:
        self.sql("DELETE FROM lanes WHERE name = %s", name)
        self._insert("lanes", {"name": name, "size": size})

    def put_day(self, name: str, day: str, effect: str | None = "exclude") -> None:
        self.sql("DELETE FROM calendars WHERE name = %s AND day = %s", name, day)
        if effect is not None:
            self._insert("calendars", {"name": name, "day": day, "effect": effect})

    def run(self, key: RunKey) -> Mapping[str, Any] | None:
        return self._one(f"SELECT * FROM runs WHERE {_KEY}", *self._of(key))

    def attempt(self, key: RunKey, attempt: int) -> Mapping[str, Any] | None:
        return self._one(f"SELECT * FROM attempts WHERE {_KEY} AND attempt = %s", *self._of(key), attempt)

    def output(self, key: RunKey, attempt: int) -> bytes | None:
        found = self._one(
            f"SELECT output FROM outputs WHERE {_KEY} AND attempt = %s", *self._of(key), attempt
        )
        return None if found is None else found["output"]

    def problem(self, schedule_id: int) -> str | None:
        found = self._one("SELECT problem FROM schedule_problems WHERE schedule_id = %s", schedule_id)
        return None if found is None else found["problem"]

    def diffs(self, schedule_id: int) -> list[dict[str, Any] | None]:
        rows = self.sql("SELECT diff FROM schedule_history WHERE schedule_id = %s ORDER BY id", schedule_id)
        return [json.loads(row["diff"]) if row["diff"] else None for row in rows]

    def _one(self, text: str, *values: object) -> dict[str, Any] | None:
        return next(iter(self.sql(text, *values)), None)

    def _of(self, key: RunKey) -> tuple[object, ...]:
        return self.told(key.fire_at), key.schedule_id, key.shard

    def _insert(self, table: str, values: Mapping[str, object]) -> None:
        marks = ", ".join(["%s"] * len(values))
        self.sql(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", *self._told(values))

    def _update(self, table: str, values: Mapping[str, object], where: str, *of: object) -> None:
        sets = ", ".join(f"{name} = %s" for name in values)
        self.sql(f"UPDATE {table} SET {sets} WHERE {where}", *self._told(values), *of)

    def _told(self, values: Mapping[str, object]) -> list[object]:
        return [
            self.told(cast("int | None", value)) if is_instant(name) else value
            for name, value in values.items()
        ]


_KEY = "fire_at = %s AND schedule_id = %s AND shard = %s"


class FrozenMysql(MysqlSession):
    """Sessions whose UTC_TIMESTAMP stands still at the bench's `now`."""

    bench: Bench

    def _settings(self) -> tuple[str, ...]:
        return (*super()._settings(), frozen(self.bench.now))

    def move(self) -> None:
        """Tell the calling thread's connection the time."""
        with self._connection().cursor() as cursor:
            cursor.execute(frozen(self.bench.now))


def frozen(now: Instant) -> str:
    return f"SET SESSION timestamp = {now // 1_000_000}.{now % 1_000_000:06}"


class MysqlBench(SqlBench):
    """`store` is the worker's account, `sql` the owner's."""

    def __init__(self, worker: StoreUrl, owner: StoreUrl) -> None:
        super().__init__()
        self.session = FrozenMysql(worker, SystemRuntime())
        self.session.bench = self
        self.store = SqlStore(self.session)
        self.owner = connect(owner)
        self.sql("SET SESSION time_zone = '+00:00'")
        self.pass_time(0)

    def pass_time(self, seconds: float) -> Instant:
        now = super().pass_time(seconds)
        self.session.move()
        self.sql(frozen(now))
        return now

    def told(self, instant: Instant | None) -> object:
        return None if instant is None else to_datetime(instant).replace(tzinfo=None)

    def sql(self, text: str, *values: object) -> list[dict[str, Any]]:
        with self.owner.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(text, values)
            rows = list(cursor.fetchall())
        return [{name: _instant(value) for name, value in row.items()} for row in rows]

    def close(self) -> None:
        super().close()
        self.owner.close()


def _instant(value: Any) -> Any:
    return utc_micros(str(value)) if hasattr(value, "isoformat") else value


class SqliteBench(SqlBench):
    def __init__(self, path: Path) -> None:
        super().__init__()
        session = SqliteSession(path, SystemRuntime(), clock=lambda: self.now)
        schema.init(session)
        self.store = SqlStore(session)
        self.path = path

    def told(self, instant: Instant | None) -> object:
        return utc_text(instant)

    def sql(self, text: str, *values: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as raw:
            raw.row_factory = sqlite3.Row
            rows = [dict(row) for row in raw.execute(text.replace("%s", "?"), values)]
        return [{name: _micros(name, value) for name, value in row.items()} for row in rows]


def _micros(name: str, value: Any) -> Any:
    return utc_micros(value) if is_instant(name) else value


def empty(url: StoreUrl) -> None:
    """Take everything out of a store but what `init` put in."""
    with connect(url) as owner, owner.cursor() as cursor:
        cursor.execute(
            "SELECT TABLE_NAME FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME <> 'schema_info'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute("INSERT INTO roles (name) VALUES ('auditor')")


# --- the simulated store ------------------------------------------------------------------------


class SimBench(Bench):
    def __init__(self) -> None:
        super().__init__()
        self.server: Server
        self.server, self.store = direct(lambda: self.now)

    def put_schedule(self, schedule_id: int, updated_at: Instant | None = None, **columns: object) -> None:
        there = schedule_id in self.server.schedules.rows
        values = columns if there else {**fresh(schedule_id), **columns}
        self.server.put_schedule(schedule_id, values, updated_at)

    def delete_schedule(self, schedule_id: int) -> None:
        self.server.delete_schedule(schedule_id)

    def insert_run(self, schedule_id: int, fire_at: Instant) -> RunKey:
        return self.server.insert_run(schedule_id, fire_at)

    def change_run(self, key: RunKey, **columns: Any) -> None:
        if columns.pop("kill_requested", 0):
            assert self.server.request_kill(key)
        self.server.runs.change(self.server.runs.rows[key], "by hand", self.now, **columns)

    def delete_node(self, node_id: str) -> None:
        del self.server.nodes[node_id]
        self.server.present.pop(node_id, None)

    def pause_queue(self, name: str) -> None:
        self.server.paused_queues.add(name)

    def size_lane(self, name: str, size: int) -> None:
        self.server.lane_sizes[name] = size

    def put_day(self, name: str, day: str, effect: str | None = "exclude") -> None:
        self.server.put_day(name, day, effect)

    def run(self, key: RunKey) -> Mapping[str, Any] | None:
        found = self.server.runs.rows.get(key)
        return None if found is None else {name: getattr(found, name) for name in Run.__slots__}

    def attempt(self, key: RunKey, attempt: int) -> Mapping[str, Any] | None:
        found = self.server.attempts.get((key, attempt))
        return None if found is None else found._asdict()

    def output(self, key: RunKey, attempt: int) -> bytes | None:
        return self.server.outputs.get((key, attempt))

    def problem(self, schedule_id: int) -> str | None:
        return self.server.schedules.problems.get(schedule_id)

    def diffs(self, schedule_id: int) -> list[dict[str, Any] | None]:
        texts = [self.server.schedules.diffs[v.id] for v in self.server.schedules.history[schedule_id]]
        return [json.loads(text) if text else None for text in texts]


LIVE, CORDONED, DRAINING, LEFT = NodeState.LIVE, NodeState.CORDONED, NodeState.DRAINING, NodeState.LEFT
