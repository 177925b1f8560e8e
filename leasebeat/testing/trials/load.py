"""The main trial: forty schedules each second on three workers, while everything breaks in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from leasebeat.model.instant import SECOND
from leasebeat.testing.evidence import Evidence, executions, findings, second_keys
from leasebeat.testing.fleet import Fleet, in_window, mixed, numbered, sleep_until, until
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.servers import MariaDB, Redis

__all__ = ["LoadResult", "run"]

SETTLE_S = 60.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What became of it."""

    findings: list[str]
    statuses: dict[str, int]
    due: int
    executions: int
    taken_over: int  #: attempts of nodes that were purged
    refused: int  #: outcomes that came after a take-over
    slowest_take_over_s: float  #: from the last beat of the dead node to the next attempt
    running_at_faults: list[int]
    settled_s: float  #: from the last instant to the end of the last run

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.due} due instants, {self.executions} executions, rows: {self.statuses}",
            f"running at the faults: {self.running_at_faults}",
            f"{self.taken_over} attempts taken over from dead nodes",
            f"slowest take-over {self.slowest_take_over_s:.2f} s after the last beat",
            f"{self.refused} late outcomes refused",
            f"all settled {self.settled_s:.1f} s after the last instant",
            *(self.findings or ["the checker found nothing"]),
        ]


def run(
    folder: Path, mariadb: MariaDB, redis: Redis, seconds: int = 60, schedules: int = 40, beat_s: float = 2.0
) -> LoadResult:
    """Run the load for `seconds`, with four faults in the first three quarters of it."""
    with Fleet(folder, PrivateMysql(mariadb.mysql), redis.url, node_beat_s=beat_s) as fleet:
        fleet.start("a", "b", "c")
        fleet.await_live("a", "b", "c")
        names = numbered("load", schedules)
        first = fleet.next_second(4)
        end = first + seconds * SECOND
        fleet.schedule(*mixed(names, **in_window(first, end)))
        assert fleet.store.now() < first, "the schedules were not there in time"
        faults = _faults(fleet, mariadb, redis, beat_s)
        busy: list[int] = []
        for number, fault in enumerate(faults):
            sleep_until(fleet.store, first + (4 + number * (seconds - 8) // len(faults)) * SECOND)
            busy.append(fleet.running())
            fault()
        sleep_until(fleet.store, end)
        until(lambda: fleet.settled(end), SETTLE_S, f"everything ends\n{fleet.tails()}")
        evidence = fleet.collect(second_keys(names, first, end))
        settled_s = max((r.finished_at or 0) for r in evidence.runs) - end
        return _result(evidence, fleet.counts(), busy, settled_s / SECOND)


def _faults(fleet: Fleet, mariadb: MariaDB, redis: Redis, beat_s: float) -> list[Callable[[], None]]:
    """Each ends before the next begins; three beats at least lie between two of them."""

    def kill_a_worker() -> None:
        # Not started again before it was purged for its silence: its successor would purge it at once.
        fleet["a"].kill()
        time.sleep(4 * beat_s)
        fleet["a"].start()

    def stop_a_worker() -> None:
        fleet["b"].stop()
        time.sleep(4 * beat_s)
        fleet["b"].resume()

    def kill_redis() -> None:
        redis.kill9()
        time.sleep(2)
        redis.start()

    def restart_mariadb() -> None:
        mariadb.restart()

    return [kill_a_worker, kill_redis, stop_a_worker, restart_mariadb]


def _result(evidence: Evidence, statuses: dict[str, int], busy: list[int], settled_s: float) -> LoadResult:
    purged = {node.id: node for node in evidence.nodes if node.state == "purged"}
    taken = [attempt for attempt in evidence.attempts if attempt.node_id in purged]
    given = {(a.key, a.attempt): a.claimed_at for a in evidence.attempts}
    given |= {(run.key, run.attempt): run.claimed_at for run in evidence.runs}
    took = [
        again - purged[a.node_id or ""].beat_at for a in taken if (again := given.get((a.key, a.attempt + 1)))
    ]
    return LoadResult(
        findings=findings(evidence),
        statuses=statuses,
        due=len(evidence.due),
        executions=len(executions(evidence.lines)),
        taken_over=len(taken),
        refused=sum(attempt.outcome == "superseded" for attempt in evidence.attempts),
        slowest_take_over_s=max(took, default=0) / SECOND,
        running_at_faults=busy,
        settled_s=settled_s,
    )
