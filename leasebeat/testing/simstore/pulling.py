"""Statements that take queued runs: pull_look, pull, start; and what a node has."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.errors import Duplicate
from leasebeat.model.instant import Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.store.base import CLAIM_REACH, PINNED_AWAY, START_FAILED_AWAY, Candidate, OwnRun
from leasebeat.testing.simstore.base import run_locks, serial_locks, slot_locks
from leasebeat.testing.simstore.locks import GAP, Statement
from leasebeat.testing.simstore.opening import OpeningStatements
from leasebeat.testing.simstore.tables import QUEUED, RUNNING, Run


class PullingStatements(OpeningStatements):
    """Rows become work."""

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
                kill_requested=bool(run.kill_requested),
                settled=(run.claimed_at or 0) < settled,
                shards=run.shards,
            )
            for run in runs.values()
        ]

    def pull_look(self, node_id: str, queue: str, limit: int, late: bool = True) -> list[Candidate]:
        now = self.now()
        if queue in self.paused_queues and "paused queue" not in self.without:
            return []
        found = [
            run
            for run in self.runs.queued.values()
            if run.queue == queue and run.ready_at <= now and self.may_pull(node_id, run, now)
            if late or not self._is_late(run)
        ]
        found.sort(key=lambda run: (-run.priority, run.ready_at, run.key))
        return [
            Candidate(run.key, run.attempt, run.priority, run.lane, self._is_late(run))
            for run in found[:limit]
        ]

    def _is_late(self, run: Run) -> bool:
        return run.origin == "audit" and run.ready_at >= run.key.fire_at + CLAIM_REACH

    def may_pull(self, node_id: str, run: Run, now: Instant) -> bool:
        """Whether a queued run that is ready may be pulled by that node."""
        if run.version is None or run.kill_requested:
            return False
        if run.attempt == 0 and run.expires_at is not None and run.expires_at <= now:
            return False
        schedule = self.schedules.rows.get(run.key.schedule_id)
        if schedule is None or not (run.attempt > 0 or run.origin == "manual" or schedule["enabled"]):
            return False
        failed_here = run.reason_code == "start_failed" and run.node_id == node_id
        if failed_here and run.ready_at > now - START_FAILED_AWAY:
            return False
        if not self._is_for(node_id, run, str(schedule["route"]), now):
            return False
        return self._serial_is_free(run) and (run.lane is None or self._lane_has_room(run.lane))

    def _is_for(self, node_id: str, run: Run, route: str, now: Instant) -> bool:
        """Whether neither its route nor its pin keep a run from that node."""
        if route.startswith("node:") and "route node" not in self.without:
            node = self.nodes.get(node_id)
            if node is None or route != f"node:{node.name}":
                return False
        if run.pinned_node_id in (None, node_id) or "pin" in self.without:
            return True
        return route != "all" and (run.attempt > 0 or run.ready_at <= now - PINNED_AWAY)

    def _serial_is_free(self, run: Run) -> bool:
        """Held by itself; or by nobody, and no older run waits for it."""
        if run.serial is None or run.serial_held == run.serial:
            return True
        if run.serial in self.runs.holding:
            return False
        return all(each.fire_at >= run.key.fire_at for each in self.runs.wanting[run.serial])

    def _lane_has_room(self, lane: str) -> bool:
        held = self.runs.in_lanes.get(lane, {})
        return len(held) < self.lane_sizes.get(lane, 1) or "lane" in self.without

    def lane_room(self, lanes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        room: dict[str, tuple[str, ...]] = {}
        for lane in sorted(set(lanes)):
            slots = [f"{lane}:{k}" for k in range(self.lane_sizes.get(lane, 1))]
            held = self.runs.in_lanes.get(lane, {})
            free = [slot for slot in slots if slot not in held]
            room[lane] = tuple(free[: max(0, len(slots) - len(held))])
        return room

    def pull(self, node_id: str, rows: Sequence[Candidate], limit: int) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        try:
            runs: list[Run] = []
            slots = {row.key: row.lane_slot for row in rows}
            for row in rows:
                run = self.runs.rows.get(row.key)
                if run is None or len(runs) >= limit or not txn.try_take(("run", row.key)):
                    continue  # locked by another statement: passed over, never waited for
                fits = run.lane is None or row.lane_slot is not None or "lane" in self.without
                if run.status == QUEUED and run.attempt == row.attempt and not run.kill_requested and fits:
                    runs.append(run)
            yield GAP
            yield from txn.take([("node", node_id)])
            if not self.is_live(node_id, now):
                return 0
            yield from txn.take(serial_locks(run.serial for run in runs))
            yield from txn.take(slot_locks(slots[run.key] for run in runs))
            for run in runs:
                self._refuse_held(run, slots[run.key])
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
                    lane_slot=slots[run.key],
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

    def _refuse_held(self, run: Run, lane_slot: str | None) -> None:
        if run.serial is not None and self.runs.holding.get(run.serial, run) is not run:
            raise Duplicate(f"serial {run.serial} is held")
        if lane_slot is not None and lane_slot in self.runs.in_lanes.get(run.lane or "", {}):
            raise Duplicate(f"lane slot {lane_slot} is held")

    def held_by(self, node_id: str, key: RunKey, attempt: int) -> Run | None:
        """The row if that attempt of that node is running."""
        run = self.runs.rows.get(key)
        if run is None or run.status != RUNNING or run.node_id != node_id:
            return None
        return run if run.attempt == attempt else None
