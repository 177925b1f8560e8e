"""When schedules fire next and what is wrong with them, for the commands that tell people."""

from __future__ import annotations

from leasebeat.errors import DefinitionError
from leasebeat.model.instant import Instant
from leasebeat.model.schedule import Schedule
from leasebeat.node.judge import judge
from leasebeat.store.session import Record
from leasebeat.triggers import Trigger, trigger_for

__all__ = ["next_of", "next_of_trigger", "problem_of"]


def problem_of(row: Record) -> str | None:
    """Why a row of `Desk.schedules` cannot be used: as the nodes found it, or as we do before they look."""
    if row["problem"]:
        return str(row["problem"])
    try:
        judge(row)
    except DefinitionError as problem:
        return str(problem)
    return None


def next_of_trigger(
    trigger: Trigger, start: Instant, count: int, end: Instant | None = None
) -> list[Instant]:
    """The first `count` instants at or after `start`, and before `end`."""
    found: list[Instant] = []
    after = start - 1
    while len(found) < count:
        instant = trigger.next(after)
        if instant is None or (end is not None and instant >= end):
            break
        found.append(instant)
        after = instant
    return found


def next_of(schedule: Schedule, start: Instant, count: int) -> list[Instant]:
    """The same within the schedule's window, enabled or not. Raises ExpressionError."""
    begin = start if schedule.starts_at is None else max(start, schedule.starts_at)
    return next_of_trigger(trigger_for(schedule), begin, count, schedule.ends_at)
