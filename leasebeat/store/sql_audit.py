"""Audit and retention: the part of `SqlStore` that looks back."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.model.instant import Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.store.base import AuditLook, OpenRow
from leasebeat.store.sql_open import OpenStatements
from leasebeat.store.sql_rows import pack, run_key


class AuditStatements(OpenStatements):
    """The row `auditor` of `roles`, runs that are missing, and rows that have had their time."""

    def lead(self, node_id: str, lease: Micros) -> bool:
        """Take the auditor's role if it is free or its lease over: term + 1."""
        if self._session.execute("lead", node_id=node_id, lease=lease) == 1:
            return True
        # `init` made the row; if somebody removed it, nobody would ever lead.
        self._session.execute("restore_auditor")
        return False

    def audit_look(self, node_id: str) -> AuditLook:
        """What the auditor's tick begins with."""
        (record,) = self._session.query("audit_look", node_id=node_id)
        return AuditLook(record["now"], record["term"], record["watermark"], record["digest"])

    def missing(self, keys: Sequence[RunKey]) -> list[RunKey]:
        """Those without a row."""
        return [run_key(record) for record in self._query_all("missing", keys)]

    def open_missing(self, node_id: str, term: int, rows: Sequence[OpenRow], lag: Micros) -> int:
        """Insert them under the auditor's guards; how many."""
        return self._open_rows(rows, node_id=node_id, term=term, lag=lag, origin="audit")

    def catch_up_until(self) -> Instant:
        """The latest ready_at of queued runs that the audit opened; 0 if there are none."""
        (record,) = self._session.query("catch_up_until")
        return record["ready_at"] or 0

    def move_watermark(
        self, node_id: str, term: int, old: Instant | None, cut: Instant, lease: Micros, lag: Micros
    ) -> bool:
        """Move it from `old` to `cut` and renew the lease, under the same term, if cut <= now - lag."""
        moved = self._session.execute(
            "move_watermark", node_id=node_id, term=term, old=old, cut=cut, lease=lease, lag=lag
        )
        return moved == 1

    # retention

    def _bound(self, before: Instant) -> Instant:
        """`before`, but never above the watermark or younger than a day; read apart, for it only grows."""
        (record,) = self._session.query("retention_bound")
        return min(before, record["bound_at"])

    def remove_runs(self, status: str, before: Instant, limit: int) -> int:
        """Delete ended runs older than `before`, in key order; how many."""
        return self._session.execute("remove_runs", status=status, before=self._bound(before), limit=limit)

    def remove_oldest_successes(self, limit: int) -> int:
        """Delete the oldest succeeded runs that may be deleted at all; how many."""
        (record,) = self._session.query("retention_bound")
        return self._session.execute(
            "remove_runs", status="succeeded", before=record["bound_at"], limit=limit
        )

    def remove_outputs(self, before: Instant, succeeded: bool, limit: int) -> int:
        """Delete kept outputs of fires before `before`; how many."""
        return self._session.execute("remove_outputs", before=before, succeeded=int(succeeded), limit=limit)

    def remove_attempts(self, before: Instant, limit: int) -> int:
        """Delete rows of `attempts` of fires before `before`; how many."""
        return self._session.execute("remove_attempts", before=before, limit=limit)

    def remove_nodes(self, before: Instant, limit: int) -> int:
        """Delete rows of nodes that are gone since `before`, and which no open run names; how many."""
        gone = [record["id"] for record in self._session.query("removable_nodes", before=before, limit=limit)]
        return self._session.execute("remove_nodes", rows=pack(gone)) if gone else 0

    def count_runs(self) -> int:
        """About how many rows `runs` has."""
        (record,) = self._session.query("count_runs")
        return record["count"] or 0
