"""The port behind which tasks run.

A node hands an executor a `Launch` and is told, once, by a callback, how it ended. Executors know
nothing of stores, leases or schedules' policies; they start, watch, bound and stop.

The **leash** is the other half: a guardian process outside the worker that starts the worker's
child processes, knows all of them, and kills them when the worker is gone or when the deadline
that the worker last gave it has passed. So neither a killed nor a stopped worker leaves a task
running beside its successor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from leasebeat.model.run import Outcome, OutcomeKind, RunKey
from leasebeat.model.schedule import Schedule

OUTPUT_TAIL_BYTES = 64 * 1024
"""How much of what a task prints is kept."""

RESULT_BYTES = 64 * 1024
"""The size of the largest result that a task may hand on."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One attempt, ready to start. `args` are the schedule's, overridden by the run's own.

    `upstream` is JSON text of the form of `model.upstream`; None where the run follows no other.
    """

    key: RunKey
    attempt: int
    key_text: str
    fence: int
    schedule: Schedule
    args: Mapping[str, object]
    node_id: str
    node_name: str
    shards: int = 1
    shard_arg: object = None
    upstream: str | None = None

    @property
    def id(self) -> tuple[RunKey, int]:
        """(run, attempt): what a node holds, and what an executor knows the task by."""
        return self.key, self.attempt

    @property
    def leashed(self) -> bool:
        """Whether the task must die with its node's lease (`on_node_loss = finish` is left to end)."""
        return self.schedule.on_node_loss != "finish"


Done = Callable[[Launch, Outcome], None]
"""Called once, and only once, for each start, from any thread; it never raises and never blocks."""


class Executor(Protocol):
    """Runs the tasks of one kind."""

    def refuse(self, schedule: Schedule) -> str | None:
        """Why no node of this build or this host's settings may run it, as a sentence; None if it may.

        Looks at `command`, `args` and `run_as`: unknown keys of `args`, what `[node] allow_*` forbids.
        """
        ...

    def start(self, launch: Launch, done: Done) -> None:
        """Start the attempt and return at once.

        What cannot start is an outcome (START_FAILED), never an error.
        """
        ...

    def stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        """End it: SIGTERM to its group, SIGKILL after `grace_s` (0: SIGKILL at once).

        Its outcome will be `kind`. Unknown ids are ignored: it may have ended meanwhile.
        """
        ...

    def renew(self) -> None:
        """Let go of what is cached (Python children), without touching what runs. SIGHUP."""
        ...

    def close(self) -> None:
        """Free everything. Nothing runs any more."""
        ...


class Leash(Protocol):
    """The worker's end of the guardian."""

    def renew(self, deadline: float) -> None:
        """Leashed tasks may live until `deadline`, seconds of CLOCK_BOOTTIME. Never blocks; never raises."""
        ...

    def alive(self) -> bool:
        """Whether the guardian is there. Without one nothing is started."""
        ...

    def restore(self) -> None:
        """Start a new guardian after the old one died. Raises StartFailed."""
        ...

    def close(self) -> None:
        """Let the guardian end; it kills what is left."""
        ...
