"""Statements on `schedules`, `schedule_history` and `schedule_problems`, and what people do to the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from leasebeat.errors import Duplicate
from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.model.schedule import RowDict
from leasebeat.store.base import RowVersion, ScheduleLook, SeenRow, Version
from leasebeat.testing.simstore.base import Base, RowChange
from leasebeat.testing.simstore.locks import GAP, Statement
from leasebeat.testing.simstore.tables import QUEUED, RUNNING, Run

_New = tuple[Version, str | None, str | None]
"""A version about to be recorded, its own definition, and its diff."""


class ScheduleStatements(Base):
    """What nodes read and record of schedules."""

    def look_at_schedules(self) -> ScheduleLook:
        rows = tuple(
            RowVersion(schedule_id, str(row["version"]), int(str(row["updated_at"])))
            for schedule_id, row in sorted(self.schedules.rows.items())
        )
        return ScheduleLook(self.now(), self.schedules.digest, rows)

    def schedule_rows(self, ids: Sequence[int]) -> list[RowDict]:
        return [row for each in sorted(set(ids)) if (row := self.schedules.rows.get(each)) is not None]

    def see_versions(self, rows: Sequence[SeenRow]) -> Statement[int]:
        now = self.now()
        seen = [row for row in sorted(rows, key=lambda row: row.schedule_id) if self._is_unseen(row)]
        new = [(self._version_of(row, now), row.definition, row.diff) for row in seen]
        return (yield from self._record(new))

    def vanished(self) -> list[int]:
        return [each for each in sorted(self.schedules.history) if self._is_gone_unseen(each)]

    def see_deleted(self, ids: Sequence[int], last_read: Instant) -> Statement[int]:
        now = self.now()
        new: list[_New] = []
        for each in sorted(ids):
            former = self.schedules.newest(each)
            if former is not None and self._is_gone_unseen(each):
                valid_from = max(now, min(last_read, now), former.valid_from)
                gone = replace(former, id=0, valid_from=valid_from, enabled=False, deleted=True, problem=None)
                own = self.schedules.definitions[former.id]
                new.append((replace(gone, good_id=0, definition=None, ends_at=None), own, None))
        return (yield from self._record(new))

    def _record(self, new: Sequence[_New]) -> Statement[int]:
        """Insert rows of `schedule_history`, each behind its former one: that is the unique key."""
        formers = [self.schedules.newest(version.schedule_id) for version, _, _ in new]
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take([("history", version.schedule_id) for version, _, _ in new])
            for (version, _, _), former in zip(new, formers, strict=True):
                if self.schedules.newest(version.schedule_id) is not former:
                    raise Duplicate(f"another node has recorded schedule {version.schedule_id}")
            yield GAP
            for version, definition, diff in new:
                self.schedules.record(replace(version, id=len(self.schedules.by_id) + 1), definition, diff)
        finally:
            txn.release()
        return len(new)

    def report_problems(self, ids: Sequence[int]) -> Statement[None]:
        yield GAP
        for each in ids:
            newest = self.schedules.newest(each)
            problem = newest.problem if newest else None
            if problem is None:
                if newest is None or newest.deleted or self.schedules.cannot_follow.get(each) != newest.id:
                    self.schedules.problems.pop(each, None)
            else:
                self.schedules.problems[each] = problem

    def calendar_days(self, names: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        known = self.schedules.calendars
        return {name: sorted(known[name].items()) for name in sorted(set(names)) if known.get(name)}

    def touch(self, rows: Sequence[RowVersion]) -> Statement[int]:
        yield GAP
        now, count = self.now(), 0
        for seen in sorted(rows, key=lambda row: row.schedule_id):
            row = self.schedules.rows.get(seen.schedule_id)
            if row is not None and (row["version"], row["updated_at"]) == (seen.version, seen.updated_at):
                changed = self.schedules.put(seen.schedule_id, _columns(row), now)
                self.journal.append(
                    RowChange(self.true_now(), now, seen.schedule_id, dict(changed), self.role.watermark)
                )
                count += 1
        return count

    def versions(self, ids: Sequence[int]) -> list[Version]:
        history = self.schedules.history
        return [history[each][-1] for each in sorted(set(ids)) if each in history]

    def history(self, after: Instant, ids: Sequence[int] | None = None) -> list[Version]:
        wanted = sorted(self.schedules.history if ids is None else set(ids) & self.schedules.history.keys())
        found: list[Version] = []
        for each in wanted:
            rows = self.schedules.history[each]
            newer = [row for row in rows if row.valid_from >= after]
            if newer or ids is not None:
                older = [row for row in rows if row.valid_from < after]
                found += older[-1:] + newer
        return found

    def definitions(self, versions: Sequence[int]) -> dict[int, str]:
        found = {version: self.schedules.definitions.get(version) for version in versions}
        return {version: definition for version, definition in found.items() if definition is not None}

    def definition(self, version: int) -> str | None:
        return self.schedules.definitions.get(version)

    def _is_unseen(self, seen: SeenRow) -> bool:
        """Whether it is the row as it stands, and not the newest recorded version."""
        row = self.schedules.rows.get(seen.schedule_id)
        if row is None or (row["version"], row["updated_at"]) != (seen.version, seen.updated_at):
            return False
        newest = self.schedules.newest(seen.schedule_id)
        if newest is None or newest.deleted:
            return True
        return (newest.version, newest.updated_at) != (seen.version, seen.updated_at)

    def _is_gone_unseen(self, schedule_id: int) -> bool:
        newest = self.schedules.newest(schedule_id)
        return newest is not None and not newest.deleted and schedule_id not in self.schedules.rows

    def _version_of(self, seen: SeenRow, now: Instant) -> Version:
        history = self.schedules.history.get(seen.schedule_id, [])
        row = self.schedules.rows[seen.schedule_id]
        good = next((v for v in reversed(history) if v.problem is None and not v.deleted), None)
        broken = seen.problem is not None
        former_from = history[-1].valid_from if history else 0
        return Version(
            id=0,
            schedule_id=seen.schedule_id,
            version=seen.version,
            updated_at=seen.updated_at,
            valid_from=max(min(seen.updated_at, now), min(seen.last_read, now), former_from),
            enabled=bool(row["enabled"]),
            deleted=False,
            problem=seen.problem,
            good_id=(good.id if good else 0) if broken else None,
            definition=(good.definition if good else None) if broken else seen.definition,
            ends_at=cast("Instant | None", row["ends_at"]),
        )


def _columns(row: RowDict) -> dict[str, object]:
    """What people wrote into a row."""
    return {name: row[name] for name in row if name not in ("id", "version", "updated_at")}


class Edits(Base):
    """What people do with SQL: each is one committed statement."""

    def put_schedule(
        self, schedule_id: int, columns: Mapping[str, object], updated_at: Instant | None = None
    ) -> None:
        """Insert or change a row. Without `updated_at` the column is the statement's time."""
        now = self.now()
        kept = _columns(self.schedules.rows.get(schedule_id, {}))
        row = self.schedules.put(schedule_id, {**kept, **columns}, now if updated_at is None else updated_at)
        self.journal.append(RowChange(self.true_now(), now, schedule_id, dict(row), self.role.watermark))

    def delete_schedule(self, schedule_id: int) -> None:
        """DELETE FROM schedules."""
        self.schedules.remove(schedule_id)
        self.journal.append(RowChange(self.true_now(), self.now(), schedule_id, None))

    def put_day(self, name: str, day: str, effect: str | None = "exclude") -> None:
        """Insert or change a row of `calendars`; None: delete it."""
        self.schedules.put_day(name, day, effect)

    def insert_run(self, schedule_id: int, fire_at: Instant | None = None) -> RunKey:
        """INSERT INTO runs (schedule_id) VALUES (...): run now."""
        now = self.now()
        key = RunKey(now if fire_at is None else fire_at, schedule_id, 0)
        while key in self.runs.rows:
            key = key._replace(fire_at=key.fire_at + 1)
        self.runs.insert(Run(key, QUEUED, "manual", key.fire_at), "by hand", now, self.true_now())
        return key

    def set_paused(self, queue: str, paused: bool) -> None:
        """UPDATE queues SET paused = ..."""
        (self.paused_queues.add if paused else self.paused_queues.discard)(queue)

    def request_kill(self, key: RunKey) -> bool:
        """UPDATE runs SET kill_requested = 1, of a run that has not ended."""
        run = self.runs.rows.get(key)
        if run is None or run.status not in (QUEUED, RUNNING):
            return False
        run.kill_requested = 1
        self.runs.kills += 1
        return True
