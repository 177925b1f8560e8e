"""The part of the desk that reads `schedule_history` and takes schedules back to what they were."""

from __future__ import annotations

import json
from typing import Any, cast

from leasebeat.errors import Duplicate, NotFound, Refused
from leasebeat.model.schedule import PEOPLES_COLUMNS
from leasebeat.store.desk_schedules import DeskSchedules, sent_columns
from leasebeat.store.session import Record, SqlValue

__all__ = ["DeskHistory", "values_in"]


def values_in(version: Record) -> dict[str, SqlValue]:
    """What people wrote, by column, as a row of `schedule_history` holds it.

    Raises Refused where the row could not be recorded as it was.
    """
    definition = cast("dict[str, Any]", json.loads(version["definition"]))
    if "name" not in definition:
        raise Refused(f"version {version['id']} could not be recorded as it was: {version['problem']}")
    return {name: definition[name] for name in PEOPLES_COLUMNS if name in definition}


class DeskHistory(DeskSchedules):
    """Versions of schedules, as the nodes saw them."""

    def default_timezone(self) -> str:
        """What `timezone` is for schedules that name none."""
        return self._session.query("default_timezone")[0]["timezone"]

    def ids_once(self, name: str) -> list[int]:
        """The schedule that is called so; else those that once were, the youngest first. Raises NotFound."""
        found = [row["id"] for row in self._session.query("desk_schedule", schedule=name)]
        found = found or [row["schedule_id"] for row in self._session.query("desk_named_once", schedule=name)]
        if not found:
            raise NotFound(f"no schedule is or was called {name!r}; `leasebeat list` shows those that are")
        return found

    def history(self, schedule_id: int, limit: int = 1000) -> list[Record]:
        """Rows of `schedule_history` of one schedule, the newest first."""
        return self._session.query("desk_history", schedule_id=schedule_id, limit=limit)

    def row_of(self, schedule_id: int) -> Record | None:
        """The schedule as it stands; None: it is gone."""
        rows = self._session.query("desk_schedule_of", schedule_id=schedule_id)
        return rows[0] if rows else None

    def version(self, number: int) -> Record:
        """A row of `schedule_history`. Raises NotFound."""
        for record in self._session.query("desk_version", version=number):
            return record
        raise NotFound(f"there is no version {number}; `leasebeat history NAME` shows those of a schedule")

    def rollback(self, version: Record) -> list[str]:
        """Make its schedule say again what this version said; the columns that changed.

        A schedule that is gone comes back with its id: it goes on with its own runs. All or nothing.
        Raises Refused where it says so already, and where its id or its name are another's by now.
        """
        number, schedule_id, values = version["id"], version["schedule_id"], values_in(version)
        try:
            with self._session.transaction():
                row = self.row_of(schedule_id)
                if row is not None:
                    self._check_owner(row, version, str(values["name"]))
                if row is None:
                    self._bring_back(schedule_id, values)
                    changed = list(values)
                else:
                    changed = self._write(row, sent_columns(values))
                if not changed:
                    raise Refused(f"{values['name']!r} says already what version {number} said")
                self._did("rollback", str(values["name"]), f"to version {number}: {', '.join(changed)}")
        except Duplicate as problem:
            raise Refused(
                f"another schedule is called {values['name']!r} by now: rename or remove that one first"
            ) from problem
        return changed

    def _check_owner(self, row: Record, version: Record, name: str) -> None:
        """Whether the row is the schedule of that version, and not another that got its id.

        Ids are given out again only where somebody emptied the table or restored half a backup.
        """
        gone = any(each["deleted"] and each["id"] > version["id"] for each in self.history(row["id"]))
        if gone and row["name"] != name:
            raise Refused(
                f"{name!r} was removed, and its id {row['id']} is {row['name']!r} by now: add it anew;"
                f" `leasebeat history {name} --json` tells what it said"
            )

    def _bring_back(self, schedule_id: int, values: dict[str, SqlValue]) -> None:
        sent = sent_columns(values)
        self._session.execute(
            "desk_add",
            id=schedule_id,
            created_at=None,
            schedule=sent["name"],
            cron=sent["cron"],
            command=sent["command"],
        )
        row = self.row_of(schedule_id)
        assert row is not None
        self._write(row, sent)
