"""Threads of the worker that wait for others: one request each, and an end that comes in time.

Nobody can kill a thread. A job that is to stop, or runs out of time, is reported at once; its
connection is cut under the thread, or what comes back later is dropped. Leashed jobs tie the worker to
the guardian (`tie`): a worker that is stopped in the middle does not go on beside the next attempt.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue

from leasebeat.executors.base import Done, Launch
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop, Timer
from leasebeat.executors.output import Tail
from leasebeat.executors.shell import STOP_REASONS
from leasebeat.executors.tie import Tie
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.runtime import Runtime

LOOK_S = 0.25
"""How often it is looked whether leashed work is still going on."""


@dataclass(slots=True, eq=False)
class Job:
    """An attempt, from its start until its outcome was reported."""

    launch: Launch
    done: Done
    timer: Timer | None = None
    begun: bool = False
    stopped: bool = False
    line: socket.socket | None = None  #: a second handle on the connection, to cut it from another thread
    tail: Tail = field(default_factory=Tail)

    def hold_line(self, sock: socket.socket) -> None:
        """Keep a handle on this connection. TLS takes the socket over, but not the copy."""
        self.drop_line()
        self.line = sock.dup()
        if self.stopped:
            self.cut()

    def cut(self) -> None:
        """End the connection under the thread that waits for it."""
        self.stopped = True
        if (line := self.line) is not None:
            _shut(line)

    def drop_line(self) -> None:
        """Close the handle."""
        line, self.line = self.line, None
        if line is not None:
            line.close()


class Crew:
    """Does jobs in at most `most` threads. `work` does one, calling `begin` before it sends anything.

    A job is in `_jobs` until its outcome has been reported; who takes it out reports it.
    """

    def __init__(
        self,
        name: str,
        most: int,
        runtime: Runtime,
        loop: Loop,
        leash: GuardianLeash,
        work: Callable[[Job], Outcome],
    ) -> None:
        self._name = name
        self._most = most
        self._runtime = runtime
        self._loop = loop
        self._leash = leash
        self._do = work
        self._tie = Tie(leash, name, self._busy)
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._jobs: dict[tuple[RunKey, int], Job] = {}
        self._threads = 0
        self._lock = runtime.lock()
        self._looking = False

    def start(self, launch: Launch, done: Done) -> None:
        """Start it and return at once. With all threads busy it waits; its time-out does not."""
        job = Job(launch, done)
        self._jobs[launch.id] = job
        self._loop.call(partial(self._begin_timer, job))
        self._queue.put(job)
        self._add_thread()

    def begin(self, job: Job) -> Outcome | None:
        """Why it must not be begun any more; None if it may: it is tied now."""
        job.begun = True
        if job.launch.leashed:
            self._tie.hold()
        # Only after the guardian was told, so that there is no moment to be stopped in between.
        if self._runtime.boottime() >= self._leash.deadline:
            text = "not begun: the node's lease was not renewed in time"
            return Outcome(OutcomeKind.LOST, reason_code=ReasonCode.LEASE_LOST, reason=text)
        return None

    def stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind) -> None:
        """Cut the connection; its outcome is `kind`."""
        text = f"stopped: {kind.value.replace('_', ' ')}; a request that was sent may have had its effect"
        outcome = Outcome(kind, reason_code=STOP_REASONS.get(kind), reason=text)
        if (job := self._jobs.pop(launch_id, None)) is not None:
            job.cut()
            job.done(job.launch, _with_output(outcome, job.tail))

    def close(self) -> None:
        """Let the threads end."""
        for _ in range(self._threads):
            self._queue.put(None)

    # -- in the loop's thread

    def _begin_timer(self, job: Job) -> None:
        if (limit := job.launch.schedule.timeout) is not None:
            job.timer = self._loop.after(limit, partial(self.stop, job.launch.id, OutcomeKind.TIMED_OUT))
        if not self._looking:
            self._looking = True
            self._look()

    def _look(self) -> None:
        self._tie.look()
        self._loop.after(LOOK_S, self._look)

    def _busy(self) -> bool:
        return any(job.begun and job.launch.leashed for job in list(self._jobs.values()))

    # -- in the threads

    def _add_thread(self) -> None:
        with self._lock:
            if self._queue.qsize() == 0 or self._threads >= self._most:
                return
            self._threads += 1
        self._runtime.start(f"{self._name}-task", self._work)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if job.launch.id not in self._jobs:
                continue  # stopped before it began
            try:
                outcome = self._do(job)
            finally:
                job.drop_line()
            if job.timer is not None:
                job.timer.cancel()
            if self._jobs.pop(job.launch.id, None) is not None:
                job.done(job.launch, _with_output(outcome, job.tail))


def _with_output(outcome: Outcome, tail: Tail) -> Outcome:
    return replace(outcome, output=tail.kept, output_bytes=tail.size)


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it was closed already, by the other end or by the thread that used it
