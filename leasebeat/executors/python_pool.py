"""Python tasks in child processes: whatever a task does to its process costs that run only.

Children are started when there is work and no idle one, and kept for the next job. A child runs one
job at a time; it ends after `python_recycle_runs` jobs, after one that had limits, after one that left
processes behind, and when it has been idle for a while. A job that must end is ended with its child:
SIGTERM, which the function sees as an exception, then SIGKILL. Processes that a job turned into
daemons are killed with the child at the latest.

All state belongs to the loop's thread.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from leasebeat.errors import LeasebeatError, StartFailed
from leasebeat.executors import guardian, python
from leasebeat.executors.base import Done, Launch
from leasebeat.executors.cgroup_home import limits_of
from leasebeat.executors.environment import (
    account_of,
    base_environment,
    home_of,
    resolve_each,
    task_variables,
)
from leasebeat.executors.leash import End, GuardianLeash, Order
from leasebeat.executors.loop import Loop, Timer
from leasebeat.executors.options import ExecutorOptions
from leasebeat.executors.output import Tail, read_into
from leasebeat.executors.shell import judge, not_started
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.model.schedule import Schedule

IDLE_S = 60.0
"""How long a child without work is kept."""

RETIRE_GRACE_S = 5.0

_ROOT = Path(__file__).parents[2]
_MAIN = (
    f"import sys; sys.path.append({str(_ROOT)!r}); from leasebeat.executors.python_child import main; main()"
)

_REASONS = {
    OutcomeKind.FAILED: ReasonCode.EXCEPTION,
    OutcomeKind.START_FAILED: ReasonCode.START_FAILED,
    OutcomeKind.LOST: ReasonCode.LEASE_LOST,
}


@dataclass(slots=True, eq=False)
class _Job:
    launch: Launch
    done: Done
    body: dict[str, object]
    begun: bool = False
    stopped: OutcomeKind | None = None
    timer: Timer | None = None


@dataclass(slots=True, eq=False)
class _Child:
    node_id: str
    sock: socket.socket
    output_fd: int
    single: bool  #: serves one job
    token: int = 0
    runs: int = 0
    leashed: bool = False
    job: _Job | None = None
    tail: Tail = field(default_factory=Tail)
    idle: Timer | None = None
    retired: bool = False  #: gets no more jobs


class PythonPool:
    """Runs schedules of the kind `python` in child processes (base.Executor)."""

    def __init__(self, options: ExecutorOptions, loop: Loop, leash: GuardianLeash) -> None:
        self._options = options
        self._loop = loop
        self._leash = leash
        self._most = options.python_processes or options.slots
        self._numbers = itertools.count(1)
        self._waiting: deque[_Job] = deque()
        self._children: set[_Child] = set()
        self._idle: list[_Child] = []
        self._running: dict[tuple[RunKey, int], _Child] = {}

    def refuse(self, schedule: Schedule) -> str | None:
        """Why this host does not run it, as sentences; None if it does."""
        problems = python.refuse(schedule, self._options), self._leash.home.lacks(schedule.args)
        return "; ".join(filter(None, problems)) or None

    def start(self, launch: Launch, done: Done) -> None:
        """Start the attempt and return at once. With all children busy it waits, and its time-out with it."""
        try:
            python.insist(launch.args, self._options)
            if problem := self._leash.home.lacks(launch.args):
                raise StartFailed(problem)
            job = _Job(launch, done, _body(launch))
        except (LeasebeatError, OSError, ValueError) as problem:
            done(launch, not_started(str(problem)))
        else:
            self._loop.call(partial(self._enqueue, job))

    def stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        """End it with its child: SIGTERM, SIGKILL after `grace_s`. Its outcome will be `kind`."""
        self._loop.call(partial(self._stop, launch_id, kind, grace_s))

    def renew(self) -> None:
        """Start the next jobs in new children; a busy one ends after its job."""
        self._loop.call(self._retire_all)

    def close(self) -> None:
        """Let the idle children end."""
        self._loop.call(self._retire_all)

    # -- jobs

    def _enqueue(self, job: _Job) -> None:
        self._waiting.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        while self._waiting:
            child = self._take_child(self._waiting[0].launch)
            if child is None:
                return
            self._assign(child, self._waiting.popleft())

    def _take_child(self, launch: Launch) -> _Child | None:
        node_id, single = launch.node_id, bool(limits_of(launch.args))
        if single and self._idle and self._full():
            self._forget(self._idle[0])
        while self._idle and not single:
            child = self._idle.pop()
            if child.idle is not None:
                child.idle.cancel()
            if child.node_id == node_id:
                return child
            self._retire(child)  # from before the node was purged: its mark is another node's
        if self._full():
            return None
        try:
            return self._spawn(launch, single)
        except (StartFailed, OSError) as problem:
            waiting, self._waiting = self._waiting, deque[_Job]()
            for job in waiting:
                self._report(job, not_started(str(problem)))
            return None

    def _full(self) -> bool:
        return sum(not child.retired for child in self._children) >= self._most

    def _assign(self, child: _Child, job: _Job) -> None:
        self._read_all(child)  # what it printed since its last job belongs to none
        child.job, child.tail = job, Tail()
        child.runs += 1
        self._running[job.launch.id] = child
        if child.leashed is not job.launch.leashed:
            child.leashed = job.launch.leashed
            self._leash.leash(child.token, child.leashed)
        fd = _in_memory({**job.body, "deadline": self._leash.deadline})
        try:
            socket.send_fds(child.sock, [b"job"], [fd])
        except OSError:
            # It has died while idle; its end is on the way here, and finds the job not begun.
            child.retired = True
        finally:
            os.close(fd)
        if (limit := job.launch.schedule.timeout) is not None:
            job.timer = self._loop.after(limit, partial(self._timed_out, job))

    def _timed_out(self, job: _Job) -> None:
        self._stop(job.launch.id, OutcomeKind.TIMED_OUT, self._options.kill_grace_s)

    def _stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        child = self._running.get(launch_id)
        if child is not None and child.job is not None:
            child.job.stopped = child.job.stopped or kind
            child.retired = True
            self._leash.stop(child.token, grace_s)
            return
        for job in [job for job in self._waiting if job.launch.id == launch_id]:
            self._waiting.remove(job)
            self._report(job, Outcome(kind, reason=f"stopped before it began: {kind.value}"))

    def _report(self, job: _Job, outcome: Outcome) -> None:
        if job.timer is not None:
            job.timer.cancel()
        job.done(job.launch, outcome)

    # -- children

    def _spawn(self, launch: Launch, single: bool) -> _Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output_fd, child_fd = os.pipe2(os.O_CLOEXEC)
        devnull = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        ours.setblocking(False)
        os.set_blocking(output_fd, False)
        child = _Child(launch.node_id, ours, output_fd, single)
        order = self._order(launch, (devnull, child_fd, child_fd, theirs.fileno()))
        try:
            child.token = self._leash.spawn(order, partial(self._ended, child))
        except StartFailed:
            ours.close()
            os.close(output_fd)
            raise
        finally:
            theirs.close()
            os.close(child_fd)
            os.close(devnull)
        self._children.add(child)
        self._loop.watch(output_fd, partial(self._printed, child))
        self._loop.watch(ours.fileno(), partial(self._heard, child))
        return child

    def _order(self, launch: Launch, fds: tuple[int, ...]) -> Order:
        setup = json.dumps({"path": self._options.python_path, "init": self._options.python_init})
        return Order(
            argv=(sys.executable, "-P", "-X", "faulthandler", "-c", _MAIN, setup),
            env={
                **base_environment(account_of(None)),
                "LEASEBEAT_NODE_ID": launch.node_id,
                "LEASEBEAT_CHILD": f"{os.getpid()}.{next(self._numbers)}",
            },
            cwd="/",
            fds=fds,
            marks=("LEASEBEAT_NODE_ID", "LEASEBEAT_CHILD"),
            limits=self._leash.home.limits(launch.args),
            leashed=False,  # until it gets a job that is
            lease=False,
        )

    def _printed(self, child: _Child) -> None:
        if not read_into(child.tail, child.output_fd):
            self._stop_reading(child)

    def _heard(self, child: _Child) -> None:
        try:
            data = child.sock.recv(guardian.MESSAGE_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._retire(child)  # it ends, or its job has closed what was not its own
        elif child.job is not None:
            self._answered(child, child.job, json.loads(data))

    def _answered(self, child: _Child, job: _Job, answer: dict[str, Any]) -> None:
        if "begun" in answer:
            job.begun = True
            return
        self._read_all(child)
        most = self._options.python_recycle_runs
        if answer["last"] or child.single or (most and child.runs >= most):
            child.retired = True
        if job.stopped is not None:
            return  # the signal is on its way, and with it the child's end
        self._job_done(child, job, _outcome(answer))
        if child.retired:
            self._retire(child)
        else:
            child.idle = self._loop.after(IDLE_S, partial(self._forget, child))
            self._idle.append(child)
        self._dispatch()

    def _job_done(self, child: _Child, job: _Job, outcome: Outcome) -> None:
        child.job = None
        del self._running[job.launch.id]
        self._report(job, _with_output(outcome, child.tail))

    def _hear_the_rest(self, child: _Child) -> None:
        """What it sent before its end may not have been read yet: that it had begun, or even its answer."""
        while child.job is not None and child.sock.fileno() >= 0:
            try:
                data = child.sock.recv(guardian.MESSAGE_BYTES)
            except (BlockingIOError, ConnectionResetError):
                return
            if not data:
                return
            answer = json.loads(data)
            if "begun" in answer:
                child.job.begun = True
            elif child.job.stopped is None:
                self._job_done(child, child.job, _outcome(answer))

    def _ended(self, child: _Child, end: End) -> None:
        self._read_all(child)
        self._hear_the_rest(child)
        self._hang_up(child)
        self._stop_reading(child)
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if child.idle is not None:
            child.idle.cancel()
        if child.job is not None:
            self._job_done(child, child.job, _outcome_of_end(child.job, end))
        self._dispatch()

    def _forget(self, child: _Child) -> None:
        self._idle.remove(child)
        self._retire(child)

    def _retire_all(self) -> None:
        for child in self._children:
            child.retired = True
        idle, self._idle = self._idle, []
        for child in idle:
            self._retire(child)

    def _retire(self, child: _Child) -> None:
        child.retired = True
        self._hang_up(child)
        self._leash.stop(child.token, RETIRE_GRACE_S)

    def _hang_up(self, child: _Child) -> None:
        if child.sock.fileno() >= 0:
            self._loop.unwatch(child.sock.fileno())
            child.sock.close()

    def _read_all(self, child: _Child) -> None:
        """Read what it has printed up to now: that came before its answer, or its end, which we know of."""
        size = -1
        while child.output_fd >= 0 and size != child.tail.size:
            size = child.tail.size
            if not read_into(child.tail, child.output_fd):
                self._stop_reading(child)

    def _stop_reading(self, child: _Child) -> None:
        if child.output_fd >= 0:
            self._loop.unwatch(child.output_fd)
            os.close(child.output_fd)
            child.output_fd = -1


def _body(launch: Launch) -> dict[str, object]:
    args = launch.args
    account = account_of(None)
    own = resolve_each(cast("Mapping[str, object]", args.get("env", {})), "args.env")
    return {
        "command": launch.schedule.command,
        "kwargs": resolve_each(cast("Mapping[str, object]", args.get("kwargs", {})), "args.kwargs"),
        "env": {name: str(value) for name, value in own.items()} | task_variables(launch),
        "cwd": str(args.get("cwd") or home_of(account)),
    }


def _in_memory(job: dict[str, object]) -> int:
    fd = os.memfd_create("job")
    with open(fd, "wb", closefd=False) as file:
        file.write(json.dumps(job).encode())
    return fd


def _outcome(answer: dict[str, Any]) -> Outcome:
    kind = OutcomeKind(answer["kind"])
    return Outcome(
        kind,
        answer.get("exit_code"),
        _REASONS.get(kind),
        answer["reason"],
        result=answer.get("result"),
    )


def _outcome_of_end(job: _Job, end: End) -> Outcome:
    """What it means that the child ended while it had the job."""
    if not job.begun and job.stopped is None and end.cause == guardian.CAUSE_EXIT:
        text = "the Python child process ended before it had begun the task"
        return not_started("; ".join(filter(None, (end.limit, text))))
    outcome = judge(end, job.stopped, success_codes=())
    if outcome.reason_code is ReasonCode.EXIT_CODE or end.status in (126, 127):
        text = f"the process ended with exit code {end.status} before the function had returned"
        text = "; ".join(filter(None, (end.limit, text)))
        return Outcome(OutcomeKind.FAILED, end.status, ReasonCode.EXIT_CODE, text)
    return outcome


def _with_output(outcome: Outcome, tail: Tail) -> Outcome:
    return Outcome(
        outcome.kind,
        outcome.exit_code,
        outcome.reason_code,
        outcome.reason,
        tail.kept,
        tail.size,
        outcome.result,
    )
