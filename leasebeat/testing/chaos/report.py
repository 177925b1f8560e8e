"""The figures of a chaos run, the issue's targets scaled to its length, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.run import parse_key
from leasebeat.testing.chaos.checks import begin_delay_s
from leasebeat.testing.chaos.ground import Plan, in_lane
from leasebeat.testing.chaos.nemesis import Suffered
from leasebeat.testing.evidence import AttemptRow, Evidence, NodeRow, executions, take_overs

__all__ = ["Report", "figures"]

ISSUE_S = 600.0
KILLS_OR_STOPS, EACH_KIND, TAKE_OVERS, LONG_PCT = 60, 10, 200, 30
"""What a run of ten minutes must have, or it says nothing."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of it. Times in seconds."""

    plan: Plan
    findings: Sequence[str]
    due: int
    executions: int
    statuses: Mapping[str, int]
    faults: Mapping[str, int]
    people: Mapping[str, int]
    taken_over: Sequence[float]  #: running tasks of purged nodes: how long it took
    taken_over_calm: Sequence[float]  #: those of them while the servers were there
    handed_back: int  #: running tasks that their own node gave back, for it was not sure any more
    delays: Sequence[float]  #: from due to begin, of first attempts outside the lane
    delays_quiet: Sequence[float]
    long_pct: float

    @property
    def bound_s(self) -> float:
        """What p95 of the take-overs is held against."""
        return self.plan.lease_s + 1.0

    @property
    def in_time(self) -> bool:
        """Whether p95 of the take-overs, while the servers were there, is within the bound."""
        return quantile(self.taken_over_calm, 0.95) <= self.bound_s

    @property
    def shortcomings(self) -> list[str]:
        """Why it is invalid: it did too little, scaled to its length."""
        part = self.plan.seconds / ISSUE_S
        hard = self.faults["kill"] + self.faults["stop"]
        wanted = {
            f"kills and stops, {hard}": hard >= int(KILLS_OR_STOPS * part),
            f"take-overs of running tasks, {len(self.taken_over)}": (
                len(self.taken_over) >= int(TAKE_OVERS * part)
            ),
            f"tasks that outlast a lease, {self.long_pct:.0f} %": self.long_pct >= LONG_PCT,
            f"faults, {sum(self.faults.values())}": sum(self.faults.values()) >= int(self.plan.seconds / 5),
        }
        wanted |= {
            f"faults of kind {kind}, {count}": count >= int(EACH_KIND * part)
            for kind, count in self.faults.items()
        }
        return [f"too few {what}" for what, enough in wanted.items() if not enough]

    @property
    def verdict(self) -> str:
        """One word: FAILED before INVALID before LATE before passed."""
        if self.findings:
            return "FAILED"
        if self.shortcomings:
            return "INVALID"
        return "passed" if self.in_time else "LATE"

    def lines(self, most: int = 40) -> list[str]:
        """For people, `most` findings."""
        faults = ", ".join(f"{kind} {count}" for kind, count in self.faults.items())
        people = ", ".join(f"{what} {count}" for what, count in sorted(self.people.items()))
        calm = _spread(self.taken_over_calm)
        rest = len(self.findings) - most
        return [
            f"$ {self.plan.command}",
            f"{self.due} due instants, {self.executions} executions, rows {dict(self.statuses)}",
            f"{sum(self.faults.values())} faults: {faults}",
            f"people: {people}",
            f"{self.long_pct:.0f} % of the tasks outlast a lease of {self.plan.lease_s:g} s",
            f"{len(self.taken_over)} take-overs of running tasks after {_spread(self.taken_over)}",
            f"{len(self.taken_over_calm)} of them while the servers were there after {calm}",
            f"bound of their p95: {self.bound_s:g} s, {'kept' if self.in_time else 'NOT KEPT'}",
            f"{self.handed_back} running tasks given back by their own nodes",
            f"start delays of first attempts outside the lane {_spread(self.delays)}",
            f"start delays in the quiet at the end {_spread(self.delays_quiet)}",
            f"lost, taken over too often: {self.statuses.get('lost', 0)}",
            *(list(self.findings[:most]) or ["the checker found nothing"]),
            *([f"... and {rest} more"] if rest > 0 else []),
            *self.shortcomings,
            self.verdict,
        ]


def figures(
    plan: Plan,
    evidence: Evidence,
    log: Sequence[Suffered],
    people: Mapping[str, int],
    quiet: Instant,
    found: Sequence[str],
    kinds: Sequence[str],
) -> Report:
    """The report of a history. `kinds` are those that the plan deals."""
    ran = executions(evidence.lines)
    ended = [execution for execution in ran if execution.ended]
    long = [execution for execution in ended if execution.last - execution.begin > plan.lease_s * 1e9]
    begun = {(e.key, e.attempt): e for e in ran}
    taken = [
        (_took(plan, evidence, log, attempt, node, took), _calm(plan, evidence, log, node, took))
        for attempt, node, took in take_overs(evidence)
        if (before := begun.get((attempt.key, attempt.attempt))) is not None and not before.ended
    ]
    purged = {node.id for node in evidence.nodes if node.state == "purged"}
    back = [a for a in evidence.attempts if a.node_id not in purged and (a.key, a.attempt) in begun]
    first = [e for e in ran if e.attempt == 1 and e.key in evidence.due and not _waits_for_a_lane(e.key)]
    counts = Counter(suffered.kind for suffered in log)
    statuses = Counter(run.status for run in evidence.runs)
    return Report(
        plan=plan,
        findings=found,
        due=len(evidence.due),
        executions=len(ran),
        statuses=dict(sorted(statuses.items())),
        faults={kind: counts[kind] for kind in kinds},
        people=people,
        taken_over=[seconds for seconds, _ in taken],
        taken_over_calm=[seconds for seconds, calm in taken if calm],
        handed_back=len(back),
        delays=[begin_delay_s(evidence, e) for e in first],
        delays_quiet=[begin_delay_s(evidence, e) for e in first if parse_key(e.key)[1] >= quiet],
        long_pct=100 * len(long) / max(1, len(ended)),
    )


def _waits_for_a_lane(key: str) -> bool:
    schedule, _, _ = parse_key(key)
    word, _, number = schedule.rpartition("-")
    return word == "job" and in_lane(int(number))


def _took(
    plan: Plan,
    evidence: Evidence,
    log: Sequence[Suffered],
    attempt: AttemptRow,
    node: NodeRow,
    took: Instant,
) -> float:
    """Seconds from the last beat; with ZooKeeper from the fault, for its sessions know no beats."""
    del attempt
    again = (node.beat_at + took - evidence.lead) * 1000
    causes = [s.at for s in log if s.node == node.name and s.at <= again and s.kind != "clock"]
    if plan.coordinator == "zookeeper" and causes:
        return (again - max(causes)) / 1e9
    return took / SECOND


def _calm(plan: Plan, evidence: Evidence, log: Sequence[Suffered], node: NodeRow, took: Instant) -> bool:
    """Whether no server that decides on it was away from the last beat, and a lease before, to the end."""
    lease = round(plan.lease_s * 1e9)
    begin = (node.beat_at - evidence.lead) * 1000 - lease
    end = begin + lease + took * 1000
    return not any(
        s.kind == "server" and "Redis" not in s.detail and s.at <= end and s.until >= begin for s in log
    )


def quantile(found: Sequence[float], part: float) -> float:
    """The smallest of them that `part` of them do not exceed; 0 of none."""
    ordered = sorted(found)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def _spread(found: Sequence[float]) -> str:
    parts = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    told = ", ".join(f"{name} {quantile(found, part):.2f}" for part, name in parts)
    return f"{told}, max {max(found, default=0.0):.2f} s"
