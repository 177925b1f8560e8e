"""Death inside the shipped code, at each step of a fire, again and again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from leasebeat.faults import POINTS
from leasebeat.testing.evidence import findings, second_keys
from leasebeat.testing.fleet import Fleet, mixed, numbered, sleep_until, until, utc
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql

__all__ = ["DeathsResult", "everywhere", "run"]

SCHEDULES = 6
DIES_S = 30.0


@dataclass(frozen=True, slots=True)
class DeathsResult:
    """What became of one fleet whose worker `c` died `deaths` times at `point`."""

    point: str
    deaths: int
    due: int
    statuses: dict[str, int]
    taken_over: int
    findings: list[str]

    def lines(self) -> list[str]:
        """For people."""
        what = f"{self.deaths} deaths {self.point}: {self.due} due, rows {self.statuses}, "
        what += f"{self.taken_over} attempts taken over"
        return [what, *(self.findings or ["the checker found nothing"])]


def everywhere(folder: Path, server: MySQL, redis_url: str, times: int) -> list[DeathsResult]:
    """All points side by side, each with a fleet and a database of its own; they share a Redis."""

    def one(point: str) -> DeathsResult:
        (folder / point).mkdir()
        return run(folder / point, server, redis_url, point, times)

    with ThreadPoolExecutor(len(POINTS)) as pool:
        return list(pool.map(one, POINTS))


def run(folder: Path, server: MySQL, redis_url: str, point: str, times: int) -> DeathsResult:
    """Let worker `c` die at `point` so many times; start it again each time, and a last time to stay."""
    with Fleet(folder, PrivateMysql(server), redis_url, node_slots=20) as fleet:
        fleet.start("a", "b")
        fleet.await_live("a", "b")
        names = numbered("job", SCHEDULES)
        first = fleet.next_second(4)
        fleet.schedule(*mixed(names, longest=15, starts_at=utc(first)))
        assert fleet.store.now() < first, "the schedules were not there in time"
        victim = fleet.add("c")
        for time in range(times):
            victim.start(fault=f"{point}:{3 + time % 3}")
            victim.dead_by_itself(DIES_S)
            _tasks_die(fleet, victim.node_id)
        victim.start()
        fleet.await_live("c")
        end = fleet.next_second(3)
        fleet.store.rows(f"UPDATE schedules SET ends_at = '{utc(end)}'")
        sleep_until(fleet.store, end)
        until(lambda: fleet.settled(end), 60, f"everything ends\n{fleet.tails()}")
        evidence = fleet.collect(second_keys(names, first, end))
        purged = {node.id for node in evidence.nodes if node.state == "purged"}
        return DeathsResult(
            point=point,
            deaths=len(fleet.deaths),
            due=len(evidence.due),
            statuses=fleet.counts(),
            taken_over=sum(attempt.node_id in purged for attempt in evidence.attempts),
            findings=findings(evidence),
        )


def _tasks_die(fleet: Fleet, node_id: str) -> None:
    """The promise: no task is alive 2 s later. The guardian kills them at once."""
    mark = f"LEASEBEAT_NODE_ID={node_id}"
    until(lambda: not fleet.task_pids(mark), 2, f"the tasks of the dead node {node_id} die")
