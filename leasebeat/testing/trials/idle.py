"""What a fleet costs that has nothing to do: statements, CPU, memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from leasebeat.testing.fleet import Fleet, until
from leasebeat.testing.private import PrivateMysql, value
from leasebeat.testing.servers import MariaDB

__all__ = ["IdleResult", "run"]

NODES = ("a", "b", "c")
A_NODE, THE_AUDITOR = 1.5, 2.0
"""Statements a second that each may send, and that the auditor may send besides."""

DIGEST = "SELECT COUNT(DISTINCT digest) AS n FROM nodes WHERE state = 'live' AND digest <> ''"
AGREED = (
    f"SELECT ({DIGEST}) = 1 AND NOT EXISTS (SELECT 1 FROM nodes WHERE state = 'live' AND digest = '') AS ok"
)
HARNESS = {"Com_show_status": 1, "Com_set_option": 2}
"""What the second look adds to its own counters: itself, its connection's autocommit and its time zone."""


@dataclass(frozen=True, slots=True)
class IdleResult:
    """What it came to."""

    seconds: float
    schedules: int
    statements: dict[str, int]  #: Com_* counters that moved
    cpu_pct: dict[str, float]  #: of one core: the worker with its guardian
    memory_mb: dict[str, float]  #: the same, resident

    @property
    def statements_s(self) -> float:
        """Of all nodes together."""
        return sum(self.statements.values()) / self.seconds

    @property
    def allowed_s(self) -> float:
        """What they may send."""
        return A_NODE * len(NODES) + THE_AUDITOR

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{len(NODES)} nodes, {self.schedules} schedules, none due, {self.seconds:.0f} s",
            f"{self.statements_s:.2f} statements/s in all, {self.allowed_s:g} allowed: {self.statements}",
            f"CPU % of a core: {self.cpu_pct}; memory MB: {self.memory_mb}",
        ]


def run(
    folder: Path, mariadb: MariaDB, redis_url: str, seconds: float = 20, schedules: int = 1000
) -> IdleResult:
    """Count for so long. The server must have no other clients."""
    store = PrivateMysql(mariadb.mysql)
    with Fleet(folder, store, redis_url, node_beat_s=10, node_slots=20) as fleet:
        store.rows(
            "INSERT INTO schedules (name, cron, command)"
            f" SELECT CONCAT('idle-', seq), '0 3 1 1 *', 'true' FROM seq_1_to_{schedules}"
        )
        fleet.start(*NODES)
        fleet.await_live(*NODES)
        until(lambda: value(store, AGREED), 40, f"all nodes hold the same schedules\n{fleet.tails()}")
        processes = {name: _family(fleet[name].process.pid) for name in NODES}
        cpu, counted, began = _cpu(processes), _statements(store), time.monotonic()
        time.sleep(seconds)
        moved = {name: count - counted[name] for name, count in _statements(store).items()}
        took = time.monotonic() - began
        moved = {name: count - HARNESS.get(name, 0) for name, count in moved.items()}
        spent = _cpu(processes)
        return IdleResult(
            seconds=took,
            schedules=schedules,
            statements={name: count for name, count in sorted(moved.items()) if count},
            cpu_pct={name: round((spent[name] - cpu[name]) / took * 100, 2) for name in NODES},
            memory_mb={name: round(_memory(processes[name]) / 1e6, 1) for name in NODES},
        )


def _family(pid: int) -> list[psutil.Process]:
    worker = psutil.Process(pid)
    return [worker, *worker.children(recursive=True)]


def _cpu(processes: dict[str, list[psutil.Process]]) -> dict[str, float]:
    return {name: sum(sum(p.cpu_times()[:2]) for p in family) for name, family in processes.items()}


def _memory(family: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in family)


def _statements(store: PrivateMysql) -> dict[str, int]:
    """Com_* of the whole server."""
    rows = store.rows("SHOW GLOBAL STATUS LIKE 'Com\\_%'")
    return {row["Variable_name"]: int(row["Value"]) for row in rows}
