"""Commands on what was: history, rollback, activity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from leasebeat.cli.exits import DONE
from leasebeat.cli.moments import moment_ago
from leasebeat.cli.options import COMMON, Common, check_count, desk_of
from leasebeat.cli.output import Column, plain, print_json, print_line, print_table, seconds
from leasebeat.errors import NotFound, Refused
from leasebeat.model.schedule import PEOPLES_COLUMNS
from leasebeat.node.judge import judge
from leasebeat.store.desk_history import values_in
from leasebeat.store.desk_schedules import same
from leasebeat.store.session import Record, SqlValue

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["activity", "changes_text", "diff_of", "history", "rollback"]

_COLUMNS = [Column("VERSION"), Column("FROM"), Column("STATE"), Column("CHANGED", "fold")]
_ACTIVITY = [
    Column("AT"),
    Column("WHO", "cut"),
    Column("WHAT"),
    Column("SUBJECT", "fold"),
    Column("DETAIL", "fold"),
]

_LONGEST = 60

Name = Annotated[str, Parameter(help="The schedule; also one that is gone, or by a former name.")]
Count = Annotated[int, Parameter(name=["-n", "--count"], help="At most so many.", metavar="N")]


def diff_of(before: Mapping[str, SqlValue], after: Mapping[str, SqlValue]) -> dict[str, list[SqlValue]]:
    """The columns in which two rows differ, as [before, after]."""
    return {
        name: [before.get(name), after[name]]
        for name in PEOPLES_COLUMNS
        if name in after and not same(name, before.get(name), after[name])
    }


def changes_text(diff: Mapping[str, Sequence[object]]) -> str:
    """What a diff says, on one line."""
    return "; ".join(f"{name}: {_short(before)} -> {_short(after)}" for name, (before, after) in diff.items())


def _short(value: object) -> str:
    text = "NULL" if value is None else value if isinstance(value, str) and value else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def history(name: Name, /, *, count: Count = 50, common: Common = COMMON) -> int:
    """Show the versions of a schedule, the newest first: what was changed when, by commands or by hand."""
    check_count(count)
    with desk_of(common) as desk:
        records = [record for each in desk.ids_once(name) for record in _versions(desk, each, count)]
    if not records:
        raise NotFound(f"no node has read {name!r} yet: its versions are recorded by the nodes")
    if common.json:
        print_json(records)
    else:
        print_table(_COLUMNS, [_cells(record) for record in records])
    return DONE


def _versions(desk: Desk, schedule_id: int, count: int) -> list[dict[str, object]]:
    """The records of one schedule: the row first where no node has read it as it stands."""
    versions = desk.history(schedule_id, count)
    newest, row = versions[:1], desk.row_of(schedule_id)
    unread = row is not None and not any(
        not each["deleted"] and (each["version"], each["updated_at"]) == (row["version"], row["updated_at"])
        for each in newest
    )
    records = [_record(version) for version in versions]
    return [_unread(cast("Record", row), newest), *records] if unread else records


def _record(version: Record) -> dict[str, object]:
    definition = cast("dict[str, object]", json.loads(version["definition"]))
    return plain(version) | {"schedule": definition.get("name")}


def _unread(row: Record, newest: Sequence[Record]) -> dict[str, object]:
    """The row as it stands, as a version that has no number yet."""
    definition = {name: row[name] for name in PEOPLES_COLUMNS}
    before = cast("dict[str, SqlValue]", json.loads(newest[0]["definition"])) if newest else None
    return {
        "id": None,
        "schedule_id": row["id"],
        "schedule": row["name"],
        "deleted": False,
        "problem": None,
        "diff": None if before is None else diff_of(before, definition),
        "seen_at": None,
        "valid_from": None,
        **{name: value for name, value in plain(row).items() if name in ("version", "updated_at", "enabled")},
        "definition": definition,
    }


def _cells(record: Mapping[str, object]) -> list[object]:
    state = "paused" if not record["enabled"] else "problem" if record["problem"] else "ok"
    diff = cast("dict[str, list[object]] | None", record["diff"])
    changed = "" if diff is None else changes_text(diff) or "nothing: written anew as it was"
    if diff is None and not record["deleted"]:
        changed = f"{record['schedule'] or ''}: first version" if not record.get("former_id") else ""
    if record["problem"]:
        changed = f"{changed}; {record['problem']}" if changed else record["problem"]
    return [
        record["id"] or "(not read yet)",
        seconds(record["valid_from"] or record["updated_at"]),
        "deleted" if record["deleted"] else state,
        changed,
    ]


def rollback(
    name: Name,
    version: Annotated[int, Parameter(help="Number of the version, as `history` shows it.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Make a schedule say again what one of its versions said, as a new edit. It may be one that is gone."""
    with desk_of(common) as desk:
        found = desk.version(version)
        if found["schedule_id"] not in desk.ids_once(name):
            raise NotFound(
                f"version {version} is none of {name!r}; `leasebeat history {name}` shows those that are"
            )
        if found["deleted"]:
            raise Refused(
                f"version {version} says that {name!r} is gone; roll back to one before it, or remove it"
            )
        values = values_in(found)
        judge({"id": 0, **values})
        changed = desk.rollback(found)
        told = str(values["name"])
        if common.json:
            print_json(plain(desk.schedule(told)) | {"changed": changed})
        else:
            print_line(f"{told} is as in version {version}: {', '.join(changed)}")
    return DONE


def activity(
    subject: Annotated[str | None, Parameter(help="Only of this schedule, queue, lane, ...")] = None,
    /,
    *,
    since: Annotated[
        str | None,
        Parameter(help="From then on: an instant, or a length of time before now.", metavar="WHEN"),
    ] = None,
    count: Count = 50,
    common: Common = COMMON,
) -> int:
    """Show who did what by commands, the last first. Hand edits are in `history`."""
    check_count(count)
    with desk_of(common) as desk:
        start = moment_ago("--since", since, desk.now()) if since else 0
        records = [plain(row) for row in desk.activity(subject, start, count)]
    if common.json:
        print_json(records)
    else:
        names = ("at", "who", "what", "subject", "detail")
        print_table(_ACTIVITY, [[seconds(r["at"]), *(r[name] for name in names[1:])] for r in records])
    return DONE
