"""Statements of the auditor and of retention."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.model.instant import DAY, Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.store.base import AuditLook, OpenRow
from leasebeat.testing.simstore.base import Base, WatermarkMove
from leasebeat.testing.simstore.following import FollowStatements
from leasebeat.testing.simstore.locks import GAP, Statement
from leasebeat.testing.simstore.tables import PRESENT_STATES


class AuditStatements(FollowStatements):
    """The auditor's role, its look at what is missing, and its watermark."""

    def lead(self, node_id: str, lease: Micros) -> Statement[bool]:
        now = self.now()
        role, txn = self.role, self.begin()
        try:
            yield from txn.take([("role", "auditor")])
            if role.expires_at is not None and role.expires_at >= now:
                return False
            yield GAP
            role.holder, role.expires_at = node_id, now + lease
            role.term += 1
            return True
        finally:
            txn.release()

    def audit_look(self, node_id: str) -> AuditLook:
        now, role = self.now(), self.role
        if role.holder != node_id or role.expires_at is None or role.expires_at < now:
            return AuditLook(now, None, None, self.schedules.digest)
        return AuditLook(now, role.term, role.watermark, self.schedules.digest)

    def move_watermark(
        self, node_id: str, term: int, old: Instant | None, cut: Instant, lease: Micros, lag: Micros
    ) -> Statement[bool]:
        now = self.now()
        role, txn = self.role, self.begin()
        try:
            yield from txn.take([("role", "auditor")])
            leads = "term" in self.without or (role.holder, role.term, role.watermark) == (node_id, term, old)
            if not leads or cut > now - lag:
                return False
            yield GAP
            self.journal.append(
                WatermarkMove(self.true_now(), now, node_id, term, role.term, role.watermark, cut)
            )
            role.watermark, role.expires_at = cut, now + lease
            return True
        finally:
            txn.release()

    def missing(self, keys: Sequence[RunKey]) -> list[RunKey]:
        rows = self.runs.rows
        return [key for key in keys if key not in rows]

    def open_missing(self, node_id: str, term: int, rows: Sequence[OpenRow], lag: Micros) -> Statement[int]:
        now, began = self.now(), self.true_now()
        wanted = [row for row in rows if self._may_audit(node_id, term, row, now - lag)]
        born = [(self.opened(row, "audit", now), row.overlap) for row in wanted]
        txn = self.begin()
        try:
            yield GAP
            yield from self.insert_all(txn, "open_missing", born, now, began)
        finally:
            txn.release()
        return len(born)

    def catch_up_until(self) -> Instant:
        return max((run.ready_at for run in self.runs.queued.values() if run.origin == "audit"), default=0)

    def _may_audit(self, node_id: str, term: int, row: OpenRow, latest: Instant) -> bool:
        if "term" not in self.without and (self.role.holder, self.role.term) != (node_id, term):
            return False
        return row.key.fire_at <= latest and self.may_be(row)


class RetentionStatements(Base):
    """Bounded deletes of what is old."""

    def remove_runs(self, status: str, before: Instant, limit: int) -> Statement[int]:
        yield GAP
        edge = min(before, self.role.watermark or 0, self.now() - DAY)
        old = sorted(
            key
            for key, run in self.runs.rows.items()
            if run.status == status and key.fire_at < edge and run.follow is None
        )
        for key in old[:limit]:
            self.runs.delete(self.runs.rows[key])
        return len(old[:limit])

    def remove_outputs(self, before: Instant, succeeded: bool, limit: int) -> Statement[int]:
        yield GAP
        old = [
            (key, attempt)
            for key, attempt in self.outputs
            if key.fire_at < before and self._succeeded(key) is succeeded
        ]
        for each in sorted(old)[:limit]:
            del self.outputs[each]
        return len(old[:limit])

    def remove_attempts(self, before: Instant, limit: int) -> Statement[int]:
        yield GAP
        old = sorted((key, attempt) for key, attempt in self.attempts if key.fire_at < before)
        for each in old[:limit]:
            del self.attempts[each]
        return len(old[:limit])

    def remove_nodes(self, before: Instant, limit: int) -> Statement[int]:
        yield GAP
        open_runs = [
            *self.runs.queued.values(),
            *(r for held in self.runs.running.values() for r in held.values()),
        ]
        named = {name for run in open_runs for name in (run.node_id, run.pinned_node_id)}
        old = [
            node.id
            for node in self.nodes.values()
            if node.state not in PRESENT_STATES and node.beat_at < before and node.id not in named
        ]
        for each in old[:limit]:
            del self.nodes[each]
        return len(old[:limit])

    def count_runs(self) -> int:
        return len(self.runs.rows)

    def remove_oldest_successes(self, limit: int) -> Statement[int]:
        yield GAP
        edge = min(self.role.watermark or 0, self.now() - DAY)
        old = sorted(
            key
            for key, run in self.runs.rows.items()
            if run.status == "succeeded" and key.fire_at < edge and run.follow is None
        )
        for key in old[:limit]:
            self.runs.delete(self.runs.rows[key])
        return len(old[:limit])

    def _succeeded(self, key: RunKey) -> bool:
        run = self.runs.rows.get(key)
        return run is not None and run.status == "succeeded"
