"""Host clocks that are wrong, and host clocks that jump while everything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leasebeat.model.instant import SECOND
from leasebeat.testing.evidence import executions, findings, second_keys
from leasebeat.testing.fleet import Fleet, in_window, mixed, numbered, sleep_until, until
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql

__all__ = ["ClocksResult", "run"]


@dataclass(frozen=True, slots=True)
class ClocksResult:
    """What became of it."""

    due: int
    statuses: dict[str, int]
    executions: int
    nodes: list[str]  #: the states of all node rows, one for each time that a worker joined
    by_node: dict[str, int]  #: executions
    offsets_s: dict[str, int]  #: of the hosts' clocks at the beginning
    findings: list[str]

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.due} due instants, {self.executions} executions, rows {self.statuses}",
            f"host clocks ahead of the store by {self.offsets_s} s, then two of them jump twice by 60 s",
            f"executions by node {self.by_node}; node rows {self.nodes}",
            *(self.findings or ["the checker found nothing"]),
        ]


def run(folder: Path, server: MySQL, redis_url: str, seconds: int = 30, schedules: int = 10) -> ClocksResult:
    """Two of three clocks are 30 s off; each third of the time both jump by 60 s and back again."""
    with Fleet(folder, PrivateMysql(server), redis_url) as fleet:
        fleet.start("true")
        for name, offset in (("ahead", "+30s"), ("behind", "-30s")):
            fleet.add(name).start(faketime=offset)
        fleet.await_live("true", "ahead", "behind")
        offsets = _seen_offsets(fleet)
        names = numbered("job", schedules)
        first = fleet.next_second(4)
        end = first + seconds * SECOND
        fleet.schedule(*mixed(names, longest=30, **in_window(first, end)))
        assert fleet.store.now() < first, "the schedules were not there in time"
        for third, (ahead, behind) in enumerate((("-30s", "+30s"), ("+30s", "-30s")), 1):
            sleep_until(fleet.store, first + third * seconds * SECOND // 3 + SECOND // 2)
            fleet["ahead"].set_clock(ahead)
            fleet["behind"].set_clock(behind)
        sleep_until(fleet.store, end)
        until(lambda: fleet.settled(end), 60, f"everything ends\n{fleet.tails()}")
        evidence = fleet.collect(second_keys(names, first, end))
        found = executions(evidence.lines)
        node_names = {node.id: node.name for node in evidence.nodes}
        by_node = [node_names[execution.node_id] for execution in found]
        return ClocksResult(
            due=len(evidence.due),
            statuses=fleet.counts(),
            executions=len(found),
            nodes=sorted(node.state for node in evidence.nodes),
            by_node={name: by_node.count(name) for name in sorted(set(by_node))},
            offsets_s=offsets,
            findings=findings(evidence),
        )


def _seen_offsets(fleet: Fleet) -> dict[str, int]:
    """How far each node finds its host's clock ahead, in seconds: so that the test tests something."""
    asked = "SELECT name, clock_offset_ms FROM nodes WHERE state = 'live'"
    until(lambda: all(row["clock_offset_ms"] for row in fleet.store.rows(asked)), 20, "all nodes beat")
    return {row["name"]: round(row["clock_offset_ms"] / 1000) for row in fleet.store.rows(asked)}
