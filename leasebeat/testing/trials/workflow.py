"""A workflow of twelve steps, fanning out and in over several levels, while workers die.

                    +- split-1 -- load-1 -+
                    |                     +- join-1 -+
    extract --------+- split-2 -- load-2 -+          +- check --(failure)-- repair
                    |                     +- join-2 -+    |                    |
                    +- split-3 -- load-3 -+               +------(done)--- report

At some of the instants `check` fails: then `repair` runs, else it is skipped; `report` runs anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from leasebeat.model.instant import SECOND
from leasebeat.testing.evidence import executions, take_overs
from leasebeat.testing.fleet import Fleet, in_window, sleep_until
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.trials import kills, steps
from leasebeat.testing.trials.steps import Play, Step

__all__ = ["WorkflowResult", "run"]

EVERY = SECOND // 2
"""Microseconds between two instants of the workflow."""

STEPS = (
    Step("extract"),
    Step("split-1", after=("extract",), route="any"),
    Step("split-2", after=("extract",), route="spread"),
    Step("split-3", after=("extract",)),
    Step("load-1", after=("split-1",), route="spread"),
    Step("load-2", after=("split-2",), route="any"),
    Step("load-3", after=("split-3",)),
    Step("join-1", after=("load-1", "load-2")),
    Step("join-2", after=("load-2", "load-3"), route="any"),
    Step("check", after=("join-1", "join-2"), fails="*[258]Z"),
    Step("repair", after=("check",), rule="failure"),
    Step("report", after=("check", "repair"), rule="done"),
)


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """What became of it."""

    instants: int
    due: int
    statuses: dict[str, int]
    executions: int
    kills: int
    taken_over: int  #: attempts of nodes that died, given out again
    slowest_s: float  #: from the last beat of a node that died to the next attempt
    settled_s: float  #: from the last instant to the end of the last step
    findings: list[str]

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.instants} instants of {len(STEPS)} steps, {self.kills} kills: {self.due} rows due",
            f"{self.executions} executions, rows {self.statuses}, {self.taken_over} attempts taken over",
            f"slowest take-over {self.slowest_s:.2f} s after the last beat",
            f"all settled {self.settled_s:.1f} s after the last instant",
            *(self.findings or ["the checker found nothing"]),
        ]


def run(folder: Path, server: MySQL, redis_url: str, instants: int, times: int, seed: int) -> WorkflowResult:
    """Let the workflow go through so many instants, and kill workers at random points meanwhile."""
    with Fleet(folder, PrivateMysql(server), redis_url) as fleet:
        fleet.start("a", "b", "c")
        fleet.await_live("a", "b", "c")
        first = fleet.next_second(4)
        end = first + instants * EVERY
        steps.insert(fleet, STEPS, cron="@every 500ms", **in_window(first, end))
        sleep_until(fleet.store, first)
        if times:
            kills.at_random(fleet, times, instants * EVERY / SECOND / times, Random(seed))
        sleep_until(fleet.store, end)
        play = STEPS, range(first, end, EVERY)
        steps.settle(fleet, [play], end)
        return _result(fleet, play)


def _result(fleet: Fleet, play: Play) -> WorkflowResult:
    evidence = fleet.collect(steps.due([play]))
    _, instants = play
    took = [each for _, _, each in take_overs(evidence)]
    return WorkflowResult(
        instants=len(instants),
        due=len(evidence.due),
        statuses=fleet.counts(),
        executions=len(executions(evidence.lines)),
        kills=len(fleet.deaths),
        taken_over=len(took),
        slowest_s=max(took, default=0) / SECOND,
        settled_s=(max(run.finished_at or 0 for run in evidence.runs) - instants[-1]) / SECOND,
        findings=steps.findings(fleet.folder, [play], evidence),
    )
