"""A desk beside a bench: people's commands, and the store that the nodes see, at one clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.runtime import SystemRuntime
from leasebeat.store.base import Candidate
from leasebeat.store.desk import Desk
from leasebeat.store.session import Session
from leasebeat.store.sqlite import SqliteSession
from leasebeat.store.url import StoreUrl
from tests.contract.store_bench import NODE, FrozenMysql, MysqlBench, SqliteBench, ended

JOB = {"name": "job", "cron": "0 3 * * *", "command": "true"}


@dataclass
class Office:
    """`desk` has the rights of people, `bench.store` those of a worker."""

    bench: SqliteBench | MysqlBench
    session: Session
    desk: Desk

    def pass_time(self, seconds: float) -> Instant:
        now = self.bench.pass_time(seconds)
        self.session.forget()  # the next connection is told the time
        return now

    def run_that_ended(self, schedule_id: int, status: str = "failed", **columns: Any) -> RunKey:
        """A run of a new schedule that ended so at its first attempt."""
        key = self.bench.running(schedule_id, **columns)
        assert self.bench.store.finish(NODE, [ended(key, status=status, exit_code=3, reason="it broke")]) == 1
        return key

    def set_counter_back(self) -> None:
        """Forget which ids were given out, as TRUNCATE does, and half a restored backup."""
        self.bench.sql("DELETE FROM schedules")
        if isinstance(self.bench, SqliteBench):
            self.bench.sql("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'schedules'")
        else:
            self.bench.sql("ALTER TABLE schedules AUTO_INCREMENT = 1")

    def pull(self, key: RunKey, attempt: int) -> int:
        return self.bench.store.pull(NODE, [Candidate(key, attempt)], 1)


def sqlite_office(bench: SqliteBench) -> Office:
    session = SqliteSession(bench.path, SystemRuntime(), clock=lambda: bench.now)
    return Office(bench, session, Desk(session, "somebody"))


def mysql_office(bench: MysqlBench, console: StoreUrl) -> Office:
    session = FrozenMysql(console, SystemRuntime())
    session.bench = bench
    return Office(bench, session, Desk(session, "somebody"))
