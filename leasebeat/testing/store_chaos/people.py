"""What people do to the tables, in SQL of their own: edits, forgotten transactions, runs by hand, kills.

Each deed is one transaction on a connection of its own, which may stay open for a while before it is
committed or rolled back. When its COMMIT was sent and answered is what the checkers know of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pymysql

from leasebeat.model.instant import SECOND, Instant
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import connect
from leasebeat.testing.simulation.calendars import BROKEN, FAST, NEVER
from leasebeat.testing.simulation.world import Behaviour
from leasebeat.testing.store_chaos.machines import Tasks
from leasebeat.testing.store_chaos.session import Record, thread_of
from leasebeat.testing.store_chaos.timers import Timers, store_now

CRONS = tuple(FAST)
LONGEST_TASK_S = 4.0
_SESSION = "SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = 1, lock_wait_timeout = 2"
_KEY = "fire_at = '{0}' AND schedule_id = {1} AND shard = {2}"


@dataclass(slots=True, eq=False)
class Deed:
    """One transaction: when it began, when its COMMIT was sent, and when that was answered."""

    began: Instant
    sent: Instant = 0
    answered: Instant = 0


class People:
    """Everybody with a MySQL client. Belongs to the thread of its timers."""

    def __init__(self, url: StoreUrl, timers: Timers, tasks: Tasks, record: Record, random: Random) -> None:
        self.counts: Counter[str] = Counter()
        self.deeds: dict[int, list[Deed]] = {}  #: by connection, in their order
        self.task_s: float | None = None  #: how long every task lasts, instead of as drawn
        self._url = url
        self.timers = timers
        self._tasks = tasks
        self._record = record
        self._random = random
        self._named = 0
        self._open: dict[Deed, tuple[pymysql.Connection[Any], bool]] = {}

    def rows(self, statement: str) -> Sequence[tuple[Any, ...]]:
        """What a look shows."""
        try:
            with connect(self._url) as connection, connection.cursor() as cursor:
                cursor.execute(_SESSION)
                cursor.execute(statement)
                return cursor.fetchall()
        except (pymysql.MySQLError, OSError):
            self.counts["refused deeds"] += 1
            return ()

    def transact(self, *statements: str, hold: float = 0.0, commit: bool = True) -> None:
        """Do it, and end the transaction `hold` seconds later."""
        try:
            connection = connect(self._url)
        except (pymysql.MySQLError, OSError):
            self.counts["refused deeds"] += 1
            return
        self._record.note(thread_of(connection), "people", {})
        deed = Deed(store_now())
        self.deeds.setdefault(thread_of(connection), []).append(deed)
        try:
            with connection.cursor() as cursor:
                cursor.execute(_SESSION)
                connection.begin()
                for statement in statements:
                    cursor.execute(statement)
        except (pymysql.MySQLError, OSError) as problem:
            self._refused(connection, problem)
            return
        self._open[deed] = connection, commit
        if hold:
            self.counts["transactions left open"] += 1
            self.timers.after(round(hold * SECOND), lambda _: self._end(deed))
        else:
            self._end(deed)

    def go_home(self) -> None:
        """End every transaction that is still open. Only when the timers have stopped."""
        for deed in list(self._open):
            self._end(deed)

    def _end(self, deed: Deed) -> None:
        connection, commit = self._open.pop(deed)
        deed.sent = store_now()
        try:
            (connection.commit if commit else connection.rollback)()
        except (pymysql.MySQLError, OSError) as problem:
            self._refused(connection, problem)
        finally:
            deed.answered = store_now()
            if connection.open:
                connection.close()

    def _refused(self, connection: pymysql.Connection[Any], problem: Exception) -> None:
        self.counts["refused deeds"] += 1
        self.counts[f"people: {problem.args[0] if problem.args else problem!r}"] += 1
        if connection.open:
            connection.close()

    # schedules

    def add_schedule(self) -> None:
        """A new row, in one of the ways that people write them."""
        random = self._random
        self._named += 1
        command = f"task-{self._named}"
        self._tasks.behaviours[command] = self._behaviour()
        values = {
            "name": f"'{command}'",
            "command": f"'{command}'",
            "cron": f"'{random.choice(CRONS)}'",
            "overlap": random.choice(("'skip'", "'skip'", "'allow'")),
            "route": random.choice(("'sticky'", "'sticky'", "'spread'", "'any'")),
            "priority": random.choice(("0", "0", "5")),
            "on_node_loss": random.choice(("'rerun'", "'rerun'", "'rerun'", "'fail'", "'finish'")),
            "retries": random.choice(("0", "0", "1", "2")),
            "retry_delay_s": random.choice(("0", "0.3", "1")),
            "retry_backoff": "1",
            "misfire": random.choice(("'once'", "'skip'")),
            "timeout_s": random.choice(("NULL", "NULL", "1.5")) if self.task_s is None else "NULL",
            "starts_at": random.choice(("NULL",) * 7 + ("UTC_TIMESTAMP(6) + INTERVAL 3 SECOND",)),
            "ends_at": random.choice(("NULL",) * 7 + ("UTC_TIMESTAMP(6) + INTERVAL 12 SECOND",)),
        }
        self.transact(f"INSERT INTO schedules ({', '.join(values)}) VALUES ({', '.join(values.values())})")

    def _behaviour(self) -> Behaviour:
        random = self._random
        if self.task_s is not None:
            return Behaviour(self.task_s, self.task_s)
        longest = random.choice((0.1, 0.4, 1.0, LONGEST_TASK_S))
        fails, cannot_start = random.choice((0.0, 0.0, 0.3)), random.choice((0.0, 0.0, 0.0, 0.1))
        return Behaviour(longest * random.choice((0.2, 1.0)), longest, fails, cannot_start)

    def _schedule(self) -> int | None:
        found = self.rows("SELECT id FROM schedules")
        return self._random.choice(found)[0] if found else None

    def _set(self, schedule_id: int, columns: str, hold: float = 0.0) -> None:
        self.transact(f"UPDATE schedules SET {columns} WHERE id = {schedule_id}", hold=hold)

    def _later(self, seconds: float, schedule_id: int, columns: str) -> None:
        self.timers.after(round(seconds * SECOND), lambda _: self._set(schedule_id, columns))

    def change_cron(self, schedule_id: int) -> None:
        """Another calendar."""
        """Let a row fire at other instants."""
        self._set(schedule_id, f"cron = '{self._random.choice(CRONS)}'")

    def keep_updated_at(self, schedule_id: int) -> None:
        """What an ORM does that writes all columns."""
        self._set(schedule_id, f"cron = '{self._random.choice(CRONS)}', updated_at = updated_at")

    def flip_flop(self, schedule_id: int) -> None:
        """Changed and changed back."""
        keep = self._random.choice(("", ", updated_at = updated_at"))
        cron = self.rows(f"SELECT cron FROM schedules WHERE id = {schedule_id}")
        self._set(schedule_id, f"cron = '{self._random.choice(CRONS)}'{keep}")
        if cron:
            self._later(self._random.choice((0.01, 0.3, 2.0)), schedule_id, f"cron = '{cron[0][0]}'{keep}")

    def change_command(self, schedule_id: int) -> None:
        """Another task."""
        """Let a row run something else."""
        self._named += 1
        command = f"task-{self._named}"
        self._tasks.behaviours[command] = self._behaviour()
        self._set(schedule_id, f"command = '{command}'")

    def disable(self, schedule_id: int) -> None:
        """Paused for a while."""
        """Pause a row."""
        self._set(schedule_id, "enabled = 0")
        self._later(self._random.choice((0.2, 1.0, 4.0)), schedule_id, "enabled = 1")

    def break_row(self, schedule_id: int) -> None:
        """A value that no node can use; mended later."""
        """Write what cannot be used."""
        self._set(schedule_id, f"cron = '{self._random.choice(BROKEN)}'")
        self._later(
            self._random.choice((0.2, 1.5, 4.0)), schedule_id, f"cron = '{self._random.choice(CRONS)}'"
        )

    def break_and_disable(self, schedule_id: int) -> None:
        """`enabled = 0` holds on a broken row, too."""
        """Both in one statement."""
        self.break_row(schedule_id)
        self.disable(schedule_id)

    def commit_late(self, schedule_id: int) -> None:
        """A transaction stays open: `updated_at` is older than the commit."""
        cron = self._random.choice(CRONS)
        self._set(schedule_id, f"cron = '{cron}'", hold=self._random.uniform(0.2, 3.0))

    def delete(self, schedule_id: int) -> None:
        """Gone; a new row takes its place, under a new id."""
        """Remove a row."""
        self.transact(f"DELETE FROM schedules WHERE id = {schedule_id}")
        self.timers.after(round(self._random.uniform(0, 2) * SECOND), lambda _: self.add_schedule())

    def replace(self, schedule_id: int) -> None:
        """REPLACE from a dump: deleted and inserted in one, `updated_at` far back."""
        cron = self._random.choice(CRONS)
        self.transact(
            "REPLACE INTO schedules (id, name, cron, command, overlap, retry_delay_s, updated_at)"
            f" SELECT id, name, '{cron}', command, overlap, 1, updated_at - INTERVAL 1 YEAR"
            f" FROM schedules WHERE id = {schedule_id}"
        )

    def end_it(self, schedule_id: int) -> None:
        """`ends_at` in the near future or in the past."""
        """Let a row end now."""
        at = f"UTC_TIMESTAMP(6) + INTERVAL {self._random.randrange(-2, 8)} SECOND"
        self._set(schedule_id, f"ends_at = GREATEST({at}, COALESCE(starts_at + INTERVAL 1 SECOND, {at}))")

    def make_manual(self, schedule_id: int) -> None:
        """No instants any more."""
        """Take its instants from a row."""
        self._set(schedule_id, f"cron = '{NEVER}'")

    def edit(self) -> None:
        """One edit of some row."""
        schedule_id = self._schedule()
        if schedule_id is not None:
            self._random.choice(EDITS)(self, schedule_id)
            self.counts["edits"] += 1

    # runs

    def run_now(self) -> None:
        """INSERT INTO runs (schedule_id) VALUES (...)."""
        schedule_id = self._schedule()
        if schedule_id is not None:
            self.transact(f"INSERT INTO runs (schedule_id) VALUES ({schedule_id})")

    def kill_a_run(self) -> None:
        """UPDATE runs SET kill_requested = 1."""
        for key in self._some_runs(1):
            self.transact(f"UPDATE runs SET kill_requested = 1 WHERE {_KEY.format(*key)}")
            self.counts["kill requests"] += 1

    def _some_runs(self, most: int) -> list[tuple[Any, ...]]:
        found = list(
            self.rows("SELECT fire_at, schedule_id, shard FROM runs WHERE status IN ('queued', 'running')")
        )
        self._random.shuffle(found)
        return found[:most]

    # transactions that somebody forgot

    def hold_schedule(self) -> None:
        """A row being edited, and left alone."""
        """Leave a transaction open on a row of `schedules`."""
        schedule_id = self._schedule()
        if schedule_id is not None:
            lock = f"UPDATE schedules SET description = 'being edited' WHERE id = {schedule_id}"
            self.transact(lock, hold=self._random.uniform(0.5, 4.0), commit=False)

    def hold_runs(self) -> None:
        """Rows of open runs."""
        locks = [f"SELECT 1 FROM runs WHERE {_KEY.format(*key)} FOR UPDATE" for key in self._some_runs(4)]
        self.transact(*locks, hold=self._random.uniform(0.5, 3.0), commit=False)

    def hold_node(self) -> None:
        """A node's row: neither its beat nor its purge gets through."""
        nodes = self.rows("SELECT id FROM nodes WHERE state NOT IN ('purged', 'left')")
        if nodes:
            lock = f"SELECT 1 FROM nodes WHERE id = '{self._random.choice(nodes)[0]}' FOR UPDATE"
            self.transact(lock, hold=self._random.uniform(0.3, 2.5), commit=False)

    def hold_role(self) -> None:
        """The auditor's row."""
        """Leave one open on the auditor's row."""
        lock = "SELECT 1 FROM roles FOR UPDATE"
        self.transact(lock, hold=self._random.uniform(0.3, 2.5), commit=False)

    def hold_keys(self) -> None:
        """Runs put in by hand at instants that are about to come; most of them are taken back."""
        random = self._random
        ids = [row[0] for row in self.rows("SELECT id FROM schedules")]
        if not ids:
            return
        second = store_now() // SECOND + random.randrange(1, 3)
        at = f"FROM_UNIXTIME({second})"
        values = ", ".join(f"({at}, {i})" for i in random.sample(ids, min(len(ids), 6)))
        self.transact(
            f"INSERT INTO runs (fire_at, schedule_id) VALUES {values}",
            hold=second - store_now() / SECOND + random.uniform(0.3, 3.0),
            commit=random.random() < 0.2,
        )

    def hold_something(self) -> None:
        """One of them."""
        """Leave one open on a run or a node."""
        self._random.choice(HOLDS)(self)

    def calm(self) -> None:
        """Nothing becomes due any more; whatever is open may run."""
        self.transact(f"UPDATE schedules SET cron = '{NEVER}', enabled = 1, ends_at = NULL")


EDITS: tuple[Callable[[People, int], None], ...] = (
    People.change_cron,
    People.change_cron,
    People.change_cron,
    People.keep_updated_at,
    People.flip_flop,
    People.change_command,
    People.disable,
    People.disable,
    People.break_row,
    People.break_and_disable,
    People.commit_late,
    People.delete,
    People.replace,
    People.end_it,
    People.make_manual,
)
"""What may be done to a row; what is named more often is done more often."""

HOLDS: tuple[Callable[[People], None], ...] = (
    People.hold_schedule,
    People.hold_runs,
    People.hold_runs,
    People.hold_node,
    People.hold_role,
    People.hold_keys,
    People.hold_keys,
    People.hold_keys,
)
"""Transactions that stay open."""
