"""The part of the desk that writes `schedules`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from leasebeat.errors import Duplicate, NotFound, Refused
from leasebeat.model.schedule import PEOPLES_COLUMNS
from leasebeat.store.base import Version
from leasebeat.store.desk_base import DeskBase, text_of
from leasebeat.store.session import Record, SqlValue
from leasebeat.store.sql_schedules import ScheduleStatements

__all__ = ["DeskSchedules", "same", "sent_columns"]


def sent_columns(values: Mapping[str, SqlValue]) -> dict[str, SqlValue]:
    """People's columns as they are sent. Raises Refused for others."""
    unknown = sorted(values.keys() - set(PEOPLES_COLUMNS))
    if unknown:
        raise Refused(f"no such column: {', '.join(unknown)}; there are {', '.join(PEOPLES_COLUMNS)}")
    return {name: _sent(name, value) for name, value in values.items()}


def _sent(name: str, value: SqlValue) -> SqlValue:
    if name in ("starts_at", "ends_at") and isinstance(value, int):
        return text_of(value)
    return int(value) if isinstance(value, bool) else value


_JSON = frozenset({"after", "alert", "args", "shard_args"})


def same(column: str, one: SqlValue, other: SqlValue) -> bool:
    """Whether two values of a column say the same; servers keep JSON with other blanks and another order."""
    if column not in _JSON or not isinstance(one, str) or not isinstance(other, str):
        return one == other
    return one == other or _in_order(one) == _in_order(other)


def _in_order(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text  # a row that somebody broke by hand is the same as itself only


def _subjects(names: Sequence[str]) -> tuple[str, str]:
    """What an action on several was about: the one, or how many, and which."""
    return (names[0], "") if len(names) == 1 else (f"{len(names)} schedules", ", ".join(names))


class DeskSchedules(DeskBase):
    """Looking at schedules, adding, editing, pausing and removing them."""

    def schedules(self, pattern: str | None = None) -> list[Record]:
        """By name: every column, and `problem`, `last_status`, `last_at`. `pattern` is like `billing/*`."""
        records = self._session.query("desk_schedules")
        return [record for record in records if pattern is None or fnmatchcase(record["name"], pattern)]

    def schedule(self, name: str) -> Record:
        """One of them. Raises NotFound."""
        for record in self._session.query("desk_schedule", schedule=name):
            return record
        raise NotFound(f"no schedule is called {name!r}; `leasebeat list` shows them all")

    def add(self, values: Mapping[str, SqlValue], replace: bool = False) -> int:
        """Add a schedule; its id. One transaction.

        With `replace` it takes the place and the id of the one of its name, and what `values` do not
        name goes back to the table's default. Otherwise raises Refused where the name is taken.
        """
        sent = sent_columns(values)
        name = str(sent["name"])
        try:
            with self._session.transaction():
                former = self._take_away(name) if replace else None
                self._session.execute(
                    "desk_add",
                    id=former["id"] if former else None,
                    created_at=text_of(former["created_at"]) if former else None,
                    schedule=name,
                    cron=sent["cron"],
                    command=sent["command"],
                )
                row = self.schedule(name)
                self._write(row, sent)
                self._did("add", name, f"{sent['cron']}: {sent['command']}")
        except Duplicate as problem:
            raise Refused(f"there is a schedule {name!r} already; edit it, or say --replace") from problem
        return row["id"]

    def _take_away(self, name: str) -> Record | None:
        for record in self._session.query("desk_schedule", schedule=name):
            self._session.execute("desk_remove", schedule=name)
            return record
        return None

    def edit(self, name: str, values: Mapping[str, SqlValue], version: str | None = None) -> bool:
        """Change columns; False if they are so already.

        Raises Refused where somebody else changed the row since `version` was read.
        """
        row = self.schedule(name)
        if version not in (None, row["version"]):
            raise Refused(f"{name!r} was changed by somebody else meanwhile; look at it and try again")
        try:
            with self._session.transaction():
                changed = self._write(row, sent_columns(values))
                if changed:
                    self._did("edit", name, ", ".join(changed))
            return bool(changed)
        except Duplicate as problem:
            raise Refused(f"there is a schedule {values['name']!r} already") from problem

    def _write(self, row: Record, sent: Mapping[str, SqlValue]) -> list[str]:
        """Which columns it has changed."""
        old = sent_columns({name: row[name] for name in PEOPLES_COLUMNS})
        changed = [name for name, value in sent.items() if not same(name, old[name], value)]
        if not changed:
            return []
        whole = old | dict(sent)
        whole["new_name"] = whole.pop("name")
        # The version is compared by the statement: between the look and this somebody may have written.
        if not self._session.execute("desk_edit", id=row["id"], version=row["version"], **whole):
            raise Refused(f"{row['name']!r} was changed by somebody else meanwhile; look at it and try again")
        return changed

    def remove(self, names: Sequence[str]) -> None:
        """Delete schedules, all or none; runs and history stay. Raises NotFound."""
        with self._session.transaction():
            for name in names:
                if not self._session.execute("desk_remove", schedule=name):
                    raise NotFound(f"no schedule is called {name!r}; nothing was removed")
            self._did("remove", *_subjects(names))

    def enable(self, names: Sequence[str], enabled: bool) -> int:
        """Pause or resume; how many were otherwise before."""
        with self._session.transaction():
            count = self._session.execute("desk_enable", names=json.dumps(list(names)), enabled=int(enabled))
            if count:
                self._did("resume" if enabled else "pause", *_subjects(names))
        return count

    def versions(self, ids: Sequence[int]) -> list[Version]:
        """The newest recorded version of each of these schedules, with the definition that runs."""
        return ScheduleStatements(self._session).versions(ids) if ids else []

    def problems(self) -> list[Record]:
        """Rows that cannot be used: `schedule`, `problem`, and `good_id`, what runs instead (0: nothing)."""
        return self._session.query("desk_problems")
