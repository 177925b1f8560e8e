"""Fires of a hundred shards on three workers: dealt evenly in quiet times, none lost while workers die.

Two schedules in turn, one for each route that deals, and a follower of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.run import parse_key
from leasebeat.testing.evidence import Evidence, executions, take_overs
from leasebeat.testing.fleet import Fleet, in_window, sleep_until
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.trials import kills, steps
from leasebeat.testing.trials.steps import Play, Step

__all__ = ["ShardsResult", "run"]

CITIES = ("Beijing", "Tianjin", "São Paulo", 'it\'s "quoted"', "Lviv")
ARGS = tuple(f"{CITIES[number % 5]} {number}" if number % 3 else {"region": number} for number in range(100))

EVERY_S = 6
"""Seconds between two fires of a schedule. A shard lasts half of that at most: nearly always some run."""

ROUTES = ("spread", "sticky")


@dataclass(frozen=True, slots=True)
class ShardsResult:
    """What became of it."""

    fires: int  #: of shards
    due: int
    statuses: dict[str, int]
    executions: int
    kills: int
    quiet: list[tuple[int, ...]]  #: for each fire before the kills, how many shards ran on each node
    taken_over: list[int]  #: for each death, the runs that went on as their next attempt
    slowest_s: float  #: from the last beat of a node that died to the next attempt
    heirs: list[int]  #: for each such death, on how many nodes they did
    findings: list[str]

    @property
    def uneven_pct(self) -> float:
        """How much less the least busy node ran than the busiest one, in the worst of those fires."""
        return max(100 * (max(counts) - min(counts)) / max(counts) for counts in self.quiet)

    def lines(self) -> list[str]:
        """For people."""
        what = f"{self.fires} fires of {len(ARGS)} shards, {self.kills} kills: {self.due} rows due"
        even = f"{len(self.quiet)} fires before the kills: shards per node {sorted(set(self.quiet))}"
        return [
            f"{what}, {self.executions} executions, rows {self.statuses}",
            f"{even}, differ by {self.uneven_pct:.1f} % at most",
            f"runs taken over at each death {self.taken_over}, by so many nodes {self.heirs}",
            f"slowest take-over {self.slowest_s:.2f} s after the last beat",
            *(self.findings or ["the checker found nothing"]),
        ]


def run(
    folder: Path,
    server: MySQL,
    redis_url: str,
    *,
    quiet: int,
    times: int,
    seed: int,
    kill_every_s: int = EVERY_S,
) -> ShardsResult:
    """Let each schedule fire `quiet` times; then `times` workers are killed at random points, one by one."""
    with Fleet(folder, PrivateMysql(server), redis_url) as fleet:
        fleet.start("a", "b", "c")
        fleet.await_live("a", "b", "c")
        first = fleet.next_second(4)
        noise = first + quiet * EVERY_S * SECOND
        end = noise - (-times * kill_every_s // EVERY_S) * EVERY_S * SECOND
        plays = [_play(fleet, route, first + index * SECOND, end) for index, route in _offsets()]
        sleep_until(fleet.store, noise)
        kills.at_random(fleet, times, kill_every_s, Random(seed))
        sleep_until(fleet.store, end)
        steps.settle(fleet, plays, end)
        return _result(fleet, plays, noise)


def _offsets() -> list[tuple[int, str]]:
    return [(index * EVERY_S // len(ROUTES), route) for index, route in enumerate(ROUTES)]


def _play(fleet: Fleet, route: str, first: Instant, end: Instant) -> Play:
    regions = Step(f"regions-{route}", shard_args=ARGS, route=route, longest=5 * EVERY_S)
    listed = [regions, Step(f"report-{route}", after=(regions.name,))]
    steps.insert(fleet, listed, cron=f"@every {EVERY_S}s", **in_window(first, end))
    return listed, range(first, end, EVERY_S * SECOND)


def _result(fleet: Fleet, plays: Sequence[Play], noise: Instant) -> ShardsResult:
    evidence = fleet.collect(steps.due(plays))
    again = _taken_over(evidence)
    return ShardsResult(
        fires=sum(len(instants) for _, instants in plays),
        due=len(evidence.due),
        statuses=fleet.counts(),
        executions=len(executions(evidence.lines)),
        kills=len(fleet.deaths),
        quiet=[counts for at, counts in _per_node(evidence) if at < noise],
        taken_over=[len(nodes) for nodes in again],
        slowest_s=max((took for _, _, took in take_overs(evidence)), default=0) / SECOND,
        heirs=[len(set(nodes)) for nodes in again],
        findings=steps.findings(fleet.folder, plays, evidence),
    )


def _per_node(evidence: Evidence) -> Iterator[tuple[Instant, tuple[int, ...]]]:
    """How many shards of each fire ran to their end on each node, by the tasks' own word."""
    names = {node.id: node.name for node in evidence.nodes}
    fires: dict[tuple[str, Instant], Counter[str]] = {}
    for execution in executions(evidence.lines):
        name, instant, _ = parse_key(execution.key)
        if execution.ended and name.startswith("regions"):
            fires.setdefault((name, instant), Counter())[names[execution.node_id]] += 1
    for (_, instant), counts in fires.items():
        yield instant, tuple(counts[name] for name in sorted(set(names.values())))


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
