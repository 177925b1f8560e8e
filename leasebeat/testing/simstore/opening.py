"""Statements that open the fires of an instant: claim, claim_rest, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.errors import Duplicate
from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.store.base import CLAIM_REACH, Answer, ClaimAnswer, Claimed, ClaimRow
from leasebeat.testing.simstore.locks import GAP, Key, Statement
from leasebeat.testing.simstore.serials import SerialStatements
from leasebeat.testing.simstore.tables import QUEUED, RUNNING, Run


class OpeningStatements(SerialStatements):
    """Fires become rows."""

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
        born = [
            (self._born(node_id, fire_at, row, now), row.overlap)
            for row in self._may_open(node_id, fire_at, rows, now)
            if self.fits(RunKey(fire_at, row.schedule_id, row.shard), row.shards)
        ]
        txn = self.begin()
        try:
            yield GAP
            yield from self.insert_all(txn, "claim_rest", born, now, began)
        finally:
            txn.release()
        return len(born)

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
                opened = not self.fits(RunKey(fire_at, row.schedule_id, row.shard), row.shards)
                answer = "other" if opened else self._why_not(fire_at, row, now, live)
                wait = fire_at - now if answer == "early" else 0
                answers.append(ClaimAnswer(row.schedule_id, row.shard, answer, wait=wait))
        return answers

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
        key = RunKey(fire_at, row.schedule_id, row.shard)
        run = Run(key, _status(node_id, row), "trigger", fire_at + row.delay)
        run.version = self.schedules.by_id[row.version].runs_as
        run.queue, run.priority = row.queue, row.priority
        run.lane, run.shards, run.pinned_node_id = row.lane, row.shards, row.pinned_node_id
        run.expires_at = fire_at + row.delay + row.grace
        run.serial = run.serial_held = row.serial
        if run.status == RUNNING:
            run.node_id, run.attempt, run.claimed_at = node_id, 1, now
        return run

    def _born(self, node_id: str, fire_at: Instant, row: ClaimRow, now: Instant) -> Run:
        """The row as `claim` makes it, but for what stands in its way."""
        key = RunKey(fire_at, row.schedule_id, row.shard)
        verdict = self.verdict(key, row.serial, row.overlap, _status(node_id, row))
        run = self._claimed(node_id, fire_at, row, now)
        run.status, run.reason = verdict.status, verdict.reason
        run.serial, run.serial_held = verdict.serial, verdict.serial_held
        if run.status != RUNNING:
            run.node_id, run.attempt, run.claimed_at = None, 0, None
        if run.status == "skipped":
            run.reason_code, run.finished_at, run.expires_at = "overlap", now, None
            run.follow = self.mark(row.schedule_id)
        return run


def _status(node_id: str, row: ClaimRow) -> str:
    here = row.lane is None and row.delay == 0 and row.pinned_node_id in (None, node_id)
    return RUNNING if row.run and here else QUEUED


def _opening_locks(fire_at: Instant, rows: Sequence[ClaimRow]) -> list[Key]:
    keys: list[Key] = []
    for row in rows:
        keys.append(("run", RunKey(fire_at, row.schedule_id, row.shard)))
        if row.serial is not None:
            keys.append(("serial", row.serial))
    return keys
