"""Schedules that follow each other and are divided into shards, and what their tasks must have seen.

A step is a schedule whose task writes down what it was told, in a file of its own for each attempt,
lasts a little, and gives its run key as its result. What should have become of every step at every
instant is reckoned here, without the product, from the list of steps alone; `findings` holds the
tasks' own files and the rows against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey, key_text, parse_key
from leasebeat.testing import evidence as checker
from leasebeat.testing.evidence import Evidence, Execution, executions
from leasebeat.testing.fleet import TELL, Fleet, until

__all__ = ["Play", "Step", "due", "findings", "insert", "settle"]

TASK = (
    TELL
    + """\
told="$TOLD/$LEASEBEAT_RUN_KEY $LEASEBEAT_ATTEMPT"
printf '%s\\n' "$LEASEBEAT_SHARD $LEASEBEAT_SHARDS" "$LEASEBEAT_SHARD_ARG" "$LEASEBEAT_UPSTREAM" >"$told"
tell begin
left=$(($$ % LONGEST + 1))
while [ $left -gt 5 ]; do
    sleep 0.5
    left=$((left - 5))
    tell alive
done
sleep 0.$left
echo "\\"$LEASEBEAT_RUN_KEY\\"" >"$LEASEBEAT_RESULT"
tell end
case $LEASEBEAT_RUN_KEY in
$FAILS) exit 1 ;;
esac
"""
)

Ends = Mapping[str, str]
"""Statuses by run key."""


@dataclass(frozen=True, slots=True)
class Step:
    """A schedule of a trial. In a list of them upstreams come before what follows them."""

    name: str
    after: tuple[str, ...] = ()
    rule: str = "success"
    shard_args: tuple[object, ...] = ()  #: one shard for each; none: not divided
    fails: str = ""  #: what the run keys of tasks that fail look like, as a shell pattern
    route: str = "sticky"
    longest: int = 8  #: tenths of a second that a task lasts at most

    @property
    def shards(self) -> int:
        """How many runs a fire of it has."""
        return len(self.shard_args) or 1

    def keys(self, instant: Instant) -> list[str]:
        """The keys of a fire's runs, by shard."""
        return [key_text(self.name, RunKey(instant, 0, shard)) for shard in range(self.shards)]


Play = tuple[Sequence[Step], Sequence[Instant]]
"""Steps that follow each other and nobody else, and the instants at which they do."""


def insert(fleet: Fleet, steps: Sequence[Step], **columns: object) -> None:
    """Insert the schedules; `columns` are of those that follow nobody: `cron`, and from when to when."""
    (fleet.folder / "told").mkdir(exist_ok=True)
    (fleet.folder / "step.sh").write_text(TASK)
    fleet.schedule(*(_row(fleet, step, columns) for step in steps))


def _row(fleet: Fleet, step: Step, columns: Mapping[str, object]) -> dict[str, object]:
    environ = {
        "EVIDENCE": str(fleet.evidence),
        "TOLD": str(fleet.folder / "told"),
        "LONGEST": str(step.longest),
        "FAILS": step.fails,
    }
    follows = {"cron": "@manual", "after": json.dumps(step.after), "after_rule": step.rule}
    divided = {"shards": step.shards, "shard_args": json.dumps(step.shard_args, ensure_ascii=False)}
    return {
        "name": step.name,
        "command": f". {fleet.folder}/step.sh",
        "args": json.dumps({"env": environ}),
        "route": step.route,
        **(follows if step.after else columns),
        **(divided if step.shard_args else {}),
    }


def settle(fleet: Fleet, plays: Sequence[Play], end: Instant) -> None:
    """Wait until all rows are there and none is open, 90 s at most."""
    rows = len(due(plays))
    # Counted first: a follower that is opened after that is still open when the question is asked.
    until(
        lambda: sum(fleet.counts().values()) >= rows and fleet.settled(end),
        90,
        f"everything ends\n{fleet.tails()}",
    )


def due(plays: Sequence[Play]) -> frozenset[str]:
    """The keys of all rows that there must be. A step that was skipped has one row, whatever its shards."""
    return frozenset(_all_ends(plays))


# --- what should have become of it --------------------------------------------------------------


def _all_ends(plays: Sequence[Play]) -> Ends:
    return {
        key: status
        for steps, instants in plays
        for instant in instants
        for key, status in _ends(steps, instant).items()
    }


def _ends(steps: Sequence[Step], instant: Instant) -> Ends:
    ends: dict[str, str] = {}
    fires: dict[str, list[str]] = {}  #: the statuses of each step's runs
    for step in steps:
        upstreams = [status for name in step.after for status in fires[name]]
        if _follows(step.rule, upstreams):
            fire = {key: _status(step, key) for key in step.keys(instant)}
        else:
            fire = {step.keys(instant)[0]: "skipped"}
        ends |= fire
        fires[step.name] = list(fire.values())
    return ends


def _follows(rule: str, upstreams: Sequence[str]) -> bool:
    if not upstreams or rule == "done":
        return True
    return "failed" in upstreams if rule == "failure" else set(upstreams) == {"succeeded"}


def _status(step: Step, key: str) -> str:
    return "failed" if fnmatchcase(key, step.fails) else "succeeded"


# --- what became of it --------------------------------------------------------------------------


def findings(folder: Path, plays: Sequence[Play], evidence: Evidence) -> list[str]:
    """Everything that must not have happened, a sentence each; the general checks are among them."""
    ends = _all_ends(plays)
    by_name = {step.name: step for steps, _ in plays for step in steps}
    found = executions(evidence.lines)
    return [
        *checker.findings(evidence, prompt=False),
        *_ended_otherwise(ends, evidence),
        *_never_ended(ends, evidence, found),
        *_out_of_order(by_name, found),
        *_told_otherwise(folder, by_name, ends, found),
    ]


def _ended_otherwise(ends: Ends, evidence: Evidence) -> Iterator[str]:
    for run in evidence.runs:
        if run.key in ends and run.status != ends[run.key]:
            yield f"{run.key} is {run.status}, attempt {run.attempt}; it should be {ends[run.key]}"


def _never_ended(ends: Ends, evidence: Evidence, found: Sequence[Execution]) -> Iterator[str]:
    """Each row tells of an attempt that ran to its end, and what was skipped never began."""
    ended = {(execution.key, execution.attempt) for execution in found if execution.ended}
    begun = {execution.key for execution in found}
    for run in evidence.runs:
        if ends.get(run.key) == "skipped" and run.key in begun:
            yield f"{run.key} began, and should have been skipped"
        elif ends.get(run.key) in ("succeeded", "failed") and (run.key, run.attempt) not in ended:
            yield f"{run.key} attempt {run.attempt} is {run.status} and never ended"


def _out_of_order(steps: Mapping[str, Step], found: Sequence[Execution]) -> Iterator[str]:
    """A step begins after the last sign of life of everything upstream, in the order of the tasks' file."""
    by_fire: dict[tuple[str, Instant], list[Execution]] = {}
    for execution in found:
        name, instant, _ = parse_key(execution.key)
        by_fire.setdefault((name, instant), []).append(execution)
    for (name, instant), fire in by_fire.items():
        began = min(execution.order for execution in fire)
        for upstream in steps[name].after:
            late = [e for e in by_fire.get((upstream, instant), ()) if e.last_order > began]
            if late:
                yield f"{fire[0].key} began before {late[0].key} attempt {late[0].attempt} had ended"


def _told_otherwise(
    folder: Path, steps: Mapping[str, Step], ends: Ends, found: Sequence[Execution]
) -> Iterator[str]:
    """Every attempt was told its shard, its parameter, and how all runs upstream of it ended."""
    for execution in found:
        name, instant, shard = parse_key(execution.key)
        step = steps[name]
        said = (folder / "told" / f"{execution.key} {execution.attempt}").read_text().split("\n")
        what = f"{execution.key} attempt {execution.attempt} was told"
        if said[0] != f"{shard} {step.shards}":
            yield f"{what} SHARD SHARDS {said[0]!r}"
        if [json.loads(arg) for arg in said[1:2] if arg] != list(step.shard_args[shard : shard + 1]):
            yield f"{what} SHARD_ARG {said[1]!r}"
        upstream = sorted(json.loads(said[2]), key=lambda run: run["key"]) if said[2] else []
        if upstream != sorted(_upstream(steps, step, instant, ends), key=lambda run: run["key"]):
            yield f"{what} UPSTREAM {said[2]!r}"


def _upstream(
    steps: Mapping[str, Step], step: Step, instant: Instant, ends: Ends
) -> Iterator[dict[str, Any]]:
    """What a task should be told in LEASEBEAT_UPSTREAM. Each run's result is its key."""
    for name in step.after:
        for shard, key in enumerate(steps[name].keys(instant)):
            if key in ends:
                ran = ends[key] != "skipped"
                yield {
                    "key": key,
                    "schedule": name,
                    "shard": shard,
                    "shards": steps[name].shards if ran else 1,
                    "status": ends[key],
                    "exit_code": (ends[key] == "failed") * 1 if ran else None,
                    "result": key if ran else None,
                }
