"""The tables of the simulated store: plain rows in dictionaries, with the indexes that statements ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from leasebeat.model.instant import Instant, Micros, from_seconds
from leasebeat.model.node import LEASE_BEATS, Member, NodeFacts, NodeState, Vitals
from leasebeat.model.run import RunKey
from leasebeat.model.schedule import PEOPLES_COLUMNS, RowDict
from leasebeat.store.base import Version

QUEUED, RUNNING = "queued", "running"
Fire = tuple[Instant, int]
"""(fire_at, schedule_id)."""

PRESENT_STATES = frozenset({"live", "cordoned", "draining"})


class Run:
    """A row of `runs`."""

    __slots__ = (
        "args",
        "attempt",
        "claimed_at",
        "exit_code",
        "expires_at",
        "failures",
        "finished_at",
        "follow",
        "key",
        "kill_requested",
        "lane",
        "lane_slot",
        "missed_count",
        "node_id",
        "origin",
        "pinned_node_id",
        "priority",
        "queue",
        "ready_at",
        "reason",
        "reason_code",
        "requested_by",
        "result",
        "serial",
        "serial_held",
        "shards",
        "started_at",
        "status",
        "take_overs",
        "until",
        "version",
    )

    def __init__(self, key: RunKey, status: str, origin: str, ready_at: Instant) -> None:
        self.key = key
        self.status = status
        self.origin = origin
        self.ready_at = ready_at
        self.version: int | None = None
        self.queue = "default"
        self.priority = 0
        self.expires_at: Instant | None = None
        self.node_id: str | None = None
        self.pinned_node_id: str | None = None
        self.attempt = 0
        self.failures = 0
        self.take_overs = 0
        self.claimed_at: Instant | None = None
        self.started_at: Instant | None = None
        self.finished_at: Instant | None = None
        self.serial: str | None = None
        self.serial_held: str | None = None
        self.args: str | None = None
        self.requested_by: str | None = None
        self.exit_code: int | None = None
        self.reason_code: str | None = None
        self.reason: str | None = None
        self.result: str | None = None
        self.until: Instant | None = None
        self.missed_count: int | None = None
        self.kill_requested = 0  #: 1: somebody asked for it; 2: a later run takes its place
        self.lane: str | None = None
        self.lane_slot: str | None = None
        self.shards = 1
        self.follow: int | None = None  #: 1: it has ended, and nobody has looked at its followers yet

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.status in (QUEUED, RUNNING)

    @property
    def fire(self) -> Fire:
        """What it is a shard of."""
        return self.key.fire_at, self.key.schedule_id


class RunChange(NamedTuple):
    """One committed change of a run's row, for the checkers."""

    at: Instant  #: true time
    now: Instant  #: the store's time as its statement saw it
    statement: str
    key: RunKey
    was: str | None
    status: str
    attempt: int
    node_id: str | None
    claimed_at: Instant | None
    writer: tuple[str, int] | None  #: (node, attempt) in whose name a finish was written
    began: Instant  #: true time at which its statement took its snapshot; of inserts only
    version: int | None
    origin: str
    ready_at: Instant = 0
    reason_code: str | None = None


JournalRun = Callable[[str, Run, str | None, Instant, tuple[str, int] | None, Instant], None]


class Runs:
    """The table `runs` and its indexes."""

    __slots__ = (
        "_journal",
        "fires",
        "following",
        "holding",
        "in_lanes",
        "kills",
        "of_schedule",
        "queued",
        "rows",
        "running",
        "wanting",
    )

    def __init__(self, journal: JournalRun) -> None:
        self._journal = journal
        self.rows: dict[RunKey, Run] = {}
        self.queued: dict[RunKey, Run] = {}
        self.running: dict[str | None, dict[RunKey, Run]] = {}
        self.wanting: dict[str, dict[RunKey, Run]] = {}  #: serial -> its open runs
        self.holding: dict[str, Run] = {}  #: serial_held, unique
        self.in_lanes: dict[str, dict[str, Run]] = {}  #: lane -> lane_slot, unique
        self.fires: dict[Fire, dict[int, Run]] = {}  #: by shard
        self.of_schedule: dict[int, dict[RunKey, Run]] = {}
        self.following: dict[RunKey, Run] = {}  #: follow = 1
        self.kills = 0  #: how often a kill was asked for: 0 spares looking

    def insert(self, run: Run, statement: str, now: Instant, began: Instant) -> None:
        """A new row. Its keys were checked, unless a mutation has taken the check out."""
        if (there := self.rows.get(run.key)) is not None:
            self._unindex(there)
        self.rows[run.key] = run
        self.fires.setdefault(run.fire, {})[run.key.shard] = run
        self.of_schedule.setdefault(run.key.schedule_id, {})[run.key] = run
        self._index(run)
        self._journal(statement, run, None, now, None, began)

    def change(
        self, run: Run, statement: str, now: Instant, writer: tuple[str, int] | None = None, **values: object
    ) -> None:
        """Set columns of a row."""
        was = run.status
        self._unindex(run)
        for name, value in values.items():
            setattr(run, name, value)
        self._index(run)
        self._journal(statement, run, was, now, writer, 0)

    def delete(self, run: Run) -> None:
        """Retention."""
        self._unindex(run)
        del self.rows[run.key]
        del self.of_schedule[run.key.schedule_id][run.key]
        shards = self.fires[run.fire]
        del shards[run.key.shard]
        if not shards:
            del self.fires[run.fire]

    def alter(self, run: Run, **values: object) -> None:
        """Set columns of a row whose status stays as it is."""
        self._unindex(run)
        for name, value in values.items():
            setattr(run, name, value)
        self._index(run)

    def _index(self, run: Run) -> None:
        if run.status == QUEUED:
            self.queued[run.key] = run
        elif run.status == RUNNING:
            self.running.setdefault(run.node_id, {})[run.key] = run
        if run.serial is not None:
            self.wanting.setdefault(run.serial, {})[run.key] = run
        if run.serial_held is not None:
            self.holding[run.serial_held] = run
        if run.lane is not None and run.lane_slot is not None:
            self.in_lanes.setdefault(run.lane, {})[run.lane_slot] = run
        if run.follow:
            self.following[run.key] = run

    def _unindex(self, run: Run) -> None:
        if run.status == QUEUED:
            del self.queued[run.key]
        elif run.status == RUNNING:
            mine = self.running[run.node_id]
            del mine[run.key]
            if not mine:
                del self.running[run.node_id]
        if run.serial is not None:
            wanting = self.wanting[run.serial]
            del wanting[run.key]
            if not wanting:
                del self.wanting[run.serial]
        if run.serial_held is not None:
            del self.holding[run.serial_held]
        if run.lane is not None and run.lane_slot is not None:
            del self.in_lanes[run.lane][run.lane_slot]
        if run.follow:
            del self.following[run.key]


class NodeRow:
    """A row of `nodes`."""

    __slots__ = (
        "beat_at",
        "beat_seq",
        "beat_true",
        "facts",
        "id",
        "lease",
        "member",
        "name",
        "started_at",
        "state",
        "vitals",
    )

    def __init__(self, facts: NodeFacts, now: Instant) -> None:
        self.id = facts.id
        self.name = facts.name
        self.facts = facts
        self.state: str = str(facts.state)
        self.started_at = now
        self.beat_at = now
        self.beat_seq = 1
        self.beat_true: Instant = now  #: true time at which the last accepted beat began
        self.lease: Micros = from_seconds(LEASE_BEATS * facts.beat_s)
        self.vitals = Vitals()
        self.member: Member | None = None  #: as the others see it; None after a change

    def seen(self, now: Instant) -> Member:
        """The row as a look at `now` returns it."""
        stale = self.beat_at < now - self.lease
        member = self.member
        if member is None or member.stale is not stale:
            facts = self.facts
            member = self.member = Member(
                id=self.id,
                name=self.name,
                state=NodeState(self.state),
                beat_seq=self.beat_seq,
                beat_at=self.beat_at,
                beat_s=facts.beat_s,
                slots=facts.slots,
                queues=facts.queues,
                roles=frozenset(facts.roles),
                stale=stale,
                czxid=facts.czxid,
            )
        return member


class RoleRow:
    """The auditor's row of `roles`."""

    __slots__ = ("expires_at", "holder", "term", "watermark")

    def __init__(self) -> None:
        self.holder: str | None = None
        self.term = 0
        self.expires_at: Instant | None = None
        self.watermark: Instant | None = None


DEFAULTS: Mapping[str, object] = {
    "description": "",
    "owner": "",
    "kind": "shell",
    "args": None,
    "timezone": "UTC",
    "enabled": 1,
    "starts_at": None,
    "ends_at": None,
    "calendar": None,
    "dst": "cron",
    "jitter_s": 0,
    "queue": "default",
    "priority": 0,
    "route": "sticky",
    "shards": 1,
    "shard_args": None,
    "overlap": "skip",
    "lane": None,
    "misfire": "once",
    "misfire_grace_s": 3600,
    "timeout_s": None,
    "retries": 0,
    "retry_delay_s": 10,
    "retry_backoff": 2.0,
    "on_node_loss": "rerun",
    "after": None,
    "after_rule": "success",
    "run_as": None,
    "alert": None,
}


class Schedules:
    """The table `schedules` and what was recorded of it in `schedule_history`."""

    __slots__ = (
        "_sum",
        "by_id",
        "calendars",
        "cannot_follow",
        "definitions",
        "diffs",
        "digest",
        "history",
        "problems",
        "rows",
    )

    def __init__(self) -> None:
        self.rows: dict[int, RowDict] = {}
        self.digest = "0:0"
        self._sum = 0
        self.calendars: dict[str, dict[str, str]] = {}  #: effect by day, by name
        self.history: dict[int, list[Version]] = {}
        self.by_id: dict[int, Version] = {}
        self.definitions: dict[int, str | None] = {}
        self.diffs: dict[int, str | None] = {}
        self.problems: dict[int, str] = {}
        self.cannot_follow: dict[int, int] = {}  #: by schedule: the version that cannot

    def put(self, schedule_id: int, columns: Mapping[str, object], updated_at: Instant) -> RowDict:
        """Insert or replace a row; the version is a hash of the people's columns, as in the real table."""
        values = {"id": schedule_id, **DEFAULTS, **columns}
        text = "\x1f".join(repr(values[name]) for name in PEOPLES_COLUMNS)
        values["version"] = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        values["updated_at"] = updated_at
        self.remove(schedule_id)
        self.rows[schedule_id] = values
        self._count(values)
        return values

    def remove(self, schedule_id: int) -> None:
        """Delete a row, if it is there."""
        if (row := self.rows.pop(schedule_id, None)) is not None:
            self._count(row)

    def _count(self, row: RowDict) -> None:
        self._mix(f"{row['id']}:{row['version']}:{row['updated_at']}")

    def _mix(self, text: str) -> None:
        """Count a row into the digest; a second time: out of it."""
        self._sum ^= int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8])
        self.digest = f"{len(self.rows)}:{self._sum:016x}"

    def put_day(self, name: str, day: str, effect: str | None) -> None:
        """Insert or change a row of `calendars`; None: delete it."""
        days = self.calendars.setdefault(name, {})
        for known in (days.pop(day, None), effect):
            if known is not None:
                self._mix(f"{name} {day} {known}")
        if effect is not None:
            days[day] = effect

    def current(self, version: Version) -> bool:
        """Whether that version is the row as it stands."""
        row = self.rows.get(version.schedule_id)
        return (
            row is not None and row["version"] == version.version and row["updated_at"] == version.updated_at
        )

    def record(self, version: Version, definition: str | None, diff: str | None) -> None:
        """A new row of `schedule_history`. `definition` is its own, the version's that of what runs."""
        self.history.setdefault(version.schedule_id, []).append(version)
        self.by_id[version.id] = version
        self.definitions[version.id] = definition
        self.diffs[version.id] = diff

    def newest(self, schedule_id: int) -> Version | None:
        """The newest recorded version."""
        found = self.history.get(schedule_id)
        return found[-1] if found else None
