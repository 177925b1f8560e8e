"""`import crontab`: the lines of crontabs as schedules.

A line's name is made of its command and of a hash of what it says, so that it does not depend on where
the line stands, and a second import finds the schedule of the first. What cron does on one host only, and
what this fleet does otherwise, is said for each line.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from leasebeat.cli.crontab_file import BadLine, Entry, entries, is_system
from leasebeat.cli.crontab_lines import Found, flags, named
from leasebeat.cli.exchange import DryRun, file_text
from leasebeat.cli.exits import DONE, FAILED, Usage
from leasebeat.cli.options import COMMON, Common, desk_of, flag
from leasebeat.cli.output import note
from leasebeat.cli.plan import Step, schedule_step, tell
from leasebeat.errors import DefinitionError, Refused
from leasebeat.store.session import Record, SqlValue
from leasebeat.triggers.zones import zone

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["crontab"]

_CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")
_HASHED = re.compile(r"-[0-9a-f]{8}")


def crontab(
    *files: Annotated[Path, Parameter(help="Crontabs, or folders of them like /etc/cron.d.", metavar="FILE")],
    name_prefix: Annotated[str, Parameter(help="What names begin with, like web1/.", metavar="TEXT")] = "",
    queue: Annotated[str | None, Parameter(help="The queue of all of them.", metavar="NAME")] = None,
    route: Annotated[
        str | None,
        Parameter(help="The route of all of them: node:web1 keeps them on that host.", metavar="ROUTE"),
    ] = None,
    timezone: Annotated[
        str | None,
        Parameter(help="Zone of lines without CRON_TZ. [this host's]", metavar="ZONE"),
    ] = None,
    run: Annotated[bool, flag("Enable them; else they are paused until `resume`.")] = False,
    system: Annotated[bool, flag("Lines name a user. [so in etc/crontab and cron.d]")] = False,
    user_crontab: Annotated[bool, flag("Lines name no user. [so elsewhere]")] = False,
    dry_run: DryRun = False,
    common: Common = COMMON,
) -> int:
    """Import crontabs. Lines that cannot be used are told, and do not stop the others.

    A second time it changes nothing. Columns that a crontab knows nothing of stay as somebody set them.
    """
    if not files:
        raise Usage("import crontab: expected the FILE of a crontab")
    if system and user_crontab:
        raise Usage("--system and --user-crontab are opposites; give one of them")
    zone(timezone or "UTC")  # refuses one that does not exist
    read = list(_read(files, system or (False if user_crontab else None)))
    bad = [f"{line.file}:{line.line}: {line.problem}" for line in read if isinstance(line, BadLine)]
    lines = [line for line in read if isinstance(line, Entry)]
    found = named([e for e in lines if e.when.lower() != "@reboot"], name_prefix, timezone or _host_zone())
    settled = {column: value for column, value in (("queue", queue), ("route", route)) if value is not None}
    with desk_of(common) as desk:
        rows = {row["name"]: row for row in desk.schedules()}
        steps, same = _plan(found, rows, settled, run, bad)
        if not dry_run:
            steps = _do(desk, steps, bad)
    flagged = [
        *_flagged(lines, local=bool(route and route.startswith("node:"))),
        *_twins(found, rows),
        *_left_over(found, rows, name_prefix),
    ]
    tell(steps, same, dry_run, common.json, flagged=flagged, bad=bad)
    if not common.json:
        for line in [*(f"look at {line}" for line in flagged), *(f"not imported: {line}" for line in bad)]:
            note(line)
    return FAILED if bad else DONE


def _read(files: Sequence[Path], system: bool | None) -> Iterator[Entry | BadLine]:
    """The lines of all files; `system` None: by where each file lies."""
    for path in files:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in inside:
            if path.is_dir() and not (_CRON_D_NAME.fullmatch(file.name) and file.is_file()):
                continue  # cron passes over such names, too: backups and placeholders
            has_user = is_system(file) if system is None else system
            yield from entries(str(file), file_text(file), has_user)


def _host_zone() -> str:
    """The zone of this host, as cron has it. UTC where it has no name."""
    if named := os.environ.get("TZ", "").lstrip(":"):
        return named
    _, folder, name = os.path.realpath("/etc/localtime").partition("/zoneinfo/")
    return name if folder else "UTC"


# --- what is done -------------------------------------------------------------------------------


def _plan(
    found: Sequence[Found],
    rows: Mapping[str, Record],
    settled: Mapping[str, SqlValue],
    run: bool,
    bad: list[str],
) -> tuple[list[Step], int]:
    """A step for each name, and how many are so already. What cannot be used is added to `bad`."""
    steps: list[Step] = []
    same = 0
    for name, one in {one.name: one for one in found}.items():
        row = rows.get(name)
        enabled = {"enabled": int(run)} if run or row is None else {}
        try:
            step = schedule_step(name, row, {**one.values, **settled, **enabled})
        except DefinitionError as problem:
            bad.append(f"{one.entry.place}: {problem}")
        else:
            steps += [step] if step else []
            same += step is None
    return steps, same


def _do(desk: Desk, steps: Sequence[Step], bad: list[str]) -> list[Step]:
    """The steps that could be done. What the table refuses is added to `bad`."""
    done: list[Step] = []
    for step in steps:
        try:
            step.do(desk)
        except Refused as problem:
            bad.append(f"{step.name}: {problem}")
        else:
            done.append(step)
    return done


# --- what people should look at -----------------------------------------------------------------


def _flagged(lines: Sequence[Entry], local: bool) -> Iterator[str]:
    for line in lines:
        for text in flags(line, local):
            yield f"{line.place}: {text}"


def _twins(found: Sequence[Found], rows: Mapping[str, Record]) -> Iterator[str]:
    """Lines that say the same: one row may do for them."""
    by_name: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        by_name[one.name].append(one)
    stored = defaultdict[tuple[object, ...], list[str]](list)
    for name, row in rows.items():
        stored[_essence(row)].append(name)
    for name, ones in by_name.items():
        if len(ones) > 1:
            places = ", ".join(one.entry.place for one in ones)
            yield f"{places}: the same line; one schedule is made of them; route = all runs it everywhere"
        if others := [other for other in stored[_essence(ones[0].values)] if other != name]:
            yield f"{ones[0].entry.place}: says the same as {', '.join(others)}: one row may do for both"


def _essence(values: Mapping[str, SqlValue]) -> tuple[object, ...]:
    return tuple(values[name] for name in ("cron", "command", "timezone", "run_as"))


def _left_over(found: Sequence[Found], rows: Mapping[str, Record], prefix: str) -> Iterator[str]:
    """Schedules of an earlier import whose lines are gone or were changed."""
    names = {one.name for one in found}
    for name in rows:
        if prefix and name.startswith(prefix) and name not in names and _HASHED.fullmatch(name[-9:]):
            yield f"{name}: is in the store, not in these files; remove it if its line is gone or changed"
