"""What a trial of policies left behind, as its judges ask for it: by the names of schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leasebeat.model.instant import SECOND, Instant, to_text
from leasebeat.testing.evidence import Execution, executions
from leasebeat.testing.fleet import Fleet, instants
from leasebeat.testing.private import Row
from leasebeat.testing.trials.sinks import Request

__all__ = ["Seen", "collect"]


@dataclass(frozen=True, slots=True, repr=False)
class Seen:
    """Rows have the columns of their tables or views, instants as microseconds."""

    first: Instant  #: 0 of the proofs' seconds
    minute: Instant  #: the last whole minute before the end of the outage
    settled: bool  #: everything had ended
    folder: Path
    node_names: Mapping[str, str]
    all_runs: Sequence[Row]
    all_tries: Sequence[Row]  #: `attempt_list`
    all_outputs: Sequence[Row]
    schedules: Mapping[str, Row]  #: `schedule_list` by name
    history: Sequence[Row]
    executions: Sequence[Execution]
    lines: Sequence[str]  #: what tasks said: run key, then words
    requests: Sequence[Request]
    messages: Mapping[str, Sequence[str]]

    def at(self, second: float) -> Instant:
        """The instant of a second of the proofs."""
        return self.first + round(second * SECOND)

    def key(self, name: str, second: float) -> str:
        """The key of a run."""
        return f"{name}@{to_text(self.at(second))}"

    def by(self, seconds: float) -> Seen:
        """The same with another 0."""
        return replace(self, first=self.at(seconds))

    # rows

    def runs(self, *names: str) -> list[Row]:
        """The runs of schedules, by instant and shard."""
        return [run for run in self.all_runs if run["schedule"] in names]

    def run(self, name: str) -> Row:
        """The only run of a schedule."""
        (found,) = self.runs(name)
        return found

    def of(self, column: str, *names: str) -> list[Any]:
        """A column of the runs of schedules, by instant and shard."""
        return [run[column] for run in self.runs(*names)]

    def ends(self, *names: str) -> list[tuple[str, str | None]]:
        """(status, reason code) of the runs, by instant and shard."""
        return [(run["status"], run["reason_code"]) for run in self.runs(*names)]

    def tries(self, name: str) -> list[Row]:
        """The attempts at the runs of a schedule, in the order in which they were given out."""
        return [row for row in self.all_tries if row["schedule"] == name]

    def output(self, name: str) -> str:
        """What the runs of a schedule printed."""
        return "".join(bytes(row["output"]).decode() for row in self.all_outputs if row["schedule"] == name)

    # what tasks wrote

    def begun(self, *names: str) -> list[Execution]:
        """The executions of schedules, in the order in which they began."""
        return [found for found in self.executions if name_of(found.key) in names]

    def order(self, *names: str) -> list[str]:
        """Which of the schedules began, in that order."""
        return [name_of(found.key) for found in self.begun(*names)]

    def nodes(self, *names: str) -> list[str]:
        """The names of the nodes on which they began, in that order."""
        return [self.node_names[found.node_id] for found in self.begun(*names)]

    def at_once(self, *names: str) -> int:
        """How many executions of the schedules there were at once, at most."""
        ends = [(found.order, 1) for found in self.begun(*names)]
        ends += [(found.last_order, -1) for found in self.begun(*names) if found.last_order > found.order]
        running = most = 0
        for _, step in sorted(ends):
            running += step
            most = max(most, running)
        return most

    def said(self, *names: str) -> list[str]:
        """What the tasks of schedules said, by instant and shard."""
        lines = sorted(self.lines, key=lambda line: line.split(" ")[0])
        return [line.partition(" ")[2] for line in lines if name_of(line.split(" ")[0]) in names]

    def asked(self, name: str) -> list[Request]:
        """The requests for `/NAME`."""
        return [request for request in self.requests if request.path == f"/{name}"]


def name_of(key: str) -> str:
    """The schedule's name in a run key."""
    return key.rpartition("@")[0]


def collect(
    fleet: Fleet,
    first: Instant,
    minute: Instant,
    settled: bool,
    requests: Sequence[Request],
    messages: Mapping[str, Sequence[str]],
) -> Seen:
    """Everything of a fleet that has come to its end."""
    rows = fleet.store.rows
    nodes = rows("SELECT id, name FROM nodes")
    return Seen(
        first=first,
        minute=minute,
        settled=settled,
        folder=fleet.folder,
        node_names={node["id"]: node["name"] for node in nodes},
        all_runs=_read(rows("SELECT * FROM run_list ORDER BY fire_at, schedule_id, shard")),
        all_tries=_read(rows("SELECT * FROM attempt_list ORDER BY fire_at, schedule_id, shard, attempt")),
        all_outputs=rows(_OUTPUTS),
        schedules={row["name"]: row for row in rows("SELECT * FROM schedule_list")},
        history=_read(rows("SELECT * FROM schedule_history ORDER BY id")),
        executions=executions(fleet.evidence.read_text().splitlines()),
        lines=(fleet.folder / "evidence.said").read_text().splitlines(),
        requests=list(requests),
        messages=messages,
    )


_OUTPUTS = (
    "SELECT l.schedule, l.`key`, t.* FROM outputs t JOIN run_list l ON l.fire_at = t.fire_at"
    " AND l.schedule_id = t.schedule_id AND l.shard = t.shard"
    " ORDER BY t.fire_at, t.schedule_id, t.shard, t.attempt"
)


def _read(rows: Iterable[Row]) -> list[Row]:
    return [instants(row) for row in rows]
