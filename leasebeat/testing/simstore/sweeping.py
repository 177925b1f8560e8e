"""Statements on queued runs that nobody owns: dressing, closing, expiring."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leasebeat.errors import Duplicate
from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.store.base import BATCH, DressRow, Place, QueueWait, Undressed
from leasebeat.testing.simstore.base import run_locks, serial_locks
from leasebeat.testing.simstore.ending import EndingStatements
from leasebeat.testing.simstore.locks import GAP, Statement
from leasebeat.testing.simstore.serials import REPLACED
from leasebeat.testing.simstore.tables import QUEUED, Run

Close = Callable[[Run], tuple[str, str, str] | None]
"""The status, reason code and reason with which a queued run ends; None where it does not."""


class SweepStatements(EndingStatements):
    """What a sweep does."""

    def undressed(self) -> list[Undressed]:
        now = self.now()
        return [Undressed(run.key) for run in self.runs.queued.values() if _wants_dress(run, now)][:BATCH]

    def fan_out(self, key: RunKey, places: Sequence[Place]) -> Statement[int]:
        now, began = self.now(), self.true_now()
        first = self.runs.rows.get(key)
        missing = [place for place in places if key._replace(shard=place.shard) not in self.runs.rows]
        if first is None or first.status != QUEUED or first.version is not None:
            missing = []
        txn = self.begin()
        try:
            yield GAP
            keys = [key._replace(shard=place.shard) for place in missing]
            yield from txn.take(run_locks(keys))
            if any(each in self.runs.rows for each in keys):
                raise Duplicate(f"another node has fanned {key} out")
            yield GAP
            for each in keys:
                assert first is not None
                self.runs.insert(_copy(first, each), "fan_out", now, began)
        finally:
            txn.release()
        return len(missing)

    def dress(self, rows: Sequence[DressRow]) -> Statement[int]:
        txn = self.begin()
        dressed = 0
        try:
            yield GAP
            yield from txn.take(run_locks(sorted(row.key for row in rows)))
            rows = [row for row in rows if self._is_bare(row.key)]
            held = [row.serial for row in rows if row.serial is not None and not row.waits]
            yield from txn.take(serial_locks(held))
            for serial in held:
                if serial in self.runs.holding:
                    raise Duplicate(f"serial {serial} is held")
            yield GAP
            for row in rows:
                self._dressed(row)
                dressed += 1
        finally:
            txn.release()
        return dressed

    def holder(self, serial: str) -> RunKey | None:
        run = self.runs.holding.get(serial)
        return None if run is None else run.key

    def queue_waits(self) -> list[QueueWait]:
        now = self.now()
        waits: dict[str, list[Instant]] = {}
        for run in self.runs.queued.values():
            if run.ready_at <= now and run.lane is None and run.serial in (None, run.serial_held):
                waits.setdefault(run.queue, []).append(run.ready_at)
        paused = self.paused_queues
        return [
            QueueWait(queue, len(found), min(found), queue in paused)
            for queue, found in sorted(waits.items())
        ]

    def close_killed(self) -> Statement[int]:
        return self._sweep("close_killed", _killed)

    def close_deleted(self) -> Statement[int]:
        gone = "killed", "schedule_deleted", "its schedule was deleted"
        return self._sweep("close_deleted", lambda run: gone if self._is_deleted(run) else None)

    def close_pinned(self) -> Statement[int]:
        return self._sweep("close_pinned", self._without_its_node)

    def expire(self) -> Statement[int]:
        now = self.now()
        over = "missed", "no_slot", "no node with a free slot took it in time"
        return (yield from self._sweep("expire", lambda run: over if self.is_over(run, now) else None))

    def is_over(self, run: Run, now: Instant) -> bool:
        """Never started, and its grace is over."""
        return run.attempt == 0 and run.expires_at is not None and run.expires_at < now

    def wants_sweep(self, run: Run, now: Instant) -> bool:
        """Whether a queued row is waiting for one of the sweeps."""
        if _wants_dress(run, now) or run.kill_requested or self.is_over(run, now) or self._is_deleted(run):
            return True
        return run.pinned_node_id is not None and self._without_its_node(run) is not None

    def _is_bare(self, key: RunKey) -> bool:
        run = self.runs.rows.get(key)
        return run is not None and run.status == QUEUED and run.version is None

    def _is_deleted(self, run: Run) -> bool:
        return run.key.schedule_id not in self.schedules.rows

    def _without_its_node(self, run: Run) -> tuple[str, str, str] | None:
        schedule = self.schedules.rows.get(run.key.schedule_id)
        if run.pinned_node_id is None or schedule is None or schedule["route"] != "all":
            return None
        if run.version is None or run.pinned_node_id in self.present:
            return None
        if run.attempt:
            return "lost", "node_lost", "its node is gone"
        return "missed", "no_node", "its node was gone before it began"

    def _sweep(self, statement: str, verdict: Close) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        done = 0
        try:
            runs = [run for run in self.runs.queued.values() if verdict(run)][:BATCH]
            yield GAP
            yield from txn.take(run_locks(sorted(run.key for run in runs)))
            yield GAP
            for run in runs:
                told = verdict(run) if run.status == QUEUED else None
                if told is not None:
                    self.close_run(run, statement, now, *told)
                    done += 1
        finally:
            txn.release()
        return done

    def _dressed(self, row: DressRow) -> None:
        self.runs.alter(
            self.runs.rows[row.key],
            version=row.version,
            queue=row.queue,
            priority=row.priority,
            serial=row.serial,
            serial_held=None if row.waits else row.serial,
            lane=row.lane,
            shards=row.shards,
            pinned_node_id=row.pinned_node_id,
        )


def _killed(run: Run) -> tuple[str, str, str] | None:
    if run.kill_requested == REPLACED:
        status = "killed" if run.attempt else "skipped"
        return status, "replaced", f"replaced by {run.requested_by}"
    return ("killed", "kill_requested", "killed while it was queued") if run.kill_requested else None


def _copy(first: Run, key: RunKey) -> Run:
    run = Run(key, QUEUED, first.origin, first.ready_at)
    run.args, run.requested_by = first.args, first.requested_by
    run.priority, run.queue = first.priority, first.queue
    return run


def _wants_dress(run: Run, now: Instant) -> bool:
    return run.version is None and run.ready_at <= now
