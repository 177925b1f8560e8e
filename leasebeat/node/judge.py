"""What a row of `schedules` is worth: a schedule, or the reasons why it cannot be one.

The verdict is the same on every node of this build (what a host's own settings forbid is the
executors' to say), and it is what `schedule_problems` shows. Commands ask here, too, before they
write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from leasebeat.errors import DefinitionError
from leasebeat.executors import rules
from leasebeat.model.instant import DAY
from leasebeat.model.schedule import RowDict, Schedule, schedule_from_row
from leasebeat.triggers import trigger_for

ARGS_KEYS: dict[str, frozenset[str]] = {kind: frozenset(checks) for kind, checks in rules.ARGS.items()}
"""The keys of `args` that each kind knows."""

BUILT: dict[str, tuple[object, ...]] = {
    "kind": (
        "shell",
        "python",
        "http",
    ),
    "calendar": (None,),
    "jitter_s": (0.0,),
    "route": (
        "sticky",
        "spread",
        "any",
    ),
    "shards": (1,),
    "shard_args": (None,),
    "overlap": (
        "skip",
        "allow",
    ),
    "lane": (None,),
    "misfire": (
        "once",
        "skip",
    ),
    "after": ((),),
    "after_rule": ("success",),
    "alert": (None,),
}
"""What this build can do with each column; a row that asks for more is refused, never run differently."""


_TEN_YEARS_S = 315_360_000.0
_LAST = 2_900_000 * DAY  # some time in the year 9909

BOUNDS: dict[str, tuple[float, float]] = {
    "jitter_s": (0, _TEN_YEARS_S),
    "misfire_grace_s": (0, _TEN_YEARS_S),
    "timeout_s": (0, _TEN_YEARS_S),
    "retry_delay_s": (0, _TEN_YEARS_S),
    "retry_backoff": (1, 100),
    "retries": (-1, 1_000_000),
    "starts_at": (0, _LAST),
    "ends_at": (0, _LAST),
}
"""What may stand in columns of numbers and dates: no arithmetic on them overflows, in any store."""


def judge(row: RowDict) -> Schedule:
    """The schedule that a row describes. Raises DefinitionError, all problems in one message."""
    schedule = schedule_from_row(row)
    problems = [
        *_not_built(schedule),
        *_out_of_bounds(schedule),
        *rules.problems(schedule),
        *_unusable(schedule),
    ]
    if problems:
        raise DefinitionError("; ".join(problems))
    return schedule


def _not_built(schedule: Schedule) -> Iterator[str]:
    for column, values in BUILT.items():
        value = getattr(schedule, column)
        if value not in values:
            known = " or ".join(_as_written(known) for known in values)
            yield f"{column} = {_as_written(value)} is not built yet; this version knows {known}"


def _as_written(value: object) -> str:
    """A value as people write it into the table."""
    if value is None or value == ():
        return "NULL"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _out_of_bounds(schedule: Schedule) -> Iterator[str]:
    for column, (least, most) in BOUNDS.items():
        value = getattr(schedule, column)
        if value is not None and not least <= value <= most:
            yield f"{column} = {value!r} is out of bounds; expected {least:g} to {most:g}"


def _unusable(schedule: Schedule) -> Iterator[str]:
    if (
        schedule.starts_at is not None
        and schedule.ends_at is not None
        and schedule.ends_at <= schedule.starts_at
    ):
        yield "ends_at is not after starts_at; the schedule would never fire"
    try:
        trigger_for(schedule)
    except DefinitionError as problem:
        yield str(problem)
