"""When schedules fire next and what is wrong with them, for the commands that tell people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from leasebeat.cli.output import note
from leasebeat.errors import DefinitionError
from leasebeat.model.instant import Instant
from leasebeat.model.schedule import Schedule
from leasebeat.node.judge import judge
from leasebeat.store.rows import Version
from leasebeat.store.session import Record
from leasebeat.triggers import trigger_for
from leasebeat.triggers.dialects import hints
from leasebeat.triggers.words import AtTrigger, ManualTrigger

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk
    from leasebeat.store.desk_tables import CalendarDay

__all__ = ["Standing", "next_of", "note_hints", "problem_of", "standings", "why_never", "with_days"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is wrong with a row, and what is in force while it stands.

    `schedule` is what runs: the row's own words, or those of its last good version; None: nothing.
    `good_id` is that version's id where the row has a problem, 0 = there is none; None: the row itself runs.
    """

    problem: str | None
    schedule: Schedule | None
    good_id: int | None

    @property
    def told(self) -> str:
        """The problem, and what becomes of the schedule meanwhile; empty where the row can be used."""
        alone = "it runs only by hand" if self.schedule else "it does not run"
        meanwhile = "its last good version keeps running" if self.good_id else alone
        return f"{self.problem}; {meanwhile}" if self.problem else ""


def standings(desk: Desk, rows: Sequence[Record]) -> list[Standing]:
    """Of rows of `Desk.schedules`, one each."""
    rows = with_days(desk, rows)
    doubtful = [row["id"] for row in rows if problem_of(row)]
    newest = {version.schedule_id: version for version in desk.versions(doubtful)}
    return [_standing(row, newest.get(row["id"])) for row in rows]


def with_days(desk: Desk, rows: Sequence[Record]) -> list[Record]:
    """The rows; those that name a calendar with its days as `calendar_days`, as the nodes record them."""
    named = {row["calendar"] for row in rows if row["calendar"] is not None}
    calendars = desk.calendars() if named else {}
    return [
        row
        if row["calendar"] is None
        else {**row, "calendar_days": _days(calendars.get(row["calendar"], ()))}
        for row in rows
    ]


def _days(days: Sequence[CalendarDay]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for day in days:
        found.setdefault(day.effect, []).append(day.day)
    return found


def _standing(row: Record, newest: Version | None) -> Standing:
    # The nodes' word is about the row as they read it last; it may have been edited since.
    stale = newest is not None and (newest.version, newest.updated_at) != (row["version"], row["updated_at"])
    problem = problem_of(row | {"problem": None} if stale else row)
    if problem is None:
        return Standing(None, judge(row), None)
    if _own_problem(row) is None:  # it is others that it cannot follow: no version of it does meanwhile
        return Standing(problem, judge(row), 0)
    if newest is None or newest.deleted or not newest.runs_as or newest.definition is None:
        return Standing(problem, None, 0)
    return Standing(problem, _good(newest.definition, row["ends_at"]), newest.runs_as)


def _good(definition: str, ends_at: Instant | None) -> Schedule | None:
    """A recorded version as the nodes run it: the end that the row names holds whatever else it says."""
    try:
        schedule = judge(json.loads(definition))
    except DefinitionError:
        return None  # recorded by a node of another build
    return schedule if ends_at is None else replace(schedule, ends_at=ends_at)


def problem_of(row: Record) -> str | None:
    """Why a row of `Desk.schedules` cannot be used: as the nodes found it, or as we do before they look."""
    return str(row["problem"]) if row["problem"] else _own_problem(row)


def _own_problem(row: Record) -> str | None:
    try:
        judge(row)
    except DefinitionError as problem:
        return str(problem)
    return None


def next_of(schedule: Schedule, start: Instant, count: int) -> list[Instant]:
    """The first `count` instants at or after `start` within the schedule's window, enabled or not.

    Raises ExpressionError.
    """
    trigger, end = trigger_for(schedule), schedule.ends_at
    after = (start if schedule.starts_at is None else max(start, schedule.starts_at)) - 1
    found: list[Instant] = []
    while len(found) < count:
        instant = trigger.next(after)
        if instant is None or (end is not None and instant >= end):
            break
        found.append(instant)
        after = instant
    return found


def note_hints(cron: str) -> None:
    """Say what an expression would mean to other crons, where that is something else."""
    for hint in hints(cron):
        note(f"note: {hint}")


def why_never(schedule: Schedule | None) -> str:
    """Why there is no next instant."""
    trigger = trigger_for(schedule) if schedule else None
    if schedule and schedule.after:
        return f"it fires at the instants of {' and '.join(schedule.after)}"
    if isinstance(trigger, ManualTrigger):
        return "it fires only when run by hand"
    if isinstance(trigger, AtTrigger) and schedule and schedule.starts_at is schedule.ends_at is None:
        return "its instant is over"
    return "it never fires by itself again"
