"""The port of the store: what the protocol may ask of MySQL, MariaDB or SQLite.

Every method is ONE autocommitted statement, or one short transaction where its docstring says so
(`protocol` in docs/ has the reasons). That is what the simulation's store splits into snapshot,
commit and reply. No method loops, sleeps or retries, except where a statement's batch is longer
than `BATCH`, which the adapters cut.

Errors, of every method:
    Busy         deadlock, lock wait, key conflict; nothing was applied, send it again
    Unknown      no reply came; it may have been applied, or may be yet: look before acting
    Unavailable  not reached; nothing was applied
After Unknown and Unavailable the adapter throws the connection away; the next call opens a new one.

All instants are microseconds of UTC; "now" is always the store's own clock. Rows are sent in key
order, so that two nodes lock in one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from leasebeat.model.instant import Instant, Micros
from leasebeat.model.node import Member, NodeFacts, NodeState, Vitals
from leasebeat.model.run import RunKey
from leasebeat.model.schedule import RowDict
from leasebeat.store.rows import (
    Answer,
    AuditLook,
    Candidate,
    ClaimAnswer,
    Claimed,
    ClaimRow,
    DressRow,
    Edge,
    FinishRow,
    FireRun,
    FollowLook,
    FollowProblem,
    LastEnd,
    OpenRow,
    Orphan,
    OwnRun,
    Place,
    Poll,
    QueueWait,
    ReclaimRow,
    Role,
    RowVersion,
    ScheduleLook,
    SeenRow,
    SettleRow,
    Undressed,
    UpstreamRun,
    Version,
)

__all__ = [
    "BATCH",
    "CLAIM_REACH",
    "START_FAILED_AWAY",
    "Answer",
    "AuditLook",
    "Candidate",
    "ClaimAnswer",
    "ClaimRow",
    "Claimed",
    "DressRow",
    "Edge",
    "FinishRow",
    "FireRun",
    "FollowLook",
    "FollowProblem",
    "LastEnd",
    "OpenRow",
    "Orphan",
    "OwnRun",
    "Place",
    "Poll",
    "QueueWait",
    "ReclaimRow",
    "Role",
    "RowVersion",
    "ScheduleLook",
    "SeenRow",
    "SettleRow",
    "Store",
    "Undressed",
    "UpstreamRun",
    "Version",
]

BATCH = 500
"""The most rows that one statement carries, unless a single fire has more shards."""

CLAIM_REACH: Micros = 60_000_000
"""Claims reach back this far; older instants belong to the audit."""

START_FAILED_AWAY: Micros = 10_000_000
"""How long a run that could not start on a node is left to the others before that node may pull it again."""

PINNED_AWAY: Micros = 10_000_000
"""How long a queued shard is left to the node that it was dealt to; then any node may pull it."""

MOST_SHARDS = 10_000
"""The most rows of one fire."""


class Store(Protocol):
    """The protocol's half of the store; people's commands use `store.desk`."""

    def installation(self) -> str:
        """The id that `init` gave this installation. Raises NoStore where there is none."""
        ...

    def forget_connection(self) -> None:
        """Close the calling thread's connection; the next call opens another."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...

    # schedules

    def look_at_schedules(self) -> ScheduleLook: ...

    def schedule_rows(self, ids: Sequence[int]) -> list[RowDict]:
        """Whole rows: id, all people's columns, version, updated_at. Ids that are gone are left out."""
        ...

    def see_versions(self, rows: Sequence[SeenRow]) -> int:
        """Record row versions that no node has recorded; those that are not the row any more are left out.

        valid_from = greatest(least(updated_at, now), least(last_read, now), the former valid_from).
        A version with a problem names the newest version without one as `good_id`, 0 if there is none.
        """
        ...

    def vanished(self) -> list[int]:
        """Schedules that have a recorded version, not deleted, and no row any more."""
        ...

    def see_deleted(self, ids: Sequence[int], last_read: Instant) -> int:
        """Record, once, that these are gone: a version, valid from now; `last_read` as in see_versions."""
        ...

    def report_problems(self, ids: Sequence[int]) -> None:
        """Make `schedule_problems` say, for these schedules, what their newest recorded version says.

        One transaction.
        """
        ...

    def calendar_days(self, names: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """The days of these calendars, each an ISO date and its effect, in order; of those that have any."""
        ...

    def touch(self, rows: Sequence[RowVersion]) -> int:
        """Make rows that are as they were read new ones, by their `updated_at`; how many."""
        ...

    def versions(self, ids: Sequence[int]) -> list[Version]:
        """The newest recorded version of each."""
        ...

    def history(self, after: Instant, ids: Sequence[int] | None = None) -> list[Version]:
        """By (schedule_id, valid_from, id): every version with valid_from >= `after`, and of each schedule
        that has one, the one in force at `after` too. `ids` narrows it to those schedules, and then tells
        the one in force at `after` even where no newer one exists.
        """
        ...

    def definitions(self, versions: Sequence[int]) -> dict[int, str]:
        """The JSON definitions that these schedule_history rows hold themselves, by id."""
        ...

    def definition(self, version: int) -> str | None:
        """The JSON definition of a schedule_history row; None if there is no such row."""
        ...

    # looking around

    def poll(self, node_id: str, queues: Sequence[str]) -> Poll: ...

    def mine(self, node_id: str, settle: Micros) -> list[OwnRun]:
        """Rows `running` on the node; `settled` = claimed more than `settle` ago."""
        ...

    # opening

    def claim(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> Claimed:
        """Insert the rows (of one shard each) that may exist as open runs: not there yet, serial not wanted
        by an open run, version current, enabled, due, node live with a beat younger than its lease,
        fire_at <= now within CLAIM_REACH. A row with a lane or a delay, or pinned to another node, is
        born queued whatever `run` says.
        """
        ...

    def claim_rest(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> int:
        """Under the same guards, but whatever their serials, insert those that have no row yet: how many.

        Where an open run wants the serial: as OpenRow says (the run in the way in the reason). Rows of
        several shards are inserted only where their fire has no row for shard 0: whole or not at all.
        One transaction.
        """
        ...

    def claim_answer(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> list[ClaimAnswer]: ...

    def pull_look(self, node_id: str, queue: str, limit: int, late: bool = True) -> list[Candidate]:
        """Plain read, best first: queued, ready, dressed, not to be killed, not expired, serial free or held
        by itself, its lane not full, schedule not paused (retries and manual runs go on), queue not
        paused, not one that could not start here less than START_FAILED_AWAY ago; and not another
        node's: of `route = node:NAME`, or pinned (shards only for PINNED_AWAY, and before an attempt).
        Without `late` none of a catch-up either.
        """
        ...

    def lane_room(self, lanes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The free slots of each, `LANE:k` for k from 0 to its size less 1; a lane that was made smaller has
        none until enough of its runs have ended.
        """
        ...

    def pull(self, node_id: str, rows: Sequence[Candidate], limit: int) -> int:
        """Make at most `limit` of them running here, attempt + 1, fence above the former one, in their
        `lane_slot`; what others have locked is passed over. How many; `mine` tells which. Raises
        Duplicate, and takes none, where a lane slot or a serial is held by now.
        """
        ...

    def start(self, node_id: str, rows: Sequence[Candidate]) -> int:
        """Write started_at before the process begins (schedules with on_node_loss fail or finish).

        How many matched.
        """
        ...

    # ending

    def finish(self, node_id: str, rows: Sequence[FinishRow]) -> int:
        """Record ends where node and attempt still match; how many did.

        One transaction: `outputs`, `attempts`, `runs`.
        """
        ...

    def finish_answer(self, node_id: str, rows: Sequence[Candidate]) -> list[bool]:
        """For each, in order: recorded (True) or superseded (False). Also right after a lost reply."""
        ...

    def note_superseded(self, node_id: str, rows: Sequence[FinishRow]) -> None:
        """Keep late outcomes in `attempts` as `superseded`."""
        ...

    def settle(self, rows: Sequence[SettleRow]) -> int:
        """End queued runs that never started."""
        ...

    def queue_waits(self) -> list[QueueWait]:
        """Of each queue that has runs queued, ready and without a serial or a lane to wait for."""
        ...

    # followers

    def follow_look(self) -> FollowLook: ...

    def fire_runs(self, fires: Sequence[tuple[Instant, int]]) -> list[FireRun]:
        """Every run of these fires (fire_at, schedule_id)."""
        ...

    def open_followers(self, node_id: str, rows: Sequence[OpenRow]) -> int:
        """Insert them (origin after), where the node is live and the version guard holds; how many.

        Whatever their instants: what they follow may have ended before its own. One transaction.
        """
        ...

    def reopen_followers(self, keys: Sequence[RunKey]) -> int:
        """Put followers that were skipped for their upstreams back into the queue: those were retried.

        Only rows that say `skipped`, reason_code upstream. They go back undressed (version NULL, no
        serial, no deadline, ready now): the sweep dresses them, all their shards.
        """
        ...

    def followed(self, ended: Sequence[Candidate]) -> None:
        """Their followers were looked at. What was retried and has ended again since keeps its mark."""
        ...

    def upstream_runs(self, key: RunKey) -> list[UpstreamRun]:
        """The runs that a follower's run follows, by schedule and shard."""
        ...

    def link(self, node_id: str, term: int, edges: Sequence[Edge], problems: Sequence[FollowProblem]) -> bool:
        """Make `schedule_after` say these edges and `schedule_problems` these problems beside the versions'
        own, which stay. False where the term is over. Ended runs of a new edge's upstream, fired after
        its `since`, are marked to be followed. One transaction.
        """
        ...

    def last_ends(self, ids: Sequence[int]) -> list[LastEnd]:
        """For each schedule, also one without runs; of ends, those of its fifty newest runs."""
        ...

    # nodes

    def join(self, facts: NodeFacts) -> None:
        """Insert the node's row, with its first beat. Raises Duplicate while a present node has its name."""
        ...

    def beat(self, node_id: str, vitals: Vitals) -> bool:
        """False = no such present node: purged."""
        ...

    def set_state(self, node_id: str, state: NodeState) -> bool:
        """Change the state of a present node (cordoned, draining, live); `left` ends it.

        False if it is not present.
        """
        ...

    def node_named(self, name: str) -> tuple[Member, NodeFacts] | None:
        """The present node of that name."""
        ...

    def purge(self, node_id: str, beat_seq: int, watched: bool = True) -> bool:
        """Flip to `purged` if its beat counter is still `beat_seq`, and (unless `watched` is False: a
        predecessor known to be dead) its beat is older than its lease.
        """
        ...

    def orphans(self, thorough: bool) -> list[Orphan]:
        """At most BATCH runs of nodes that are purged or left; `thorough`: also of nodes that have no row at
        all.
        """
        ...

    def reclaim(self, rows: Sequence[ReclaimRow]) -> int:
        """Take back or close orphans where node and attempt still match.

        The row says node_lost even where a kill was asked for (then its status is `killed`): by that
        `finish_answer` knows a late outcome as superseded. One transaction: `attempts`, `runs`.
        """
        ...

    def undressed(self) -> list[Undressed]:
        """At most BATCH queued rows without a version that are ready: dressed, they hold their serial."""
        ...

    def fan_out(self, key: RunKey, places: Sequence[Place]) -> int:
        """Insert the missing rows of the other shards of a row put in by hand (shard 0, not dressed)."""
        ...

    def holder(self, serial: str) -> RunKey | None:
        """The run that holds it."""
        ...

    def dress(self, rows: Sequence[DressRow]) -> int:
        """Raises Duplicate when a serial is held by another run: then dress one by one."""
        ...

    def close_killed(self) -> int:
        """End queued runs with kill_requested as killed; those replaced before they began as skipped."""
        ...

    def close_pinned(self) -> int:
        """End queued runs of `route = all` whose node is gone: missed, or lost where they had begun."""
        ...

    def close_deleted(self) -> int:
        """End queued runs of schedules that are gone as killed."""
        ...

    def expire(self) -> int:
        """End queued runs that never started and whose expires_at is over as missed."""
        ...

    # audit

    def lead(self, node_id: str, lease: Micros) -> bool:
        """Take the auditor's role if it is free or its lease over: term + 1."""
        ...

    def audit_look(self, node_id: str) -> AuditLook: ...

    def missing(self, keys: Sequence[RunKey]) -> list[RunKey]:
        """Those without a row. Any number of keys."""
        ...

    def catch_up_until(self) -> Instant:
        """The latest ready_at of queued runs that the audit opened; 0 if there are none."""
        ...

    def open_missing(self, node_id: str, term: int, rows: Sequence[OpenRow], lag: Micros) -> int:
        """Insert them (origin audit), where the term is still the node's, the version guard holds and
        fire_at <= now - lag. At most one row per serial in one call. One transaction.
        """
        ...

    def move_watermark(
        self, node_id: str, term: int, old: Instant | None, cut: Instant, lease: Micros, lag: Micros
    ) -> bool:
        """Move it from `old` to `cut`, under the same term, if cut <= now - lag; renews the role's lease."""
        ...

    # retention

    def remove_runs(self, status: str, before: Instant, limit: int) -> int:
        """Delete ended runs older than `before`, in key order; never above the watermark, or younger than a
        day.
        """
        ...

    def remove_outputs(self, before: Instant, succeeded: bool, limit: int) -> int: ...

    def remove_attempts(self, before: Instant, limit: int) -> int: ...

    def remove_nodes(self, before: Instant, limit: int) -> int:
        """Delete rows of nodes purged or left before that, which no open run names."""
        ...

    def count_runs(self) -> int:
        """About how many rows `runs` has (the server's own estimate will do)."""
        ...

    def remove_oldest_successes(self, limit: int) -> int: ...
