"""What a row of `schedules` is worth: a schedule, or the reasons why it cannot be one.

The verdict is the same on every node of this build (what a host's own settings forbid is the
executors' to say), and it is what `schedule_problems` shows. Commands ask here, too, before they
write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from leasebeat.errors import DefinitionError
from leasebeat.executors import rules
from leasebeat.model import alert
from leasebeat.model.instant import DAY
from leasebeat.model.schedule import RowDict, Schedule, schedule_from_row
from leasebeat.store.base import MOST_SHARDS
from leasebeat.triggers import trigger_for

ARGS_KEYS: dict[str, frozenset[str]] = {kind: frozenset(checks) for kind, checks in rules.ARGS.items()}
"""The keys of `args` that each kind knows."""

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
        *_unknown_words(schedule),
        *_out_of_bounds(schedule),
        *_shards(schedule),
        *_follows(schedule),
        *rules.problems(schedule),
        *alert.problems(schedule.alert),
        *_calendar(schedule),
        *_unusable(schedule),
    ]
    if problems:
        raise DefinitionError("; ".join(problems))
    return schedule


WORDS: dict[str, frozenset[str]] = {
    "overlap": frozenset({"skip", "wait", "replace", "allow"}),
    "misfire": frozenset({"once", "all", "skip"}),
    "on_node_loss": frozenset({"rerun", "fail", "finish"}),
    "after_rule": frozenset({"success", "done", "failure"}),
    "dst": frozenset({"cron", "skip", "both"}),
}
"""The words of columns that take one of a few."""

ROUTES = frozenset({"sticky", "spread", "any", "all"})

_LANE = re.compile(r"[\w.-][\w./-]{0,63}")


def _unknown_words(schedule: Schedule) -> Iterator[str]:
    for column, words in WORDS.items():
        value = getattr(schedule, column)
        if value not in words:
            yield f"{column} = {value} is unknown; expected {' or '.join(sorted(words))}"
    if schedule.route not in ROUTES and not schedule.node_name:
        yield (
            f"route = {schedule.route} is unknown; expected {', '.join(sorted(ROUTES))},"
            " or node:NAME with the name of a node"
        )
    if schedule.lane is not None and not _LANE.fullmatch(schedule.lane):
        yield f"lane = {schedule.lane!r} is no name; expected 1 to 64 letters, digits and . _ / -"


def _shards(schedule: Schedule) -> Iterator[str]:
    if not 1 <= schedule.shards <= MOST_SHARDS:
        yield f"shards = {schedule.shards} is out of bounds; expected 1 to {MOST_SHARDS:,}"
    if schedule.shard_args is not None and len(schedule.shard_args) != schedule.shards:
        count = len(schedule.shard_args)
        yield f"shard_args has {count} parameters, and shards = {schedule.shards}; expected one for each"
    if schedule.route == "all" and schedule.shards != 1:
        yield f"shards = {schedule.shards} with route = all; expected shards = 1: each node gets one run"


def _follows(schedule: Schedule) -> Iterator[str]:
    if not schedule.after:
        return
    if schedule.cron.strip().lower() != "@manual":
        yield (
            f"cron = {schedule.cron!r} and after; expected cron = '@manual': a schedule that follows others"
            " fires at their instants"
        )
    twice = sorted(name for name in set(schedule.after) if schedule.after.count(name) > 1)
    if twice:
        yield f"after names {twice[0]!r} twice"
    if schedule.name in schedule.after:
        yield f"after makes a cycle: {schedule.name} -> {schedule.name}"


def _out_of_bounds(schedule: Schedule) -> Iterator[str]:
    for column, (least, most) in BOUNDS.items():
        value = getattr(schedule, column)
        if value is not None and not least <= value <= most:
            yield f"{column} = {value:,.10g} is out of bounds; expected {least:,.10g} to {most:,.10g}"


def _calendar(schedule: Schedule) -> Iterator[str]:
    problem = calendar_problem(schedule.calendar, schedule.calendar_days) if schedule.calendar else None
    if problem:
        yield problem


def calendar_problem(name: str, days: Mapping[str, Sequence[str]] | None) -> str | None:
    """Why a schedule cannot use the days of a calendar; None if it can, or nobody has looked them up."""
    if days is None:
        return None
    if not any(days.values()):
        insert = f"INSERT INTO calendars (name, day) VALUES ('{name}', '2026-12-25')"
        return f"calendar {name!r} has no days; expected some ({insert}), or calendar = NULL"
    wrong = [day for texts in days.values() for day in texts if not _is_date(day)]
    return f"calendar {name!r} has {wrong[0]!r}, which is no date; delete that row" if wrong else None


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


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
