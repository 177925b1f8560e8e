"""What must hold of a chaos run besides what `evidence` holds against every history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.run import parse_key
from leasebeat.testing.evidence import Evidence, Execution, executions, findings
from leasebeat.testing.invariants import invariant

__all__ = ["History", "judge"]


@dataclass(frozen=True, slots=True)
class History:
    """All that the checks know. `quiet` is from when on everybody must have recovered."""

    evidence: Evidence
    quiet: Instant
    slots: int
    lanes: Mapping[str, tuple[int, frozenset[str]]]  #: size and schedules
    serial: frozenset[str]  #: schedules whose runs never meet
    workers: Sequence[str]
    live: Sequence[str]  #: names of live nodes at the end
    tasks_left: int  #: processes of tasks at the end


def judge(history: History) -> list[str]:
    """Everything that must not have happened, a sentence each."""
    found = executions(history.evidence.lines)
    checks: tuple[Callable[[History, list[Execution]], Iterable[str]], ...] = (
        _attempts,
        _fences,
        _slots,
        _lanes,
        _serial,
        _membership,
        _recovered,
        _processes,
    )
    general = findings(history.evidence, prompt=False, deaths_alone=False)
    return general + [sentence for check in checks for sentence in check(history, found)]


@invariant("I2")
def _attempts(history: History, _: list[Execution]) -> Iterator[str]:
    """Attempts are numbered without gaps; each but the last is in `attempts`."""
    former: dict[str, list[int]] = {}
    for row in history.evidence.attempts:
        former.setdefault(row.key, []).append(row.attempt)
    for run in history.evidence.runs:
        known = sorted({*former.get(run.key, []), *([run.attempt] if run.attempt else [])})
        if known != list(range(1, len(known) + 1)):
            yield f"{run.key} has the attempts {known}"


@invariant("I6")
def _fences(_: History, found: list[Execution]) -> Iterator[str]:
    last: dict[str, Execution] = {}
    for execution in sorted(found, key=lambda execution: execution.attempt):
        before = last.get(execution.key)
        if before and before.attempt < execution.attempt and before.fence >= execution.fence:
            yield f"{execution.key}: the fence of attempt {execution.attempt} did not grow"
        last[execution.key] = execution


@invariant("I21")
def _slots(history: History, found: list[Execution]) -> Iterator[str]:
    for node_id in {execution.node_id for execution in found}:
        most = _at_once(execution for execution in found if execution.node_id == node_id)
        if most > history.slots:
            yield f"{node_id} ran {most} at once, with {history.slots} slots"


@invariant("I21")
def _lanes(history: History, found: list[Execution]) -> Iterator[str]:
    for lane, (size, names) in history.lanes.items():
        most = _at_once(execution for execution in found if _schedule(execution) in names)
        if most > size:
            yield f"lane {lane} ran {most} at once, with size {size}"


@invariant("I4", "I21")
def _serial(history: History, found: list[Execution]) -> Iterator[str]:
    """With overlap skip no two executions of a schedule are under way at once, of whatever runs."""
    for name in sorted(history.serial):
        if (most := _at_once(execution for execution in found if _schedule(execution) == name)) > 1:
            yield f"{name} ran {most} times at once"


@invariant("I23")
def _membership(history: History, _: list[Execution]) -> Iterator[str]:
    if sorted(history.live) != sorted(history.workers):
        yield f"live at the end: {', '.join(history.live)}; running: {', '.join(history.workers)}"


@invariant("I12", "I25")
def _recovered(history: History, found: list[Execution]) -> Iterator[str]:
    """What comes due when everybody must have recovered and runs, succeeds.

    Not by its first attempt: on a busy machine a node may lose its lease without anybody's doing.
    """
    statuses = {run.key: run for run in history.evidence.runs}
    for key in sorted({execution.key for execution in found} & history.evidence.due):
        run = statuses.get(key)
        if run and parse_key(key)[1] >= history.quiet and run.status != "succeeded":
            yield f"{key} came due in the quiet, and is {run.status} by attempt {run.attempt}"


@invariant("I22")
def _processes(history: History, _: list[Execution]) -> Iterator[str]:
    if history.tasks_left:
        yield f"{history.tasks_left} processes of tasks are left at the end"


def _at_once(found: Iterable[Execution]) -> int:
    """How many were under way at once: by the order of their lines, which needs no clock."""
    events = [event for e in found for event in ((e.order, 1), (e.last_order + 0.5, -1))]
    most = now = 0
    for _, step in sorted(events):
        now += step
        most = max(most, now)
    return most


def _schedule(execution: Execution) -> str:
    return parse_key(execution.key)[0]


def begin_delay_s(evidence: Evidence, execution: Execution) -> float:
    """Seconds from its instant to its begin line, by the store's clock."""
    return (execution.begin // 1000 + evidence.lead - parse_key(execution.key)[1]) / SECOND
