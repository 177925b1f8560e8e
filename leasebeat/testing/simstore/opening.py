"""Statements that open runs and take them: claim, pull, start."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.errors import Duplicate
from leasebeat.model.instant import Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.store.base import (
    CLAIM_REACH,
    START_FAILED_AWAY,
    Answer,
    Candidate,
    ClaimAnswer,
    Claimed,
    ClaimRow,
    OwnRun,
)
from leasebeat.testing.simstore.base import Base, run_locks, serial_locks
from leasebeat.testing.simstore.locks import GAP, Key, Statement
from leasebeat.testing.simstore.tables import QUEUED, RUNNING, Run


class OpeningStatements(Base):
    """Fires become rows, rows become work."""

    def mine(self, node_id: str, settle: Micros) -> list[OwnRun]:
        runs = self.runs.running.get(node_id)
        if not runs:
            return []
        settled = self.now() - settle
        return [
            OwnRun(
                key=run.key,
                attempt=run.attempt,
                claimed_at=run.claimed_at or 0,
                started_at=run.started_at,
                version=run.version or 0,
                args=run.args,
                failures=run.failures,
                take_overs=run.take_overs,
                reason_code=run.reason_code,
                kill_requested=run.kill_requested,
                settled=(run.claimed_at or 0) < settled,
            )
            for run in runs.values()
        ]

    def claim(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> Statement[Claimed]:
        now, began = self.now(), self.true_now()
        wanted = self._may_open(node_id, fire_at, rows, now)
        wanting = self.runs.wanting
        wanted = [row for row in wanted if row.serial is None or row.serial not in wanting]
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take(_opening_locks(fire_at, wanted))
            self._refuse_taken(fire_at, wanted)
            yield GAP
            for row in wanted:
                self.runs.insert(self._claimed(node_id, fire_at, row, now), "claim", now, began)
        finally:
            txn.release()
        whole = len(wanted) == len(rows) and any(row.run for row in rows)
        return Claimed(len(wanted), now if whole else 0)

    def claim_rest(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> Statement[int]:
        now, began = self.now(), self.true_now()
        wanting = self.runs.wanting
        wanted = [
            row
            for row in self._may_open(node_id, fire_at, rows, now)
            if row.serial is not None and row.serial in wanting and row.overlap == "skip"
        ]
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take(run_locks(RunKey(fire_at, row.schedule_id, row.shard) for row in wanted))
            self._refuse_rows(fire_at, wanted)
            yield GAP
            for row in wanted:
                self.runs.insert(self._skipped(fire_at, row, now), "claim_rest", now, began)
        finally:
            txn.release()
        return len(wanted)

    def claim_answer(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> list[ClaimAnswer]:
        now = self.now()
        live = self.is_live(node_id, now)
        answers: list[ClaimAnswer] = []
        for row in rows:
            run = self.runs.rows.get(RunKey(fire_at, row.schedule_id, row.shard))
            if run is not None and run.node_id == node_id and run.status == RUNNING:
                fence, version = run.claimed_at or 0, run.version or 0
                answers.append(
                    ClaimAnswer(row.schedule_id, row.shard, "mine", run.attempt, fence, version=version)
                )
            else:
                answer = "other" if run is not None else self._why_not(fire_at, row, now, live)
                wait = fire_at - now if answer == "early" else 0
                answers.append(ClaimAnswer(row.schedule_id, row.shard, answer, wait=wait))
        return answers

    def pull_look(self, node_id: str, queue: str, limit: int) -> list[Candidate]:
        now = self.now()
        if queue in self.paused_queues:
            return []
        found = [
            run
            for run in self.runs.queued.values()
            if run.queue == queue and run.ready_at <= now and self.may_pull(node_id, run, now)
        ]
        found.sort(key=lambda run: (-run.priority, run.ready_at, run.key))
        return [Candidate(run.key, run.attempt) for run in found[:limit]]

    def may_pull(self, node_id: str, run: Run, now: Instant) -> bool:
        """Whether a queued run that is ready may be pulled by that node."""
        if run.version is None or run.kill_requested:
            return False
        if run.attempt == 0 and run.expires_at is not None and run.expires_at <= now:
            return False
        if run.pinned_node_id is not None and run.pinned_node_id != node_id:
            return False
        if run.serial is not None and run.serial_held is None and run.serial in self.runs.holding:
            return False
        if (
            run.reason_code == "start_failed"
            and run.node_id == node_id
            and run.ready_at > now - START_FAILED_AWAY
        ):
            return False
        schedule = self.schedules.rows.get(run.key.schedule_id)
        return (
            run.attempt > 0 or run.origin == "manual" or (schedule is not None and bool(schedule["enabled"]))
        )

    def pull(self, node_id: str, rows: Sequence[Candidate], limit: int) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        try:
            runs: list[Run] = []
            for row in rows:
                run = self.runs.rows.get(row.key)
                if run is None or len(runs) >= limit or not txn.try_take(("run", row.key)):
                    continue  # locked by another statement: passed over, never waited for
                if run.status == QUEUED and run.attempt == row.attempt and not run.kill_requested:
                    runs.append(run)
            yield GAP
            yield from txn.take([("node", node_id)])
            if not self.is_live(node_id, now):
                return 0
            yield from txn.take(serial_locks(run.serial for run in runs))
            for run in runs:
                if run.serial is not None and self.runs.holding.get(run.serial, run) is not run:
                    raise Duplicate(f"serial {run.serial} is held")
            yield GAP
            for run in runs:
                again = 0 if run.take_overs and "attempt_plus_one" in self.without else 1
                self.runs.change(
                    run,
                    "pull",
                    now,
                    status=RUNNING,
                    node_id=node_id,
                    attempt=run.attempt + again,
                    claimed_at=max(now, (run.claimed_at or 0) + 1),
                    serial_held=run.serial,
                    started_at=None,
                )
        finally:
            txn.release()
        return len(runs)

    def start(self, node_id: str, rows: Sequence[Candidate]) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take(run_locks(sorted(row.key for row in rows)))
            matched = [run for row in rows if (run := self.held_by(node_id, row.key, row.attempt))]
            yield GAP
            for run in matched:
                run.started_at = run.started_at or now
        finally:
            txn.release()
        return len(matched)

    def held_by(self, node_id: str, key: RunKey, attempt: int) -> Run | None:
        """The row if that attempt of that node is running."""
        run = self.runs.rows.get(key)
        if run is None or run.status != RUNNING or run.node_id != node_id:
            return None
        return run if run.attempt == attempt else None

    def _may_open(
        self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow], now: Instant
    ) -> list[ClaimRow]:
        """The guards of a claim, all judged by one snapshot."""
        early = fire_at > now and "not_early" not in self.without
        if early or fire_at <= now - CLAIM_REACH or not self.is_live(node_id, now):
            return []
        return [row for row in rows if self._is_due(fire_at, row) and not self._is_open(fire_at, row)]

    def _is_open(self, fire_at: Instant, row: ClaimRow) -> bool:
        if "anti_join" in self.without:
            return False
        return (fire_at, row.schedule_id, row.shard) in self.runs.rows

    def _is_due(self, fire_at: Instant, row: ClaimRow) -> bool:
        version = self.schedules.by_id.get(row.version)
        due = self.schedules.by_id.get(row.due)
        if version is None or due is None or version.schedule_id != row.schedule_id or not version.runs_as:
            return False
        if "version_join" in self.without:
            return True
        if not (self.schedules.current(version) and self.schedules.rows[row.schedule_id]["enabled"]):
            return False
        return due.schedule_id == row.schedule_id and due.enabled and due.valid_from < fire_at

    def _why_not(self, fire_at: Instant, row: ClaimRow, now: Instant, live: bool) -> Answer:
        if fire_at > now:
            return "early"
        if fire_at <= now - CLAIM_REACH:
            return "late"
        schedule = self.schedules.rows.get(row.schedule_id)
        if schedule is None:
            return "deleted"
        if not schedule["enabled"]:
            return "paused"
        version = self.schedules.by_id.get(row.version)
        if version is None or not version.runs_as or not self.schedules.current(version):
            return "stale"
        return "again" if live else "node"

    def _refuse_taken(self, fire_at: Instant, rows: Sequence[ClaimRow]) -> None:
        self._refuse_rows(fire_at, rows)
        for row in rows:
            if row.serial is not None and row.serial in self.runs.holding:
                raise Duplicate(f"serial {row.serial} is held")

    def _refuse_rows(self, fire_at: Instant, rows: Sequence[ClaimRow]) -> None:
        for row in rows:
            if self._is_open(fire_at, row):
                raise Duplicate(f"run {fire_at}, {row.schedule_id}, {row.shard} is there")

    def _claimed(self, node_id: str, fire_at: Instant, row: ClaimRow, now: Instant) -> Run:
        run = _new_run(fire_at, row, RUNNING if row.run else QUEUED)
        run.version = self.schedules.by_id[row.version].runs_as
        run.serial = run.serial_held = row.serial
        if row.run:
            run.node_id, run.attempt, run.claimed_at = node_id, 1, now
        return run

    def _skipped(self, fire_at: Instant, row: ClaimRow, now: Instant) -> Run:
        run = _new_run(fire_at, row, "skipped")
        run.version = self.schedules.by_id[row.version].runs_as
        run.reason_code, run.reason, run.finished_at = "overlap", f"overlap: {row.serial}", now
        return run


def _new_run(fire_at: Instant, row: ClaimRow, status: str) -> Run:
    run = Run(RunKey(fire_at, row.schedule_id, row.shard), status, "trigger", fire_at + row.delay)
    run.queue = row.queue
    run.priority = row.priority
    run.expires_at = fire_at + row.delay + row.grace
    return run


def _opening_locks(fire_at: Instant, rows: Sequence[ClaimRow]) -> list[Key]:
    keys: list[Key] = []
    for row in rows:
        keys.append(("run", RunKey(fire_at, row.schedule_id, row.shard)))
        if row.serial is not None:
            keys.append(("serial", row.serial))
    return keys
