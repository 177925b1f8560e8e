"""What an import would change, found before anything is written: one step for each thing that differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from leasebeat.cli import toml
from leasebeat.cli.history import changes_text, diff_of
from leasebeat.cli.output import print_json, print_line
from leasebeat.errors import DefinitionError
from leasebeat.node.judge import judge
from leasebeat.store.desk_tables import CalendarDay
from leasebeat.store.session import Record, SqlValue

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = [
    "Step",
    "calendar_steps",
    "lane_steps",
    "queue_steps",
    "schedule_step",
    "schedule_steps",
    "tell",
]

Change = Literal["add", "change", "remove"]

_DONE: dict[Change, str] = {"add": "added", "change": "changed", "remove": "removed"}


@dataclass(frozen=True, slots=True)
class Step:
    """One change: to a schedule, or to a calendar, lane or queue. `diff` is of columns, or of days."""

    what: Literal["schedule", "calendar", "lane", "queue"]
    name: str
    change: Change
    diff: Mapping[str, Sequence[object]]
    do: Callable[[Desk], object]

    @property
    def told(self) -> str:
        """The step on one line."""
        line = f"{self.change} {self.what} {self.name}"
        if self.what == "calendar" and self.change == "add":
            return f"{line}: {len(self.diff)} days"
        return f"{line}: {changes_text(self.diff)}" if self.change == "change" else line


def schedule_step(name: str, row: Record | None, values: Mapping[str, SqlValue]) -> Step | None:
    """What makes the row say these values; None: it does. Raises DefinitionError where it cannot be used."""
    if row is None:
        judge({"id": 0, "name": name, **values})
        return Step("schedule", name, "add", {}, lambda desk: desk.add({"name": name, **values}))
    diff = {
        column: [toml.column(column, value) for value in pair]
        for column, pair in diff_of(row, values).items()
    }
    if not diff:
        return None
    judge({**row, **values})
    return Step("schedule", name, "change", diff, lambda desk: desk.edit(name, values, row["version"]))


def schedule_steps(
    rows: Mapping[str, Record], wanted: Mapping[str, Mapping[str, SqlValue]], gone: Sequence[str]
) -> list[Step]:
    """The steps to these schedules, those that go away first. Raises DefinitionError, all problems in one."""
    steps = [Step("schedule", name, "remove", {}, partial(_remove, name)) for name in gone]
    problems: list[str] = []
    for name, values in wanted.items():
        try:
            step = schedule_step(name, rows.get(name), values)
        except DefinitionError as problem:
            problems.append(f"{name}: {problem}")
        else:
            steps += [step] if step else []
    if problems:
        raise DefinitionError("\n".join(problems))
    return steps


def _remove(name: str, desk: Desk) -> None:
    desk.remove([name])


def calendar_steps(
    there: Mapping[str, Sequence[CalendarDay]],
    wanted: Mapping[str, Sequence[CalendarDay]],
    prune: bool,
) -> list[Step]:
    """The steps to these calendars. `prune`: days and calendars that are there and not wanted go away."""
    steps: list[Step] = []
    for name in {**dict.fromkeys(wanted), **dict.fromkeys(there if prune else ())}:
        before = {day.day: day for day in there.get(name, ())}
        after = {day.day: day for day in wanted.get(name, ())}
        put = [day for day in after.values() if before.get(day.day) != day]
        gone = [day for day in before if day not in after] if prune else []
        if put or gone:
            diff = {
                day: [_said(before.get(day)), _said(after.get(day))] for day in (*(p.day for p in put), *gone)
            }
            change: Change = "add" if name not in there else "change" if name in wanted else "remove"
            steps.append(Step("calendar", name, change, diff, partial(_calendar, name, put, gone)))
    return steps


def _calendar(name: str, put: Sequence[CalendarDay], gone: Sequence[str], desk: Desk) -> None:
    desk.change_calendar(name, put, gone)


def _said(day: CalendarDay | None) -> str | None:
    return day and f"{day.effect} {day.note}".strip()


def lane_steps(there: Mapping[str, int], wanted: Mapping[str, int], prune: bool) -> list[Step]:
    """The steps to these sizes."""
    steps = [
        Step(
            "lane",
            name,
            "change" if name in there else "add",
            {"size": [there.get(name), size]},
            partial(_lane, name, size),
        )
        for name, size in wanted.items()
        if there.get(name) != size
    ]
    gone = [name for name in there if name not in wanted] if prune else []
    return steps + [Step("lane", name, "remove", {}, partial(_forget_lane, name)) for name in gone]


def _lane(name: str, size: int, desk: Desk) -> None:
    desk.set_lane(name, size)


def _forget_lane(name: str, desk: Desk) -> None:
    desk.forget_lane(name)


def queue_steps(there: Mapping[str, bool], wanted: Mapping[str, bool], prune: bool) -> list[Step]:
    """The steps to these queues."""
    steps = [
        Step(
            "queue",
            name,
            "change" if name in there else "add",
            {"paused": [there.get(name), paused]},
            partial(_queue, name, paused),
        )
        for name, paused in wanted.items()
        if there.get(name) != paused
    ]
    gone = [name for name in there if name not in wanted] if prune else []
    return steps + [Step("queue", name, "remove", {}, partial(_forget_queue, name)) for name in gone]


def _queue(name: str, paused: bool, desk: Desk) -> None:
    desk.set_queue(name, paused)


def _forget_queue(name: str, desk: Desk) -> None:
    desk.forget_queue(name)


def tell(steps: Sequence[Step], same: int, dry_run: bool, as_json: bool, **more: object) -> None:
    """Say what was done, or would be. `same` things were so already."""
    if as_json:
        changes = [
            {"what": step.what, "name": step.name, "change": step.change, "diff": step.diff} for step in steps
        ]
        print_json({"changes": changes, "unchanged": same, "dry_run": dry_run, **more})
        return
    for step in steps:
        print_line(step.told)
    counts = {word: sum(step.change == change for step in steps) for change, word in _DONE.items()}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to change"
    would = "; nothing was written" if dry_run else ""
    print_line(f"{said}, {same} as before{would}")
