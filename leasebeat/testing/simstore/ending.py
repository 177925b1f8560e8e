"""Statements that end attempts and runs: finish, settle, reclaim."""

from __future__ import annotations

import json
from collections.abc import Sequence

from leasebeat.model.instant import Instant
from leasebeat.store.base import (
    BATCH,
    Candidate,
    FinishRow,
    Orphan,
    ReclaimRow,
    SettleRow,
)
from leasebeat.testing.simstore.base import Attempt, run_locks, serial_locks
from leasebeat.testing.simstore.locks import GAP, TRIP, Statement
from leasebeat.testing.simstore.pulling import PullingStatements
from leasebeat.testing.simstore.serials import REPLACED
from leasebeat.testing.simstore.tables import PRESENT_STATES, QUEUED, RUNNING, Run


class EndingStatements(PullingStatements):
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
                    self.close_run(run, "settle", now, row.status, row.reason_code, row.reason)
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
            lane_slot=None,
        )

    def _ended(self, node_id: str, row: FinishRow, run: Run, now: Instant) -> None:
        killed = run.kill_requested and row.status != "succeeded"
        if row.output:
            self.outputs[row.key, row.attempt] = row.output
        self.end_run(
            run,
            "finish",
            now,
            (node_id, row.attempt),
            status="killed" if killed else row.status,
            started_at=run.started_at or row.started_at,
            failures=run.failures + row.failed,
            take_overs=run.take_overs + 1 if row.lost else 0,
            exit_code=row.exit_code,
            reason_code=_kill_code(run) if killed else row.reason_code,
            reason=_kill_reason(run, row.reason) if killed else row.reason,
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
        definition = json.loads(self.schedules.definitions.get(run.version or 0) or "{}")
        policy, route = definition.get("on_node_loss", "rerun"), definition.get("route", "sticky")
        started = run.started_at is not None
        return Orphan(run.key, run.attempt, node_id, run.take_overs, started, policy, route)

    def _reclaimed(self, row: ReclaimRow, run: Run, now: Instant) -> None:
        take_overs = run.take_overs + 1
        if not row.again or run.kill_requested:
            status = "killed" if run.kill_requested else "lost"
            code = "replaced" if run.kill_requested == REPLACED else "node_lost"
            self.end_run(
                run,
                "reclaim",
                now,
                status=status,
                take_overs=take_overs,
                reason_code=code,
                reason=row.reason,
            )
            return
        self.attempts[row.key, row.attempt] = Attempt(row.node_id, "lost", "node_lost")
        self.runs.change(
            run,
            "reclaim",
            now,
            status=QUEUED,
            ready_at=now,
            lane_slot=None,
            take_overs=take_overs,
            reason_code="node_lost",
            reason=row.reason,
        )

    def close_run(self, run: Run, statement: str, now: Instant, status: str, code: str, reason: str) -> None:
        """End a queued run."""
        self.end_run(run, statement, now, status=status, reason_code=code, reason=reason)


def _kill_reason(run: Run, reason: str | None) -> str | None:
    return f"replaced by {run.requested_by}" if run.kill_requested == REPLACED else reason


def _kill_code(run: Run) -> str:
    return "replaced" if run.kill_requested == REPLACED else "kill_requested"
