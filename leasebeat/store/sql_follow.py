"""Followers: the part of `SqlStore` by which runs hang on others, by schedule or by their own last end."""

from __future__ import annotations

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
    QueueWait,
    UpstreamRun,
)
from leasebeat.store.sql_open import OpenStatements
from leasebeat.store.sql_rows import in_key_order, pack, run_key


class FollowStatements(OpenStatements):
    """Marks on ended runs, rows of followers, and the list of who follows whom."""

    def follow_look(self) -> FollowLook:
        """At most BATCH ended runs whose followers were not looked at, and the digest of the schedules."""
        records = self._session.query("follow_look", limit=BATCH)
        marked = [record for record in records if record["fire_at"] is not None]
        ended = tuple(Candidate(run_key(record), record["attempt"]) for record in marked)
        return FollowLook(records[0]["digest"], ended)

    def fire_runs(self, fires: Sequence[tuple[Instant, int]]) -> list[FireRun]:
        """Every run of these fires (fire_at, schedule_id)."""
        return [
            FireRun(run_key(record), record["status"], record["shards"], record["reason_code"])
            for record in self._query_all("fire_runs", sorted(fires))
        ]

    def open_followers(self, node_id: str, rows: Sequence[OpenRow]) -> int:
        """Insert them (origin after), where the node is live and the version guard holds; how many."""
        return self._open_rows(rows, node_id=node_id, term=None, lag=0, origin="after")

    def reopen_followers(self, keys: Sequence[RunKey]) -> int:
        """Put followers that were skipped for their upstreams back into the queue, undressed; how many."""
        return self._execute_all("reopen_followers", sorted(keys))

    def followed(self, ended: Sequence[Candidate]) -> None:
        """Their followers were looked at. What was retried and has ended again since keeps its mark."""
        self._execute_all("followed", in_key_order((*run.key, run.attempt) for run in ended))

    def upstream_runs(self, key: RunKey) -> list[UpstreamRun]:
        """The runs that a follower's run follows, by schedule and shard."""
        return [
            UpstreamRun(
                run_key(record),
                record["schedule"],
                record["shards"],
                record["status"],
                record["exit_code"],
                record["result"],
            )
            for record in self._session.query(
                "upstream_runs", fire_at=key.fire_at, schedule_id=key.schedule_id
            )
        ]

    def link(self, node_id: str, term: int, edges: Sequence[Edge], problems: Sequence[FollowProblem]) -> bool:
        """Make the store say these edges and problems. False where the term is over.

        New edges are there before what ended without them is marked: an end in between reads them.
        """
        with self._session.transaction():
            if not self._session.query("auditor_term", node_id=node_id, term=term):
                return False
            self._link(edges)
            sent = pack((row.schedule_id, row.version, row.problem) for row in problems)
            self._session.execute("clear_follow_problems", rows=sent)
            self._session.execute("put_follow_problems", rows=sent)
        return True

    def _link(self, edges: Sequence[Edge]) -> None:
        wanted = {(edge.upstream_id, edge.follower_id): edge.since for edge in edges}
        there = {(record["upstream_id"], record["follower_id"]) for record in self._session.query("edges")}
        new = sorted(wanted.keys() - there)
        self._execute_all("remove_edges", sorted(there - wanted.keys()))
        self._execute_all("add_edges", new)
        for upstream_id, follower_id in new:
            since = wanted[upstream_id, follower_id]
            self._session.execute("mark_followed", upstream_id=upstream_id, since=since)

    def queue_waits(self) -> list[QueueWait]:
        """Of each queue that has runs queued, ready and without a serial or a lane to wait for."""
        return [
            QueueWait(record["queue"], record["runs"], record["oldest_at"], bool(record["paused"]))
            for record in self._session.query("queue_waits")
        ]

    def last_ends(self, ids: Sequence[int]) -> list[LastEnd]:
        """For each schedule, also one without runs. Of ends, those of its fifty newest runs are looked at."""
        return [
            LastEnd(record["schedule_id"], bool(record["open"]), record["finished_at"])
            for record in self._query_all("last_ends", sorted(ids))
        ]
