"""What must hold of every history, whatever was done to the fleet.

A checker reads the journal of one seed (committed changes of rows, tasks that began and ended,
edits, faults) and the tables as they are at the end, and yields what is wrong. It knows nothing of
the node's code: instants come from `calendars`, the rest from docs/guarantee.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from leasebeat.model.instant import SECOND, Instant, Micros, to_text
from leasebeat.model.run import TRANSITIONS, RunKey, Status
from leasebeat.testing.invariants import invariant
from leasebeat.testing.simstore.base import NodeChange, RowChange, WatermarkMove
from leasebeat.testing.simstore.tables import Run, RunChange
from leasebeat.testing.simulation.calendars import instants_of, is_due
from leasebeat.testing.simulation.eras import Era, eras_of
from leasebeat.testing.simulation.evidence import Evidence, Violation, key_of
from leasebeat.testing.simulation.tasks import TaskBegin, TaskEnd

UNCOMMITTED: Micros = 2 * SECOND
"""So long an end may be written and not committed yet."""

__all__ = ["CHECKERS", "Checker", "Evidence", "Violation", "check"]

Checker = Callable[[Evidence], Iterable[Violation]]


@invariant("I1")
def one_row_per_fire(evidence: Evidence) -> Iterator[Violation]:
    """Promise 1: no key is inserted twice."""
    seen: set[RunKey] = set()
    for change in evidence.of(RunChange):
        if change.was is None:
            if change.key in seen:
                yield Violation("one row per fire", f"{key_of(change.key)} inserted again", change.at)
            seen.add(change.key)


@invariant("I16")
def allowed_transitions(evidence: Evidence) -> Iterator[Violation]:
    """Only what model/run.py allows."""
    allowed = {(was.value, status.value) for was, then in TRANSITIONS.items() for status in then}
    born = {Status.QUEUED, Status.RUNNING, Status.SKIPPED, Status.MISSED}
    for change in evidence.of(RunChange):
        fine = change.status in born if change.was is None else (change.was, change.status) in allowed
        if not fine:
            what = f"{key_of(change.key)}: {change.was} -> {change.status} by {change.statement}"
            yield Violation("allowed transitions", what, change.at)


@invariant("I2", "I6")
def attempts_without_gaps(evidence: Evidence) -> Iterator[Violation]:
    """Each start is the next attempt, under a fence above the former one."""
    last: dict[RunKey, tuple[int, Instant]] = {}
    for change in evidence.of(RunChange):
        if change.status != "running":
            continue
        attempt, fence = last.get(change.key, (0, 0))
        if change.attempt != attempt + 1:
            what = f"{key_of(change.key)}: attempt {change.attempt} follows {attempt}"
            yield Violation("attempts without gaps", what, change.at)
        if change.claimed_at is None or change.claimed_at <= fence:
            what = f"{key_of(change.key)}: fence {change.claimed_at} follows {fence}"
            yield Violation("fences increase", what, change.at)
        last[change.key] = change.attempt, change.claimed_at or 0


@invariant("I6")
def late_writers_refused(evidence: Evidence) -> Iterator[Violation]:
    """Promise 3: an end is recorded by the attempt that holds the lease."""
    holder: dict[RunKey, tuple[str | None, int]] = {}
    for change in evidence.of(RunChange):
        held = holder.get(change.key)
        if change.writer is not None and change.writer != held:
            what = f"{key_of(change.key)}: ended by {change.writer}, held by {held}"
            yield Violation("late writers refused", what, change.at)
        holder[change.key] = change.node_id, change.attempt


@invariant("I2", "I5")
def each_attempt_begins_once(evidence: Evidence) -> Iterator[Violation]:
    """A (run, attempt) is begun at most once, by whom the row names, not before its time."""
    begun: set[tuple[RunKey, int]] = set()
    holder: dict[RunKey, tuple[str, str | None, int]] = {}
    for entry in evidence.journal:
        if entry.__class__ is RunChange:
            holder[entry.key] = entry.status, entry.node_id, entry.attempt
        elif entry.__class__ is TaskBegin:
            launch = f"{key_of(entry.key)} attempt {entry.attempt}"
            if (entry.key, entry.attempt) in begun:
                yield Violation("each attempt begins once", f"{launch} began again", entry.at)
            begun.add((entry.key, entry.attempt))
            if holder.get(entry.key) != ("running", entry.node_id, entry.attempt):
                what = f"{launch} began on {entry.node_id}, the row says {holder.get(entry.key)}"
                yield Violation("tasks begin under a lease", what, entry.at)
            if entry.store_high < entry.key.fire_at:
                early = (entry.key.fire_at - entry.store_high) / SECOND
                yield Violation("no early start", f"{launch} began {early:g} s early", entry.at)


@invariant("I4")
def no_overlap(evidence: Evidence) -> Iterator[Violation]:
    """No two executions of a run, nor of a serial, at once: `finish` runs of lost nodes excepted."""
    running: dict[RunKey, TaskBegin] = {}
    serials: dict[str, TaskBegin] = {}
    for entry in evidence.journal:
        if entry.__class__ is TaskEnd:
            begun = running.get(entry.key)
            if begun is not None and begun.attempt == entry.attempt:
                del running[entry.key]
                if begun.serial is not None and serials.get(begun.serial) is begun:
                    del serials[begun.serial]
        elif entry.__class__ is TaskBegin:
            if (other := running.get(entry.key)) is not None:
                what = f"{key_of(entry.key)}: attempt {entry.attempt} beside attempt {other.attempt}"
                yield Violation("one execution at a time", what, entry.at)
            if (
                entry.serial is not None
                and (beside := serials.get(entry.serial)) is not None
                and beside.leashed
            ):
                what = f"{key_of(entry.key)} runs beside {key_of(beside.key)} (serial {entry.serial})"
                yield Violation("overlap = skip", what, entry.at)
            running[entry.key] = entry
            if entry.serial is not None:
                serials[entry.serial] = entry


@invariant("I8", "I9")
def the_purged_run_nothing(evidence: Evidence) -> Iterator[Violation]:
    """Promises 4 and 5: only the silent are purged, and their leashed tasks are dead by then."""
    running: dict[str, dict[tuple[RunKey, int], TaskBegin]] = {}
    for entry in evidence.journal:
        if entry.__class__ is TaskBegin:
            running.setdefault(entry.node_id, {})[entry.key, entry.attempt] = entry
        elif entry.__class__ is TaskEnd:
            running.get(entry.node_id, {}).pop((entry.key, entry.attempt), None)
        elif entry.__class__ is NodeChange and entry.state in ("purged", "left"):
            silent = (entry.at - entry.silent_since) / SECOND
            if entry.state == "purged" and entry.watched and entry.at - entry.silent_since < evidence.lease:
                what = f"{entry.node_id} purged {silent:g} s after its last beat"
                yield Violation("the living are not purged", what, entry.at)
            for task in running.get(entry.node_id, {}).values():
                if task.leashed:
                    what = f"{key_of(task.key)} still runs on {entry.node_id}, which is {entry.state}"
                    yield Violation("work stops before the purge", what, entry.at)


@invariant("I21")
def slots_are_kept(evidence: Evidence) -> Iterator[Violation]:
    """No node runs more tasks than it has slots."""
    running: dict[str, int] = {}
    for entry in evidence.journal:
        if entry.__class__ is TaskBegin:
            running[entry.node_id] = running.get(entry.node_id, 0) + 1
            if running[entry.node_id] > evidence.slots:
                what = f"{entry.node_id} runs {running[entry.node_id]} tasks in {evidence.slots} slots"
                yield Violation("slots are kept", what, entry.at)
        elif entry.__class__ is TaskEnd:
            running[entry.node_id] -= 1


def the_watermark_grows(evidence: Evidence) -> Iterator[Violation]:
    """It never moves back, and only under the term that the row has."""
    for move in evidence.of(WatermarkMove):
        if move.old is not None and move.new < move.old:
            what = f"moved back from {to_text(move.old)} to {to_text(move.new)} by {move.node_id}"
            yield Violation("the watermark grows", what, move.at)
        if move.term != move.role_term:
            what = f"moved under term {move.term}, the role has {move.role_term}"
            yield Violation("the watermark obeys the term", what, move.at)


@invariant("I11")
def every_due_instant_has_a_row(evidence: Evidence) -> Iterator[Violation]:
    """Promise 2, by the definitions as they were committed."""
    moves = list(evidence.of(WatermarkMove))
    if not moves:
        yield Violation("every due instant", "the watermark never moved")
        return
    first, last = moves[0].new, moves[-1].new
    spans = [(run.key, run.until) for run in evidence.rows.values() if run.until is not None]
    for schedule_id, eras in eras_of(evidence.of(RowChange), evidence.clock, evidence.seen).items():
        told = [(key.fire_at, until) for key, until in spans if key.schedule_id == schedule_id]
        for instant in _surely_due(eras, first, last):
            if RunKey(instant, schedule_id) in evidence.rows:
                continue
            if not any(begin <= instant <= until for begin, until in told):
                yield Violation("every due instant", f"nothing tells of {schedule_id} at {to_text(instant)}")


def _surely_due(eras: Sequence[Era], after: Instant, until: Instant) -> Iterator[Instant]:
    """Instants due by every version that may have been in force at them."""
    possible = {
        instant
        for era in eras
        if era.row is not None
        for begin, end in era.spans
        for instant in instants_of(era.row, max(after, begin), min(until, end))
    }
    for instant in sorted(possible):
        if all(era.has(instant) for era in eras if era.may_rule(instant)):
            yield instant


@invariant("I13")
def no_fire_is_invented(evidence: Evidence) -> Iterator[Violation]:
    """Each row of a trigger or the audit is an instant of a version that may have been in force."""
    eras = eras_of(evidence.of(RowChange), evidence.clock, evidence.seen)
    for key, run in evidence.rows.items():
        if run.origin not in ("trigger", "audit"):
            continue
        ruling = [era for era in eras.get(key.schedule_id, []) if era.may_rule(key.fire_at)]
        if not any(era.has(key.fire_at) for era in ruling) and not _told_off(
            run, eras.get(key.schedule_id, [])
        ):
            what = f"{key_of(key)} is {run.status} ({run.reason_code}), and was never due"
            yield Violation("no invented fires", what)


def _told_off(run: Run, eras: Sequence[Era]) -> bool:
    """A row that says that nothing was run, made before the deletion was noticed."""
    if run.status != "skipped" or run.reason_code != "definition_changed":
        return False
    return any(era.row is not None and is_due(era.row, run.key.fire_at) for era in eras)


@invariant("I19")
def edits_are_not_overtaken(evidence: Evidence) -> Iterator[Violation]:
    """Promise 6: what opens a run was the row as it stood when its statement began."""
    edits: dict[int, list[RowChange]] = {}
    for edit in evidence.of(RowChange):
        edits.setdefault(edit.schedule_id, []).append(edit)
    for change in evidence.of(RunChange):
        if change.was is not None or change.origin == "manual" or change.status not in ("queued", "running"):
            continue
        row = None
        for edit in edits.get(change.key.schedule_id, []):
            if edit.at <= change.began:
                row = edit.row
        if row is None or not row["enabled"] or not _runs_as(evidence, row, change.version):
            what = f"{key_of(change.key)} opened by {change.statement} from a definition that had been edited"
            yield Violation("edits are not overtaken", what, change.at)


def _runs_as(evidence: Evidence, row: dict[str, object], version: int | None) -> bool:
    return any(
        v.runs_as == version and v.version == row["version"] and v.updated_at == row["updated_at"]
        for v in evidence.versions.values()
        if v.schedule_id == row["id"]
    )


@invariant("I19")
def tasks_run_their_version(evidence: Evidence) -> Iterator[Violation]:
    """A run executes the definition that its row names."""
    for begun in evidence.of(TaskBegin):
        run = evidence.rows.get(begun.key)
        version = evidence.versions.get(run.version or 0) if run else None
        if version is None or version.definition is None or f'"{begun.command}"' not in version.definition:
            what = f"{key_of(begun.key)} ran {begun.command!r}, which its version does not have"
            yield Violation("tasks run their version", what, begun.at)


@invariant("I17")
def no_attempt_is_forgotten(evidence: Evidence) -> Iterator[Violation]:
    """When all has been quiet for long enough, what says that it runs is running in some process."""
    for run in evidence.rows.values():
        if run.status == "running" and (run.key, run.attempt) not in evidence.executing:
            since = max(run.claimed_at or 0, evidence.calm_since)
            if evidence.store_now - since > evidence.lease + 30 * SECOND:
                what = f"{key_of(run.key)} is running on {run.node_id}, in no process"
                yield Violation("nothing is stuck", what)


@invariant("I23")
def the_fleet_heals(evidence: Evidence) -> Iterator[Violation]:
    """At the end every worker that runs is live, everybody else is gone, and the watermark follows."""
    live = frozenset(node.name for node in evidence.nodes.values() if node.state == "live")
    if live != evidence.present:
        yield Violation("the fleet heals", f"live are {sorted(live)}, running are {sorted(evidence.present)}")
    moves = list(evidence.of(WatermarkMove))
    if moves and evidence.store_now - moves[-1].new > 15 * SECOND:
        yield Violation("the fleet heals", f"the watermark stands at {to_text(moves[-1].new)}")


@invariant("I17")
def take_overs_are_in_time(evidence: Evidence) -> Iterator[Violation]:
    """Promise 4: within a lease and a little, where nothing disturbed the others."""
    beats: dict[str, Instant] = {}
    held: dict[RunKey, Instant] = {}
    for entry in evidence.journal:
        if entry.__class__ is NodeChange:
            beats[entry.node_id] = entry.silent_since
        elif entry.__class__ is RunChange and entry.status == "running":
            held[entry.key] = entry.at
        elif entry.__class__ is RunChange and entry.statement == "reclaim" and entry.node_id in beats:
            begin = max(beats[entry.node_id], held[entry.key])
            if _longest_calm(evidence, begin, entry.at) > evidence.take_over_limit:
                what = f"{key_of(entry.key)} taken over {(entry.at - begin) / SECOND:g} s after the last beat"
                yield Violation("take-overs are in time", what, entry.at)


def _longest_calm(evidence: Evidence, begin: Instant, end: Instant) -> int:
    """The longest stretch in which nothing was done to the fleet: somebody must have watched the dead."""
    longest, since = 0, begin
    for start, stop in evidence.disturbed:
        if start >= end:
            break
        if stop > begin:
            longest = max(longest, start - since)
            since = max(since, stop)
    return max(longest, end - since)


@invariant("I20")
def nobody_is_taken_over_for_ever(evidence: Evidence) -> Iterator[Violation]:
    """A run taken over twice without an outcome is closed; under fail and finish it may never have begun."""
    for run in evidence.rows.values():
        if run.take_overs > 3 and _reruns(evidence, run.version):
            yield Violation(
                "take-overs are bounded", f"{key_of(run.key)} was taken over {run.take_overs} times"
            )


@invariant("I20")
def what_may_not_run_again_does_not(evidence: Evidence) -> Iterator[Violation]:
    """`on_node_loss` fail or finish: a task that had begun has no successor for the loss of its node."""
    begun: set[tuple[RunKey, int]] = set()
    for entry in evidence.journal:
        if entry.__class__ is TaskBegin:
            begun.add((entry.key, entry.attempt))
            continue
        if entry.__class__ is not RunChange or (entry.statement, entry.status) != ("reclaim", "queued"):
            continue
        if (entry.key, entry.attempt) in begun and not _reruns(evidence, entry.version):
            what = f"{key_of(entry.key)} attempt {entry.attempt} had begun, and was queued again"
            yield Violation("on_node_loss is kept", what, entry.at)


def _reruns(evidence: Evidence, version: int | None) -> bool:
    found = evidence.versions.get(version or 0)
    return found is not None and '"on_node_loss": "rerun"' in (found.definition or "")


def skips_have_a_reason(evidence: Evidence) -> Iterator[Violation]:
    """A fire is skipped for overlap only beside an open run of its schedule."""
    open_runs: dict[int, dict[RunKey, Instant]] = {}
    ended: dict[int, Instant] = {}
    for change in evidence.of(RunChange):
        runs = open_runs.setdefault(change.key.schedule_id, {})
        if change.status in ("queued", "running"):
            runs[change.key] = change.at
        elif change.was is not None:
            runs.pop(change.key, None)
            ended[change.key.schedule_id] = change.at
        elif evidence.rows[change.key].reason_code != "overlap":
            continue
        elif not runs and ended.get(change.key.schedule_id, 0) + UNCOMMITTED < change.began:
            what = f"{key_of(change.key)} skipped beside no open run"
            yield Violation("skips have a reason", what, change.at)


@invariant("I12")
def fires_open_in_time(evidence: Evidence) -> Iterator[Violation]:
    """Where nothing disturbs, the audit has nothing to open."""
    if not evidence.calm_links:
        return
    edited: dict[int, Instant] = {}
    for entry in evidence.journal:
        if entry.__class__ is RowChange:
            edited[entry.schedule_id] = entry.at
        elif entry.__class__ is RunChange and entry.statement == "open_missing" and entry.status == "queued":
            if evidence.rows[entry.key].queue != "default":
                continue  # perhaps no node that dispatches serves it
            begin = max(edited[entry.key.schedule_id], entry.at - 2 * evidence.lease - 10 * SECOND)
            calm = entry.at - begin if _longest_calm(evidence, begin, entry.at) == entry.at - begin else 0
            if calm > 10 * SECOND:
                yield Violation("fires open in time", f"{key_of(entry.key)} was left to the audit", entry.at)


CHECKERS: tuple[Checker, ...] = (
    one_row_per_fire,
    allowed_transitions,
    attempts_without_gaps,
    late_writers_refused,
    each_attempt_begins_once,
    no_overlap,
    the_purged_run_nothing,
    slots_are_kept,
    the_watermark_grows,
    every_due_instant_has_a_row,
    no_fire_is_invented,
    edits_are_not_overtaken,
    tasks_run_their_version,
    no_attempt_is_forgotten,
    the_fleet_heals,
    take_overs_are_in_time,
    nobody_is_taken_over_for_ever,
    fires_open_in_time,
    what_may_not_run_again_does_not,
    skips_have_a_reason,
)
"""All of them; every seed is held against each."""


def check(evidence: Evidence, checkers: Sequence[Checker] = CHECKERS) -> list[Violation]:
    """What is wrong with a history; nothing, it is to be hoped."""
    return [violation for checker in checkers for violation in checker(evidence)]
