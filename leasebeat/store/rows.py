"""The rows that go to and come from the store, each a small frozen dataclass.

All instants are microseconds of UTC by the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from leasebeat.model.instant import Instant, Micros
from leasebeat.model.node import Member
from leasebeat.model.run import RunKey

# --- schedules and their versions ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowVersion:
    """A schedule's row as it stands: enough to see that it changed."""

    schedule_id: int
    version: str
    updated_at: Instant


@dataclass(frozen=True, slots=True)
class ScheduleLook:
    """All rows of `schedules`, and the store's time at which they were read."""

    now: Instant
    digest: str
    rows: tuple[RowVersion, ...]


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A row version that a node has read, with its verdict. `definition` is JSON of the people's columns."""

    schedule_id: int
    version: str
    updated_at: Instant
    definition: str
    problem: str | None
    last_read: Instant  #: store time of this node's last look that still showed the row before it; 0 = none
    diff: str | None = None  #: JSON object: each column that it changed, as [before, after]; None: the first


@dataclass(frozen=True, slots=True)
class Version:
    """A row of `schedule_history`: one version of a schedule that some node has seen.

    It is in force for the instants f with valid_from < f <= the next version's valid_from.
    `good_id` is the version that runs while this one is the row: None = itself, 0 = none at all.
    `definition` is that of the version that runs; `ends_at` is the row's own, which holds even when the
    rest of the row is unusable, as `enabled` does.
    """

    id: int
    schedule_id: int
    version: str
    updated_at: Instant
    valid_from: Instant
    enabled: bool
    deleted: bool
    problem: str | None
    good_id: int | None
    definition: str | None
    ends_at: Instant | None

    @property
    def runs_as(self) -> int:
        """The id of the version whose definition runs; 0 = none."""
        return self.id if self.good_id is None else self.good_id


# --- looking around -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Role:
    """The auditor's row."""

    holder: str | None
    term: int
    expired: bool
    watermark: Instant | None


@dataclass(frozen=True, slots=True)
class Poll:
    """What a node learns with its one statement a second."""

    now: Instant
    digest: str  #: changes whenever any row of `schedules` does, however it was edited
    members: tuple[Member, ...]  #: every row of `nodes` that is live, cordoned or draining
    running: int  #: rows `running` on this node
    kills: bool  #: one of them has kill_requested
    ready: bool  #: a queued run of this node's queues may be pulled now
    orphans: bool  #: rows `running` on a node that is purged or has left
    sweep: bool  #: queued rows that want `undressed`, a `close_...` or `expire`
    auditor: Role | None
    follow: bool = False  #: ended runs whose followers were not looked at yet
    paused: frozenset[str] = frozenset()  #: the queues of which nothing may start
    coordinator: str = "store"  #: the fleet's: a node that has another leaves


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A row that says it is `running` on the node that asks."""

    key: RunKey
    attempt: int
    claimed_at: Instant  #: the fence
    started_at: Instant | None
    version: int  #: the schedule_history id whose definition runs
    args: str | None  #: JSON overrides of this run
    failures: int
    take_overs: int
    reason_code: str | None  #: why the attempt before it ended, `start_failed` for one
    kill_requested: bool
    settled: bool  #: claimed longer ago than any statement can still be under way
    shards: int = 1  #: how many runs its fire has


# --- opening ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A fire that a node wants to open.

    All rows of a claim are of one instant, in (schedule_id, shard) order. A fire of several shards is
    sent whole: all of its rows, or none.
    """

    schedule_id: int
    shard: int
    version: int  #: schedule_history id that must be the row as it stands (version AND updated_at)
    due: int  #: schedule_history id in force at the instant: it must be older than it, and enabled
    run: bool  #: born running on this node (it has a free slot), else queued for any
    queue: str
    priority: int
    delay: Micros  #: ready_at = fire_at + delay
    grace: Micros  #: expires_at = ready_at + grace
    serial: str | None  #: what must be held while the run is open; at most one row per serial in a claim
    overlap: str
    lane: str | None = None  #: a run in a lane is always born queued: slots of lanes are taken by the pull
    shards: int = 1  #: how many rows this fire has
    pinned_node_id: str | None = None  #: route all: the only node that may run it; shards: who should


@dataclass(frozen=True, slots=True)
class Claimed:
    """How many rows a claim inserted, and the fence they all carry."""

    count: int
    claimed_at: Instant


Answer = Literal["mine", "other", "early", "late", "deleted", "paused", "stale", "node", "again"]
"""What became of a row that was sent to `claim`.

mine     running on the asking node            other   somebody opened it (or it is queued)
early    the store's clock is not there yet    late    further back than CLAIM_REACH
deleted  the schedule is gone                  paused  it is not enabled
stale    the row is not the named version any more: read it again
node     the asking node is not live by the store
again    nothing stands in the way now: send it again
"""


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """The answer for one row. `wait` is how long until an `early` instant comes."""

    schedule_id: int
    shard: int
    answer: Answer
    attempt: int = 0
    claimed_at: Instant = 0
    wait: Micros = 0
    version: int = 0  #: the schedule_history id that a row that is `mine` runs as, whoever opened it


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued run that may be pulled; elsewhere simply (run, attempt)."""

    key: RunKey
    attempt: int
    priority: int = 0
    lane: str | None = None
    late: bool = False  #: of a catch-up: opened by the audit more than CLAIM_REACH after its instant
    lane_slot: str | None = None  #: for `pull`: which slot of its lane it shall hold


# --- ending -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FinishRow:
    """How an attempt ended. `again`: back to the queue as the next attempt, `delay` from now.

    `status` is what the run becomes when it does not go back (kill_requested turns any but
    `succeeded` into `killed`, and forbids going back), and the outcome that `attempts` keeps when it does.
    """

    key: RunKey
    attempt: int
    status: str
    again: bool = False
    delay: Micros = 0
    failed: bool = False  #: counts as one of the schedule's retries
    lost: bool = False  #: no outcome: counts as a take-over (any outcome sets take_overs to 0)
    exit_code: int | None = None
    reason_code: str | None = None
    reason: str | None = None
    result: str | None = None
    output: bytes = b""
    output_bytes: int = 0
    started_at: Instant | None = None  #: by the store's clock as the node reckons it; kept if the row has one


@dataclass(frozen=True, slots=True)
class Orphan:
    """A row `running` on a node that is gone."""

    key: RunKey
    attempt: int
    node_id: str
    take_overs: int
    started: bool  #: started_at is written
    on_node_loss: str
    route: str = "sticky"


@dataclass(frozen=True, slots=True)
class ReclaimRow:
    """What becomes of an orphan: queued as the next attempt, or closed as `lost`."""

    key: RunKey
    attempt: int
    node_id: str
    again: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Undressed:
    """A queued row that was put in by hand or by a command, and lacks its version."""

    key: RunKey


@dataclass(frozen=True, slots=True)
class DressRow:
    """What a row put in by hand gets from its schedule."""

    key: RunKey
    version: int
    queue: str
    priority: int
    serial: str | None
    waits: bool = False  #: the serial is waited for (overlap wait, replace), not held from now on
    lane: str | None = None
    shards: int = 1
    pinned_node_id: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One shard of a fire: who may run it, and the serial it wants."""

    shard: int
    pinned_node_id: str | None
    serial: str | None


@dataclass(frozen=True, slots=True)
class SettleRow:
    """A queued run, never started, that ends without running."""

    key: RunKey
    status: str
    reason_code: str
    reason: str


# --- audit --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuditLook:
    """What the auditor's tick begins with. `term` is None where the asking node does not hold the role."""

    now: Instant
    term: int | None
    watermark: Instant | None
    digest: str


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A fire, or one shard of it, that has no row, and what becomes of it: by the audit, or as a follower.

    `status` is queued, missed or skipped. Where an open run wants the same serial the store decides by
    `overlap`: skip = skipped; wait = waits, or skipped where one waits already; replace = waits, and
    all older open runs of the serial get kill_requested = 2, or skipped where a newer one is open;
    queue = waits behind all others. `version` must be the schedule's row as it stands; None = the
    schedule must be gone. `until` and `missed_count` make the row stand for a span of instants.
    A fire of several shards is sent whole.
    """

    key: RunKey
    version: int | None
    status: str
    reason_code: str | None
    reason: str | None
    queue: str
    priority: int
    delay: Micros  #: ready_at = now + delay
    grace: Micros
    serial: str | None
    overlap: str
    until: Instant | None = None
    missed_count: int | None = None
    lane: str | None = None
    shards: int = 1
    pinned_node_id: str | None = None


# --- followers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FollowLook:
    """Ended runs whose followers were not looked at yet (at most BATCH), and the digest of the schedules."""

    digest: str
    ended: tuple[Candidate, ...]  #: with the attempt that was their last when they were looked at


@dataclass(frozen=True, slots=True)
class FireRun:
    """A run of a fire, as followers judge it."""

    key: RunKey
    status: str
    shards: int
    reason_code: str | None


@dataclass(frozen=True, slots=True)
class UpstreamRun:
    """What a follower's task is told of a run that it follows."""

    key: RunKey
    schedule: str
    shards: int
    status: str
    exit_code: int | None
    result: str | None  #: JSON


@dataclass(frozen=True, slots=True)
class Edge:
    """`follower_id` follows `upstream_id` for fires after `since`."""

    upstream_id: int
    follower_id: int
    since: Instant


@dataclass(frozen=True, slots=True)
class FollowProblem:
    """Why a schedule with `after` cannot follow, by the schedules as they stand together."""

    schedule_id: int
    version: int
    problem: str


@dataclass(frozen=True, slots=True)
class QueueWait:
    """What waits in a queue for a free slot."""

    queue: str
    runs: int  #: queued and ready
    oldest: Instant  #: the earliest ready_at of them
    paused: bool


@dataclass(frozen=True, slots=True)
class LastEnd:
    """What `@after_end` counts from. `finished_at` None: no run has ended yet.

    A fire of its own never counts as ended before its instant, even if the clock was set back meanwhile.
    """

    schedule_id: int
    open: bool  #: a run is queued or running
    finished_at: Instant | None
