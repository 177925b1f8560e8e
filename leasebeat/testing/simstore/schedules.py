"""Statements on `schedules`, `schedule_history` and `schedule_problems`, and what people do to the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.model.schedule import RowDict
from leasebeat.store.base import RowVersion, ScheduleLook, SeenRow, Version
from leasebeat.testing.simstore.base import Base, RowChange
from leasebeat.testing.simstore.locks import GAP, Statement
from leasebeat.testing.simstore.tables import QUEUED, RUNNING, Run


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
        seen = [row for row in rows if self._is_row(row) and not self._is_newest(row)]
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take([("history", row.schedule_id) for row in seen])
            yield GAP
            # Somebody may have recorded it since the snapshot: then its row is the one that counts.
            seen = [row for row in seen if not self._is_newest(row)]
            for row in seen:
                self.schedules.record(self._version_of(row, now))
        finally:
            txn.release()
        return len(seen)

    def vanished(self) -> list[int]:
        return sorted(
            each
            for each in self.schedules.history
            if each not in self.schedules.rows and self._is_known(each)
        )

    def see_deleted(self, ids: Sequence[int], last_read: Instant) -> Statement[int]:
        now = self.now()
        gone = [each for each in ids if each not in self.schedules.rows and self._is_known(each)]
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take([("history", each) for each in gone])
            yield GAP
            gone = [each for each in gone if self._is_known(each)]
            for each in gone:
                newest = self.schedules.history[each][-1]
                self.schedules.record(
                    Version(
                        id=len(self.schedules.by_id) + 1,
                        schedule_id=each,
                        version=newest.version,
                        updated_at=newest.updated_at,
                        valid_from=max(now, last_read, newest.valid_from),
                        enabled=False,
                        deleted=True,
                        problem=None,
                        good_id=newest.runs_as,
                        definition=newest.definition,
                        ends_at=newest.ends_at,
                    )
                )
        finally:
            txn.release()
        return len(gone)

    def report_problems(self, ids: Sequence[int]) -> Statement[None]:
        yield GAP
        for each in ids:
            history = self.schedules.history.get(each)
            problem = history[-1].problem if history else None
            if problem is None:
                self.schedules.problems.pop(each, None)
            else:
                self.schedules.problems[each] = problem

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

    def definition(self, version: int) -> str | None:
        row = self.schedules.by_id.get(version)
        return row.definition if row else None

    def _is_row(self, seen: SeenRow) -> bool:
        row = self.schedules.rows.get(seen.schedule_id)
        return row is not None and row["version"] == seen.version and row["updated_at"] == seen.updated_at

    def _is_newest(self, seen: SeenRow) -> bool:
        history = self.schedules.history.get(seen.schedule_id)
        if not history or history[-1].deleted:
            return False
        return history[-1].version == seen.version and history[-1].updated_at == seen.updated_at

    def _is_known(self, schedule_id: int) -> bool:
        history = self.schedules.history.get(schedule_id)
        return bool(history) and not history[-1].deleted

    def _version_of(self, seen: SeenRow, now: Instant) -> Version:
        history = self.schedules.history.get(seen.schedule_id, [])
        row = self.schedules.rows.get(seen.schedule_id, {})
        good = next((v for v in reversed(history) if v.problem is None and not v.deleted), None)
        broken = seen.problem is not None
        ends_at = row.get("ends_at")
        return Version(
            id=len(self.schedules.by_id) + 1,
            schedule_id=seen.schedule_id,
            version=seen.version,
            updated_at=seen.updated_at,
            valid_from=max(
                min(seen.updated_at, now), seen.last_read, history[-1].valid_from if history else 0
            ),
            enabled=bool(row.get("enabled", 0)),
            deleted=False,
            problem=seen.problem,
            good_id=(good.runs_as if good else 0) if broken else None,
            definition=(good.definition if good else None) if broken else seen.definition,
            ends_at=None if ends_at is None else int(str(ends_at)),
        )


class Edits(Base):
    """What people do with SQL: each is one committed statement."""

    def put_schedule(
        self, schedule_id: int, columns: Mapping[str, object], updated_at: Instant | None = None
    ) -> None:
        """Insert or change a row. Without `updated_at` the column is the statement's time."""
        now = self.now()
        old = self.schedules.rows.get(schedule_id, {})
        kept = {name: old[name] for name in old if name not in ("id", "version", "updated_at")}
        row = self.schedules.put(schedule_id, {**kept, **columns}, now if updated_at is None else updated_at)
        self.journal.append(RowChange(self.true_now(), now, schedule_id, dict(row)))

    def delete_schedule(self, schedule_id: int) -> None:
        """DELETE FROM schedules."""
        self.schedules.remove(schedule_id)
        self.journal.append(RowChange(self.true_now(), self.now(), schedule_id, None))

    def insert_run(self, schedule_id: int, fire_at: Instant | None = None) -> RunKey:
        """INSERT INTO runs (schedule_id) VALUES (...): run now."""
        now = self.now()
        key = RunKey(now if fire_at is None else fire_at, schedule_id, 0)
        while key in self.runs.rows:
            key = key._replace(fire_at=key.fire_at + 1)
        self.runs.insert(Run(key, QUEUED, "manual", key.fire_at), "by hand", now, self.true_now())
        return key

    def request_kill(self, key: RunKey) -> bool:
        """UPDATE runs SET kill_requested = 1, of a run that has not ended."""
        run = self.runs.rows.get(key)
        if run is None or run.status not in (QUEUED, RUNNING):
            return False
        run.kill_requested = True
        self.runs.kills += 1
        return True
