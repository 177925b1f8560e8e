"""What really ran, told by the tasks themselves, held against what the tables say.

Every task appends lines to one file, `KEY ATTEMPT FENCE NODE_ID WHAT NANOSECONDS`, WHAT being
`begin`, `alive` (again and again while it lasts) or `end`. Nothing of the product writes or reads
it. `findings` reads that file and the tables and nothing else, and says each thing that must not
have happened; an empty list is a clean history. `docs/guarantee.md` has the promises.

The clock is /proc/uptime: CLOCK_BOOTTIME in steps of 10 ms, the same for all tasks of the machine,
deaf to changes of the wall clock, and readable by a shell without starting another program. Where
10 ms are too coarse, order is told by the file: O_APPEND puts the lines one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from leasebeat.model.instant import SECOND, Instant, Micros, to_text
from leasebeat.model.run import parse_key
from leasebeat.testing.invariants import invariant

__all__ = [
    "AttemptRow",
    "Death",
    "Evidence",
    "Execution",
    "NodeRow",
    "RunRow",
    "boottime_ns",
    "executions",
    "findings",
    "second_keys",
    "take_overs",
    "wall_clock_lead",
]

_BETWEEN_SIGNS = 1_000_000_000
"""Nanoseconds: a task that is alive says so twice in that time."""

TAKE_OVER: Micros = 2 * SECOND
"""What a take-over may need beyond three beats."""

_READING: Micros = SECOND // 10
"""What reading two clocks one after the other may cost on a busy machine."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One begin line with what followed it. Times in nanoseconds of CLOCK_BOOTTIME."""

    key: str
    attempt: int
    fence: Instant
    node_id: str
    begin: int
    order: int  #: number of its first line in the file
    last: int  #: its last sign of life
    last_order: int
    ended: bool  #: it wrote its end line


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of `runs`."""

    key: str
    status: str
    attempt: int
    node_id: str | None
    claimed_at: Instant | None
    finished_at: Instant | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A row of `attempts`: a try that was not the last, or came too late."""

    key: str
    attempt: int
    node_id: str | None
    outcome: str
    claimed_at: Instant | None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A row of `nodes`."""

    id: str
    name: str
    state: str
    beat_at: Instant
    beat_s: float


@dataclass(frozen=True, slots=True)
class Death:
    """An entry of the fault log: what was done to a node, and when, in nanoseconds of CLOCK_BOOTTIME."""

    at: int
    how: Literal["killed", "stopped"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checker knows.

    `due` are the keys of all due instants, reckoned without the product; `deaths` is the fault log
    by node id. `lead` is how far the store's clock is ahead of the tasks', in microseconds.
    """

    lines: Sequence[str]
    runs: Sequence[RunRow]
    attempts: Sequence[AttemptRow]
    nodes: Sequence[NodeRow]
    due: frozenset[str]
    lead: Micros
    deaths: Mapping[str, Death] = field(default_factory=dict[str, Death])


def findings(evidence: Evidence, *, prompt: bool = True, deaths_alone: bool = True) -> list[str]:
    """Everything that must not have happened, a sentence each.

    Without `prompt` take-overs may be late: where several die within one lease, whoever came after the
    first death purges only after it has watched for a whole lease. Without `deaths_alone` nodes also give
    runs back because the store was away, and a run may be lost that way.
    """
    found = executions(evidence.lines)
    checks: tuple[Callable[[Evidence, list[Execution]], Iterable[str]], ...] = (
        _rows,
        _stuck,
        _begun_twice,
        _overlaps,
        _outlived,
        _unrecorded,
        _late_writes,
        _early,
        _living_purged,
        _lost if deaths_alone else _lost_early,
        *([_take_overs] if prompt else []),
    )
    return [sentence for check in checks for sentence in check(evidence, found)]


# --- reading ------------------------------------------------------------------------------------


def boottime_ns() -> int:
    """The clock of the tasks, now."""
    return int(Path("/proc/uptime").read_text().split()[0].replace(".", "")) * 10_000_000


def wall_clock_lead(store_now: Callable[[], Instant]) -> Micros:
    """How far the store's clock is ahead of the tasks', within the time of one question."""
    now = store_now()
    return now - boottime_ns() // 1000


def second_keys(schedules: Iterable[str], first: Instant, until: Instant) -> frozenset[str]:
    """The keys of schedules that fire each second from `first` to before `until`, both whole seconds."""
    moments = [to_text(instant) for instant in range(first, until, SECOND)]
    return frozenset(f"{name}@{moment}" for name in schedules for moment in moments)


def executions(lines: Sequence[str]) -> list[Execution]:
    """The executions that the lines tell of, in the order of their beginnings.

    A second begin line of the same attempt makes a second execution; what follows belongs to the
    latest one. Raises ValueError for a line that no task writes.
    """
    found: list[Execution] = []
    latest: dict[tuple[str, int, str], int] = {}
    for order, line in enumerate(lines):
        key, attempt, fence, node_id, what, at = line.split()
        identity = (key, int(attempt), node_id)
        if what == "begin":
            latest[identity] = len(found)
            found.append(
                Execution(key, int(attempt), int(fence), node_id, int(at), order, int(at), order, False)
            )
        elif what in ("alive", "end") and identity in latest:
            found[latest[identity]] = _lived(found[latest[identity]], int(at), order, what == "end")
        else:
            raise ValueError(f"line {order + 1} of the evidence makes no sense: {line!r}")
    return found


def _lived(execution: Execution, at: int, order: int, ended: bool) -> Execution:
    return replace(execution, last=at, last_order=order, ended=execution.ended or ended)


def _by_run(found: Iterable[Execution]) -> dict[str, list[Execution]]:
    grouped: dict[str, list[Execution]] = {}
    for execution in found:
        grouped.setdefault(execution.key, []).append(execution)
    return grouped


# --- what must not have happened ----------------------------------------------------------------


@invariant("I1", "I11", "I13")
def _rows(evidence: Evidence, found: list[Execution]) -> Iterator[str]:
    """Every due instant has exactly one row, and nothing else has one."""
    counts = Counter(run.key for run in evidence.runs)
    for key in sorted(evidence.due - counts.keys()):
        yield f"{key} was due and has no row"
    for key, count in sorted(counts.items()):
        if count > 1:
            yield f"{key} has {count} rows"
        if key not in evidence.due:
            yield f"{key} was not due and has a row"
    for key in sorted({execution.key for execution in found} - counts.keys()):
        yield f"{key} ran and has no row"


@invariant("I17")
def _stuck(evidence: Evidence, _: list[Execution]) -> Iterator[str]:
    for run in evidence.runs:
        if run.status in ("queued", "running"):
            yield f"{run.key} is still {run.status}, attempt {run.attempt}"


@invariant("I2", "I3")
def _begun_twice(_: Evidence, found: list[Execution]) -> Iterator[str]:
    for (key, attempt), count in Counter((e.key, e.attempt) for e in found).items():
        if count > 1:
            yield f"{key} attempt {attempt} was begun {count} times"


@invariant("I4")
def _overlaps(evidence: Evidence, found: list[Execution]) -> Iterator[str]:
    """No two executions of a run at once.

    What wrote no end line was alive at its last line at least; when its node was killed soon after
    that line, at that moment too.
    """
    for key, tries in _by_run(found).items():
        for index, earlier in enumerate(tries):
            for later in tries[index + 1 :]:
                if later.order < earlier.last_order or later.begin < _alive_until(evidence, earlier):
                    yield f"{key}: attempt {later.attempt} began while attempt {earlier.attempt} ran"


def _alive_until(evidence: Evidence, execution: Execution) -> int:
    death = evidence.deaths.get(execution.node_id)
    if execution.ended or death is None or not 0 <= death.at - execution.last < _BETWEEN_SIGNS:
        return execution.last
    return death.at


@invariant("I9", "I22")
def _outlived(evidence: Evidence, found: list[Execution]) -> Iterator[str]:
    """No task lives 2 s after its worker was killed, nor after the lease of a purged node was over."""
    purged = {node.id: node for node in evidence.nodes if node.state == "purged"}
    for execution in found:
        death, node = evidence.deaths.get(execution.node_id), purged.get(execution.node_id)
        what = f"{execution.key} attempt {execution.attempt}"
        if death is not None and death.how == "killed" and execution.last > death.at + 2_000_000_000:
            yield f"{what} lived {(execution.last - death.at) / 1e9:.2f} s longer than its worker"
        over = node and node.beat_at + round(3 * node.beat_s * SECOND) + _READING
        if over and execution.last // 1000 + evidence.lead > over:
            yield f"{what} lived after the lease of its node"


@invariant("I18")
def _unrecorded(evidence: Evidence, found: list[Execution]) -> Iterator[str]:
    """What the tables call a success ran to its end, on the node that they name."""
    ended = {(e.key, e.attempt): e for e in found if e.ended}
    for run in evidence.runs:
        if run.status != "succeeded":
            continue
        execution = ended.get((run.key, run.attempt))
        if execution is None:
            yield f"{run.key} attempt {run.attempt} is recorded as succeeded and never ended"
        elif execution.node_id != run.node_id:
            yield f"{run.key} attempt {run.attempt} ran on {execution.node_id}, not on {run.node_id}"
        elif _before(run.finished_at, execution.last, evidence.lead):
            yield f"{run.key} attempt {run.attempt} is recorded as succeeded before it ended"


def _before(recorded: Instant | None, happened_ns: int, lead: Micros) -> bool:
    return recorded is None or recorded < happened_ns // 1000 + lead - _READING


@invariant("I6", "I16")
def _late_writes(evidence: Evidence, found: list[Execution]) -> Iterator[str]:
    """What came after a take-over was refused: the last attempt decides, the others stay without a say."""
    last = {run.key: run for run in evidence.runs}
    for execution in found:
        run = last.get(execution.key)
        if run is not None and execution.attempt > run.attempt:
            yield f"{run.key} is {run.status} by attempt {run.attempt}, but attempt {execution.attempt} began"
    began = {(execution.key, execution.attempt) for execution in found}
    for attempt in evidence.attempts:
        run = last.get(attempt.key)
        # What never began may have failed to start; what began, always succeeds if it is let.
        if attempt.outcome not in ("superseded", "lost") and (attempt.key, attempt.attempt) in began:
            yield f"{attempt.key} attempt {attempt.attempt} was taken over, and its {attempt.outcome!r} kept"
        elif run is not None and attempt.attempt >= run.attempt and run.status == "succeeded":
            yield f"{run.key} is {run.status} by attempt {run.attempt}, which is {attempt.outcome}"


@invariant("I5")
def _early(evidence: Evidence, found: list[Execution]) -> Iterator[str]:
    for execution in found:
        _, due, _ = parse_key(execution.key)
        if execution.fence < due:
            yield f"{execution.key} was claimed {(due - execution.fence) / SECOND:.3f} s early"
        if execution.begin // 1000 + evidence.lead + _READING < due:
            yield f"{execution.key} began early"


def take_overs(evidence: Evidence) -> Iterator[tuple[AttemptRow, NodeRow, Micros]]:
    """Attempts of dead nodes that others went on with: of which node, how long after its last beat."""
    given = {(attempt.key, attempt.attempt): attempt.claimed_at for attempt in evidence.attempts}
    given |= {(run.key, run.attempt): run.claimed_at for run in evidence.runs}
    purged = {node.id: node for node in evidence.nodes if node.state == "purged"}
    for attempt in evidence.attempts:
        node = purged.get(attempt.node_id or "")
        again = given.get((attempt.key, attempt.attempt + 1))
        if node is not None and again is not None:
            yield attempt, node, again - node.beat_at


@invariant("I17")
def _take_overs(evidence: Evidence, _: list[Execution]) -> Iterator[str]:
    """The next attempt is given out within three beats and 2 s of the dead node's last beat."""
    for attempt, node, took in take_overs(evidence):
        bound = round(3 * node.beat_s * SECOND) + TAKE_OVER
        if took > bound:
            yield (
                f"{attempt.key} was taken over {took / SECOND:.3f} s after the last beat of {node.name},"
                f" later than {bound / SECOND:g} s"
            )


@invariant("I8")
def _living_purged(evidence: Evidence, _: list[Execution]) -> Iterator[str]:
    for node in evidence.nodes:
        if node.state == "purged" and node.id not in evidence.deaths:
            yield f"{node.name} ({node.id}) was purged, and nothing had happened to it"


@invariant("I20")
def _lost(evidence: Evidence, _: list[Execution]) -> Iterator[str]:
    """A run is given up only after its third node has died: it might be what kills them."""
    for run in evidence.runs:
        if run.status != "lost":
            continue
        holders = {(a.attempt, a.node_id) for a in evidence.attempts if a.key == run.key}
        dead = [
            node_id for _, node_id in {*holders, (run.attempt, run.node_id)} if node_id in evidence.deaths
        ]
        if len(dead) < 3:
            yield f"{run.key} is lost, and only {len(dead)} of the nodes that held it died"


@invariant("I20")
def _lost_early(evidence: Evidence, _: list[Execution]) -> Iterator[str]:
    """A run is given up at its third attempt without an outcome at the soonest."""
    for run in evidence.runs:
        if run.status == "lost" and run.attempt < 3:
            yield f"{run.key} is lost by attempt {run.attempt}"
