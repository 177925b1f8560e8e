"""Statements on followers, and the rows that the audit and a look at followers open."""

from __future__ import annotations

import json
from collections.abc import Sequence

from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.store.base import (
    BATCH,
    Candidate,
    Edge,
    FireRun,
    FollowLook,
    FollowProblem,
    LastEnd,
    OpenRow,
    UpstreamRun,
)
from leasebeat.testing.simstore.base import run_locks
from leasebeat.testing.simstore.locks import GAP, TRIP, Statement
from leasebeat.testing.simstore.sweeping import SweepStatements
from leasebeat.testing.simstore.tables import QUEUED, Fire, Run


class FollowStatements(SweepStatements):
    """Who follows whom, and what was followed."""

    def follow_look(self) -> FollowLook:
        marked = tuple(self.runs.following.values())[:BATCH]
        return FollowLook(self.schedules.digest, tuple(Candidate(run.key, run.attempt) for run in marked))

    def fire_runs(self, fires: Sequence[Fire]) -> list[FireRun]:
        found = [run for fire in fires for run in self.runs.fires.get(fire, {}).values()]
        return [FireRun(run.key, run.status, run.shards, run.reason_code) for run in found]

    def open_followers(self, node_id: str, rows: Sequence[OpenRow]) -> Statement[int]:
        now, began = self.now(), self.true_now()
        wanted = [row for row in rows if self.is_live(node_id, now) and self.may_be(row)]
        born = [(self.opened(row, "after", now), row.overlap) for row in wanted]
        txn = self.begin()
        try:
            yield GAP
            yield from self.insert_all(txn, "open_followers", born, now, began)
        finally:
            txn.release()
        return len(born)

    def may_be(self, row: OpenRow) -> bool:
        """The guards of a row that is no claim: it is not there, its schedule is what it was judged by."""
        if not self.fits(row.key, row.shards):
            return False
        if row.version is None:
            return row.key.schedule_id not in self.schedules.rows
        version = self.schedules.by_id.get(row.version)
        if version is None or not self.schedules.current(version):
            return False
        return row.status != QUEUED or version.runs_as != 0

    def opened(self, row: OpenRow, origin: str, now: Instant) -> Run:
        """The row as it is inserted."""
        version = self.schedules.by_id.get(row.version or 0) or self.schedules.newest(row.key.schedule_id)
        run = Run(row.key, row.status, origin, now + row.delay)
        run.version = version.runs_as if version else None
        run.queue, run.priority = row.queue, row.priority
        run.lane, run.shards, run.pinned_node_id = row.lane, row.shards, row.pinned_node_id
        run.reason_code, run.reason = row.reason_code, row.reason
        run.until, run.missed_count = row.until, row.missed_count
        run.expires_at = now + row.delay + row.grace
        if row.status == QUEUED:
            verdict = self.verdict(row.key, row.serial, row.overlap, row.status)
            run.status, run.serial, run.serial_held = verdict.status, verdict.serial, verdict.serial_held
            if verdict.status == "skipped":
                run.reason_code, run.reason = "overlap", verdict.reason
        if run.status != QUEUED:
            run.finished_at, run.follow = now, self.mark(row.key.schedule_id)
        return run

    def reopen_followers(self, keys: Sequence[RunKey]) -> Statement[int]:
        now = self.now()
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take(run_locks(sorted(keys)))
            yield GAP
            found = [run for key in keys if (run := self.runs.rows.get(key)) and _was_skipped(run)]
            for run in found:
                self.runs.change(
                    run,
                    "reopen_followers",
                    now,
                    status=QUEUED,
                    version=None,
                    ready_at=now,
                    expires_at=None,
                    finished_at=None,
                    follow=None,
                    reason_code=None,
                    reason=None,
                )
        finally:
            txn.release()
        return len(found)

    def followed(self, ended: Sequence[Candidate]) -> Statement[None]:
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take(run_locks(sorted(looked.key for looked in ended)))
            yield GAP
            for looked in ended:
                run = self.runs.following.get(looked.key)
                if run is not None and run.attempt == looked.attempt:
                    self.runs.alter(run, follow=None)
        finally:
            txn.release()

    def upstream_runs(self, key: RunKey) -> list[UpstreamRun]:
        upstreams = sorted(upstream for upstream, follower in self.edges if follower == key.schedule_id)
        runs = [run for each in upstreams for run in self.runs.fires.get((key.fire_at, each), {}).values()]
        return [
            UpstreamRun(run.key, self._name_of(run), run.shards, run.status, run.exit_code, run.result)
            for run in sorted(runs, key=lambda run: run.key)
        ]

    def _name_of(self, run: Run) -> str:
        return str(json.loads(self.schedules.definitions.get(run.version or 0) or "{}").get("name", ""))

    def link(
        self, node_id: str, term: int, edges: Sequence[Edge], problems: Sequence[FollowProblem]
    ) -> Statement[bool]:
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take([("role", "auditor")])
            if "term" not in self.without and (self.role.holder, self.role.term) != (node_id, term):
                return False
            yield TRIP
            new = [edge for edge in edges if (edge.upstream_id, edge.follower_id) not in self.edges]
            ended = [run.key for edge in new for run in self._ended_since(edge)]
            yield from txn.take(run_locks(sorted(set(ended))))
            yield TRIP
            self.set_edges((edge.upstream_id, edge.follower_id) for edge in edges)
            for key in ended:
                if not (run := self.runs.rows[key]).open:
                    self.runs.alter(run, follow=1)
            self._say(problems)
            return True
        finally:
            txn.release()

    def _ended_since(self, edge: Edge) -> list[Run]:
        runs = self.runs.of_schedule.get(edge.upstream_id, {})
        return [run for key, run in runs.items() if key.fire_at > edge.since and not run.open]

    def _say(self, problems: Sequence[FollowProblem]) -> None:
        """Those given, and those that the newest versions have of themselves."""
        given = {each.schedule_id: each.problem for each in problems}
        for each in list(self.schedules.problems):
            newest = self.schedules.newest(each)
            if each not in given and (newest is None or newest.problem is None):
                del self.schedules.problems[each]
        usable = {each for each in given if (now := self.schedules.newest(each)) and now.problem is None}
        self.schedules.problems.update((each, text) for each, text in given.items() if each in usable)
        self.schedules.cannot_follow = {each.schedule_id: each.version for each in problems}

    def last_ends(self, ids: Sequence[int]) -> list[LastEnd]:
        return [self._last_end(each) for each in sorted(set(ids))]

    def _last_end(self, schedule_id: int) -> LastEnd:
        runs = self.runs.of_schedule.get(schedule_id, {}).values()
        ends = [_end_of(run) for run in runs if not run.open]
        return LastEnd(schedule_id, any(run.open for run in runs), max(ends, default=None))


def _end_of(run: Run) -> Instant:
    ended = run.finished_at or 0
    return max(ended, run.key.fire_at) if run.origin == "after" else ended


def _was_skipped(run: Run) -> bool:
    return run.status == "skipped" and run.reason_code == "upstream"
