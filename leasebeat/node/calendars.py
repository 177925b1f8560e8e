"""The calendars that schedules name: an edit of one is an edit of each of them.

    calendars rows  --with_days-->  the row that is judged and recorded  --outdated-->  touch

The node that records a version writes the days into it, so that every node computes the same instants
however the table changes meanwhile. Where a recorded snapshot is not what the table says any more, the
row is made new (its `updated_at`), and the ordinary way of edits does the rest: claims of the version
before are refused, and the instants before the edit keep the days that they had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from leasebeat.model.schedule import RowDict, Schedule
from leasebeat.node.judge import calendar_problem
from leasebeat.store.base import RowVersion, Store, Version

_Days = Mapping[str, Sequence[str]]


def with_days(store: Store, rows: Sequence[RowDict]) -> list[RowDict]:
    """The rows; those that name a calendar with its days as `calendar_days`, {} where it has none."""
    days = _days(store, [str(row["calendar"]) for row in rows if row.get("calendar") is not None])
    return [
        row if row.get("calendar") is None else {**row, "calendar_days": days[str(row["calendar"])]}
        for row in rows
    ]


def outdated(store: Store, held: Iterable[tuple[Version, Schedule | None]]) -> list[RowVersion]:
    """Those of the recorded versions whose calendar says something else by now."""
    named: list[tuple[Version, str, _Days | None]] = []
    broken: list[Version] = []
    for version, schedule in held:
        if version.deleted:
            continue
        if version.problem is not None:
            broken.append(version)  # what runs meanwhile is an older version, and keeps its days
        elif schedule is not None and schedule.calendar is not None:
            named.append((version, schedule.calendar, schedule.calendar_days))
    days = _days(store, [name for _, name, _ in named])
    stale = [version for version, name, known in named if days[name] != known]
    return [_row(version) for version in (*stale, *_usable_by_now(store, broken))]


def _usable_by_now(store: Store, broken: Sequence[Version]) -> list[Version]:
    """Versions that were refused for their calendar, and would not be for the same reason again."""
    refused = {version.schedule_id: version for version in broken if "calendar " in (version.problem or "")}
    if not refused:
        return []
    found: list[Version] = []
    for row in with_days(store, store.schedule_rows(sorted(refused))):
        version = refused[int(str(row["id"]))]
        said = version.problem or ""
        name, days = row.get("calendar"), row.get("calendar_days")
        if name is not None and f"calendar {name!r} has " in said:
            problem = calendar_problem(str(name), days)  # pyright: ignore[reportArgumentType] - of with_days
            if problem is None or problem not in said:
                found.append(version)
    return found


def _days(store: Store, names: Sequence[str]) -> dict[str, _Days]:
    rows = store.calendar_days(sorted(set(names))) if names else {}
    return {name: _by_effect(rows.get(name, ())) for name in names}


def _by_effect(rows: Sequence[tuple[str, str]]) -> _Days:
    effects = ("exclude", "add") if rows else ()
    return {effect: tuple(sorted(day for day, its in rows if its == effect)) for effect in effects}


def _row(version: Version) -> RowVersion:
    return RowVersion(version.schedule_id, version.version, version.updated_at)
