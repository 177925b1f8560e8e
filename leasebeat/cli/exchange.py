"""`export` and `import`: all schedules, and the tables beside them, as one TOML file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from leasebeat.cli import toml
from leasebeat.cli.columns import read
from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.options import COMMON, Common, desk_of, flag
from leasebeat.cli.output import note, print_json
from leasebeat.cli.plan import Step, calendar_steps, lane_steps, queue_steps, schedule_steps, tell
from leasebeat.cli.select import matching
from leasebeat.errors import NotFound, Refused
from leasebeat.store.desk_tables import CalendarDay
from leasebeat.store.session import SqlValue

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["export", "file_text", "import_"]

_SECTIONS = ("schedules", "calendars", "lanes", "queues")

DryRun = Annotated[bool, flag("Show what would change, and change nothing.")]
Yes = Annotated[bool, flag("Do not ask.")]


def export(
    pattern: Annotated[str | None, Parameter(help="Only these schedules, like 'billing/*'.")] = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(help="Write it there instead.", metavar="PATH")] = None,
    common: Common = COMMON,
) -> int:
    """Write schedules, calendars, lanes and queues as TOML, for `import`. With a pattern: only schedules."""
    with desk_of(common) as desk:
        document = _document(desk, pattern)
    if pattern is not None and not document["schedules"]:
        raise NotFound(f"no schedule is called {pattern!r}; `leasebeat list` shows them all")
    if file is not None:
        _write(file, toml.text(document))
    if common.json:
        print_json(document if file is None else {"file": str(file), "schedules": len(document["schedules"])})
    elif file is None:
        sys.stdout.write(toml.text(document))
    else:
        note(f"{len(document['schedules'])} schedules are in {file}")
    return DONE


def _document(desk: Desk, pattern: str | None) -> dict[str, Any]:
    schedules = {row["name"]: toml.columns_of(row) for row in desk.schedules(pattern)}
    if pattern is not None:
        return {"pattern": pattern, "schedules": schedules}
    days = {name: [_day(day) for day in days] for name, days in desk.calendars().items()}
    queues = {name: {"paused": paused} for name, paused in desk.paused_queues().items()}
    lanes = {name: {"size": size} for name, size in desk.lane_sizes().items()}
    return {"schedules": schedules, "calendars": days, "lanes": lanes, "queues": queues}


def _day(day: CalendarDay) -> dict[str, str]:
    told = {"day": day.day, "effect": day.effect, "note": day.note}
    return {name: value for name, value in told.items() if value}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise Usage(f"cannot write {path}: {problem.strerror}") from problem


def file_text(path: Path) -> str:
    """What a file holds; `-` is standard input. Raises Usage."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as problem:
        raise Usage(f"cannot read {path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise Usage(f"{path} is not valid UTF-8") from problem


def import_(
    file: Annotated[Path, Parameter(help="What `export` wrote, or `-` for standard input.")],
    /,
    *,
    prune: Annotated[bool, flag("Remove what is there and not in the file.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    common: Common = COMMON,
) -> int:
    """Make schedules, calendars, lanes and queues what a TOML file says: all of it, or nothing.

    What the file does not name stays, unless --prune is said; a column that it leaves out is what it is
    by default. A second time it changes nothing.
    """
    document = toml.parsed(str(file), file_text(file))
    unknown = sorted(document.keys() - {*_SECTIONS, "pattern"})
    if unknown:
        raise Usage(f"{file}: {', '.join(unknown)}: expected {', '.join(_SECTIONS)}")
    with desk_of(common) as desk:
        steps, same = _steps(desk, document, prune)
        if not dry_run:
            _ask(steps, yes)
            with desk.together():
                for step in steps:
                    step.do(desk)
    tell(steps, same, dry_run, common.json)
    return DONE


def _ask(steps: list[Step], yes: bool) -> None:
    """Whether what goes away may go. Raises Refused."""
    gone = [step.name for step in steps if step.change == "remove"]
    if not gone or yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"--prune would remove {', '.join(gone)}: say --yes too")
    note(f"This removes {', '.join(gone)}. Go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused("nothing was changed")


def _steps(desk: Desk, document: Mapping[str, Any], prune: bool) -> tuple[list[Step], int]:
    """What must be done, and how much is so already. What the file has no section for is left alone."""
    sections = {name: _table(name, document[name]) for name in _SECTIONS if name in document}
    steps: list[Step] = []
    if "calendars" in sections:
        days = {name: _days(name, entries) for name, entries in sections["calendars"].items()}
        steps += calendar_steps(desk.calendars(), days, prune)
    if "lanes" in sections:
        sizes = {name: _size(name, entry) for name, entry in sections["lanes"].items()}
        steps += lane_steps(desk.lane_sizes(), sizes, prune)
    if "queues" in sections:
        paused = {name: _paused(name, entry) for name, entry in sections["queues"].items()}
        steps += queue_steps(desk.paused_queues(), paused, prune)
    if "schedules" in sections:
        wanted = _schedules(sections["schedules"], desk.default_timezone())
        rows = {row["name"]: row for row in desk.schedules()}
        gone = [name for name in matching(document.get("pattern"), rows) if name not in wanted]
        steps += schedule_steps(rows, wanted, gone if prune else [])
    named = sum(map(len, sections.values()))
    return steps, named - sum(step.change != "remove" for step in steps)


def _table(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Usage(f"{where}: expected a table")
    return cast("dict[str, Any]", value)


def _schedules(section: Mapping[str, Any], timezone: str) -> dict[str, dict[str, SqlValue]]:
    """The rows that the file describes. Raises Usage, all problems in one message."""
    found: dict[str, dict[str, SqlValue]] = {}
    problems: list[str] = []
    for name, entry in section.items():
        try:
            read({"name": name})
            table = _table(f"schedules.{name}", entry)
            if "name" in table:
                raise Usage(
                    f"schedules.{name}: the name is the table's; there is no column of that name here"
                )
            found[name] = toml.whole_row(f"schedules.{name}", table, timezone)
        except Usage as problem:
            problems.append(str(problem))
    if problems:
        raise Usage("\n".join(problems))
    return found


def _days(name: str, entries: object) -> list[CalendarDay]:
    found = [
        _one_day(name, entry)
        for entry in (cast("list[object]", entries) if isinstance(entries, list) else [entries])
    ]
    if len({day.day for day in found}) < len(found):
        raise Usage(f"calendars.{name}: a day is there twice")
    return found


def _one_day(name: str, entry: object) -> CalendarDay:
    table = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    day, effect, said = table.get("day"), table.get("effect", "exclude"), table.get("note", "")
    try:
        parsed = day if type(day) is date else date.fromisoformat(cast("str", day))
    except (TypeError, ValueError):
        parsed = None  # said below, in our words
    if (
        parsed is None
        or table.keys() - {"day", "effect", "note"}
        or effect not in ("exclude", "add")
        or not isinstance(said, str)
    ):
        raise Usage(
            f"calendars.{name}: {entry!r}: expected day = 2026-12-25, and if you like"
            ' effect = "exclude" or "add", and note = "..."'
        )
    return CalendarDay(parsed.isoformat(), effect, said)


def _size(name: str, entry: object) -> int:
    size = cast("dict[str, object]", entry).get("size") if isinstance(entry, dict) else None
    if type(size) is not int or size < 1:
        raise Usage(f"lanes.{name}: {entry!r}: expected size = 1 or more")
    return size


def _paused(name: str, entry: object) -> bool:
    paused = cast("dict[str, object]", entry).get("paused") if isinstance(entry, dict) else None
    if not isinstance(paused, bool):
        raise Usage(f"queues.{name}: {entry!r}: expected paused = true or false")
    return paused
