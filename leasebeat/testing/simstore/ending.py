"""Statements that end attempts and runs, and that clear up what nobody owns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from leasebeat.errors import Duplicate
from leasebeat.model.instant import Instant
from leasebeat.store.base import (
    BATCH,
    Candidate,
    DressRow,
    FinishRow,
    Orphan,
    ReclaimRow,
    SettleRow,
    Undressed,
)
from leasebeat.testing.simstore.base import Attempt, run_locks, serial_locks
from leasebeat.testing.simstore.locks import GAP, TRIP, Statement
from leasebeat.testing.simstore.opening import OpeningStatements
from leasebeat.testing.simstore.tables import PRESENT_STATES, QUEUED, RUNNING, Run


class EndingStatements(OpeningStatements):
    """Attempts end, runs end."""

    def finish(self, node_id: str, rows: Sequence[FinishRow]) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        rows = sorted(rows, key=lambda row: row.key)
        try:
            yield GAP
            yield from txn.take(run_locks(row.key for row in rows))
            matched = [(row, run) for row in rows if (run := self._ends(node_id, row))]
            yield from txn.take(serial_locks(run.serial_held for _, run in matched))
            yield TRIP
            for row, run in matched:
                if row.again and not run.kill_requested:
                    self._again(node_id, row, run, now)
                else:
                    self._ended(node_id, row, run, now)
        finally:
            txn.release()
        return len(matched)

    def finish_answer(self, node_id: str, rows: Sequence[Candidate]) -> list[bool]:
        return [self._recorded(node_id, row) for row in rows]

    def note_superseded(self, node_id: str, rows: Sequence[FinishRow]) -> Statement[None]:
        yield GAP
        for row in rows:
            run, noted = self.runs.rows.get(row.key), self.attempts.get((row.key, row.attempt))
            if run is not None and run.attempt >= row.attempt and (noted is None or noted.node_id == node_id):
                self.attempts[row.key, row.attempt] = Attempt(node_id, "superseded", row.reason_code)

    def settle(self, rows: Sequence[SettleRow]) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        done = 0
        try:
            yield GAP
            yield from txn.take(run_locks(sorted(row.key for row in rows)))
            yield GAP
            for row in rows:
                run = self.runs.rows.get(row.key)
                if run is not None and run.status == QUEUED and run.attempt == 0:
                    self._close(run, "settle", now, row.status, row.reason_code, row.reason)
                    done += 1
        finally:
            txn.release()
        return done

    def orphans(self, thorough: bool) -> list[Orphan]:
        found: list[Orphan] = []
        for node_id, runs in self.runs.running.items():
            if node_id is not None and self._is_gone(node_id, thorough):
                found += [self._orphan(node_id, run) for run in runs.values()]
        return sorted(found, key=lambda orphan: orphan.key)[:BATCH]

    def reclaim(self, rows: Sequence[ReclaimRow]) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        rows = sorted(rows, key=lambda row: row.key)
        try:
            yield GAP
            yield from txn.take(run_locks(row.key for row in rows))
            matched = [(row, run) for row in rows if (run := self.held_by(row.node_id, row.key, row.attempt))]
            yield from txn.take(serial_locks(run.serial_held for _, run in matched))
            yield TRIP
            for row, run in matched:
                self._reclaimed(row, run, now)
        finally:
            txn.release()
        return len(matched)

    def undressed(self) -> list[Undressed]:
        return [Undressed(run.key) for run in self.runs.queued.values() if run.version is None]

    def dress(self, rows: Sequence[DressRow]) -> Statement[int]:
        txn = self.begin()
        dressed = 0
        try:
            yield GAP
            yield from txn.take(run_locks(sorted(row.key for row in rows)))
            yield from txn.take(serial_locks(row.serial for row in rows))
            for row in rows:
                if row.serial is not None and row.serial in self.runs.holding:
                    raise Duplicate(f"serial {row.serial} is held")
            yield GAP
            for row in rows:
                run = self.runs.rows.get(row.key)
                if run is not None and run.status == QUEUED and run.version is None:
                    self._dressed(run, row)
                    dressed += 1
        finally:
            txn.release()
        return dressed

    def close_killed(self) -> Statement[int]:
        return self._sweep("close_killed", lambda run: run.kill_requested, "killed", "kill_requested")

    def close_deleted(self) -> Statement[int]:
        return self._sweep("close_deleted", self._is_deleted, "killed", "schedule_deleted")

    def expire(self) -> Statement[int]:
        now = self.now()
        return (yield from self._sweep("expire", lambda run: self.is_over(run, now), "missed", "no_slot"))

    def is_over(self, run: Run, now: Instant) -> bool:
        """Never started, and its grace is over."""
        return run.attempt == 0 and run.expires_at is not None and run.expires_at < now

    def wants_sweep(self, run: Run, now: Instant) -> bool:
        """Whether a queued row is waiting for one of the sweeps."""
        return run.version is None or run.kill_requested or self.is_over(run, now) or self._is_deleted(run)

    def _is_deleted(self, run: Run) -> bool:
        return run.key.schedule_id not in self.schedules.rows

    def _sweep(self, statement: str, wanted: Callable[[Run], bool], status: str, code: str) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        try:
            runs = [run for run in self.runs.queued.values() if wanted(run)][:BATCH]
            yield GAP
            yield from txn.take(run_locks(sorted(run.key for run in runs)))
            yield GAP
            runs = [run for run in runs if run.status == QUEUED and wanted(run)]
            for run in runs:
                self._close(run, statement, now, status, code, code)
        finally:
            txn.release()
        return len(runs)

    def _ends(self, node_id: str, row: FinishRow) -> Run | None:
        if "attempt_at_finish" in self.without and (run := self.runs.rows.get(row.key)) is not None:
            return self.held_by(node_id, row.key, run.attempt)
        return self.held_by(node_id, row.key, row.attempt)

    def _again(self, node_id: str, row: FinishRow, run: Run, now: Instant) -> None:
        self.attempts[row.key, row.attempt] = Attempt(node_id, row.status, row.reason_code)
        if row.output:
            self.outputs[row.key, row.attempt] = row.output
        self.runs.change(
            run,
            "finish",
            now,
            (node_id, row.attempt),
            status=QUEUED,
            ready_at=now + row.delay,
            failures=run.failures + row.failed,
            take_overs=run.take_overs + 1 if row.lost else 0,
            started_at=run.started_at or row.started_at,
            exit_code=row.exit_code,
            reason_code=row.reason_code,
            reason=row.reason,
        )

    def _ended(self, node_id: str, row: FinishRow, run: Run, now: Instant) -> None:
        killed = run.kill_requested and row.status != "succeeded"
        if row.output:
            self.outputs[row.key, row.attempt] = row.output
        self.runs.change(
            run,
            "finish",
            now,
            (node_id, row.attempt),
            serial=None,
            serial_held=None,
            status="killed" if killed else row.status,
            finished_at=now,
            started_at=run.started_at or row.started_at,
            failures=run.failures + row.failed,
            take_overs=run.take_overs + 1 if row.lost else 0,
            exit_code=row.exit_code,
            reason_code="kill_requested" if killed else row.reason_code,
            reason=row.reason,
            result=row.result,
        )

    def _recorded(self, node_id: str, row: Candidate) -> bool:
        run = self.runs.rows.get(row.key)
        ended = run is not None and run.status not in (QUEUED, RUNNING) and run.reason_code != "node_lost"
        if run is not None and ended and (run.node_id, run.attempt) == (node_id, row.attempt):
            return True
        noted = self.attempts.get((row.key, row.attempt))
        if noted is None or noted.node_id != node_id:
            return False
        return noted.outcome != "superseded" and noted.reason_code != "node_lost"

    def _is_gone(self, node_id: str, thorough: bool) -> bool:
        node = self.nodes.get(node_id)
        return thorough if node is None else node.state not in PRESENT_STATES

    def _orphan(self, node_id: str, run: Run) -> Orphan:
        definition = self.schedules.definitions.get(run.version or 0)
        policy = str(json.loads(definition)["on_node_loss"]) if definition else "rerun"
        return Orphan(run.key, run.attempt, node_id, run.take_overs, run.started_at is not None, policy)

    def _reclaimed(self, row: ReclaimRow, run: Run, now: Instant) -> None:
        again = row.again and not run.kill_requested
        if again:
            self.attempts[row.key, row.attempt] = Attempt(row.node_id, "lost", "node_lost")
        self.runs.change(
            run,
            "reclaim",
            now,
            status=QUEUED if again else "killed" if run.kill_requested else "lost",
            ready_at=now if again else run.ready_at,
            finished_at=None if again else now,
            serial=run.serial if again else None,
            serial_held=run.serial_held if again else None,
            take_overs=run.take_overs + 1,
            reason_code="node_lost",
            reason=row.reason,
        )

    def _dressed(self, run: Run, row: DressRow) -> None:
        run.version, run.queue, run.priority = row.version, row.queue, row.priority
        if row.serial is not None:
            run.serial = run.serial_held = row.serial
            self.runs.wanting.setdefault(row.serial, {})[run.key] = run
            self.runs.holding[row.serial] = run

    def _close(self, run: Run, statement: str, now: Instant, status: str, code: str, reason: str) -> None:
        self.runs.change(
            run,
            statement,
            now,
            serial=None,
            serial_held=None,
            status=status,
            finished_at=now,
            reason_code=code,
            reason=reason,
        )
