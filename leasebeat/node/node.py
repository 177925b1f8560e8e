"""A node: its services, wired, and their threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from leasebeat.coordination.base import Coordinator
from leasebeat.errors import StoreError
from leasebeat.executors.base import Executor, Leash
from leasebeat.gate.base import Gate
from leasebeat.journal.base import Journal, MemoryJournal
from leasebeat.logs import MOST_LINES, event
from leasebeat.model.instant import Instant
from leasebeat.model.node import Member, NodeFacts, Vitals
from leasebeat.model.run import RunKey, key_text
from leasebeat.model.tuning import Tuning
from leasebeat.node.after_end import AfterEnd
from leasebeat.node.audit import Audit, AuditConfig
from leasebeat.node.backlog import Backlog
from leasebeat.node.catalog import Catalog, Changes
from leasebeat.node.claim import Claimer
from leasebeat.node.clock import StoreClock
from leasebeat.node.dispatch import Dispatch
from leasebeat.node.drain import Drain
from leasebeat.node.due import Due
from leasebeat.node.finish import Finish, Keep, Outbox
from leasebeat.node.follow import Follow, Graphs
from leasebeat.node.heartbeat import Heartbeat, Watchdog
from leasebeat.node.lease import Lease
from leasebeat.node.links import Links
from leasebeat.node.loop import Loop, Service
from leasebeat.node.membership import Membership
from leasebeat.node.pull import Pull
from leasebeat.node.purge import Purge, missed
from leasebeat.node.retention import Ages, Retention
from leasebeat.node.standing import Standing
from leasebeat.node.upkeep import Upkeep
from leasebeat.node.verdict import OutputLimits
from leasebeat.runtime import Runtime, Task
from leasebeat.store.base import FinishRow, OpenRow, Orphan, Store


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a node is told about itself. `facts.id` is drawn at each join."""

    facts: NodeFacts
    drain_s: float = 60.0
    kill_grace_s: float = 10.0
    audit: AuditConfig = field(default_factory=AuditConfig)
    outputs: OutputLimits = field(default_factory=OutputLimits)
    ages: Ages = field(default_factory=Ages)
    queue_wait_s: float = 300.0  #: a queue whose oldest ready run has waited longer is told of; 0: none


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that somebody may want to be woken for."""

    kind: str  #: failed, timed_out, lost, missed, problem, purged, queue
    subject: str  #: the schedule's name, the node's, or the queue's
    reason: str
    key: str = ""  #: the run's text key
    attempt: int = 0
    exit_code: int | None = None
    alert: Mapping[str, object] | None = None  #: what the schedule's own column says


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside a node."""

    runtime: Runtime
    store: Store
    gate: Gate
    coordinator: Coordinator
    executors: Mapping[str, Executor]
    leash: Leash
    is_gone: Callable[[NodeFacts], bool]  #: whether a node of this host is provably dead
    journal: Journal = field(default_factory=MemoryJournal)
    joined: Callable[[str], None] = lambda _: None  #: called with the node's id after each join
    usage: Callable[[], tuple[float, int]] = lambda: (0.0, 0)  #: CPU %, bytes of memory
    tell: Callable[[Notice], None] = lambda _: None
    log_level: Callable[[str | None], None] = lambda _: None  #: for all nodes; None: the own


class Node:
    """One running worker, apart from its process. `start` once; `ended` is set when it has left."""

    def __init__(self, config: NodeConfig, ports: Ports) -> None:
        runtime, store, gate, coordinator = ports.runtime, ports.store, ports.gate, ports.coordinator
        self._ports = ports
        self._facts = config.facts
        self._tasks: list[Task] = []
        self._stopped = False
        self.ended = runtime.waiter()
        self.refused: str | None = None  #: why it left by itself: the fleet has another coordinator
        self.clock = clock = StoreClock(runtime)
        self.lease = Lease(runtime, ports.leash, config.facts.beat_s)
        self.standing = standing = Standing(config.facts, clock, self.lease)
        self.catalog = catalog = Catalog(runtime, store)
        self.outbox = outbox = Outbox(runtime, ports.journal)
        grace_s, drain_s = config.kill_grace_s, config.drain_s
        self.dispatch = dispatch = Dispatch(
            runtime, store, standing, catalog, ports.executors, ports.leash, outbox, grace_s, config.outputs
        )
        self.pull = Pull(runtime, store, standing, dispatch, config.audit.catch_up_per_s)
        graphs = Graphs(catalog)
        self.follow = Follow(runtime, store, gate, standing, catalog, graphs, self.pull)
        self.finish = Finish(store, outbox, dispatch.forget, self._runs_ended, self._requeued)
        self.keep = Keep(outbox)
        claimer = Claimer(store, gate, standing, catalog, dispatch, self._queued)
        self.due = Due(runtime, standing, catalog, claimer)
        self.heartbeat = Heartbeat(
            runtime, store, standing, coordinator, dispatch, outbox, ports.is_gone, self._vitals
        )
        self.watchdog = Watchdog(runtime, standing, dispatch, ports.leash)
        self.purge = Purge(
            runtime, store, gate, standing, coordinator, catalog, self._node_purged, self._run_lost
        )
        self.membership = Membership(
            runtime, store, gate, standing, coordinator, catalog, dispatch, self.pull, self.purge.waiter
        )
        self.audit = Audit(
            runtime,
            store,
            gate,
            standing,
            coordinator,
            catalog,
            config.audit,
            Links(store, catalog, graphs, self._cannot_follow),
            AfterEnd(store, standing, catalog),
            self._run_missed,
        )
        self.retention = Retention(runtime, store, standing, lambda: self.audit.leads, config.ages)
        self.backlog = Backlog(
            runtime, store, standing, lambda: self.audit.leads, config.queue_wait_s, self._queue_waits
        )
        self.drain = Drain(
            runtime, store, standing, coordinator, dispatch, outbox, drain_s, grace_s, self.stop
        )
        self._introduce()

    def _introduce(self) -> None:
        """Who calls whom when something happens."""
        self.dispatch.freed = self.pull.slot_freed
        self.heartbeat.joined = self._joined
        self.lease.changed = self._lease_changed
        self._ports.coordinator.bind(self.lease, self.purge.waiter.wake, self._tune)
        self.membership.draining = self.drain.request
        self.membership.ended = self.follow.hint
        self.purge.requeued = self.pull.hint
        self.membership.foreign = self._under_another_coordinator
        self.catalog.listen(self._problems)

    @property
    def services(self) -> tuple[Service, ...]:
        """All services. The heartbeat is the last to be stopped."""
        turns = self._ports.coordinator.turns
        return (
            *((Upkeep(turns),) if turns else ()),
            self.membership,
            self.due,
            self.pull,
            self.keep,
            self.finish,
            self.follow,
            self.purge,
            self.audit,
            self.retention,
            self.backlog,
            self.drain,
            self.watchdog,
            self.heartbeat,
        )

    def start(self) -> None:
        """Start a thread for each service."""
        if len(self.outbox):
            self._learn_names()
        for service in self.services:
            loop = Loop(service, self._ports.runtime, lambda: self._stopped)
            self._tasks.append(self._ports.runtime.start(service.name, loop.run))

    def _learn_names(self) -> None:
        """Outcomes of a former worker are told at once, by the names of their schedules.

        Not without the watermark: who records a version that hides its time must know how far the audit is.
        """
        event("INFO", "outcomes_left", "a former worker's outcomes are recorded first", runs=len(self.outbox))
        try:
            poll = self._ports.store.poll("", list(self._facts.queues))
            self.catalog.audited(poll.auditor.watermark if poll.auditor else None)
            self.catalog.refresh()
        except StoreError as problem:
            event("WARNING", "names_unknown", "their schedules cannot be read yet", error=problem)

    def stop(self) -> None:
        """Let all services end after their present turn: after a drain, or when nothing matters any more."""
        self._stopped = True
        for service in self.services:
            service.waiter.wake()
        self.ended.wake()

    def join(self, seconds: float) -> bool:
        """Wait for the services' threads, at most that long in all; True if all have ended."""
        end = self._ports.runtime.monotonic() + seconds
        return all(task.join(max(0.0, end - self._ports.runtime.monotonic())) for task in self._tasks)

    # what services tell each other

    def _tune(self, tuning: Tuning) -> None:
        """The fleet's operator changed something; what is not named is as this node was told."""
        told = self._facts
        beat_s, slots = tuning.beat_s or told.beat_s, tuning.slots or told.slots
        self.standing.facts = replace(self.standing.facts, beat_s=beat_s, slots=slots)
        self.standing.paused_queues = tuning.paused_queues
        self.lease.pace(beat_s)
        self._ports.log_level(tuning.log_level)
        self.heartbeat.waiter.wake()
        self.pull.hint()

    def _lease_changed(self) -> None:
        self.watchdog.waiter.wake()
        self.heartbeat.waiter.wake()

    def _under_another_coordinator(self, found: str) -> None:
        """Two coordinators in one fleet see different nodes die: this one ends its work and leaves."""
        if self.refused is None:
            own = self._ports.coordinator.name
            self.refused = f"the fleet's coordinator is {found!r} now; [node] coordinator is {own!r} here"
            event("ERROR", "other_coordinator", f"{self.refused}; leaving")
        self.drain.request(hurry=True)

    def _joined(self, node_id: str) -> None:
        self._ports.joined(node_id)
        self.membership.waiter.wake()

    def _queued(self, ready_at: Instant) -> None:
        """Rows were born queued, or went back to the queue: for any node."""
        if ready_at > self.clock.now():
            self.pull.hint_at(ready_at)
            return
        self.pull.hint()
        self._ports.gate.notify("queue")

    def _requeued(self, rows: Sequence[FinishRow]) -> None:
        now = self.clock.now()
        for delay in {row.delay for row in rows}:
            self._queued(now + delay)

    def _vitals(self) -> Vitals:
        cpu, memory = self._ports.usage()
        return Vitals(
            running=self.dispatch.busy,
            cpu_pct=cpu,
            memory_bytes=memory,
            clock_offset_ms=self.clock.host_offset_ms(),
            digest=self.catalog.digest,
            slots=self.standing.facts.slots,
            beat_s=self.standing.facts.beat_s,
        )

    # what people are told

    def _runs_ended(self, rows: Sequence[FinishRow]) -> None:
        succeeded = sum(row.status == "succeeded" for row in rows)
        burst = succeeded > MOST_LINES
        for row in rows:
            if not burst or row.status != "succeeded":
                self._run_ended(row)
        followed = self.follow.graphs.graph.followers
        if any(not row.again and row.key.schedule_id in followed for row in rows):
            self.follow.hint()
        if any(self._may_be_waited_for(row) for row in rows):
            self._queued(0)
        if burst:
            event("INFO", "runs_ended", "runs succeeded", runs=succeeded)

    def _may_be_waited_for(self, row: FinishRow) -> bool:
        """Whether its end lets others begin, that no poll need find: its lane, or its serial, is free."""
        entry = self.catalog.get(row.key.schedule_id)
        schedule = entry.schedule if entry else None
        if schedule is None:
            return False
        waiters = schedule.overlap in ("wait", "replace") or schedule.misfire == "all"
        return schedule.lane is not None or (waiters and not row.again)

    def _run_ended(self, row: FinishRow) -> None:
        key = self._key(row.key)
        level = "INFO" if row.status == "succeeded" or row.again else "WARNING"
        what = "run goes back to the queue" if row.again else f"run {row.status}"
        why = {"reason": row.reason} if row.reason else {}
        event(level, "run_ended", what, key=key, attempt=row.attempt, status=row.status, **why)
        if not row.again and row.status in ("failed", "timed_out", "lost"):
            self._tell(row.status, row.key, row.reason or "", row.attempt, row.exit_code)

    def _run_missed(self, row: OpenRow) -> None:
        self._tell("missed", row.key, row.reason or "", 0)

    def _run_lost(self, orphan: Orphan) -> None:
        self._tell("lost", orphan.key, f"node gone: {orphan.node_id}", orphan.attempt)

    def _node_purged(self, member: Member) -> None:
        self._ports.tell(Notice("purged", member.name, f"node {member.name} was purged: {missed(member)}"))

    def _queue_waits(self, queue: str, text: str) -> None:
        self._ports.tell(Notice("queue", queue, text))

    def _cannot_follow(self, schedule: str, problem: str) -> None:
        known = (entry.schedule for entry in self.catalog.entries() if entry.schedule)
        alert = next((found.alert for found in known if found.name == schedule), None)
        self._ports.tell(Notice("problem", schedule, problem, alert=alert))

    def _problems(self, changes: Changes) -> None:
        for entry in changes:
            version = entry.version
            if self.catalog.news(version) and version.problem and not version.deleted:
                name, alert = self.catalog.name_of(version.schedule_id), self._alert(version.schedule_id)
                self._ports.tell(Notice("problem", name, version.problem, alert=alert))

    def _tell(self, kind: str, key: RunKey, reason: str, attempt: int, exit_code: int | None = None) -> None:
        name, alert = self._name(key), self._alert(key.schedule_id)
        self._ports.tell(Notice(kind, name, reason, self._key(key), attempt, exit_code, alert))

    def _alert(self, schedule_id: int) -> Mapping[str, object] | None:
        """By the newest usable version: whom a run's end is told is no part of what it runs."""
        entry = self.catalog.get(schedule_id)
        return entry.schedule.alert if entry and entry.schedule else None

    def _name(self, key: RunKey) -> str:
        return self.catalog.name_of(key.schedule_id)

    def _key(self, key: RunKey) -> str:
        return key_text(self._name(key), key)
