"""Python tasks in threads of the worker: cheap, for trusted code that ends.

Nothing protects the worker from such a task, and nobody can kill a thread. A task that is to stop, or
runs longer than `timeout_s`, is given up: its outcome is reported then, its late end is dropped, and
its thread is replaced. Because of that the guardian kills the whole worker when its lease is over while
leashed tasks run here, or run on after they were given up. What a task prints goes where
the worker prints.

10,000 short tasks of one instant cost one queue: no lock is held, and no thread started, for each.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import cast

from leasebeat import logs
from leasebeat.context import in_thread
from leasebeat.errors import LeasebeatError
from leasebeat.executors import python, python_call, results
from leasebeat.executors.base import Done, Launch
from leasebeat.executors.environment import resolve_each
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop
from leasebeat.executors.options import ExecutorOptions
from leasebeat.executors.shell import not_started
from leasebeat.executors.tie import Tie
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.runtime import Runtime

PATIENCE_S = 0.005
"""A task that takes longer than this is worth another thread for the next one."""

MOST_THREADS = 32
"""How many threads there are where `python_processes` is 0 and there are more slots than that."""

WATCH_S = 0.25
"""How often time-outs are looked for."""

_SUCCEEDED = Outcome(OutcomeKind.SUCCEEDED)


@dataclass(slots=True, eq=False)
class _Job:
    launch: Launch
    done: Done


@dataclass(slots=True, eq=False)
class _Thread:
    """What one thread does now. Written by it, read by the watch."""

    job: _Job | None = None
    began: float = 0.0
    given_up: bool = False  #: its task was; it ends when that returns, and counts no more


class PythonThreads:
    """Runs schedules of the kind `python` in threads of the worker (base.Executor).

    A launch is in `_jobs` until its outcome has been reported; who takes it out reports it.
    """

    def __init__(self, options: ExecutorOptions, runtime: Runtime, loop: Loop, leash: GuardianLeash) -> None:
        self._options = options
        self._runtime = runtime
        self._loop = loop
        self._leash = leash
        self._most = options.python_processes or min(options.slots, MOST_THREADS)
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._jobs: dict[tuple[RunKey, int], _Job] = {}
        self._threads: set[_Thread] = set()
        self._given_up: set[_Thread] = set()
        self._tie = Tie(leash, "threads", self._busy)
        self._ready = False
        self._initialised = False
        self._failed_init: str | None = None
        self._looks_again = False
        self._lock = runtime.lock()
        self._init_lock = runtime.lock()

    def refuse(self, schedule: Schedule) -> str | None:
        """Why this host does not run it, as sentences; None if it does."""
        return python.refuse(schedule, self._options)

    def start(self, launch: Launch, done: Done) -> None:
        """Start the attempt and return at once. With all threads busy it waits, and its time-out with it."""
        if not self._ready:
            self._prepare()
        job = _Job(launch, done)
        self._jobs[launch.id] = job
        self._queue.put(job)
        self._grow()

    def stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        """Give it up: its outcome is `kind` now, whatever its function still does."""
        del grace_s
        self._give_up(launch_id, Outcome(kind, reason=f"given up: {kind.value}; a thread cannot be killed"))

    def renew(self) -> None:
        """Nothing is cached that could be let go: modules stay loaded until the worker is restarted."""

    def close(self) -> None:
        """Let the threads end; those that are busy end with their tasks."""
        for _ in self._threads:
            self._queue.put(None)

    # -- threads

    def _prepare(self) -> None:
        with self._lock:
            if self._ready:
                return
            sys.path[:0] = [folder for folder in self._options.python_path if folder not in sys.path]
            self._loop.call(self._watch)
            self._ready = True

    def _initialise(self) -> None:
        """Run `python_init` once, in the first of these threads; the others wait for its end here.

        Not in the thread of the caller: one that hangs costs the tasks, which time-outs and stops
        still end, but never the node.
        """
        with self._init_lock:
            if not self._initialised and self._options.python_init:
                self._failed_init = _init(self._options.python_init)
            self._initialised = True

    def _grow(self) -> None:
        """Add threads where all are busy with tasks that take their time.

        A burst of short tasks is done soonest by few threads: they share one interpreter.
        """
        waiting, now = self._queue.qsize(), self._runtime.monotonic()
        threads = tuple(self._threads)
        if not waiting or len(threads) >= self._most:
            return
        if all(thread.job is not None and now - thread.began > PATIENCE_S for thread in threads):
            for _ in range(min(waiting, self._most - len(threads)) if threads else 1):
                self._add_thread()
        if not self._looks_again:
            self._looks_again = True
            self._loop.call(self._look_soon)

    def _look_soon(self) -> None:
        self._loop.after(PATIENCE_S, self._look_again)

    def _look_again(self) -> None:
        self._looks_again = False
        self._grow()

    def _add_thread(self) -> None:
        thread = _Thread()
        with self._lock:
            if len(self._threads) >= self._most:
                return
            self._threads.add(thread)
        self._runtime.start("python-task", partial(self._work, thread))

    def _work(self, thread: _Thread) -> None:
        while not thread.given_up and (job := self._queue.get()) is not None:
            thread.began = self._runtime.monotonic()
            thread.job = job
            if not self._initialised:
                self._initialise()
            # Looked for after that: it may have been given up while it waited.
            if job.launch.id in self._jobs:
                outcome = self._run(job)
                if self._jobs.pop(job.launch.id, None) is not None:
                    job.done(job.launch, outcome)
            thread.job = None
        self._threads.discard(thread)
        self._given_up.discard(thread)

    def _run(self, job: _Job) -> Outcome:
        launch = job.launch
        if launch.leashed:
            self._tie.hold()
        # Only after the guardian was told, so that there is no moment to be stopped in between.
        if self._runtime.boottime() >= self._leash.deadline:
            text = "not begun: the node's lease was not renewed in time"
            return Outcome(OutcomeKind.LOST, reason_code=ReasonCode.LEASE_LOST, reason=text)
        if self._failed_init is not None:
            return not_started(self._failed_init)
        token = in_thread.set(launch)
        try:
            return _call(launch, self._options)
        finally:
            in_thread.reset(token)

    # -- the watch, in the loop's thread

    def _watch(self) -> None:
        now = self._runtime.monotonic()
        for thread in list(self._threads):
            job = thread.job
            limit = None if job is None else job.launch.schedule.timeout
            if job is not None and limit is not None and now > thread.began + limit:
                text = f"given up after {limit:g} s; a thread cannot be killed, so its function may still run"
                outcome = Outcome(OutcomeKind.TIMED_OUT, reason_code=ReasonCode.TIMEOUT, reason=text)
                self._give_up(job.launch.id, outcome)
        self._tie.look()
        self._loop.after(WATCH_S, self._watch)

    def _busy(self) -> bool:
        jobs = [thread.job for thread in [*self._threads, *self._given_up]]
        return any(job is not None and job.launch.leashed for job in jobs)

    def _give_up(self, launch_id: tuple[RunKey, int], outcome: Outcome) -> None:
        job = self._jobs.pop(launch_id, None)
        if job is None:
            return
        for thread in [thread for thread in self._threads if thread.job is job]:
            thread.given_up = True
            self._given_up.add(thread)
            self._threads.discard(thread)
        job.done(job.launch, outcome)
        if self._queue.qsize() > 0:
            self._add_thread()


def _init(command: str) -> str | None:
    try:
        python_call.load(command)()
    # Also sys.exit: nothing may end the thread.
    except BaseException as problem:
        logs.event("ERROR", "python_init_failed", f"python_init = {command} failed", problem=problem)
        return f"python_init = {command} failed: {python_call.describe(problem)}"
    return None


def _call(launch: Launch, options: ExecutorOptions) -> Outcome:
    try:
        python.insist(launch.args, options)
        function = python_call.load(launch.schedule.command)
        kwargs = cast("Mapping[str, object]", launch.args.get("kwargs", {}))
        kwargs = resolve_each(kwargs, "args.kwargs") if kwargs else kwargs
    except LeasebeatError as problem:
        return not_started(str(problem))
    except Exception as problem:
        return not_started(f"{launch.schedule.command} could not be started: {python_call.describe(problem)}")
    # Code of the module ran and meant to end the process: that is more than not to have started.
    except BaseException as problem:
        text = f"{launch.schedule.command}: its module ended on import: {python_call.describe(problem)}"
        return _failed(text)
    try:
        returned = python_call.call(function, kwargs)
        result, reason = results.of_value(returned)
    except SystemExit as problem:
        return _exited(problem)
    # A task must not end the worker's thread, whatever it raises, or what it returned does.
    except BaseException as problem:
        return _failed(python_call.describe(problem))
    if returned is None:
        return _SUCCEEDED
    return Outcome(OutcomeKind.SUCCEEDED, reason=reason, result=result)


def _exited(problem: SystemExit) -> Outcome:
    status = python_call.exit_status(problem.code)
    if status == 0:
        return _SUCCEEDED
    reason = f"SystemExit: {problem.code}"
    return Outcome(OutcomeKind.FAILED, status, ReasonCode.EXCEPTION, reason)


def _failed(reason: str) -> Outcome:
    """The outcome of the exception that is being handled."""
    trace = traceback.format_exc().encode(errors="replace")
    return Outcome(
        OutcomeKind.FAILED,
        reason_code=ReasonCode.EXCEPTION,
        reason=reason,
        output=trace,
        output_bytes=len(trace),
    )
