"""What a proof of a policy brings: schedules, the seconds at which they are due, and its judge.

    @proves("overlap", "allow", job("many", "sleep 2", each(0, 2), overlap="allow"))
    def test_runs_of_a_schedule_may_overlap(seen: Seen) -> None:
        assert seen.at_once("many") > 1

The same decorator without schedules marks a test of another kind, for the page of policies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from zoneinfo import ZoneInfo

from leasebeat.model.instant import DAY, SECOND, Instant, Micros
from leasebeat.testing.fleet import literal, utc

if TYPE_CHECKING:
    from leasebeat.testing.trials.seen import Seen

__all__ = ["CASES", "Case", "Job", "Plan", "clock", "each", "job", "minutes_ago", "once", "proves", "turned"]

MINUTE: Micros = 60 * SECOND

TURNED_MIN = 9
"""How many minutes before the end of the outage the clocks of the tests' own zones are turned."""

SPREAD = 3
"""The seconds of the cases begin at one of so many in turn."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the columns of a proof may depend on."""

    folder: Path
    http: str  #: URL of a server that keeps what it is asked
    minute: Instant  #: the last whole minute before the outage ended
    first: Instant  #: 0 of the proofs' seconds; of the outage's schedules the same as `minute`

    def at(self, second: float) -> str:
        """An instant as SQL takes it."""
        return utc(self.first + round(second * SECOND))

    def days(self) -> list[str]:
        """Today in UTC, and the days beside it: the trial may begin just before midnight."""
        return [utc(self.first + more * DAY)[:10] for more in (-1, 0, 1)]


Value = object | Callable[[Plan], object]
Columns = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Job:
    """A schedule of a proof. `early`: it is there before the outage."""

    columns: Columns
    early: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.columns["name"])


def _nothing(plan: Plan) -> Sequence[str]:
    del plan
    return ()


@dataclass(frozen=True, slots=True)
class Case:
    """What a proof brings. `setup` runs before its schedules are there, `steps` at their seconds."""

    column: str
    value: str
    jobs: tuple[Job, ...]
    judge: Callable[[Seen], None]
    ignored: Value = None  #: what stands in the column where the policy is ignored; None: its default
    setup: Callable[[Plan], Sequence[str]] = _nothing
    steps: Mapping[float, str] = field(default_factory=dict[float, str])  #: SQL by second
    offset: int = 0  #: where its seconds begin: not everything is due at once

    def without(self) -> Case:
        """The same with the policy ignored: its column as the default, or what the statements do undone."""
        jobs = tuple(Job(_without(job.columns, self.column, self.ignored), job.early) for job in self.jobs)
        if any(new.columns != old.columns for new, old in zip(jobs, self.jobs, strict=True)):
            return replace(self, jobs=jobs)
        return replace(self, jobs=jobs, setup=_nothing, steps={})

    def inserts(self, plan: Plan, *, early: bool) -> list[str]:
        """The statements that add its schedules, those of before the outage or the others."""
        return [insert(job, self.own(plan)) for job in self.jobs if job.early == early]

    def own(self, plan: Plan) -> Plan:
        """The plan by its own seconds."""
        return replace(plan, first=plan.first + self.offset * SECOND)


def _without(columns: Columns, column: str, instead: Value) -> Columns:
    column, _, key = column.partition(".")
    if column not in columns:
        return columns
    found = columns[column]
    if key and isinstance(found, Mapping):
        return {**columns, column: _left_out(cast("Mapping[str, Value]", found), key, instead)}
    return _left_out(columns, column, instead)


def _left_out(columns: Columns, column: str, instead: Value) -> Columns:
    rest = {name: kept for name, kept in columns.items() if name != column}
    return rest if instead is None else {**rest, column: instead}


CASES: dict[str, Case] = {}
"""By the name of the test that judges it; filled as the tests are imported."""

Test = TypeVar("Test", bound=Callable[..., Any])


def proves(
    column: str,
    value: str,
    *jobs: Job,
    ignored: Value = None,
    setup: Callable[[Plan], Sequence[str]] = _nothing,
    steps: Mapping[float, str] | None = None,
    faults: bool = False,
) -> Callable[[Test], Test]:
    """Mark a test as a proof of what a value of a column promises; with `jobs`, have a trial run them.

    `faults`: its seconds are those of the trial, in which things break at a fixed one.
    """

    def mark(test: Test) -> Test:
        if jobs:
            offset = 0 if faults else len(CASES) % SPREAD
            CASES[test.__name__] = Case(column, value, jobs, test, ignored, setup, steps or {}, offset)
        return test

    return mark


# --- the schedules of a proof -------------------------------------------------------------------


def job(name: str, does: str = "", when: Columns | None = None, early: bool = False, **columns: Value) -> Job:
    """A schedule whose shell task does that between its begin and its end; `command` stands for all of it."""
    shell = {} if "command" in columns else {"command": partial(_command, does)}
    return Job({"name": name, **(once(0) if when is None else when), **shell, **columns}, early)


def _command(does: str, plan: Plan) -> str:
    return f". {plan.folder}/task.sh; {does + '; ' if does else ''}tell end"


def each(first: float, last: float) -> Columns:
    """Due at each second from `first` to `last`. Several runs may overlap unless something else is said."""
    many = {"overlap": "allow"} if last > first else {}
    return {
        **many,
        "cron": "* * * * * *",
        "starts_at": partial(_at, first),
        "ends_at": partial(_at, last + 0.5),
    }


def once(second: float) -> Columns:
    """Due once."""
    return each(second, second)


def minutes_ago(first: int, last: int) -> Columns:
    """Due in the outage, at each minute from so many ago to so many ago."""
    return {
        "cron": "* * * * *",
        "starts_at": partial(_ago, first),
        "ends_at": partial(_ago, last - 0.5),
    }


def clock(second: int, zone: str) -> Callable[[Plan], str]:
    """Fields for that second by the clock of a zone."""

    def fields(plan: Plan) -> str:
        local = datetime.fromtimestamp(plan.first / SECOND + second, UTC).astimezone(ZoneInfo(zone))
        return f"{local.second} {local.minute} {local.hour} * * *"

    return fields


def turned(zone: str, minutes: int) -> Columns:
    """Due in the outage, once a day at so many minutes after the change by the clock that it sets aside."""
    return {
        "cron": partial(_fields_after, minutes),
        "timezone": zone,
        "starts_at": partial(_ago, 15),
        "ends_at": partial(_ago, 0),
    }


def _fields_after(minutes: int, plan: Plan) -> str:
    # The clock of one zone before the change, and that of the other after it, is UTC.
    local = datetime.fromtimestamp((plan.minute - (TURNED_MIN - minutes) * MINUTE) / SECOND, UTC)
    return f"0 {local.minute} {local.hour} * * *"


def _at(second: float, plan: Plan) -> str:
    return plan.at(second)


def _ago(minutes: float, plan: Plan) -> str:
    return utc(plan.minute - round(minutes * MINUTE))


def insert(found: Job, plan: Plan) -> str:
    """The statement by which somebody adds the schedule."""
    columns = {name: _plain(told(plan) if callable(told) else told) for name, told in found.columns.items()}
    values = ", ".join(literal(column) for column in columns.values())
    return f"INSERT INTO schedules ({', '.join(columns)}) VALUES ({values})"


def _plain(found: object) -> object:
    return json.dumps(found) if isinstance(found, Mapping | list) else found
