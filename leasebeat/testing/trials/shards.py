"""A hundred shards on three workers: dealt evenly in quiet times, and all of them run while workers die."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.run import parse_key
from leasebeat.testing.evidence import Evidence, executions
from leasebeat.testing.fleet import Fleet, in_window, sleep_until, until
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.trials import kills, steps
from leasebeat.testing.trials.steps import Step

__all__ = ["ShardsResult", "quiet", "with_kills"]

CITIES = ("Beijing", "Tianjin", "São Paulo", 'it\'s "quoted"', "Lviv")
ARGS = tuple(f"{CITIES[number % 5]} {number}" if number % 3 else {"region": number} for number in range(100))

EVERY_S = 3
"""Seconds between two fires. No shard lasts longer: at most times some are running."""

KILL_EVERY_S = 6

SPREAD = Step("regions-spread", shard_args=ARGS, route="spread", longest=30)
STICKY = Step("regions-sticky", shard_args=ARGS, route="sticky")
REPORT = Step("report", after=(SPREAD.name,))


@dataclass(frozen=True, slots=True)
class ShardsResult:
    """What became of it."""

    fires: int
    due: int
    statuses: dict[str, int]
    executions: int
    kills: int
    per_node: list[tuple[int, ...]]  #: for each fire of shards, how many ran to their end on each node
    taken_over: list[int]  #: for each death, the runs that went on as their next attempt
    heirs: list[int]  #: for each such death, on how many nodes they did
    findings: list[str]

    @property
    def uneven_pct(self) -> float:
        """How much less the least busy node ran than the busiest one, in the worst fire."""
        return max(100 * (max(counts) - min(counts)) / max(counts) for counts in self.per_node)

    def lines(self) -> list[str]:
        """For people."""
        what = f"{self.fires} fires of {len(ARGS)} shards, {self.kills} kills: {self.due} rows due"
        taken = f"runs taken over at each death {self.taken_over}, by so many nodes {self.heirs}"
        return [
            f"{what}, {self.executions} executions, rows {self.statuses}",
            f"shards per node {sorted(set(self.per_node))}, differ by {self.uneven_pct:.1f} % at most",
            *([taken] if self.kills else []),
            *(self.findings or ["the checker found nothing"]),
        ]


def quiet(folder: Path, server: MySQL, redis_url: str, fires: int) -> ShardsResult:
    """Nothing happens: shards of both routes that deal."""
    with Fleet(folder, PrivateMysql(server), redis_url) as fleet:
        _start(fleet)
        first = fleet.next_second(4)
        listed = [SPREAD, REPORT, STICKY]
        steps.insert(fleet, listed, **_columns(first, first + fires * EVERY_S * SECOND))
        return _result(fleet, listed, first, first + fires * EVERY_S * SECOND)


def with_kills(folder: Path, server: MySQL, redis_url: str, times: int, seed: int) -> ShardsResult:
    """Workers are killed at random points all the while, and started again under their names."""
    with Fleet(folder, PrivateMysql(server), redis_url) as fleet:
        _start(fleet)
        first = fleet.next_second(4)
        end = first + times * KILL_EVERY_S * SECOND
        listed = [SPREAD, REPORT]
        steps.insert(fleet, listed, **_columns(first, end))
        sleep_until(fleet.store, first)
        kills.at_random(fleet, times, KILL_EVERY_S, Random(seed))
        return _result(fleet, listed, first, end)


def _start(fleet: Fleet) -> None:
    fleet.start("a", "b", "c")
    fleet.await_live("a", "b", "c")


def _columns(first: Instant, end: Instant) -> dict[str, object]:
    return {"cron": f"@every {EVERY_S}s", **in_window(first, end)}


def _result(fleet: Fleet, listed: Sequence[Step], first: Instant, end: Instant) -> ShardsResult:
    instants = range(first, end, EVERY_S * SECOND)
    sleep_until(fleet.store, end)
    until(lambda: fleet.settled(end), 60, f"everything ends\n{fleet.tails()}")
    evidence = fleet.collect(steps.due(listed, instants))
    again = _taken_over(evidence)
    return ShardsResult(
        fires=len(instants) * sum(step.shards > 1 for step in listed),
        due=len(evidence.due),
        statuses=fleet.counts(),
        executions=len(executions(evidence.lines)),
        kills=len(fleet.deaths),
        per_node=_per_node(evidence),
        taken_over=[len(nodes) for nodes in again],
        heirs=[len(set(nodes)) for nodes in again if nodes],
        findings=steps.findings(fleet.folder, listed, instants, evidence),
    )


def _per_node(evidence: Evidence) -> list[tuple[int, ...]]:
    """By the tasks' own word."""
    names = {node.id: node.name for node in evidence.nodes}
    fires: dict[tuple[str, Instant], Counter[str]] = {}
    for execution in executions(evidence.lines):
        name, instant, _ = parse_key(execution.key)
        if execution.ended and name != REPORT.name:
            fires.setdefault((name, instant), Counter())[names[execution.node_id]] += 1
    return [tuple(counts[name] for name in sorted(set(names.values()))) for counts in fires.values()]


def _taken_over(evidence: Evidence) -> list[list[str]]:
    """For each death, the nodes that the next attempts of its runs were given to."""
    given = {(a.key, a.attempt): a.node_id for a in evidence.attempts}
    given |= {(run.key, run.attempt): run.node_id for run in evidence.runs}
    return [
        [
            given[a.key, a.attempt + 1] or ""
            for a in evidence.attempts
            if a.node_id == dead and (a.key, a.attempt + 1) in given
        ]
        for dead in evidence.deaths
    ]
