"""Commands on calendars: calendar list, calendar show, calendar import."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from leasebeat.cli.calendar_file import days_of_file
from leasebeat.cli.exchange import DryRun, file_text
from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.options import COMMON, Common, desk_of, flag
from leasebeat.cli.output import Column, print_json, print_line, print_table
from leasebeat.cli.plan import calendar_steps, tell
from leasebeat.errors import NotFound
from leasebeat.model.instant import to_datetime

__all__ = ["calendar_import", "calendar_list", "calendar_show"]

_LIST = [
    Column("CALENDAR", "fold"),
    Column("DAYS", right=True),
    Column("FIRST"),
    Column("LAST"),
    Column("EXCLUDED", right=True),
    Column("ADDED", right=True),
    Column("SCHEDULES", right=True),
]
_SHOW = [Column("DAY"), Column("EFFECT"), Column("NOTE", "fold")]

_YEARS = 5
_LONGEST = 64


def calendar_list(*, common: Common = COMMON) -> int:
    """List calendars, and how many schedules name each."""
    with desk_of(common) as desk:
        calendars, named = desk.calendars(), [row["calendar"] for row in desk.schedules()]
    names = sorted({*calendars, *(name for name in named if name is not None)})
    records: list[dict[str, object]] = []
    for name in names:
        days = calendars.get(name, [])
        added = sum(day.effect == "add" for day in days)
        records.append(
            {
                "name": name,
                "days": len(days),
                "first": days[0].day if days else None,
                "last": days[-1].day if days else None,
                "excluded": len(days) - added,
                "added": added,
                "schedules": named.count(name),
            }
        )
    if common.json:
        print_json(records)
    else:
        print_table(_LIST, [list(record.values()) for record in records])
    return DONE


def calendar_show(
    name: Annotated[str, Parameter(help="Name of the calendar.")], /, *, common: Common = COMMON
) -> int:
    """Show the days of a calendar."""
    with desk_of(common) as desk:
        days = desk.calendars().get(name)
    if days is None:
        raise NotFound(f"no calendar {name!r} has days; `leasebeat calendar list` shows those that have")
    if common.json:
        print_json([{"name": name, **day._asdict()} for day in days])
    else:
        print_table(_SHOW, days)
    return DONE


def calendar_import(
    file: Annotated[Path, Parameter(help="An ICS file, or CSV: day, effect, note. `-`: standard input.")],
    /,
    *,
    name: Annotated[str, Parameter(help="The calendar, as schedules name it.", metavar="NAME")],
    effect: Annotated[
        Literal["exclude", "add"], Parameter(help="What the days do, where the file does not say it.")
    ] = "exclude",
    replace: Annotated[bool, flag("Days that the file does not name go away.")] = False,
    first: Annotated[
        str | None,
        Parameter(name="--from", help="First day of an ICS file. [this year's]", metavar="DAY"),
    ] = None,
    last: Annotated[
        str | None,
        Parameter(name="--to", help=f"Last day of it. [in {_YEARS} years]", metavar="DAY"),
    ] = None,
    dry_run: DryRun = False,
    common: Common = COMMON,
) -> int:
    """Import the days of an ICS or CSV file into a calendar. A second time it changes nothing.

    Events of several days name each of them; those that recur are followed from --from to --to.
    """
    if not 1 <= len(name) <= _LONGEST:
        raise Usage(f"--name {name!r}: expected 1 to {_LONGEST} characters")
    text = file_text(file)
    with desk_of(common) as desk:
        year = to_datetime(desk.now()).year
        start = _day("--from", first, date(year, 1, 1))
        end = _day("--to", last, date(max(year, start.year) + _YEARS, 12, 31))
        if end < start:
            raise Usage(f"--to {end} is before --from {start}")
        try:
            days = days_of_file(text, effect, start, end)
        except Usage as problem:
            raise Usage(f"{file}: {problem}") from problem
        if not days:
            raise Usage(f"{file} names no day from {start} to {end}")
        there = desk.calendars()
        steps = calendar_steps({name: there[name]} if name in there else {}, {name: days}, prune=replace)
        if not dry_run:
            for step in steps:
                step.do(desk)
    same = len(days) - sum(after is not None for step in steps for _, after in step.diff.values())
    tell(steps, same, dry_run, common.json, **{"from": start.isoformat(), "to": end.isoformat()})
    if not common.json:
        print_line(f"{len(days)} days from {days[0].day} to {days[-1].day}")
    return DONE


def _day(option: str, text: str | None, default: date) -> date:
    try:
        return default if text is None else date.fromisoformat(text)
    except ValueError as problem:
        raise Usage(f"{option} {text!r}: expected a day like 2026-12-25") from problem
