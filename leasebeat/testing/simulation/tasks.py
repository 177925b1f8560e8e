"""Fake tasks, and the guardian that starts and kills them.

The guardian is a process of its own: it goes on while its worker is stopped, kills what is leashed
when the deadline has passed, and everything when the worker is dead. It starts nothing past the
deadline. Tasks last virtual time and leave evidence: when they began and ended, in true time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from leasebeat.executors.base import Done, Launch
from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.testing.simulation.kernel import Kernel, Process

_FORK: Micros = 30_000
"""A task begins up to this long after it was ordered."""

_TICK: Micros = 250_000
"""The guardian looks at the deadline this often."""

_REAP: Micros = 40_000
"""A killed task is gone after at most this."""

_FOREVER = 1e9

LaunchId = tuple[RunKey, int]


class TaskBegin(NamedTuple):
    """A task began."""

    at: Instant
    store_high: Instant  #: the latest that the store's clock has ever shown
    key: RunKey
    attempt: int
    fence: int
    node_id: str
    serial: str | None
    leashed: bool
    command: str


class TaskEnd(NamedTuple):
    """A task ended, by itself or killed."""

    at: Instant
    key: RunKey
    attempt: int
    node_id: str


@dataclass(slots=True)
class Task:
    """One running task."""

    launch: Launch
    done: Done
    began: bool = False
    ended: bool = False
    stopped: Outcome | None = None  #: what its end will be told as, once somebody has stopped it


class Evidence:
    """What tasks leave behind, and what they do. A world fills it in."""

    def begin(self, launch: Launch) -> None:
        """A task began now."""
        raise NotImplementedError

    def end(self, launch: Launch) -> None:
        """A task ended now."""
        raise NotImplementedError

    def behaviour(self, launch: Launch, random: Random) -> tuple[float, Outcome]:
        """How many seconds it takes, and how it ends."""
        raise NotImplementedError


class Guardian:
    """The guardian of one worker process."""

    def __init__(
        self, kernel: Kernel, process: Process, random: Random, booted: Micros, evidence: Evidence
    ) -> None:
        self._kernel = kernel
        self._process = process
        self._random = random
        self._booted = booted
        self._evidence = evidence
        self._deadline: Instant = 0
        self._watching = False
        self._tasks: dict[LaunchId, Task] = {}
        self.leashes = True  #: a mutation takes it off
        self.spring: Callable[[str, str], None] = lambda name, when: None

    def live_until(self, deadline: float) -> None:
        """The worker's lease, seconds of CLOCK_BOOTTIME."""
        self._deadline = self._booted + int(min(max(deadline, 0.0), _FOREVER) * 1e6)
        if not self._watching:
            self._watching = True
            self._kernel.at(self._deadline, self._watch)

    def spawn(self, launch: Launch, done: Done) -> None:
        """The worker orders a task."""
        self.spring("start", "before")
        task = self._tasks[launch.id] = Task(launch, done)
        self._kernel.after(int(self._random.random() * _FORK), self._begin, task)
        self.spring("start", "after")

    def stop(self, launch_id: LaunchId, kind: OutcomeKind, grace_s: float) -> None:
        """The worker wants one ended: SIGTERM, and SIGKILL after the grace."""
        task = self._tasks.get(launch_id)
        if task is None or task.ended or task.stopped is not None:
            return
        code = ReasonCode.LEASE_LOST if kind == OutcomeKind.LOST else ReasonCode.KILL_REQUESTED
        stubborn = grace_s > 0 and self._random.random() < 0.2
        wait = round(grace_s * SECOND) if stubborn else 0
        self._kill_later(task, Outcome(kind, None, code), wait)

    def worker_gone(self) -> None:
        """The pipe has closed: kill everything."""
        for task in list(self._tasks.values()):
            self._kill_later(task, Outcome(OutcomeKind.LOST), 0)

    def running(self) -> int:
        """How many tasks it has."""
        return len(self._tasks)

    def tasks(self) -> list[Task]:
        """They themselves."""
        return list(self._tasks.values())

    def _begin(self, task: Task) -> None:
        launch = task.launch
        if task.ended:
            return
        if self._process.dead:
            self._tasks.pop(launch.id, None)
            return
        if self.leashes and self._kernel.now >= self._deadline:
            why = "the node's lease was over before the task could start"
            self._finished(task, Outcome(OutcomeKind.LOST, None, ReasonCode.LEASE_LOST, why))
            return
        task.began = True
        self._evidence.begin(launch)
        seconds, outcome = self._evidence.behaviour(launch, self._random)
        limit = launch.schedule.timeout
        if limit is not None and limit < seconds:
            seconds, outcome = limit, Outcome(OutcomeKind.TIMED_OUT, None, ReasonCode.TIMEOUT)
        self._kernel.after(int(seconds * SECOND), lambda _: self._finished(task, task.stopped or outcome))

    def _kill_later(self, task: Task, outcome: Outcome, wait: Micros) -> None:
        task.stopped = outcome
        delay = wait + int(self._random.random() * _REAP)
        self._kernel.after(delay, lambda _: self._finished(task, outcome))

    def _finished(self, task: Task, outcome: Outcome) -> None:
        if task.ended:
            return
        task.ended = True
        launch = task.launch
        if self._tasks.get(launch.id) is task:
            del self._tasks[launch.id]
        if task.began:
            self._evidence.end(launch)
        self._tell(task, outcome)

    def _tell(self, task: Task, outcome: Outcome) -> None:
        """The worker learns it when it runs: not while it is stopped, never once it is dead."""
        if self._process.dead:
            return
        if self._process.paused:
            self._process.resumed.append(lambda: self._kernel.after(0, lambda _: self._tell(task, outcome)))
            return
        task.done(task.launch, outcome)

    def _watch(self, _: object) -> None:
        if self._process.dead and not self._tasks:
            return
        if self._kernel.now < self._deadline:
            self._kernel.at(self._deadline, self._watch)
            return
        self._watching = False
        if self.leashes:
            tick = int(self._random.random() * _TICK)
            self._kernel.after(tick, self._deadline_passed)

    def _deadline_passed(self, _: object) -> None:
        if self._kernel.now < self._deadline:
            return
        for task in list(self._tasks.values()):
            if task.launch.leashed:  # also one that is being asked to end, within its grace
                self._kill_later(
                    task, task.stopped or Outcome(OutcomeKind.LOST, None, ReasonCode.LEASE_LOST), 0
                )


class SimLeash:
    """The port `Leash`."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian

    def renew(self, deadline: float) -> None:
        self._guardian.live_until(deadline)

    def alive(self) -> bool:
        return True

    def restore(self) -> None:
        """The simulated guardian never dies alone."""

    def close(self) -> None:
        self._guardian.worker_gone()


class SimExecutor:
    """The port `Executor`, of every kind."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian

    def refuse(self, schedule: Schedule) -> str | None:
        del schedule
        return None

    def start(self, launch: Launch, done: Done) -> None:
        self._guardian.spawn(launch, done)

    def stop(self, launch_id: LaunchId, kind: OutcomeKind, grace_s: float) -> None:
        self._guardian.stop(launch_id, kind, grace_s)

    def renew(self) -> None:
        """There are no children to renew."""

    def close(self) -> None:
        """Nothing is kept."""
