"""Schedules and their versions: the part of `SqlStore` that reads what people write."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.model.instant import Instant
from leasebeat.model.schedule import RowDict
from leasebeat.store.base import RowVersion, ScheduleLook, SeenRow, Version
from leasebeat.store.session import Record
from leasebeat.store.sql_rows import Statements, packs


def _version(record: Record) -> Version:
    return Version(
        id=record["id"],
        schedule_id=record["schedule_id"],
        version=record["version"],
        updated_at=record["updated_at"],
        valid_from=record["valid_from"],
        enabled=bool(record["enabled"]),
        deleted=bool(record["deleted"]),
        problem=record["problem"],
        good_id=record["good_id"],
        definition=record["definition"],
        ends_at=record["ends_at"],
    )


class ScheduleStatements(Statements):
    """Rows of `schedules`, `schedule_history` and `schedule_problems`."""

    def look_at_schedules(self) -> ScheduleLook:
        """All rows of `schedules`, and the store's time at which they were read."""
        records = self._session.query("look_at_schedules")  # without schedules: one row, its schedule_id NULL
        rows = tuple(
            RowVersion(record["schedule_id"], record["version"], record["updated_at"])
            for record in records
            if record["schedule_id"] is not None
        )
        return ScheduleLook(records[0]["now"], records[0]["digest"], rows)

    def schedule_rows(self, ids: Sequence[int]) -> list[RowDict]:
        """Whole rows: id, all people's columns, version, updated_at. Ids that are gone are left out."""
        return list(self._query_all("schedule_rows", ids))

    def see_versions(self, rows: Sequence[SeenRow]) -> int:
        """Record row versions that are the row as it stands and not the newest recorded one; how many."""
        sent = [
            (
                row.schedule_id,
                row.version,
                row.updated_at,
                row.definition,
                row.problem,
                row.last_read,
                row.diff,
            )
            for row in sorted(rows, key=lambda row: row.schedule_id)
        ]
        return self._execute_all("see_versions", sent)

    def vanished(self) -> list[int]:
        """Schedules that have a recorded version, not deleted, and no row any more."""
        return [record["schedule_id"] for record in self._session.query("vanished")]

    def see_deleted(self, ids: Sequence[int], last_read: Instant) -> int:
        """Record, once, that these schedules are gone; how many."""
        return self._execute_all("see_deleted", sorted(ids), last_read=last_read)

    def report_problems(self, ids: Sequence[int]) -> None:
        """Make `schedule_problems` say what the newest recorded version of each says."""
        for sent in packs(sorted(ids)):
            with self._session.transaction():
                self._session.execute("clear_problems", rows=sent)
                self._session.execute("put_problems", rows=sent)

    def calendar_days(self, names: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """The days of these calendars, each an ISO date and its effect, in order."""
        found: dict[str, list[tuple[str, str]]] = {}
        for record in self._query_all("calendar_days", sorted(set(names))):
            found.setdefault(record["name"], []).append((record["calendar_day"], record["effect"]))
        return found

    def touch(self, rows: Sequence[RowVersion]) -> int:
        """Make rows that are as they were read new ones, by their `updated_at`; how many."""
        sent = sorted((row.schedule_id, row.version, row.updated_at) for row in rows)
        return self._execute_all("touch", sent)

    def versions(self, ids: Sequence[int]) -> list[Version]:
        """The newest recorded version of each."""
        return [_version(record) for record in self._query_all("versions", ids)]

    def history(self, after: Instant, ids: Sequence[int] | None = None) -> list[Version]:
        """Every version valid from `after` on, and those in force at it, by (schedule_id, valid_from, id)."""
        if ids is None:
            records = self._session.query("history", after=after)
        else:
            records = self._query_all("history_of", sorted(ids), after=after)
        return [_version(record) for record in records]

    def definitions(self, versions: Sequence[int]) -> dict[int, str]:
        """The JSON definitions that these schedule_history rows hold themselves, by id."""
        records = self._query_all("definitions", sorted(versions))
        return {record["id"]: record["definition"] for record in records}

    def definition(self, version: int) -> str | None:
        """The JSON definition of a schedule_history row; None if there is no such row."""
        records = self._session.query("definition", version=version)
        return records[0]["definition"] if records else None
