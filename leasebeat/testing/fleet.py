"""A fleet of real `worker.py` processes on a private store, their faults, and the tasks' evidence.

    with Fleet(folder, PrivateMysql(server), redis_url=url) as fleet:
        fleet.start("a", "b", "c")
        fleet.await_live("a", "b", "c")
        fleet["a"].kill()

Every worker has a state folder and a log of its own. What was done to whom is kept in `deaths`, the
fault log of the checker (`evidence.py`). At the end of the block nothing of the fleet is left.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from leasebeat import faults
from leasebeat.model.instant import SECOND, Instant, from_datetime
from leasebeat.testing.evidence import (
    AttemptRow,
    Death,
    Evidence,
    NodeRow,
    RunRow,
    boottime_ns,
    wall_clock_lead,
)
from leasebeat.testing.private import PrivateStore, Row, value
from leasebeat.testing.servers import faketime_environ, write_clock

__all__ = ["TELL", "Fleet", "Worker", "until"]

ROOT = Path(__file__).parents[2]

TELL = """\
# Sourced by the shell of a task, so that nothing but `sleep` is started: `tell WHAT` writes to $EVIDENCE.
tell() {
    read -r up idle </proc/uptime
    echo "$attempt $1 ${up%.*}${up#*.}0000000" >>"$EVIDENCE"
}
attempt="$LEASEBEAT_RUN_KEY $LEASEBEAT_ATTEMPT $LEASEBEAT_FENCE $LEASEBEAT_NODE_ID"
"""

TASK = (
    TELL
    + """\
# Says when it begins, that it lives, and when it ends; lasts 0.1 to 4 s by its key.
tell begin
name=${LEASEBEAT_RUN_KEY%@*} at=${LEASEBEAT_RUN_KEY##*T}
second=1${at##*:} minute=${at#*:}
second=${second%Z} minute=1${minute%:*}
left=$(((${name##*-} * 7919 + second * 104729 + minute * 1299709) % ${LONGEST:-40} + 1))
while [ $left -gt 5 ]; do
    sleep 0.5
    left=$((left - 5))
    tell alive
done
sleep 0.$left
tell end
"""
)


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until it is true and give what it said. Raises AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not (said := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return said


class Worker:
    """One `worker.py`. Started by its fleet; can be killed, stopped and started again."""

    def __init__(self, fleet: Fleet, name: str, environ: Mapping[str, str]) -> None:
        self.name = name
        self._fleet = fleet
        self.code = ROOT  #: the folder whose `worker.py` it is
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self.log = fleet.folder / f"{name}.log"
        self.clock = fleet.folder / f"{name}.clock"

    def start(self, *, faketime: str = "", fault: str = "", **settings: object) -> Worker:
        """Start it. `settings` are `node_slots=4` for `[node] slots`.

        `faketime` shifts its wall clock, like `+30s`; `fault` is a fault point, like `after_gate:3`.
        """
        extra = _variables(settings)
        if fault:
            extra[faults.VARIABLE] = fault
        if faketime:
            write_clock(self.clock, faketime)
            extra |= faketime_environ(self.clock)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "worker.py"],
                cwd=self.code,
                env={**self._environ, **extra},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    @property
    def node_id(self) -> str:
        """The id under which its process joined last. Raises AssertionError if it never did."""
        rows = self._fleet.store.rows(
            f"SELECT id FROM nodes WHERE pid = {self.process.pid} ORDER BY started_at DESC LIMIT 1"
        )
        assert rows, f"{self.name} has not joined; see {self.log}:\n{self.tail()}"
        return str(rows[0]["id"])

    def set_clock(self, offset: str) -> None:
        """Shift its wall clock while it runs. Only when it was started with `faketime`."""
        write_clock(self.clock, offset)

    def kill(self) -> None:
        """SIGKILL, as a power cut of this process alone. Noted in the fault log."""
        node_id = self.node_id
        self.signal(signal.SIGKILL)
        self._fleet.deaths[node_id] = Death(boottime_ns(), "killed")
        self.process.wait()

    def stop(self) -> None:
        """SIGSTOP: it does nothing until `resume`. Noted in the fault log."""
        node_id = self.node_id
        self._fleet.deaths[node_id] = Death(boottime_ns(), "stopped")
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        return self.process.wait(seconds)

    def dead_by_itself(self, seconds: float) -> None:
        """Wait until a fault point has killed it; noted in the fault log."""
        until(lambda: self.process.poll() is not None, seconds, f"{self.name} dies at its fault point")
        assert self.process.returncode == -signal.SIGKILL, f"{self.name} ended otherwise:\n{self.tail()}"
        self._fleet.deaths[self.node_id] = Death(boottime_ns(), "killed")

    def terminate(self, seconds: float = 30) -> None:
        """SIGTERM, and wait until it has drained and left with exit code 0."""
        self.signal(signal.SIGTERM)
        assert self.wait(seconds) == 0, f"{self.name} did not leave in good order:\n{self.tail()}"

    def said(self, action: str) -> bool:
        """Whether its log has an event of that action."""
        return re.search(rf"action={action}\b", self.log.read_text(errors="replace")) is not None

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def end(self) -> None:
        """Whatever it is doing: gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()


class Fleet:
    """Workers by name, on one store. `settings` are those of all of them, `node_slots=4`."""

    def __init__(self, folder: Path, store: PrivateStore, redis_url: str = "", **settings: object) -> None:
        self.folder = folder
        self.store = store
        self.evidence = folder / "evidence"
        self.evidence.touch()
        (folder / "task.sh").write_text(TASK)
        self.deaths: dict[str, Death] = {}
        self.environ: dict[str, str] = {}  #: of workers that are added from now on
        self.workers: dict[str, Worker] = {}
        self._settings = {
            "store_url": store.url,
            "redis_url": redis_url,
            "node_beat_s": 2,
            "node_slots": 100,
            "node_drain_s": 10,
            **settings,
        }

    # workers

    def __getitem__(self, name: str) -> Worker:
        return self.workers[name]

    def add(self, name: str, **settings: object) -> Worker:
        """A worker that is not started yet; `settings` are its own."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("LEASEBEAT_")}
        kept |= self.environ
        told = {
            "node_name": name,
            "node_state_dir": self.folder / f"{name}.state",
            **self._settings,
            **settings,
        }
        self.workers[name] = Worker(self, name, {**kept, **_variables(told)})
        return self.workers[name]

    def start(self, *names: str) -> None:
        """Start workers of these names."""
        for name in names:
            (self.workers.get(name) or self.add(name)).start()

    def await_live(self, *names: str, seconds: float = 30) -> None:
        """Wait until nodes of these names are live under their present processes."""
        wanted = {(name, self.workers[name].process.pid) for name in names}
        until(lambda: wanted <= self._live(), seconds, f"{', '.join(names)} join\n{self.tails()}")

    def live(self) -> list[str]:
        """The names of the workers whose present processes are live nodes."""
        found = self._live()
        return sorted(name for name, worker in self.workers.items() if (name, worker.process.pid) in found)

    def _live(self) -> set[tuple[str, int]]:
        rows = self.store.rows("SELECT name, pid FROM nodes WHERE state = 'live'")
        return {(row["name"], row["pid"]) for row in rows}

    def tails(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {worker.log}\n{worker.tail()[-800:]}" for worker in self.workers.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        for worker in self.workers.values():
            worker.end()
        until(lambda: not self.task_pids(), 10, "the tasks end with their workers")
        if kind is None:  # what went wrong may want to be looked at
            self.store.remove()

    # tasks and schedules

    def schedule(self, *rows: Mapping[str, object]) -> None:
        """Insert schedules whose tasks give evidence, each second unless a row says otherwise.

        Names end in `-NUMBER`. `longest` is no column: tenths of a second that a task lasts at most.
        """
        self.store.rows(*(self._insert(row) for row in rows))

    def _insert(self, row: Mapping[str, object]) -> str:
        env = {"EVIDENCE": str(self.evidence), "LONGEST": str(row.get("longest", 40))}
        whole: dict[str, object] = {
            "cron": "* * * * * *",
            "command": f". {self.folder}/task.sh",
            "args": json.dumps({"env": env}),
            "overlap": "allow",
            **{column: found for column, found in row.items() if column != "longest"},
        }
        values = ", ".join(literal(found) for found in whole.values())
        return f"INSERT INTO schedules ({', '.join(whole)}) VALUES ({values})"

    def task_pids(self, mark: str = "") -> list[int]:
        """The processes whose environment holds `mark`; by default all tasks of this fleet."""
        wanted = (mark or f"EVIDENCE={self.evidence}").encode()
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _holds(entry, wanted)
        ]

    # what became of it

    def settled(self, end: Instant) -> bool:
        """Whether every instant before `end` is accounted for, and nothing of before it is open."""
        rows = self.store.rows(
            "SELECT watermark, (SELECT COUNT(*) FROM runs WHERE status IN ('queued', 'running')"
            f" AND fire_at < '{utc(end)}') AS open_runs FROM roles WHERE name = 'auditor'"
        )
        watermark = _instant(rows[0]["watermark"])
        return watermark is not None and watermark >= end - SECOND and not rows[0]["open_runs"]

    def collect(self, due: frozenset[str]) -> Evidence:
        """Everything that the checker reads."""
        columns = "`key`, status, attempt, node_id, claimed_at, finished_at"
        runs = self.store.rows(f"SELECT {columns} FROM run_list ORDER BY fire_at")
        attempts = self.store.rows(
            "SELECT l.`key`, a.attempt, a.node_id, a.outcome, a.claimed_at FROM attempts a JOIN run_list l"
            " ON l.fire_at = a.fire_at AND l.schedule_id = a.schedule_id AND l.shard = a.shard"
        )
        nodes = self.store.rows("SELECT id, name, state, beat_at, beat_s FROM nodes")
        return Evidence(
            lines=self.evidence.read_text().splitlines(),
            runs=[RunRow(**instants(row)) for row in runs],
            attempts=[AttemptRow(**instants(row)) for row in attempts],
            nodes=[NodeRow(**instants(row)) for row in nodes],
            due=due,
            lead=wall_clock_lead(self.store.now),
            deaths=dict(self.deaths),
        )

    def counts(self) -> dict[str, int]:
        """How many runs have each status."""
        rows = self.store.rows("SELECT status, COUNT(*) AS runs FROM runs GROUP BY status ORDER BY status")
        return {row["status"]: row["runs"] for row in rows}

    def running(self) -> int:
        """How many runs are running, by the table."""
        return int(value(self.store, "SELECT COUNT(*) AS runs FROM runs WHERE status = 'running'"))

    def next_second(self, ahead_s: int) -> Instant:
        """A whole second of the store's clock, that far ahead."""
        return (self.store.now() // SECOND + ahead_s) * SECOND


def in_window(first: Instant, end: Instant) -> dict[str, str]:
    """The columns that let a schedule fire from `first` to before `end`."""
    return {"starts_at": utc(first), "ends_at": utc(end)}


def numbered(word: str, count: int) -> list[str]:
    """Names as `Fleet.schedule` wants them."""
    return [f"{word}-{number}" for number in range(1, count + 1)]


def mixed(names: Sequence[str], **columns: object) -> list[dict[str, object]]:
    """Rows for `Fleet.schedule`, on the three routes in turn."""
    routes = itertools.cycle(("any", "spread", "sticky"))
    return [{"name": name, "route": route, **columns} for name, route in zip(names, routes, strict=False)]


def sleep_until(store: PrivateStore, instant: Instant) -> None:
    """Wait for an instant of the store's clock."""
    while (left := instant - store.now()) > 0:
        time.sleep(min(1.0, left / SECOND))


def _variables(settings: Mapping[str, object]) -> dict[str, str]:
    """`node_slots` as the variable that sets `[node] slots`."""
    return {f"LEASEBEAT_{key.upper().replace('_', '__', 1)}": str(v) for key, v in settings.items()}


def utc(instant: Instant) -> str:
    """As SQL takes it."""
    return datetime.fromtimestamp(instant / SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _instant(moment: datetime | str | None) -> Instant | None:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return None if moment is None else from_datetime(moment.replace(tzinfo=UTC))


def instants(row: Row) -> dict[str, Any]:
    """A row with its times as microseconds: those columns whose names end in `_at`."""
    return {name: _instant(found) if name.endswith("_at") else found for name, found in row.items()}


def literal(found: object) -> str:
    """As SQL takes it; text without backslashes is the same to every store."""
    if found is None or isinstance(found, int | float):
        return "NULL" if found is None else str(found)
    return "'" + str(found).replace("\\", "\\\\").replace("'", "''") + "'"


def _holds(entry: Path, wanted: bytes) -> bool:
    try:
        return (
            wanted in (entry / "environ").read_bytes()
            and b"\nState:\tZ" not in (entry / "status").read_bytes()
        )
    except OSError:
        return False  # it has ended meanwhile, or is not ours to look at
