"""Slots, and what this node holds: from the moment the store says "yours" until it has the outcome."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from leasebeat import faults
from leasebeat.errors import LeasebeatError, StoreError
from leasebeat.executors.base import Executor, Launch, Leash
from leasebeat.journal.base import Start
from leasebeat.logs import MOST_LINES, event
from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey, key_text
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Catalog
from leasebeat.node.finish import Outbox
from leasebeat.node.standing import Standing
from leasebeat.node.verdict import Held, OutputLimits, finish_row
from leasebeat.runtime import Runtime
from leasebeat.store.base import Candidate, Store, UpstreamRun

ANSWER_S = 6.0
"""An older answer of the store is not acted on: twice the longest time-out of a statement."""


_REMEMBERED = 86_400 * SECOND
"""What was started longer ago may be asked for again, by a backfill; younger rows are never deleted."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A run that the store says is running here."""

    node_id: str
    key: RunKey
    attempt: int
    fence: Instant
    version: int
    queue: str
    args: str | None = None
    failures: int = 0
    take_overs: int = 0
    former_reason: str | None = None
    shards: int = 1


class Dispatch:
    """Hands runs to executors, each attempt at most once whoever says that it is ours.

    The due, pull and membership threads take; executors' threads report ends; the heartbeat stops
    everything when the lease is lost. All meet in `_held`, under one lock that is never held across
    a call to a port.
    """

    def __init__(  # the ports it stands between
        self,
        runtime: Runtime,
        store: Store,
        standing: Standing,
        catalog: Catalog,
        executors: Mapping[str, Executor],
        leash: Leash,
        outbox: Outbox,
        grace_s: float,
        outputs: OutputLimits,
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._standing = standing
        self._catalog = catalog
        self._executors = executors
        self._leash = leash
        self._outbox = outbox
        self._journal = outbox.journal
        self._grace_s = grace_s
        self._outputs = outputs
        self._lock = runtime.lock()
        self._held: dict[tuple[RunKey, int], Held] = {}
        self._over: set[tuple[RunKey, int]] = set()  #: held until a moment ago
        self._over_since: deque[tuple[float, tuple[RunKey, int]]] = deque()
        self._used: Counter[str] = Counter()
        self._refusals: dict[int, tuple[Schedule, str | None]] = {}
        self._busy = 0
        self._draining = False
        self.freed: Callable[[], None] = lambda: None  #: called when a slot became free

    # slots

    def reserve(self, queue: str, wanted: int) -> int:
        """Set aside up to `wanted` slots for runs of a queue; how many there were."""
        facts = self._standing.facts
        if not self._standing.executes or not self._leash.alive():
            return 0
        limit = facts.queues.get(queue)
        with self._lock:
            room = facts.slots - self._busy
            if limit is not None:
                room = min(room, limit - self._used[queue])
            count = max(0, min(room, wanted))
            self._busy += count
            self._used[queue] += count
        return count

    def release(self, queue: str, count: int) -> None:
        """Give back slots that were not used."""
        if count:
            with self._lock:
                self._busy -= count
                self._used[queue] -= count

    @property
    def busy(self) -> int:
        """Slots in use."""
        return self._busy

    # what is held

    def ids(self) -> set[tuple[RunKey, int]]:
        """Everything held, ended or not, under the present node id."""
        with self._lock:
            return {i for i, h in self._held.items() if h.launch.node_id == self._standing.node_id}

    def running(self, leashed_only: bool = False) -> list[tuple[RunKey, int]]:
        """What has not ended yet, under whatever node id it was started."""
        with self._lock:
            return [
                i for i, h in self._held.items() if not h.ended and (h.launch.leashed or not leashed_only)
            ]

    def forget(self, ids: Sequence[tuple[RunKey, int]]) -> None:
        """The store has their outcomes; answers from before may come yet, and say that they run here."""
        now = self._runtime.monotonic()
        with self._lock:
            for launch_id in ids:
                self._held.pop(launch_id, None)
                self._over.add(launch_id)
                self._over_since.append((now, launch_id))
            while self._over_since[0][0] < now - ANSWER_S:
                self._over.discard(self._over_since.popleft()[1])

    def asking(self) -> float:
        """To be noted before the store is asked: how old its answer is when it comes to `take`."""
        return self._runtime.monotonic()

    def take(self, grants: Sequence[Grant], asked: float) -> int:
        """Start what is not held yet, each in a slot reserved for its queue. How many were new.

        A claim read back, a pull and a look at the own rows may all find the same attempt; the first
        one here starts it, the others give their slot back. An answer to a question that was `asked`
        too long ago (this process was stopped) is not acted on: what it says is found again as strays.
        """
        if self._runtime.monotonic() - asked > ANSWER_S:
            for grant in grants:
                self.release(grant.queue, 1)
            return 0
        upstreams = self._read(grants)
        admitted = [held for grant in grants if (held := self._admit(grant, upstreams)) is not None]
        ready = self._may_begin([held for held in admitted if self._is_new(held)])
        self._journal.started([_start(held.launch) for held in ready])
        burst = len(ready) > MOST_LINES
        for held in ready:
            self._begin(held, told=not burst)
        if burst:
            event("INFO", "runs_started", "runs started", runs=len(ready), first=ready[0].launch.key_text)
        return len(admitted)

    def adopt(self, grant: Grant, asked: float) -> None:
        """Start a run that is ours although nobody here asked for it; without a free slot it goes back."""
        upstreams = self._upstreams([grant])  # may raise: before anything is counted
        if self.reserve(grant.queue, 1):
            self.take([grant], asked)
            return
        with self._lock:
            self._busy += 1  # `done` gives back a slot that this run never had
            self._used[grant.queue] += 1
        held = self._admit(grant, upstreams)
        if held is not None:
            self._never_began(held, "no free slot")

    def _read(self, grants: Sequence[Grant]) -> dict[RunKey, str]:
        """Ask the store before anything is held; if it does not answer, the rows are found as strays."""
        try:
            return self._upstreams(grants)
        except LeasebeatError:
            for grant in grants:
                self.release(grant.queue, 1)
            raise

    def _upstreams(self, grants: Sequence[Grant]) -> dict[RunKey, str]:
        """What the followers among them are told of the runs that they follow. Reads all definitions."""
        schedules = [(grant, self._catalog.schedule_of(grant.version)) for grant in grants]
        return {
            grant.key: _told(self._store.upstream_runs(grant.key))
            for grant, schedule in schedules
            if schedule is not None and schedule.after
        }

    def _admit(self, grant: Grant, upstreams: Mapping[RunKey, str]) -> Held | None:
        schedule = self._catalog.schedule_of(grant.version)
        problem = "" if schedule else "its version is gone"
        overrides: dict[str, object] = {}
        try:
            overrides = _overrides(grant)
        except (TypeError, ValueError, RecursionError) as unusable:
            problem = f"the args of this run cannot be used: {unusable}"
        name, upstream = self._standing.facts.name, upstreams.get(grant.key)
        launch = _launch(grant, schedule or _missing(grant), overrides, name, upstream)
        held = Held(launch, grant.queue, grant.failures, grant.take_overs, grant.former_reason)
        held.lapses = self._standing.lease.lapses
        with self._lock:
            known = launch.id in self._held or launch.id in self._over
            if not known:
                self._held[launch.id] = held
        if known:
            self.release(grant.queue, 1)
            return None
        if problem:
            self._cannot_start(launch, problem)
            return None
        return held

    def _is_new(self, held: Held) -> bool:
        """Whether this host has not begun that attempt before, under a claim that the store knows no more.

        A server that lost commits opens a fire again whose task has run. Here it ends as lost,
        and not in the queue: another host would run it a second time. `retry` is the way to have it run.
        """
        launch = held.launch
        known = self._journal.start_of(launch.key)
        if known is None or known.attempt < launch.attempt or launch.fence - known.fence > _REMEMBERED:
            return True
        why = (
            f"this host started attempt {known.attempt} before: the store's server has lost commits,"
            " or the row was deleted"
        )
        event("ERROR", "already_started", f"not started again: {why}", key=launch.key_text)
        self._journal.started([_start(launch)])  # so that a retry, the next attempt, is new
        self.done(launch, Outcome(OutcomeKind.LOST, None, ReasonCode.ALREADY_STARTED, why))
        return False

    def _may_begin(self, admitted: Sequence[Held]) -> list[Held]:
        """Those that may start now. What must not be started twice has its start written first."""
        careful = [held for held in admitted if held.launch.schedule.on_node_loss != "rerun"]
        if not careful:
            return list(admitted)
        written = self._write_starts(careful)
        refused = [] if written else careful
        for held in refused:
            self._never_began(held, "its start could not be written")
        return [held for held in admitted if held not in refused]

    def _write_starts(self, careful: Sequence[Held]) -> bool:
        rows = [Candidate(held.launch.key, held.launch.attempt) for held in careful]
        try:
            return self._store.start(careful[0].launch.node_id, sorted(rows, key=lambda row: row.key)) == len(
                rows
            )
        except StoreError as problem:
            event(
                "WARNING",
                "start_not_written",
                "runs go back: their start could not be written",
                error=problem,
            )
            return False

    def _begin(self, held: Held, told: bool) -> None:
        launch = held.launch
        standing = self._standing
        if not standing.lease.firm() or standing.leaving or launch.node_id != standing.node_id:
            self._never_began(held, "the node's lease was over, or in doubt, before the task could start")
            return
        try:
            executor = self._executors[launch.schedule.kind]
            if refusal := self._refusal(executor, launch.schedule):
                self._cannot_start(launch, refusal)
                return
            held.started_at = self._standing.clock.now()
            if told:
                event("INFO", "run_started", "run started", key=launch.key_text, attempt=launch.attempt)
            executor.start(launch, self.done)
        except Exception as problem:  # one run must not take its slot or this service along
            event("ERROR", "start_broke", "a run could not be started", key=launch.key_text, error=problem)
            self._cannot_start(launch, f"{type(problem).__name__}: {problem}")
        faults.point("after_start")

    def _refusal(self, executor: Executor, schedule: Schedule) -> str | None:
        """Why this host does not run it; asked once for each definition, which the catalog keeps."""
        known = self._refusals.get(schedule.id)
        if known is None or known[0] is not schedule:
            known = self._refusals[schedule.id] = (schedule, executor.refuse(schedule))
        return known[1]

    def _cannot_start(self, launch: Launch, why: str) -> None:
        self.done(launch, Outcome(OutcomeKind.START_FAILED, None, ReasonCode.START_FAILED, why))

    def _never_began(self, held: Held, why: str) -> None:
        self.done(held.launch, Outcome(OutcomeKind.LOST, None, ReasonCode.LEASE_LOST, why))

    # ends

    def done(self, launch: Launch, outcome: Outcome) -> None:
        """Called by executors, from their threads, when a task has ended."""
        faults.point("after_task")
        with self._lock:
            held = self._held.get(launch.id)
        if held is None:
            return
        row = finish_row(held, self._honest(held, outcome), self._outputs)
        with self._lock:
            if held.ended:
                return
            held.ended = True
            self._busy -= 1
            self._used[held.queue] -= 1
        self._outbox.put(launch.node_id, row)
        self.freed()

    def _honest(self, held: Held, outcome: Outcome) -> Outcome:
        """A task that was killed while the lease was lost has no outcome of its own, whoever killed it."""
        lease = self._standing.lease
        lapsed = lease.lapses != held.lapses or not lease.holds()
        if lapsed and outcome.reason_code == ReasonCode.SIGNAL and held.launch.leashed:
            outcome = replace(outcome, kind=OutcomeKind.LOST, reason="killed when the node's lease was lost")
        if outcome.kind != OutcomeKind.LOST or outcome.reason_code == ReasonCode.ALREADY_STARTED:
            return outcome
        code = ReasonCode.DRAIN if self._draining and not lapsed else ReasonCode.LEASE_LOST
        return replace(
            outcome, reason_code=code, reason=outcome.reason or f"stopped: {code.value.replace('_', ' ')}"
        )

    # stopping

    def kill(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float | None = None) -> None:
        """Stop one; its outcome will be `kind`."""
        with self._lock:
            held = self._held.get(launch_id)
        if held is not None and not held.ended:
            grace = self._grace_s if grace_s is None else grace_s
            self._executors[held.launch.schedule.kind].stop(launch_id, kind, grace)

    def lose(self) -> None:
        """The lease is over: SIGKILL to everything that is on the leash."""
        lost = self.running(leashed_only=True)
        if lost:
            event("ERROR", "lease_lost", "lease lost; killing what runs here", running=len(lost))
        for launch_id in lost:
            self.kill(launch_id, OutcomeKind.LOST, 0.0)

    def drain(self, grace_s: float) -> None:
        """The node shuts down and will wait no longer."""
        self._draining = True
        for launch_id in self.running():
            self.kill(launch_id, OutcomeKind.LOST, grace_s)


def _start(launch: Launch) -> Start:
    return Start(launch.key, launch.attempt, launch.fence)


def _overrides(grant: Grant) -> dict[str, object]:
    """The args of this run alone, put in by hand or by a command. Raises what reading them raises."""
    return {**cast("dict[str, object]", json.loads(grant.args))} if grant.args else {}


def _launch(
    grant: Grant, schedule: Schedule, overrides: dict[str, object], node_name: str, upstream: str | None
) -> Launch:
    return Launch(
        key=grant.key,
        attempt=grant.attempt,
        key_text=key_text(schedule.name, grant.key),
        fence=grant.fence,
        schedule=schedule,
        args={**schedule.args, **overrides} if overrides else schedule.args,
        node_id=grant.node_id,
        node_name=node_name,
        shards=max(schedule.shards, grant.shards),
        shard_arg=_shard_arg(schedule, grant.key.shard),
        upstream=upstream,
    )


def _told(upstreams: Sequence[UpstreamRun]) -> str:
    """`LEASEBEAT_UPSTREAM`, before it is made to fit."""
    runs = [
        {
            "key": key_text(run.schedule, run.key),
            "schedule": run.schedule,
            "shard": run.key.shard,
            "shards": run.shards,
            "status": run.status,
            "exit_code": run.exit_code,
            "result": None if run.result is None else json.loads(run.result),
        }
        for run in upstreams
    ]
    return json.dumps(runs, ensure_ascii=False, separators=(",", ":"))


def _shard_arg(schedule: Schedule, shard: int) -> object:
    parameters = schedule.shard_args or ()
    return parameters[shard] if shard < len(parameters) else None


def _missing(grant: Grant) -> Schedule:
    return Schedule(id=grant.key.schedule_id, name=str(grant.key.schedule_id), cron="@manual", command="")
